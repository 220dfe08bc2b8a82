#include "coordinator/store/chunk.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <optional>
#include <unordered_map>

#include "coordinator/store/checksum.h"
#include "coordinator/store/integers.h"
#include "shared/base/bytes.h"

namespace basmalin::coordinator {
namespace {

constexpr uint8_t format = 2;
constexpr uint8_t table_estimated = 0x01;
constexpr uint8_t numbers_odd = 0x10;  // some are no such decimal
constexpr uint8_t numbers_raw = 0x20;  // the doubles' 64 bits; below: scaled by that many decimals
constexpr int decimals_max = 15;
constexpr double powers[decimals_max + 1] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};

std::unexpected<Error> damaged(std::string_view what) { return fail(Code::Corrupt, "chunk: " + std::string(what)); }

// value == n / 10^decimals, bit for bit (so not -0.0, not NaN).
bool scales(double value, int decimals, int64_t& n) {
    const double scaled = value * powers[decimals];
    if (!(std::abs(scaled) < 9007199254740992.0)) return false;
    n = std::llround(scaled);
    return std::bit_cast<uint64_t>(static_cast<double>(n) / powers[decimals]) == std::bit_cast<uint64_t>(value);
}

// The decimals that all short decimals of the column need; -1 when hardly any value is one.
int decimals_for(const Numbers& values) {
    int decimals = 0;
    size_t odd = 0;
    int64_t n = 0;
    for (const double value : values) {
        if (scales(value, decimals, n)) continue;
        const int needed = decimals_of(value);
        if (needed < 0 || needed > decimals_max) {
            if (++odd > values.size() / 8) return -1;
        } else {
            decimals = std::max(decimals, needed);
        }
    }
    return decimals;
}

void encode_numbers_column(std::string& out, const Numbers& values, int level) {
    std::vector<int64_t> integers(values.size());
    const int decimals = decimals_for(values);
    std::vector<size_t> odd;  // rows that are no scaled integer: given as 8 bytes, and as the row before among the integers
    for (size_t i = 0; decimals >= 0 && i < values.size(); ++i) {
        if (scales(values[i], decimals, integers[i])) continue;
        odd.push_back(i);
        integers[i] = i > 0 ? integers[i - 1] : 0;
    }
    Writer head;
    if (decimals < 0 || odd.size() > values.size() / 4) {
        for (size_t i = 0; i < values.size(); ++i) integers[i] = std::bit_cast<int64_t>(values[i]);
        head.u8(numbers_raw);
    } else {
        head.u8(static_cast<uint8_t>(decimals | (odd.empty() ? 0 : numbers_odd)));
        if (!odd.empty()) head.varint(odd.size());
        size_t at = 0;
        for (const size_t row : odd) {
            head.varint(row - at);
            head.f64(values[row]);
            at = row;
        }
    }
    out += head.bytes();
    encode_integers(out, integers, level);
}

Result<Numbers> decode_numbers_column(Reader& in, size_t rows) {
    const uint8_t form = in.u8();
    std::vector<std::pair<size_t, double>> odd;
    const uint8_t decimals = form & 0x0f;
    if ((form & numbers_odd) != 0) {
        odd.resize(in.count(9));
        size_t at = 0;
        for (auto& [row, value] : odd) {
            at += in.varint();
            if (at >= rows) return damaged("a number is out of place");
            row = at;
            value = in.f64();
        }
    }
    if (!in.ok() || form > numbers_raw) return damaged("numbers");
    auto integers = decode_integers(in, rows);
    if (!integers) return pass(integers, "chunk");
    Numbers values(rows);
    if (form == numbers_raw) {
        for (size_t i = 0; i < rows; ++i) values[i] = std::bit_cast<double>((*integers)[i]);
    } else {
        for (size_t i = 0; i < rows; ++i) values[i] = static_cast<double>((*integers)[i]) / powers[decimals];
        for (const auto& [row, value] : odd) values[row] = value;
    }
    return values;
}

void encode_texts(std::string& out, const Texts& values, int level) {
    std::unordered_map<std::string_view, int64_t> places;
    Writer dictionary;
    std::vector<int64_t> indexes;
    indexes.reserve(values.size());
    for (const std::string& text : values) {
        const auto [at, is_new] = places.try_emplace(text, static_cast<int64_t>(places.size()));
        if (is_new) dictionary.text(text);
        indexes.push_back(at->second);
    }
    const std::string tight = compress(dictionary.bytes(), std::max(level, 1));
    Writer head;
    head.varint(places.size());
    head.u8(tight.size() < dictionary.size() ? 1 : 0);
    head.text(tight.size() < dictionary.size() ? tight : dictionary.bytes());
    out += head.bytes();
    encode_integers(out, indexes, level);
}

Result<Texts> decode_texts(Reader& in, size_t rows) {
    const uint64_t distinct = in.varint();
    const bool tight = in.u8() != 0;
    std::string_view bytes = in.text();
    if (!in.ok() || distinct > rows) return damaged("texts");
    std::string room;
    if (tight) {
        auto plain = decompress(bytes, chunk_text_bytes_max);
        if (!plain) return pass(plain, "chunk");
        room = std::move(*plain);
        bytes = room;
    }
    Reader texts(bytes);
    std::vector<std::string_view> dictionary;
    for (uint64_t i = 0; i < distinct && texts.ok(); ++i) dictionary.push_back(texts.text());
    if (!texts.ok() || !texts.at_end()) return damaged("texts");
    auto indexes = decode_integers(in, rows);
    if (!indexes) return pass(indexes, "chunk");
    Texts values;
    values.reserve(rows);
    for (const int64_t index : *indexes) {
        if (index < 0 || static_cast<size_t>(index) >= dictionary.size()) return damaged("a text that is not there");
        values.emplace_back(dictionary[static_cast<size_t>(index)]);
    }
    return values;
}

std::string encode_column(const ColumnValues& values, int level) {
    std::string out;
    if (const auto* numbers = std::get_if<Numbers>(&values)) {
        encode_numbers_column(out, *numbers, level);
    } else if (const auto* booleans = std::get_if<Booleans>(&values)) {
        encode_integers(out, std::vector<int64_t>(booleans->begin(), booleans->end()), level);
    } else {
        encode_texts(out, std::get<Texts>(values), level);
    }
    return out;
}

}  // namespace

