#include "shared/series/codec.h"

#include <map>
#include <set>
#include <tuple>

#include "shared/base/bytes.h"
#include "shared/base/ids.h"
#include "shared/series/columns.h"

namespace basmalin {
namespace {

using namespace columns;

// The body's first byte. Other bits are zero.
constexpr uint8_t body_compressed = 0x01;   // the rest is one zstd frame
constexpr uint8_t body_definitions = 0x02;  // definitions come before the groups
constexpr size_t compress_from_bytes = 64;

// Low bits of a group's first varint; the layout's id is above them.
constexpr uint64_t group_single_row = 0x01;
constexpr uint64_t group_own_encodings = 0x02;  // every number column begins with its encoding byte
constexpr size_t columns_max = 64;

std::unexpected<Error> damaged(std::string_view what) { return fail(Code::Corrupt, "body: " + std::string(what)); }

// A sentence about what is wrong with a definition, or null.
const char* fault_of(const Layout& layout) {
    if (layout.id == 0) return "a layout has id 0";
    if (!is_label(layout.device)) return "a layout's device is no label";
    if (layout.columns.empty() || layout.columns.size() > columns_max) return "a layout has no columns or more than 64";
    std::set<std::string_view> quantities;
    for (const Column& column : layout.columns) {
        if (!is_label(column.quantity)) return "a layout's quantity is no label";
        if (!is_unit(column.unit)) return "a layout's unit is no unit";
        if (static_cast<uint8_t>(column.kind) > static_cast<uint8_t>(ValueKind::Text)) return "a layout's kind is unknown";
        if (column.decimals > (column.kind == ValueKind::Number ? decimals_max : 0)) return "a layout has too many decimals";
        if (!quantities.insert(column.quantity).second) return "a layout names a quantity twice";
    }
    return nullptr;
}

// The layouts that a body's groups may name: its own definitions, then the known ones.
class Layouts {
  public:
    Layouts(const std::vector<Layout>& definitions, const LayoutLookup& known) : known_(known) {
        for (const Layout& layout : definitions) own_.emplace(layout.id, &layout);
    }
    const Layout* find(uint32_t id) const {
        if (const auto found = own_.find(id); found != own_.end()) return found->second;
        return known_ ? known_(id) : nullptr;
    }

  private:
    std::map<uint32_t, const Layout*> own_;
    const LayoutLookup& known_;
};

// The last scaled value of every (quantity, unit, decimals) in this body so far: neighbours in a garden measure alike, so a
// device's first value is written as the difference from its neighbour's.
class Neighbours {
  public:
    int64_t& last(const Layout& layout, size_t column) {
        auto& slots = slots_[layout.id];
        if (slots.empty())
            for (const Column& c : layout.columns) slots.push_back(&last_.try_emplace({c.quantity, c.unit, c.decimals}, 0).first->second);
        return *slots[column];
    }

