// The streams that the writer has in memory, and which of a node's streams is forgotten to make room.
#include <algorithm>

#include "coordinator/store/sqlite_store.h"
#include "shared/base/ids.h"
#include "shared/base/log.h"

namespace basmalin::coordinator {
namespace {

constexpr size_t holes_told_max = 64;  // the gap of the last one covers the rest

// What never came of a stream, as gaps; nobody knows how many readings that was.
std::vector<Gap> holes_of(uint64_t stream, const SeqSet& marks) {
    std::vector<Gap> holes;
    uint64_t next = marks.mark() + 1;
    for (const SeqRange& range : marks.ranges()) {
        if (holes.size() == holes_told_max)
            holes.back().last_seq = range.first - 1;
        else
            holes.push_back({stream, next, range.first - 1, 0, false, {}, {}, GapReason::Evicted});
        next = range.last + 1;
    }
    return holes;
}

}  // namespace

void SqliteStore::forget_streams() {
    streams_.clear();
    counts_.clear();
}

void SqliteStore::trim_streams() {
    if (counts_.size() > streams_cached_max) counts_.clear();
    if (streams_.size() <= streams_cached_max) return;
    std::vector<uint64_t> ages;
    ages.reserve(streams_.size());
    for (const auto& [stream, state] : streams_) ages.push_back(state.used);
    const auto middle = ages.begin() + static_cast<ptrdiff_t>(ages.size() / 4);
    std::nth_element(ages.begin(), middle, ages.end());
    const uint64_t oldest_kept = *middle;
    std::erase_if(streams_, [&](const auto& entry) { return entry.second.used <= oldest_kept; });
}

Result<StreamState*> SqliteStore::cached(uint64_t stream) {
    if (const auto at = streams_.find(stream); at != streams_.end()) {
        at->second.used = commit_number_;
        return &at->second;
    }
    auto loaded = loader_.load(stream);
    if (!loaded) return pass(loaded);
    loaded->used = commit_number_;
    if (!loaded->damage.empty()) tell_damaged_stream(stream, loaded->node + ": " + loaded->damage);
    return &(streams_[stream] = std::move(*loaded));
}

void SqliteStore::touch(Commit& work, uint64_t stream, StreamState& state) {
    if (state.touched == work.number) return;
    state.touched = work.number;
    work.touched.emplace_back(stream, &state);
}

// Null when the node has as many streams as it may and none of them is at rest.
Result<StreamState*> SqliteStore::stream_for(Commit& work, const std::string& node, uint64_t stream) {
    auto known = cached(stream);
    if (known) return *known;
    if (known.error().code != Code::NotFound) return pass(known);
    Resetting guard(sql_.count_streams);
    sql_.count_streams.bind(1, std::string_view(node));
    if (auto row = sql_.count_streams.step(); !row) return pass(row);
    if (sql_.count_streams.integer(0) >= streams_per_node_max) {
        auto forgotten = forget_oldest_stream(work, node);
        if (!forgotten) return pass(forgotten);
        if (!*forgotten) {
            say(work, node,
                "has used " + std::to_string(streams_per_node_max) + " streams, the most one node may; stream " + to_hex(stream) +
                    " is refused (is its buffer made anew at every start?)");
            return nullptr;
        }
    }
    sql_.upsert_stream.bind(1, to_row(stream)).bind(2, std::string_view(node)).bind(3, int64_t{0}).bind_blob(4, "");
    if (auto made = sql_.upsert_stream.run(); !made) return pass(made);
    StreamState& state = streams_[stream];
    state.node = node;
    state.used = commit_number_;
    return &state;
}

// S5. Of those that this commit does not use; none when all have batches that wait for compaction.
Result<std::optional<uint64_t>> SqliteStore::oldest_at_rest(const Commit& work, const std::string& node) {
    Resetting guard(sql_.streams_at_rest);
    sql_.streams_at_rest.bind(1, std::string_view(node));
    for (;;) {
        auto row = sql_.streams_at_rest.step();
        if (!row) return pass(row);
        if (!*row) return std::nullopt;
        const uint64_t stream = from_row(sql_.streams_at_rest.integer(0));
        if (std::ranges::none_of(work.touched, [&](const auto& touched) { return touched.first == stream; })) return stream;
    }
}

Result<bool> SqliteStore::forget_oldest_stream(Commit& work, const std::string& node) {
    auto oldest = oldest_at_rest(work, node);
    if (!oldest) return pass(oldest);
    if (!*oldest) return false;
    const uint64_t stream = **oldest;
    auto state = cached(stream);
    if (!state) return pass(state);
    const std::vector<Gap> holes = holes_of(stream, (*state)->marks);
    if (auto kept = keep_gaps(work, node, holes, SystemClock().wall()); !kept) return pass(kept);
    if (!holes.empty()) {
        say(work, node,
            "has used " + std::to_string(streams_per_node_max) + " streams; stream " + to_hex(stream) +
                " is forgotten, what never came of it is noted as gaps");
    }
    auto sizes = layouts_of(sql_.layouts_of_stream, [&](Statement& ask) { ask.bind(1, to_row(stream)); });
    if (!sizes) return pass(sizes);
    const std::string id = std::to_string(to_row(stream));
    auto forgotten = fleet_.execute("DELETE FROM layout WHERE stream = " + id + "; DELETE FROM boot WHERE stream = " + id +
                                    "; DELETE FROM stream WHERE id = " + id + ";");
    if (!forgotten) return pass(forgotten);
    streams_.erase(stream);
    resolving_.erase(stream);
    if (const auto counts = counts_.find(node); counts != counts_.end()) counts->second.layouts -= *sizes;
    return true;
}

// One event and one line in the log for each, however often it is met.
void SqliteStore::tell_damaged_stream(uint64_t stream, const std::string& what) {
    if (damaged_streams_.size() >= damaged_streams_max || !damaged_streams_.insert(stream).second) return;
    if (events_waiting_.size() < events_waiting_max)
        events_waiting_.push_back("store: stream " + to_hex(stream) + " is damaged (" + what + "); restore fleet.db from a backup");
    log::error("store.stream_damaged", {{"stream", to_hex(stream)}, {"error", what}, {"damaged", damaged_streams_.size()}});
}

}  // namespace basmalin::coordinator
