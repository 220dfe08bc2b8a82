#include "coordinator/store/sqlite_store.h"

#include <sys/stat.h>

#include <filesystem>

#include "coordinator/store/calendar.h"
#include "shared/base/file.h"
#include "shared/base/ids.h"
#include "shared/base/log.h"

namespace basmalin::coordinator {
namespace {

int64_t file_bytes(const std::string& path) {
    struct stat info{};
    return ::stat(path.c_str(), &info) == 0 ? info.st_size : 0;
}

}  // namespace

void declare(Schema& schema, StoreOptions& options) {
    schema.section("store", "Where and how long readings are kept.");
    schema.text("folder", options.folder, "Holds fleet.db and a history-YYYY-MM.db for every month.");
    schema.duration("raw_keep", options.raw_keep, hours(24 * 31), hours(24 * 36500),
                    "Readings older than this go, a month's file at a time.");
    schema.duration("rollup_keep", options.rollup_keep, hours(24 * 31), hours(24 * 36500),
                    "5-minute and hourly buckets older than this go, by years.");
    schema.duration("compact_after", options.compact_after, seconds(1), hours(24 * 30),
                    "Batches move from fleet.db to history after this.");
    schema.duration("unsynced_hold", options.unsynced_hold, hours(1), hours(24 * 90),
                    "How long batches wait for their gateway's clock to become known; then their times stay estimates.");
    schema.integer("series_per_node_max", options.series_per_node_max, 1, 1'000'000,
                   "Series of one node; more are not kept, and an event says so.");
    schema.integer("devices_per_node_max", options.devices_per_node_max, 1, 100'000,
                   "Devices of one node; more are not kept, and an event says so.");
    schema.integer("ranges_per_stream_max", options.ranges_per_stream_max, 16, 100'000, "Holes in a stream's numbers that are tracked.");
    schema.integer("dead_letters_max", options.dead_letters_max, 1, 1'000'000,
                   "Batches that could not be understood, kept for a person; the oldest go.");
}

Result<std::unique_ptr<Store>> open_sqlite_store(const StoreOptions& options) {
    auto store = SqliteStore::open(options);
    if (!store) return pass(store, "open store");
    return std::unique_ptr<Store>(std::move(*store));
}

Result<std::unique_ptr<StoreReader>> SqliteStore::reader() { return open_sqlite_reader(options_); }

Timing timing_of_batch(const BatchHeader& header, uint32_t boot_no, const BootClock& clock, WallTime received) {
    if (boot_no == 0) return {header.sealed_wall.ms - header.sealed_mono.ms, 0, false};
    return clock.timing(boot_no, header.sealed_mono, received);
}

std::vector<Welcome::Stream> SqliteStore::marks(const std::string& node, const std::vector<uint64_t>& streams) {
    std::vector<Welcome::Stream> known;
    for (const uint64_t stream : streams) {
        auto state = cached(stream);
        if (!state) {
            if (state.error().code != Code::NotFound) log::error("store.marks_unread", {{"error", state.error().message()}});
            continue;
        }
        if ((*state)->node != node) continue;
        known.push_back({stream, (*state)->marks.mark(), (*state)->marks.ranges()});
    }
    trim_streams();
    return known;
}

Result<void> SqliteStore::note_boot(const std::string& node, uint64_t stream, const BootOffset& offset) {
    auto state = cached(stream);
    if (!state) {
        // A new stream's hello comes before its first batch; the batch's own envelope tells the offset again.
        if (state.error().code == Code::NotFound) return {};
        return pass(state, "note boot");
    }
    if ((*state)->node != node) return fail(Code::Denied, "stream " + to_hex(stream) + " belongs to another node than " + node);
    SystemClock clock;
    if (!believed(offset, clock.wall())) return {};
    if (!(*state)->clock.hear_synced(offset.boot_no, offset.offset_ms, offset.error_ms)) return {};
    (*state)->changed_boots.insert(offset.boot_no);
    while (const auto forgotten = (*state)->clock.trim()) (*state)->changed_boots.insert(*forgotten);
    auto saved = fleet_.transaction([&] { return save_boots(stream, **state); });
    if (!saved) {
        forget_streams();
        return pass(saved, "note boot");
    }
    trim_streams();
    return {};
}

Result<void> SqliteStore::save_nodes(const std::vector<NodeRecord>& nodes) {
    if (nodes.empty()) return {};
    auto statement =
        fleet_.prepare("INSERT INTO node(id, document) VALUES(?, ?) ON CONFLICT(id) DO UPDATE SET document = excluded.document");
    if (!statement) return pass(statement, "save nodes");
    auto saved = fleet_.transaction([&]() -> Result<void> {
        for (const NodeRecord& node : nodes) {
            statement->bind(1, std::string_view(node.node)).bind(2, std::string_view(node.document));
            if (auto done = statement->run(); !done) return done;
        }
        return {};
    });
    if (!saved) return pass(saved, "save nodes");
    return {};
}

Result<std::vector<NodeRecord>> SqliteStore::load_nodes() {
    auto statement = fleet_.prepare("SELECT id, document FROM node ORDER BY id");
    if (!statement) return pass(statement, "load nodes");
    std::vector<NodeRecord> nodes;
    for (;;) {
        auto row = statement->step();
        if (!row) return pass(row, "load nodes");
        if (!*row) return nodes;
        nodes.push_back({statement->text(0), statement->text(1)});
    }
}

Result<std::vector<SeriesInfo>> SqliteStore::series() {
    auto statement = fleet_.prepare(
        "SELECT series.id, device.node, device.name, series.quantity, series.unit, series.kind FROM series "
        "JOIN device ON device.id = series.device ORDER BY series.id");
    if (!statement) return pass(statement, "load series");
    std::vector<SeriesInfo> all;
    for (;;) {
        auto row = statement->step();
        if (!row) return pass(row, "load series");
        if (!*row) return all;
        all.push_back({statement->integer(0), statement->text(1), statement->text(2), statement->text(3), statement->text(4),
                       static_cast<ValueKind>(statement->integer(5))});
    }
}

// What compaction kept, then everything hot over it.
Result<std::vector<Latest>> SqliteStore::latest() {
    Commit work;
    auto kept = fleet_.prepare("SELECT series, time_ms, estimated, value FROM latest");
    if (!kept) return pass(kept, "load latest");
    for (;;) {
        auto row = kept->step();
        if (!row) return pass(row, "load latest");
        if (!*row) break;
        auto value = decode_value(kept->blob(3));
        if (!value) continue;  // one damaged value: the series shows its next one
        work.latest_at.place_of(kept->integer(0), work.result.latest.size());
        work.result.latest.push_back({kept->integer(0), WallTime{kept->integer(1)}, kept->integer(2) != 0, std::move(*value), 0});
    }
    auto hot = fleet_.prepare("SELECT stream, boot_no, received_ms, bytes FROM hot WHERE pending = 0 ORDER BY stream");
    if (!hot) return pass(hot, "load latest");
    for (;;) {
        auto row = hot->step();
        if (!row) return pass(row, "load latest");
        if (!*row) break;
        const uint64_t stream = from_row(hot->integer(0));
        auto state = cached(stream);
        if (!state && !is_damage(state.error())) return pass(state, "load latest");
        if (!state) {
            tell_damaged_stream(stream, state.error().text);
            continue;
        }
        auto view = open_batch(stream, hot->blob(3));
        if (!view) continue;
        auto body = decode_body(view->body, [&](uint32_t id) { return (*state)->layout(id); });
        if (!body) continue;
        const WallTime received{hot->integer(2)};
        note_latest(work, **state, *body, timing_of_batch(view->header, static_cast<uint32_t>(hot->integer(1)), (*state)->clock, received));
        if (streams_.size() > streams_cached_max) forget_streams();
    }
    return std::move(work.result.latest);
}

Result<StoreStats> SqliteStore::stats() {
    StoreStats stats;
    const std::string fleet = options_.folder + "/fleet.db";
    stats.wal_bytes = file_bytes(fleet + "-wal");
    stats.fleet_bytes = file_bytes(fleet) + stats.wal_bytes;
    for (const int32_t month : history_months(options_.folder)) {
        const std::string path = history_path(options_.folder, month);
        stats.history_bytes += file_bytes(path) + file_bytes(path + "-wal");
    }
    for (const int32_t year : rollup_years(options_.folder)) stats.history_bytes += file_bytes(rollup_path(options_.folder, year));
    stats.hot_batches = hot_batches_;
    stats.hot_bytes = hot_bytes_;
    stats.dead_letters = dead_letters_;
    for (const auto& [month, chunks] : chunks_) stats.chunks += chunks;
    auto series = fleet_.integer("SELECT count(*) FROM series");
    if (!series) return pass(series, "stats");
    stats.series = *series;
    auto oldest = fleet_.prepare("SELECT received_ms FROM hot ORDER BY id LIMIT 1");
    if (!oldest) return pass(oldest, "stats");
    auto row = oldest->step();
    if (!row) return pass(row, "stats");
    if (*row) stats.oldest_hot = WallTime{oldest->integer(0)};
    for (auto& [month, file] : history_) {
        auto dirty = file->db.integer(
            "SELECT count(*) FROM (SELECT day, device FROM chunk WHERE rolled = 0 GROUP BY day, device HAVING count(*) > 1)");
        if (dirty) stats.dirty_days += *dirty;
    }
    return stats;
}

Result<void> SqliteStore::probe() {
    auto done = fleet_.transaction(
        [&] { return fleet_.execute("INSERT INTO meta(key, value) VALUES('probe', 1) ON CONFLICT(key) DO UPDATE SET value = value + 1"); });
    if (!done) return pass(done, "probe");
    return {};
}

}  // namespace basmalin::coordinator
