#include "coordinator/store/sqlite_streams.h"

#include "shared/base/bytes.h"
#include "shared/base/ids.h"

namespace basmalin::coordinator {

std::string encode_ranges(const std::vector<SeqRange>& ranges) {
    Writer out;
    uint64_t at = 0;
    for (const SeqRange& range : ranges) {
        out.varint(range.first - at);
        out.varint(range.last - range.first);
        at = range.last;
    }
    return out.take();
}

Result<std::vector<SeqRange>> decode_ranges(std::string_view bytes) {
    std::vector<SeqRange> ranges;
    Reader in(bytes);
    uint64_t at = 0;
    bool ascending = true;
    while (in.ok() && !in.at_end()) {
        SeqRange range;
        range.first = at + in.varint();
        range.last = range.first + in.varint();
        ascending = ascending && range.first > at && range.last >= range.first;
        at = range.last;
        ranges.push_back(range);
    }
    if (!in.ok() || !ascending) return fail(Code::Corrupt, "the ranges of a stream are damaged");
    return ranges;
}

std::string encode_columns(const std::vector<Column>& columns) {
    Writer out;
    out.varint(columns.size());
    for (const Column& column : columns) {
        out.text(column.quantity);
        out.text(column.unit);
        out.u8(static_cast<uint8_t>(column.kind));
        out.u8(column.decimals);
    }
    return out.take();
}

Result<std::vector<Column>> decode_columns(std::string_view bytes) {
    Reader in(bytes);
    std::vector<Column> columns(in.count(4));
    for (Column& column : columns) {
        column.quantity = in.text();
        column.unit = in.text();
        column.kind = static_cast<ValueKind>(in.u8());
        column.decimals = in.u8();
        if (column.kind > ValueKind::Text) return fail(Code::Corrupt, "the columns of a layout are damaged");
    }
    if (!in.ok() || !in.at_end()) return fail(Code::Corrupt, "the columns of a layout are damaged");
    return columns;
}

std::string encode_ids(const std::vector<SeriesId>& ids) {
    Writer out;
    for (const SeriesId id : ids) out.varint(static_cast<uint64_t>(id));
    return out.take();
}

Result<std::vector<SeriesId>> decode_ids(std::string_view bytes) {
    std::vector<SeriesId> ids;
    Reader in(bytes);
    while (in.ok() && !in.at_end()) ids.push_back(static_cast<SeriesId>(in.varint()));
    if (!in.ok()) return fail(Code::Corrupt, "the series of a layout are damaged");
    return ids;
}

std::string encode_value(const Value& value) {
    Writer out;
    out.u8(static_cast<uint8_t>(kind_of(value)));
    if (const auto* number = std::get_if<double>(&value)) out.f64(*number);
    if (const auto* flag = std::get_if<bool>(&value)) out.u8(*flag ? 1 : 0);
    if (const auto* text = std::get_if<std::string>(&value)) out.raw(*text);
    return out.take();
}

Result<Value> decode_value(std::string_view bytes) {
    Reader in(bytes);
    const uint8_t kind = in.u8();
    Value value;
    if (kind == 0) value = in.f64();
    if (kind == 1) value = in.u8() != 0;
    if (kind == 2) value = std::string(in.raw(in.left()));
    if (!in.ok() || !in.at_end() || kind > 2) return fail(Code::Corrupt, "a kept value is damaged");
    return value;
}

Result<StreamLoader> StreamLoader::prepare(Database& fleet) {
    StreamLoader loader;
    const auto prepare = [&](Statement& into, std::string_view sql) -> Result<void> {
        auto statement = fleet.prepare(sql);
        if (!statement) return pass(statement);
        into = std::move(*statement);
        return {};
    };
    if (auto r = prepare(loader.stream_, "SELECT node, mark, ranges FROM stream WHERE id = ?"); !r) return pass(r);
    if (auto r = prepare(loader.boots_, "SELECT boot_no, known, offset_ms, error_ms, upper_ms, last_mono_ms FROM boot WHERE stream = ?");
        !r)
        return pass(r);
    if (auto r = prepare(loader.layouts_, "SELECT id, device, name, columns, series FROM layout WHERE stream = ?"); !r) return pass(r);
    if (auto r = prepare(loader.pending_, "SELECT count(*) FROM hot WHERE stream = ? AND pending = 1"); !r) return pass(r);
    if (auto r = prepare(loader.hot_seqs_, "SELECT seq FROM hot WHERE stream = ?"); !r) return pass(r);
    return loader;
}

Result<StreamState> StreamLoader::load(uint64_t stream) {
    StreamState state;
    {
        Resetting guard(stream_);
        stream_.bind(1, to_row(stream));
        auto row = stream_.step();
        if (!row) return pass(row, "load stream");
        if (!*row) return fail(Code::NotFound, "stream " + to_hex(stream) + " is not known");
        state.node = stream_.text(0);
        auto ranges = decode_ranges(stream_.blob(2));
        state.marks.restore(from_row(stream_.integer(1)), ranges ? std::move(*ranges) : std::vector<SeqRange>{});
        if (!ranges) state.damage = ranges.error().text;
    }
    if (!state.damage.empty()) {
        if (auto loaded = load_hot_marks(stream, state); !loaded) return pass(loaded, "load marks");
    }
    if (auto loaded = load_boots(stream, state); !loaded) return pass(loaded, "load boots");
    if (auto loaded = load_layouts(stream, state); !loaded) return pass(loaded, "load layouts");
    Resetting guard(pending_);
    pending_.bind(1, to_row(stream));
    auto row = pending_.step();
    if (!row) return pass(row, "load stream");
    state.pending = pending_.integer(0);
    return state;
}

Result<void> StreamLoader::load_boots(uint64_t stream, StreamState& state) {
    Resetting guard(boots_);
    boots_.bind(1, to_row(stream));
    for (;;) {
        auto row = boots_.step();
        if (!row) return pass(row);
        if (!*row) return {};
        BootKnowledge boot;
        boot.known = boots_.integer(1) != 0;
        boot.offset_ms = boots_.integer(2);
        boot.error_ms = boots_.integer(3);
        boot.upper_ms = boots_.integer(4);
        boot.last_mono_ms = boots_.integer(5);
        state.clock.restore(static_cast<uint32_t>(boots_.integer(0)), boot);
    }
}

// What is hot came, so that it is not taken twice. Of what moved on, history knows.
Result<void> StreamLoader::load_hot_marks(uint64_t stream, StreamState& state) {
    Resetting guard(hot_seqs_);
    hot_seqs_.bind(1, to_row(stream));
    for (;;) {
        auto row = hot_seqs_.step();
        if (!row) return pass(row);
        if (!*row) return {};
        state.marks.insert(from_row(hot_seqs_.integer(0)));
    }
}

Result<void> StreamLoader::load_layouts(uint64_t stream, StreamState& state) {
    Resetting guard(layouts_);
    layouts_.bind(1, to_row(stream));
    for (;;) {
        auto row = layouts_.step();
        if (!row) return pass(row);
        if (!*row) return {};
        KnownLayout known;
        known.layout.id = static_cast<uint32_t>(layouts_.integer(0));
        known.device = layouts_.integer(1);
        known.layout.device = layouts_.text(2);
        auto columns = decode_columns(layouts_.blob(3));
        auto series = decode_ids(layouts_.blob(4));
        if (!columns || !series || series->size() != columns->size()) {
            state.damage = "its layout " + std::to_string(known.layout.id);
            continue;
        }
        known.layout.columns = std::move(*columns);
        known.series = std::move(*series);
        state.layouts[known.layout.id] = std::move(known);
    }
}

}  // namespace basmalin::coordinator
