// The small steps between commits: resolve, compact, merge days, retire months, shorten the log. Each bounded; see README.md.
#include <algorithm>
#include <limits>
#include <utility>

#include "coordinator/store/calendar.h"
#include "coordinator/store/chunk.h"
#include "coordinator/store/points.h"
#include "coordinator/store/rollup.h"
#include "coordinator/store/sqlite_store.h"
#include "shared/base/log.h"

namespace basmalin::coordinator {
namespace {

constexpr int64_t day_closes_after_ms = 2 * 3'600'000;
constexpr int merged_level = 12;  // 200,000 readings take it less than 100 ms
constexpr int64_t merged_well_max = 200'000;
constexpr int merged_level_of_many = 3;
constexpr int64_t retired_readings_per_step = 1'000'000;
constexpr int64_t retention_every_ms = 3'600'000;
constexpr int64_t retired_days_per_step = 16;  // (device, day) pairs
constexpr int64_t checkpoint_every_ms = 600'000;
constexpr int64_t checkpoint_wal_bytes = 16 << 20;

// Some chunks of one device's day, as merging and retiring see them.
struct DayOfChunks {
    std::vector<int64_t> ids;
    std::vector<std::pair<int64_t, std::string>> damaged;  // chunk, and what is wrong with it
    int64_t readings = 0;
    std::map<std::pair<std::vector<SeriesId>, bool>, ChunkTable> tables;
    std::map<std::pair<SeriesId, int64_t>, DayBuckets> rollups;  // (series, step)