  private:
    std::map<std::tuple<std::string, std::string, uint8_t>, int64_t> last_;
    std::map<uint32_t, std::vector<int64_t*>> slots_;  // into last_, whose nodes stay
};

// ---- encoding

void append_definitions(std::string& out, const std::vector<Layout>& definitions) {
    Writer w;
    w.varint(definitions.size());
    for (const Layout& layout : definitions) {
        w.varint(layout.id);
        w.text(layout.device);
        w.varint(layout.columns.size());
        for (const Column& column : layout.columns) {
            w.text(column.quantity);
            w.text(column.unit);
            w.u8(static_cast<uint8_t>(static_cast<uint8_t>(column.kind) << 4 | column.decimals));
        }
    }
    out += w.bytes();
}

void append_booleans(std::string& out, const Booleans& values) {
    uint8_t byte = 0;
    for (size_t i = 0; i < values.size(); ++i) {
        if (values[i] != 0) byte = static_cast<uint8_t>(byte | 1U << (i % 8));
        if (i % 8 == 7 || i + 1 == values.size()) {
            out += static_cast<char>(byte);
            byte = 0;
        }
    }
}

// 0: as the row before (the first: empty); else length + 1 and the bytes.
void append_texts(std::string& out, const Texts& values) {
    std::string_view previous;
    for (const std::string& text : values) {
        if (text == previous) {
            append_varint(out, 0);
        } else {
            append_varint(out, text.size() + 1);
            out += text;
        }
        previous = text;
    }
}

// Own encodings pay when a column is no scaled integer of its layout's decimals, or is constant for long enough.
bool needs_own_encodings(const Rows& rows, const Layout& layout) {
    for (size_t i = 0; i < rows.columns.size(); ++i) {
        const auto* numbers = std::get_if<Numbers>(&rows.columns[i]);
        if (numbers == nullptr) continue;
        if (!all_scale(*numbers, layout.columns[i].decimals)) return true;
        if (numbers->size() > layout.columns.size() + 4 && all_same_bits(*numbers)) return true;
    }
    return false;
}

void append_numbers(std::string& out, const Numbers& values, bool own_encodings, uint8_t decimals, int64_t& last) {
    if (own_encodings) {
        if (!all_scale(values, decimals) || (values.size() > 4 && all_same_bits(values))) return encode_numbers(out, values, decimals);
        out += static_cast<char>(as_layout);
    }
    append_differences(out, values, decimals, last);
}

void append_group(std::string& out, const Rows& rows, const Layout& layout, Neighbours& neighbours, int64_t& previous_ms) {
    const size_t count = rows.times_ms.size();
    const bool own_encodings = needs_own_encodings(rows, layout);
    append_varint(out, uint64_t{layout.id} << 2 | (own_encodings ? group_own_encodings : 0) | (count == 1 ? group_single_row : 0));
    if (count > 1) append_varint(out, count - 2);
    append_times(out, rows.times_ms, previous_ms);
    previous_ms = rows.times_ms.front();
    for (size_t i = 0; i < rows.columns.size(); ++i) {
        if (const auto* numbers = std::get_if<Numbers>(&rows.columns[i]))
            append_numbers(out, *numbers, own_encodings, layout.columns[i].decimals, neighbours.last(layout, i));
        else if (const auto* booleans = std::get_if<Booleans>(&rows.columns[i]))
            append_booleans(out, *booleans);
        else
            append_texts(out, std::get<Texts>(rows.columns[i]));
    }
}

// What a group adds to the sums that a decoder bounds.
struct Sums {
    size_t values = 0;
    size_t text_bytes = 0;
};

Result<void> check_group(const Rows& rows, const Layout& layout, Sums& sums) {
    const auto wrong = [&](const std::string& what) {
        return fail(Code::Invalid, "rows of layout " + std::to_string(layout.id) + ": " + what);
    };
    if (rows.times_ms.empty()) return wrong("no row");
    if (rows.columns.size() != layout.columns.size() || rows.columns.empty()) return wrong("another number of columns than the layout has");
    for (size_t i = 0; i < rows.columns.size(); ++i) {
        if (layout.columns[i].decimals > decimals_max) return wrong("column " + layout.columns[i].quantity + " has too many decimals");
        if (rows.columns[i].index() != static_cast<size_t>(layout.columns[i].kind))
            return wrong("column " + layout.columns[i].quantity + " is of another kind");
        if (std::visit([](const auto& values) { return values.size(); }, rows.columns[i]) != rows.times_ms.size())
            return wrong("column " + layout.columns[i].quantity + " is not as long as the times");
        if (const auto* booleans = std::get_if<Booleans>(&rows.columns[i]))
            for (const uint8_t b : *booleans)
                if (b > 1) return wrong("column " + layout.columns[i].quantity + " holds a boolean that is neither 0 nor 1");
        if (const auto* texts = std::get_if<Texts>(&rows.columns[i]))
            for (const std::string& text : *texts) sums.text_bytes += text.size();
    }
    sums.values += rows.times_ms.size() * rows.columns.size();
    return {};
}

// ---- decoding

Result<std::vector<Layout>> read_definitions(Reader& in, const DecodeLimits& limits) {
    const size_t count = in.count(6);
    if (!in.ok() || count == 0) return damaged("definitions cut short");
    if (count > limits.definitions_max) return damaged("too many definitions");
    std::vector<Layout> definitions;
    definitions.reserve(count);
    std::set<uint32_t> ids;
    for (size_t i = 0; i < count; ++i) {
        Layout layout;
        const uint64_t id = in.varint();
        if (id > UINT32_MAX) return damaged("a layout's id is too large");
        layout.id = static_cast<uint32_t>(id);
        layout.device = in.text();
        const size_t columns = in.count(3);
        if (!in.ok()) return damaged("definitions cut short");
        if (columns > columns_max) return damaged("a layout has no columns or more than 64");
        layout.columns.resize(columns);
        for (Column& column : layout.columns) {
            column.quantity = in.text();
            column.unit = in.text();
            const uint8_t packed = in.u8();
            column.kind = static_cast<ValueKind>(packed >> 4);
            column.decimals = packed & 0x0f;
        }
        if (!in.ok()) return damaged("definitions cut short");
        if (const char* fault = fault_of(layout)) return damaged(fault);
        if (!ids.insert(layout.id).second) return damaged("a layout is defined twice");
        definitions.push_back(std::move(layout));
    }
    return definitions;
}

Result<Booleans> read_booleans(Reader& in, size_t count) {
    const std::string_view packed = in.raw((count + 7) / 8);
    if (!in.ok()) return damaged("booleans cut short");
    Booleans values(count);
    for (size_t i = 0; i < count; ++i) values[i] = static_cast<uint8_t>(static_cast<uint8_t>(packed[i / 8]) >> (i % 8) & 1);
    if (count % 8 != 0 && static_cast<uint8_t>(packed.back()) >> (count % 8) != 0) return damaged("bits beyond the last boolean");
    return values;
}

Result<Texts> read_texts(Reader& in, size_t count, size_t& text_bytes, size_t text_bytes_max) {
    if (count > in.left()) return damaged("texts cut short");
    Texts values(count);
    for (size_t i = 0; i < count; ++i) {
        const uint64_t coded = in.varint();
        if (!in.ok() || (coded > 0 && coded - 1 > in.left())) return damaged("texts cut short");
        if (coded > 0)
            values[i] = in.raw(static_cast<size_t>(coded - 1));
        else if (i > 0)
            values[i] = values[i - 1];
        text_bytes += values[i].size();
        if (text_bytes > text_bytes_max) return damaged("more text than a body may hold");
    }
    return values;
}

class GroupReader {
  public:
    GroupReader(Reader& in, const Layouts& layouts, const DecodeLimits& limits) : in_(in), layouts_(layouts), limits_(limits) {}