std::string encode_chunk(const std::vector<ChunkTable>& tables, int level) {
    Writer directory;
    std::string sections;
    directory.u8(format);
    directory.varint(tables.size());
    for (const ChunkTable& table : tables) {
        std::string times;
        encode_integers(times, table.times_ms, level);
        directory.u8(table.estimated ? table_estimated : 0);
        directory.varint(table.times_ms.size());
        directory.svarint(table.times_ms.empty() ? 0 : table.times_ms.front());
        directory.varint(table.times_ms.empty() ? 0 : static_cast<uint64_t>(table.times_ms.back() - table.times_ms.front()));
        directory.varint(times.size());
        directory.varint(table.columns.size());
        sections += times;
        uint64_t before = 0;
        for (const ChunkColumn& column : table.columns) {
            const std::string section = encode_column(column.values, level);
            directory.svarint(static_cast<int64_t>(static_cast<uint64_t>(column.series) - before));
            before = static_cast<uint64_t>(column.series);
            directory.u8(static_cast<uint8_t>(column.values.index()));
            directory.varint(section.size());
            sections += section;
        }
    }
    std::string out = directory.take() + sections;
    Writer end;
    end.u32(checksum_of(out));
    return out + end.bytes();
}

Result<ChunkView> ChunkView::open(std::string_view bytes) {
    if (bytes.size() < 6) return damaged("cut short");
    Reader end(bytes.substr(bytes.size() - 4));
    bytes.remove_suffix(4);
    if (end.u32() != checksum_of(bytes)) return damaged("its checksum does not match");
    Reader in(bytes);
    if (in.u8() != format) return damaged("unknown format");
    ChunkView view;
    view.tables_.resize(in.count(6));
    std::vector<size_t> lengths;
    for (Table& table : view.tables_) {
        table.estimated = (in.u8() & table_estimated) != 0;
        table.rows = in.varint();
        table.first_ms = in.svarint();
        table.last_ms = static_cast<int64_t>(static_cast<uint64_t>(table.first_ms) + in.varint());
        lengths.push_back(in.varint());
        table.columns.resize(in.count(3));
        uint64_t before = 0;
        for (Column& column : table.columns) {
            before += static_cast<uint64_t>(in.svarint());
            column.series = static_cast<SeriesId>(before);
            column.kind = static_cast<ValueKind>(in.u8());
            lengths.push_back(in.varint());
            if (column.kind > ValueKind::Text) return damaged("a column of unknown kind");
        }
        if (!in.ok() || table.rows > chunk_rows_max) return damaged("its directory");
    }
    size_t at = 0;
    for (Table& table : view.tables_) {
        table.times = in.raw(lengths[at++]);
        for (Column& column : table.columns) column.section = in.raw(lengths[at++]);
    }
    if (!in.ok() || !in.at_end()) return damaged("its sections");
    return view;
}

Result<std::vector<int64_t>> chunk_times(const ChunkView::Table& table) {
    Reader in(table.times);
    auto times = decode_integers(in, table.rows);
    if (!times) return pass(times, "chunk times");
    return times;
}

Result<ColumnValues> chunk_values(const ChunkView::Table& table, const ChunkView::Column& column) {
    Reader in(column.section);
    if (column.kind == ValueKind::Number) {
        auto numbers = decode_numbers_column(in, table.rows);
        if (!numbers) return pass(numbers);
        return std::move(*numbers);
    }
    if (column.kind == ValueKind::Text) {
        auto texts = decode_texts(in, table.rows);
        if (!texts) return pass(texts);
        return std::move(*texts);
    }
    auto integers = decode_integers(in, table.rows);
    if (!integers) return pass(integers, "chunk");
    Booleans booleans;
    booleans.reserve(table.rows);
    for (const int64_t value : *integers) booleans.push_back(value != 0 ? 1 : 0);
    return booleans;
}

Result<std::vector<ChunkTable>> decode_chunk(std::string_view bytes) {
    auto view = ChunkView::open(bytes);
    if (!view) return pass(view);
    std::vector<ChunkTable> tables;
    for (const ChunkView::Table& entry : view->tables()) {
        ChunkTable table;
        table.estimated = entry.estimated;
        auto times = chunk_times(entry);
        if (!times) return pass(times);
        table.times_ms = std::move(*times);
        for (const ChunkView::Column& column : entry.columns) {
            auto values = chunk_values(entry, column);
            if (!values) return pass(values);
            table.columns.push_back({column.series, std::move(*values)});
        }
        tables.push_back(std::move(table));
    }
    return tables;
}

}  // namespace basmalin::coordinator
