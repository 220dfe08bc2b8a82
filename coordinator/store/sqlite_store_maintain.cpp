// The small steps between commits: resolve, compact, merge days, retire months, shorten the log. Each bounded; see README.md.
#include <algorithm>

#include "coordinator/store/calendar.h"
#include "coordinator/store/chunk.h"
#include "coordinator/store/points.h"
#include "coordinator/store/rollup.h"
#include "coordinator/store/sqlite_store.h"
#include "shared/base/log.h"

namespace basmalin::coordinator {
namespace {

constexpr int64_t day_closes_after_ms = 2 * 3'600'000;
constexpr int64_t merged_readings_max = 4'000'000;  // beyond it a day keeps its parts and gets its rollups only
constexpr int merged_level = 12;
constexpr int64_t retention_every_ms = 3'600'000;
constexpr int64_t retired_rows_per_step = 2000;
constexpr int64_t checkpoint_every_ms = 600'000;
constexpr int64_t checkpoint_wal_bytes = 16 << 20;

// One device's day, as merging sees it.
struct DayOfChunks {
    std::vector<int64_t> ids;
    int64_t readings = 0;
    std::map<std::pair<std::vector<SeriesId>, bool>, ChunkTable> tables;
    std::map<std::pair<SeriesId, int64_t>, DayBuckets> rollups;  // (series, step)