    void roll_table(const ChunkTable& table, int64_t day, bool short_too) {
        for (const ChunkColumn& column : table.columns) {
            if (std::holds_alternative<Texts>(column.values)) continue;
            for (const int64_t step : {long_step_ms, short_step_ms}) {
                if (step == short_step_ms && !short_too) continue;
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

enum class Reading {
    Merge,   // tables and hourly rollups
    Roll,    // hourly rollups
    Retire,  // all rollups
};

// Chunks of `from` (bound to a device and a day) until there are `readings_max` of readings. A damaged chunk hides no other.
Result<DayOfChunks> read_day(Statement& from, int64_t day, Reading how, int64_t readings_max) {
    DayOfChunks found;
    Resetting guard(from);
    while (found.readings < readings_max) {
        auto row = from.step();
        if (!row) return pass(row);
        if (!*row) break;
        auto tables = decode_chunk(from.blob(3));
        if (!tables) {
            found.damaged.emplace_back(from.integer(0), tables.error().text);
            continue;
        }
        found.ids.push_back(from.integer(0));
        found.readings += from.integer(2);
        for (ChunkTable& table : *tables) {
            found.roll_table(table, day, how == Reading::Retire);
            if (how == Reading::Merge) found.add_table(std::move(table));
        }
    }
    return found;
}

// What the day's rollups hold already.
Result<void> add_kept(HistoryFile& file, int64_t day, DayOfChunks& chunks) {
    for (auto& [key, buckets] : chunks.rollups) {
        Resetting guard(file.find_rollup);
        file.find_rollup.bind(1, key.first).bind(2, key.second).bind(3, day);
        auto row = file.find_rollup.step();
        if (!row) return pass(row);
        if (!*row) continue;
        auto kept = decode_rollup(file.find_rollup.blob(0), key.second);
        if (!kept) return pass(kept);
        for (size_t i = 0; i < buckets.size() && i < kept->size(); ++i)
            if ((*kept)[i].count > 0) buckets[i].add((*kept)[i]);
    }
    return {};
}

}  // namespace

Result<bool> SqliteStore::maintain(WallTime now) {
    // Retention first: on a full disk it is what makes room for the rest. A step that fails does not keep the others from working.
    Result<bool> all = false;
    for (const auto step : {&SqliteStore::resolve_step, &SqliteStore::retention_step, &SqliteStore::compact_step, &SqliteStore::merge_step,
                            &SqliteStore::checkpoint_step}) {
        auto done = (this->*step)(now);
        if (!done && all) all = pass(done, "maintain");
        if (!done || !*done) continue;
        if (all) all = true;
        break;
    }
    return all;
}

Result<bool> SqliteStore::resolve_step(WallTime) {
    if (resolving_.empty()) return false;
    const uint64_t stream = resolving_.begin()->first;
    const int64_t after = resolving_.begin()->second;
    Commit work;
    auto done = fleet_.transaction([&]() -> Result<void> {
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

// A day that is small enough becomes one chunk; a larger one keeps its parts, and its rollups take in some of them at a time.
Result<void> SqliteStore::merge_day(int32_t month, int64_t day, int64_t device) {
    auto file = history(month);
    if (!file) return pass(file);
    const auto failed = [&](Error error) {
        if (error.code == Code::Corrupt) set_aside(month, error);
        merging_.erase(month);
        return std::unexpected(std::move(error).context(history_path(options_.folder, month)));
    };
    bool whole = true;
    {
        Resetting guard((*file)->day_size);
        (*file)->day_size.bind(1, device).bind(2, day);
        if (auto row = (*file)->day_size.step(); !row) return failed(std::move(row.error()));
        whole = (*file)->day_size.integer(0) <= merged_readings_max;
    }
    Statement& chunks = whole ? (*file)->day_chunks : (*file)->open_chunks;
    chunks.bind(1, device).bind(2, day);
    auto read = read_day(chunks, day, whole ? Reading::Merge : Reading::Roll, whole ? no_bound_ms : merged_readings_max);
    if (!read) return failed(std::move(read.error()));
    if (!whole) {
        if (auto added = add_kept(**file, day, *read); !added) return failed(std::move(added.error()));
    }
    std::string bytes;
    if (whole) {
        std::vector<ChunkTable> tables;
        for (auto& [key, table] : read->tables) {
            sort_table(table);
            tables.push_back(std::move(table));
        }
        bytes = encode_chunk(tables, read->readings <= merged_well_max ? merged_level : merged_level_of_many);
    }
    auto written = (*file)->db.transaction([&]() -> Result<void> {
        for (const auto& [id, why] : read->damaged) {
            (*file)->spoil_chunk.bind(1, id);
            if (auto done = (*file)->spoil_chunk.run(); !done) return done;
        }
        for (const int64_t id : read->ids) {
            Statement& leave = whole ? (*file)->delete_chunk : (*file)->roll_chunk;
            leave.bind(1, id);
            if (auto done = leave.run(); !done) return done;
        }
        if (whole && !read->ids.empty()) {
            Statement& insert = (*file)->insert_chunk;
            insert.bind(1, device).bind(2, day).bind(3, int64_t{1}).bind(4, static_cast<int64_t>(Rolled::Yes)).bind(5, read->readings);
            insert.bind_blob(6, bytes);
            if (auto done = insert.run(); !done) return done;
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
    if (whole && !read->ids.empty()) chunks_[month] += 1 - static_cast<int64_t>(read->ids.size());
    for (const auto& [id, why] : read->damaged) tell_damaged_chunk(month, id, why);
    return {};
}

void SqliteStore::tell_damaged_chunk(int32_t month, int64_t id, const std::string& why) {
    const std::string path = history_path(options_.folder, month);
    if (events_waiting_.size() < 100)
        events_waiting_.push_back("store: chunk " + std::to_string(id) + " of " + path + " is damaged (" + why +
                                  ") and left out; restore the file from a backup");
    log::error("store.chunk_damaged", {{"file", path}, {"chunk", id}, {"error", why}});
}

// A month wholly older than raw_keep: what its readings amount to goes to its year's rollups, then it is unlinked. Doing it again
// changes nothing.
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
        retired_ = {std::numeric_limits<int64_t>::min(), 0};
    }
    auto file = history(retiring_);
    if (!file) {
        const int32_t month = std::exchange(retiring_, 0);
        if (file.error().code == Code::Corrupt) set_aside(month, file.error());
        return pass(file, "retire");
    }
    if (first_day_of(retiring_ + 1) * day_ms > now.ms - options_.rollup_keep.ms) {
        bool of_rollups = false;
        auto more = retire_days(**file, of_rollups);
        if (!more) {
            const int32_t month = std::exchange(retiring_, 0);
            if (more.error().code == Code::Corrupt && of_rollups) {
                if (set_rollups_aside(year_of(month), more.error())) retention_ms_ = 0;  // from the month's first day, to a new file
            } else if (more.error().code == Code::Corrupt) {
                set_aside(month, more.error());
            }
            return pass(more, "retire");
        }
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

// The next few (device, day)s of a month that goes; true if more are left. of_rollups: a failure is the year's file's.
Result<bool> SqliteStore::retire_days(HistoryFile& file, bool& of_rollups) {
    of_rollups = true;
    auto into = RollupFile::open(options_.folder, year_of(file.month));
    if (!into) return pass(into);
    of_rollups = false;
    auto days = file.db.prepare("SELECT DISTINCT device, day FROM chunk WHERE (device, day) > (?, ?) ORDER BY device, day LIMIT ?");
    if (!days) return pass(days);
    std::vector<std::pair<int64_t, int64_t>> found;
    days->bind(1, retired_[0]).bind(2, retired_[1]).bind(3, retired_days_per_step);
    for (;;) {
        auto row = days->step();
        if (!row) return pass(row);
        if (!*row) break;
        found.emplace_back(days->integer(0), days->integer(1));
    }
    days->reset();
    if (found.empty()) return false;
    Statement names, save, device_name, series_name;
    auto prepared =
        prepare_all(into->db, {{&save, "INSERT OR REPLACE INTO rollup(series, step, day, bytes) VALUES(?, ?, ?, ?)"},
                               {&device_name, "INSERT OR IGNORE INTO device(id, node, name) VALUES(?, ?, ?)"},
                               {&series_name, "INSERT OR IGNORE INTO series(id, device, quantity, unit, kind) VALUES(?, ?, ?, ?, ?)"}});
    of_rollups = !prepared;
    if (prepared)
        prepared = prepare_all(file.db, {{&names,
                                          "SELECT device.id, node, name, quantity, unit, kind FROM series "
                                          "JOIN device ON device.id = series.device WHERE series.id = ?"}});
    if (!prepared) return pass(prepared);
    int64_t readings = 0;
    auto retired = retired_;
    of_rollups = true;
    auto done = into->db.transaction([&]() -> Result<void> {
        for (const auto& [device, day] : found) {
            if (readings >= retired_readings_per_step) break;
            file.day_chunks.bind(1, device).bind(2, day);
            auto read = read_day(file.day_chunks, day, Reading::Retire, no_bound_ms);
            of_rollups = read.has_value();
            if (!read) return pass(read, history_path(options_.folder, file.month));
            for (const auto& [id, why] : read->damaged) tell_damaged_chunk(file.month, id, why);
            readings += read->readings;
            retired = {device, day};
            for (const auto& [key, buckets] : read->rollups) {
                if (is_empty(buckets)) continue;
                const std::string bytes = encode_rollup(buckets);
                save.bind(1, key.first).bind(2, key.second).bind(3, day).bind_blob(4, bytes);
                if (auto saved = save.run(); !saved) return saved;
                if (key.second != long_step_ms) continue;  // named once
                Resetting guard(names);
                names.bind(1, key.first);
                auto row = names.step();
                of_rollups = row.has_value();
                if (!row) return pass(row);
                if (!*row) continue;
                device_name.bind(1, names.integer(0)).bind(2, names.blob(1)).bind(3, names.blob(2));
                if (auto saved = device_name.run(); !saved) return saved;
                series_name.bind(1, key.first)
                    .bind(2, names.integer(0))
                    .bind(3, names.blob(3))
                    .bind(4, names.blob(4))
                    .bind(5, names.integer(5));
                if (auto saved = series_name.run(); !saved) return saved;
            }
        }
        return {};
    });
    if (!done) return pass(done);
    retired_ = retired;
    return true;
}

bool SqliteStore::set_rollups_aside(int32_t year, const Error& why) {
    const std::string path = rollup_path(options_.folder, year);
    auto aside = set_database_aside(path, SystemClock().wall().ms);
    const std::string now = aside ? "set aside as " + *aside : "and cannot be set aside: " + aside.error().message();
    events_waiting_.push_back("store: " + path + " is damaged (" + why.text + "), " + now + "; restore it from a backup");
    log::error("store.rollups_damaged", {{"file", path}, {"error", why.message()}, {"now", now}});
    return aside.has_value();
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