    Result<Rows> read() {
        const uint64_t head = in_.varint();
        if (!in_.ok() || head >> 2 > UINT32_MAX) return damaged("a group's layout is no id");
        const Layout* layout = layouts_.find(static_cast<uint32_t>(head >> 2));
        if (layout == nullptr || layout->id != head >> 2)
            return fail(Code::NotFound, "layout " + std::to_string(head >> 2) + " is not known here");
        if (layout->columns.empty() || layout->columns.size() > columns_max) return damaged("a layout has no columns or more than 64");
        const size_t count = (head & group_single_row) != 0 ? 1 : in_.count(1) + 2;
        if (!in_.ok() || count > in_.left()) return damaged("more rows than bytes");
        if (count > limits_.values_max / layout->columns.size() || sums_.values + count * layout->columns.size() > limits_.values_max)
            return damaged("more values than a body may hold");
        sums_.values += count * layout->columns.size();
        Rows rows;
        rows.layout = layout->id;
        rows.times_ms.resize(count);
        if (!read_times(in_, rows.times_ms, previous_ms_)) return damaged("times cut short");
        previous_ms_ = rows.times_ms.front();
        rows.columns.reserve(layout->columns.size());
        for (size_t i = 0; i < layout->columns.size(); ++i) {
            auto column = read_column(*layout, i, count, (head & group_own_encodings) != 0);
            if (!column) return pass(column);
            rows.columns.push_back(std::move(*column));
        }
        return rows;
    }

  private:
    Result<ColumnValues> read_column(const Layout& layout, size_t index, size_t count, bool own_encodings) {
        switch (layout.columns[index].kind) {
            case ValueKind::Boolean: return read_booleans(in_, count);
            case ValueKind::Text: return read_texts(in_, count, sums_.text_bytes, limits_.bytes_max);
            case ValueKind::Number: break;
        }
        if (own_encodings) {
            Reader ahead = in_;
            if (ahead.u8() != as_layout) return decode_numbers(in_, count);
            in_ = ahead;
        }
        if (count > in_.left()) return damaged("numbers cut short");
        Numbers values(count);
        if (!read_differences(in_, values, layout.columns[index].decimals & 0x0f, neighbours_.last(layout, index)))
            return damaged("numbers cut short or out of range");
        return values;
    }

