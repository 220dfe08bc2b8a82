#include "coordinator/store/sqlite_hot.h"

#include <algorithm>
#include <set>

#include "coordinator/store/sqlite_history.h"
#include "coordinator/store/sqlite_store.h"
#include "shared/base/ids.h"

namespace basmalin::coordinator {

Result<HotReader> HotReader::prepare(Database& fleet) {
    HotReader reader;
    auto loader = StreamLoader::prepare(fleet);
    if (!loader) return pass(loader);
    reader.loader_ = std::move(*loader);
    auto prepared =
        prepare_all(fleet, {{&reader.find_series_,
                             "SELECT series.device, device.node, series.kind FROM series JOIN device ON device.id = series.device "
                             "WHERE series.id = ?"},
                            {&reader.streams_of_, "SELECT id FROM stream WHERE node = ?"},
                            {&reader.boots_of_, "SELECT min(boot_no) FROM hot WHERE stream = ? AND boot_no > ?"},
                            {&reader.batches_,
                             "SELECT id, seq, first_ms, last_ms, received_ms FROM hot INDEXED BY hot_by_time "
                             "WHERE stream = ? AND boot_no = ? AND first_ms < ? AND last_ms >= ? AND pending = 0"},
                            {&reader.bytes_, "SELECT bytes FROM hot WHERE id = ?"}});
    if (!prepared) return pass(prepared);
    return reader;
}

Result<std::vector<WantedSeries>> HotReader::wanted(const std::vector<SeriesId>& series) {
    std::vector<WantedSeries> found;
    for (const SeriesId id : std::set<SeriesId>(series.begin(), series.end())) {
        Resetting guard(find_series_);
        find_series_.bind(1, id);
        auto row = find_series_.step();
        if (!row) return pass(row, "find series");
        if (!*row) continue;  // nothing is known of it, so it has no readings
        found.push_back({id, find_series_.integer(0), find_series_.text(1), static_cast<ValueKind>(find_series_.integer(2))});
    }
    return found;
}

void HotReader::clear() {
    streams_.clear();
    wanted_.clear();
    refs_.clear();
}

Result<void> HotReader::select(const std::vector<WantedSeries>& wanted, int64_t from_ms, int64_t to_ms, const Deadline& deadline) {
    clear();
    std::set<std::string> nodes;
    for (const WantedSeries& series : wanted) {
        wanted_[series.id] = series.kind;
        nodes.insert(series.node);
    }
    for (const std::string& node : nodes) {
        std::vector<uint64_t> streams;
        {
            Resetting guard(streams_of_);
            streams_of_.bind(1, std::string_view(node));
            for (;;) {
                auto row = streams_of_.step();
                if (!row) return pass(row, "find streams");
                if (!*row) break;
                streams.push_back(from_row(streams_of_.integer(0)));
            }
        }
        for (const uint64_t stream : streams) {
            if (auto good = deadline.check(); !good) return good;
            {
                Resetting guard(boots_of_);
                boots_of_.bind(1, to_row(stream)).bind(2, int64_t{-1});
                auto row = boots_of_.step();
                if (!row) return pass(row, "find hot batches");
                if (boots_of_.is_null(0)) continue;
            }
            auto state = loader_.load(stream);
            if (!state && state.error().code != Code::Corrupt) return pass(state);
            if (!state || !state->damage.empty()) tell_damaged_stream(stream, state ? state->damage : state.error().text);
            if (!state) continue;
            if (auto selected = select_stream(stream, *state, from_ms, to_ms); !selected) return selected;
            streams_[stream] = std::move(*state);
        }
    }
    std::sort(refs_.begin(), refs_.end(),
              [](const HotRef& a, const HotRef& b) { return std::tie(a.first_ms, a.id) < std::tie(b.first_ms, b.id); });
    return {};
}

// Settled rows (boot 0) hold wall times; the rows of each other boot are shifted by what is known of it now.
Result<void> HotReader::select_stream(uint64_t stream, const StreamState& state, int64_t from_ms, int64_t to_ms) {
    for (int64_t boot = -1;;) {
        {
            Resetting guard(boots_of_);
            boots_of_.bind(1, to_row(stream)).bind(2, boot);
            auto row = boots_of_.step();
            if (!row) return pass(row, "find hot batches");
            if (boots_of_.is_null(0)) return {};
            boot = boots_of_.integer(0);
        }
        const auto boot_no = static_cast<uint32_t>(boot);
        // What the boot's own knowledge cannot say (forgotten boots) is placed by each batch's receipt: then all rows are looked at.
        const bool fixed = boot_no == 0 || state.clock.find(boot_no) != nullptr;
        const int64_t shift = boot_no == 0 || !fixed ? 0 : state.clock.timing(boot_no, MonoTime{0}, WallTime{no_bound_ms}).offset_ms;
        Resetting guard(batches_);
        batches_.bind(1, to_row(stream))
            .bind(2, boot)
            .bind(3, fixed ? to_ms - shift : no_bound_ms)
            .bind(4, fixed ? from_ms - shift : -no_bound_ms);
        for (;;) {
            auto row = batches_.step();
            if (!row) return pass(row, "find hot batches");
            if (!*row) break;
            HotRef ref{batches_.integer(0), stream, from_row(batches_.integer(1)), boot_no, batches_.integer(4), batches_.integer(2),
                       batches_.integer(3)};
            const int64_t by = fixed ? shift : state.clock.timing(boot_no, MonoTime{ref.last_ms}, WallTime{ref.received_ms}).offset_ms;
            ref.first_ms += by;
            ref.last_ms += by;
            refs_.push_back(ref);
        }
    }
}

int64_t HotReader::next_time(int64_t from_ms) const {
    int64_t next = no_bound_ms;
    for (const HotRef& ref : refs_) {
        if (ref.first_ms >= next) break;
        if (ref.last_ms >= from_ms) next = std::min(next, std::max(ref.first_ms, from_ms));
    }
    return next;
}

Result<void> HotReader::read(int64_t from_ms, int64_t to_ms, const Skip& skip, PointColumns& columns, const Deadline& deadline) {
    size_t values_read = 0;
    for (const HotRef& ref : refs_) {
        if (ref.first_ms >= to_ms) break;
        if (ref.last_ms < from_ms) continue;
        if (auto good = deadline.check(); !good) return good;
        auto skipped = skip(ref);
        if (!skipped) return pass(skipped);
        if (*skipped) continue;
        Resetting guard(bytes_);
        bytes_.bind(1, ref.id);
        auto row = bytes_.step();
        if (!row) return pass(row, "read a hot batch");
        if (!*row) continue;
        if (auto added = add_batch(ref, bytes_.blob(0), from_ms, to_ms, columns, values_read); !added) return added;
    }
    return {};
}

void HotReader::tell_damage(const HotRef& ref, const Error& error) {
    if (!damage_told_.open(SystemClock().mono())) return;
    log::error("store.hot_damaged", {{"batch", ref.id}, {"error", error.message()}, {"suppressed", damage_told_.suppressed()}});
}

void HotReader::tell_damaged_stream(uint64_t stream, const std::string& what) {
    if (!stream_told_.open(SystemClock().mono())) return;
    log::error("store.stream_damaged", {{"stream", to_hex(stream)}, {"error", what}, {"suppressed", stream_told_.suppressed()}});
}

Result<void> HotReader::add_batch(const HotRef& ref, std::string_view bytes, int64_t from_ms, int64_t to_ms, PointColumns& columns,
                                  size_t& values_read) {
    const StreamState& state = streams_.at(ref.stream);
    auto view = open_batch(ref.stream, bytes);
    if (!view) {
        tell_damage(ref, view.error());
        return {};
    }
    auto body = decode_body(view->body, [&](uint32_t id) { return state.layout(id); });
    if (!body) {
        tell_damage(ref, body.error());
        return {};
    }
    const Timing timing = timing_of_batch(view->header, ref.boot_no, state.clock, WallTime{ref.received_ms});
    for (const Rows& rows : body->groups) {
        const auto known = state.layouts.find(rows.layout);
        if (known == state.layouts.end()) continue;
        for (size_t c = 0; c < rows.columns.size(); ++c) {
            const SeriesId series = known->second.series[c];
            if (!wanted_.contains(series)) continue;
            values_read += rows.times_ms.size();
            if (values_read > values_max)
                return fail(Code::Invalid, "the query holds too many readings of one day", "ask for a shorter time or fewer series");
            add_points(columns, {series, timing.estimated}, rows.times_ms, timing.offset_ms, rows.columns[c], from_ms, to_ms);
        }
    }
    return {};
}

}  // namespace basmalin::coordinator