    void roll_table(const ChunkTable& table, int64_t day) {
        for (const ChunkColumn& column : table.columns) {
            if (std::holds_alternative<Texts>(column.values)) continue;
            for (const int64_t step : {short_step_ms, long_step_ms}) {
                auto& buckets = rollups.try_emplace({column.series, step}, empty_day(step)).first->second;
                roll(buckets, day, step, table.times_ms, column.values);
            }
        }
    }
    void add_table(ChunkTable&& table) {
        std::pair<std::vector<SeriesId>, bool> key{{}, table.estimated};
        for (const ChunkColumn& column : table.columns) key.first.push_back(column.series);
        const auto [at, is_new] = tables.try_emplace(std::move(key));
        if (is_new) {
            at->second = std::move(table);
            return;
        }
        at->second.times_ms.insert(at->second.times_ms.end(), table.times_ms.begin(), table.times_ms.end());
        for (size_t c = 0; c < table.columns.size(); ++c) append_values(at->second.columns[c].values, table.columns[c].values);
    }
};

Result<DayOfChunks> read_day(HistoryFile& file, int64_t day, int64_t device) {
    DayOfChunks found;
    std::vector<std::string> parts;
    Resetting guard(file.day_chunks);
    file.day_chunks.bind(1, device).bind(2, day);
    for (;;) {
        auto row = file.day_chunks.step();
        if (!row) return pass(row);
        if (!*row) break;
        found.ids.push_back(file.day_chunks.integer(0));
        found.readings += file.day_chunks.integer(2);
        auto tables = decode_chunk(file.day_chunks.blob(3));
        if (!tables) return pass(tables);
        for (ChunkTable& table : *tables) {
            found.roll_table(table, day);
            if (found.readings <= merged_readings_max)
                found.add_table(std::move(table));
            else
                found.tables.clear();
        }
    }
    return found;
}

}  // namespace

Result<bool> SqliteStore::maintain(WallTime now) {
    for (const auto step : {&SqliteStore::resolve_step, &SqliteStore::compact_step, &SqliteStore::merge_step, &SqliteStore::retention_step,
                            &SqliteStore::checkpoint_step}) {
        auto done = (this->*step)(now);
        if (!done) return pass(done, "maintain");
        if (*done) return true;
    }
    return false;
}

Result<bool> SqliteStore::resolve_step(WallTime) {
    if (resolving_.empty()) return false;
    const auto [stream, after] = *resolving_.begin();
    Commit work;
    auto done = fleet_.transaction([&, stream = stream, after = after]() -> Result<void> {
        auto state = cached(stream);
        if (!state) return pass(state);
        return resolve_pending(work, stream, **state, after);
    });
    if (!done) {
        resolving_.erase(stream);  // a later definition asks again
        forget_streams();
        return pass(done, "resolve");
    }
    finish(work);
    for (std::string& event : work.result.events) events_waiting_.push_back(std::move(event));
    return true;
}

// A closed day with readings in no rollup becomes one chunk and its rollups, in one commit.
Result<bool> SqliteStore::merge_step(WallTime now) {
    if (!crowded_.empty()) {
        const auto [month, day, device] = *crowded_.begin();
        crowded_.erase(crowded_.begin());
        if (auto merged = merge_day(month, day, device); !merged) return pass(merged, "merge");
        return true;
    }
    if (merging_.empty()) return false;
    const int32_t month = *merging_.begin();
    auto file = history(month);
    if (file) {
        Statement& open_days = (*file)->open_days;
        Resetting guard(open_days);
        open_days.bind(1, day_of(now.ms - day_closes_after_ms));
        auto row = open_days.step();
        if (row && *row) {
            const int64_t day = open_days.integer(0);
            const int64_t device = open_days.integer(1);
            open_days.reset();
            if (auto merged = merge_day(month, day, device); !merged) return pass(merged, "merge");
            return true;
        }
        if (!row) file = pass(row);
    }
    merging_.erase(month);
    if (!file) {
        unmerged_.erase(month);
        if (file.error().code == Code::Corrupt) set_aside(month, file.error());
        return pass(file, "merge");
    }
    auto open = (*file)->db.integer("SELECT EXISTS(SELECT 1 FROM chunk WHERE rolled = 0)");
    if (open && *open == 0) unmerged_.erase(month);
    return true;
}

Result<void> SqliteStore::merge_day(int32_t month, int64_t day, int64_t device) {
    auto file = history(month);
    if (!file) return pass(file);
    auto read = read_day(**file, day, device);
    if (!read) {
        if (read.error().code == Code::Corrupt) set_aside(month, read.error());
        merging_.erase(month);
        return pass(read, history_path(options_.folder, month));
    }
    const bool whole = read->readings <= merged_readings_max;
    std::string bytes;
    if (whole) {
        std::vector<ChunkTable> tables;
        for (auto& [key, table] : read->tables) {
            sort_table(table);
            tables.push_back(std::move(table));
        }
        bytes = encode_chunk(tables, merged_level);
    }
    auto written = (*file)->db.transaction([&]() -> Result<void> {
        if (whole) {
            Statement& insert = (*file)->insert_chunk;
            for (const int64_t id : read->ids) {
                (*file)->delete_chunk.bind(1, id);
                if (auto done = (*file)->delete_chunk.run(); !done) return done;
            }
            insert.bind(1, device).bind(2, day).bind(3, int64_t{1}).bind(4, static_cast<int64_t>(Rolled::Yes)).bind(5, read->readings);
            insert.bind_blob(6, bytes);
            if (auto done = insert.run(); !done) return done;
        } else {
            (*file)->roll_chunk.bind(1, device).bind(2, day);
            if (auto done = (*file)->roll_chunk.run(); !done) return done;
        }
        for (const auto& [key, buckets] : read->rollups) {
            if (is_empty(buckets)) continue;
            const std::string rollup = encode_rollup(buckets);
            (*file)->save_rollup.bind(1, key.first).bind(2, key.second).bind(3, day).bind_blob(4, rollup);
            if (auto done = (*file)->save_rollup.run(); !done) return done;
        }
        return {};
    });
    if (!written) return pass(written, history_path(options_.folder, month));
    if (whole) chunks_[month] += 1 - static_cast<int64_t>(read->ids.size());
    return {};
}

// A month wholly older than raw_keep: its rollups are copied to its year's file, then it is unlinked. Copying again changes nothing.
Result<bool> SqliteStore::retention_step(WallTime now) {
    if (retiring_ == 0) {
        if (now.ms - retention_ms_ < retention_every_ms) return false;
        retention_ms_ = now.ms;
        for (const int32_t year : rollup_years(options_.folder)) {
            if (first_day_of(year * 12 + 12) * day_ms > now.ms - options_.rollup_keep.ms) continue;
            unlink_database(rollup_path(options_.folder, year));
            log::info("store.retired", {{"file", rollup_path(options_.folder, year)}});
        }
        const auto oldest = chunks_.begin();
        if (oldest == chunks_.end() || first_day_of(oldest->first + 1) * day_ms > now.ms - options_.raw_keep.ms) return false;
        retiring_ = oldest->first;
        retired_ = {};
    }
    auto file = history(retiring_);
    if (!file) {
        const int32_t month = std::exchange(retiring_, 0);
        if (file.error().code == Code::Corrupt) set_aside(month, file.error());
        return pass(file, "retire");
    }
    const bool rollups_too = first_day_of(retiring_ + 1) * day_ms > now.ms - options_.rollup_keep.ms;
    if (rollups_too) {
        auto open_day = (*file)->db.prepare("SELECT day, device FROM chunk WHERE rolled = 0 ORDER BY day, device LIMIT 1");
        if (!open_day) return pass(open_day, "retire");
        auto row = open_day->step();
        if (!row) return pass(row, "retire");
        if (*row) {
            const int64_t day = open_day->integer(0);
            const int64_t device = open_day->integer(1);
            open_day->reset();
            if (auto merged = merge_day(retiring_, day, device); !merged) return pass(merged, "retire");
            return true;
        }
        auto more = copy_rollups(**file);
        if (!more) return pass(more, "retire");
        if (*more) return true;
    }
    const int32_t month = std::exchange(retiring_, 0);
    history_.erase(month);
    chunks_.erase(month);
    unmerged_.erase(month);
    merging_.erase(month);
    std::erase_if(crowded_, [&](const auto& place) { return std::get<0>(place) == month; });
    unlink_database(history_path(options_.folder, month));
    log::info("store.retired", {{"file", history_path(options_.folder, month)}});
    retention_ms_ = 0;  // another month may be due
    return true;
}

Result<bool> SqliteStore::copy_rollups(HistoryFile& file) {
    auto into = RollupFile::open(options_.folder, year_of(file.month));
    if (!into) return pass(into);
    auto rows = file.db.prepare(
        "SELECT rollup.series, step, day, rollup.bytes, device.id, device.node, device.name, series.quantity, series.unit, series.kind "
        "FROM rollup JOIN series ON series.id = rollup.series JOIN device ON device.id = series.device "
        "WHERE (rollup.series, step, day) > (?, ?, ?) ORDER BY rollup.series, step, day LIMIT ?");
    if (!rows) return pass(rows);
    Statement save, device, series;
    auto prepared = prepare_all(into->db, {{&save, "INSERT OR REPLACE INTO rollup(series, step, day, bytes) VALUES(?, ?, ?, ?)"},
                                           {&device, "INSERT OR IGNORE INTO device(id, node, name) VALUES(?, ?, ?)"},
                                           {&series, "INSERT OR IGNORE INTO series(id, device, quantity, unit, kind) VALUES(?, ?, ?, ?, ?)"}});
    if (!prepared) return pass(prepared);
    int64_t copied = 0;
    auto next = retired_;
    auto done = into->db.transaction([&]() -> Result<void> {
        rows->bind(1, retired_[0]).bind(2, retired_[1]).bind(3, retired_[2]).bind(4, retired_rows_per_step);
        for (;;) {
            auto row = rows->step();
            if (!row) return pass(row);
            if (!*row) return {};
            next = {rows->integer(0), rows->integer(1), rows->integer(2)};
            save.bind(1, next[0]).bind(2, next[1]).bind(3, next[2]).bind_blob(4, rows->blob(3));
            if (auto saved = save.run(); !saved) return saved;
            device.bind(1, rows->integer(4)).bind(2, rows->blob(5)).bind(3, rows->blob(6));
            if (auto saved = device.run(); !saved) return saved;
            series.bind(1, next[0]).bind(2, rows->integer(4)).bind(3, rows->blob(7)).bind(4, rows->blob(8)).bind(5, rows->integer(9));
            if (auto saved = series.run(); !saved) return saved;
            ++copied;
        }
    });
    if (!done) return pass(done);
    retired_ = next;
    return copied == retired_rows_per_step;
}

// The log is emptied when it has grown; a reader in the way only postpones it.
Result<bool> SqliteStore::checkpoint_step(WallTime now) {
    if (now.ms - checkpointed_ms_ < checkpoint_every_ms) return false;
    checkpointed_ms_ = now.ms;
    auto sizes = stats();
    if (!sizes) return pass(sizes);
    if (sizes->wal_bytes < checkpoint_wal_bytes) return false;
    auto done = fleet_.execute("PRAGMA busy_timeout=50; PRAGMA wal_checkpoint(TRUNCATE); PRAGMA busy_timeout=5000;");
    if (!done && done.error().code != Code::Unavailable) return pass(done, "checkpoint");
    if (auto restored = fleet_.execute("PRAGMA busy_timeout=5000"); !restored) return pass(restored, "checkpoint");
    return false;
}

}  // namespace basmalin::coordinator