    Reader& in_;
    const Layouts& layouts_;
    const DecodeLimits& limits_;
    Neighbours neighbours_;
    Sums sums_;
    int64_t previous_ms_ = 0;
};

// The body's bytes behind the first one, decompressed into `room` if they have to be.
struct Opened {
    std::string_view bytes;
    bool definitions = false;
};
Result<Opened> open_body(std::string_view bytes, std::string& room, const DecodeLimits& limits) {
    if (bytes.empty()) return damaged("empty");
    const auto first = static_cast<uint8_t>(bytes.front());
    if ((first & ~(body_compressed | body_definitions)) != 0) return damaged("unknown format");
    bytes.remove_prefix(1);
    if ((first & body_compressed) != 0) {
        auto plain = decompress(bytes, limits.bytes_max);
        if (!plain) return pass(plain, "body");
        room = std::move(*plain);
        bytes = room;
    }
    if (bytes.size() > limits.bytes_max) return damaged("too long");
    return Opened{bytes, (first & body_definitions) != 0};
}

}  // namespace

bool is_unit(std::string_view text) {
    if (text.size() > 64 || !is_utf8(text)) return false;
    for (const char c : text)
        if (static_cast<uint8_t>(c) < 0x20 || c == 0x7f) return false;
    return true;
}

Result<std::string> encode_body(const Body& body, const LayoutLookup& layouts) {
    const DecodeLimits limits;
    std::set<uint32_t> ids;
    for (const Layout& layout : body.definitions) {
        if (const char* fault = fault_of(layout)) return fail(Code::Invalid, std::string("definitions: ") + fault);
        if (!ids.insert(layout.id).second)
            return fail(Code::Invalid, "definitions: layout " + std::to_string(layout.id) + " is defined twice");
    }
    if (body.definitions.size() > limits.definitions_max) return fail(Code::Full, "definitions: too many for one body");
    const Layouts known(body.definitions, layouts);
    std::string plain;
    if (!body.definitions.empty()) append_definitions(plain, body.definitions);
    Neighbours neighbours;
    Sums sums;
    int64_t previous_ms = 0;
    for (const Rows& rows : body.groups) {
        const Layout* layout = known.find(rows.layout);
        if (layout == nullptr || layout->id != rows.layout)
            return fail(Code::Invalid, "rows of layout " + std::to_string(rows.layout) + ": not defined");
        if (auto good = check_group(rows, *layout, sums); !good) return pass(good);
        if (sums.values > limits.values_max || sums.text_bytes > limits.bytes_max)
            return fail(Code::Full, "body: more values than one body may hold");
        append_group(plain, rows, *layout, neighbours, previous_ms);
    }
    if (plain.size() > limits.bytes_max) return fail(Code::Full, "body: longer than one body may be");
    const uint8_t definitions = body.definitions.empty() ? 0 : body_definitions;
    if (plain.size() > compress_from_bytes) {
        if (const std::string small = compress(plain); small.size() < plain.size())
            return std::string(1, static_cast<char>(definitions | body_compressed)) + small;
    }
    return std::string(1, static_cast<char>(definitions)) + plain;
}

Result<Body> decode_body(std::string_view bytes, const LayoutLookup& layouts, const DecodeLimits& limits) {
    std::string room;
    auto opened = open_body(bytes, room, limits);
    if (!opened) return pass(opened);
    Reader in(opened->bytes);
    Body body;
    if (opened->definitions) {
        auto definitions = read_definitions(in, limits);
        if (!definitions) return pass(definitions);
        body.definitions = std::move(*definitions);
    }
    const Layouts known(body.definitions, layouts);
    GroupReader groups(in, known, limits);
    while (!in.at_end()) {
        auto rows = groups.read();
        if (!rows) return pass(rows);
        body.groups.push_back(std::move(*rows));
    }
    if (!in.ok()) return damaged("cut short");
    return body;
}

Result<std::vector<Layout>> decode_definitions(std::string_view bytes, const DecodeLimits& limits) {
    std::string room;
    auto opened = open_body(bytes, room, limits);
    if (!opened) return pass(opened);
    if (!opened->definitions) return std::vector<Layout>{};
    Reader in(opened->bytes);
    return read_definitions(in, limits);
}

}  // namespace basmalin
