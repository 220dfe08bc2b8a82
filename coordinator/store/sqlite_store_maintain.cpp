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
constexpr int merged_level_of_many = 0;
constexpr int64_t retired_readings_per_step = 1'000'000;
constexpr int64_t retention_every_ms = 3'600'000;
constexpr int64_t leap_least_ms = 7 * 86'400'000LL;
constexpr int64_t retired_days_per_step = 16;  // (device, day) pairs
constexpr int64_t checkpoint_every_ms = 600'000;
constexpr int64_t checkpoint_wal_bytes = 16 << 20;

// A clock that was set back makes nothing wait until it is there again.
bool is_soon_after(int64_t then_ms, int64_t every_ms, WallTime now) { return now.ms >= then_ms && now.ms - then_ms < every_ms; }

// Some chunks of one device's day, as merging and retiring see them.
struct DayOfChunks {
    std::vector<int64_t> ids;
    std::vector<std::pair<int64_t, std::string>> damaged;  // chunk, and what is wrong with it
    int64_t readings = 0;
    std::map<std::pair<std::vector<SeriesId>, bool>, ChunkTable> tables;
    std::map<int64_t, SeriesBuckets> rollups;  // step

    void roll_table(const ChunkTable& table, int64_t day, bool short_too) {
        for (const ChunkColumn& column : table.columns) {
            if (std::holds_alternative<Texts>(column.values)) continue;
            for (const int64_t step : {long_step_ms, short_step_ms}) {
                if (step == short_step_ms && !short_too) continue;
                auto& buckets = rollups[step].try_emplace(column.series, empty_day(step)).first->second;
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

void add_kept(const SeriesBuckets& kept, SeriesBuckets& into) {
    for (const auto& [series, days] : kept) {
        auto& buckets = into.try_emplace(series, DayBuckets(days.size())).first->second;
        for (size_t i = 0; i < buckets.size() && i < days.size(); ++i) buckets[i].add(days[i]);
    }
}

}  // namespace

Result<bool> SqliteStore::maintain(WallTime now) {
    // Retention first: on a full disk it is what makes room for the rest. A step that fails does not keep the others from working.
    Result<bool> all = false;
    for (const auto step : {&SqliteStore::resolve_step, &SqliteStore::retention_step, &SqliteStore::compact_step, &SqliteStore::merge_step,
                            &SqliteStore::shrink_step, &SqliteStore::checkpoint_step}) {
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
        forget_streams();
        if (is_damage(done.error())) {  // S6
            resolving_.erase(stream);
            tell_damaged_stream(stream, done.error().text);
            return true;
        }
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
            auto merged = merge_day(month, day, device);
            if (!merged) return pass(merged, "merge");
            if (!*merged) return mend_indexes(month);
            return true;
        }
        if (!row) file = pass(row);
    }
    merging_.erase(month);
    shrinking_.emplace(month, false);
    if (!file) {
        unmerged_.erase(month);
        if (file.error().code == Code::Corrupt) set_aside(month, file.error());
        return pass(file, "merge");
    }
    auto open = (*file)->db.integer("SELECT EXISTS(SELECT 1 FROM chunk WHERE rolled = 0)");
    if (open && *open == 0) unmerged_.erase(month);
    return true;
}

// One index names a day's chunks, another knows of none: both are made again from the table. If they still disagree, it is the table.
Result<bool> SqliteStore::mend_indexes(int32_t month) {
    auto file = history(month);
    if (!file) return pass(file, "merge");
    const std::string path = history_path(options_.folder, month);
    log::error("store.index_damaged", {{"file", path}});
    auto mended = (*file)->db.execute("REINDEX");
    if (mended && !std::exchange((*file)->reindexed, true)) {
        events_waiting_.push_back("store: the indexes of " + path + " were damaged and are made again");
        return true;
    }
    merging_.erase(month);
    if (!mended && (mended.error().code == Code::Full || mended.error().code == Code::Unavailable)) return pass(mended, "merge");
    const Error why = mended ? fail(Code::Corrupt, "its indexes disagree").error() : std::move(mended.error());
    set_aside(month, why);
    return std::unexpected(why);
}

// A day that is small enough becomes one chunk; a larger one keeps its parts, and its rollups take in some of them at a time. False if
// it has nothing to merge.
Result<bool> SqliteStore::merge_day(int32_t month, int64_t day, int64_t device) {
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
    // A part adds to what the others amounted to; a whole day takes the place of all but what only a damaged chunk had.
    SeriesBuckets& rollups = read->rollups[long_step_ms];
    if (read->ids.empty() && read->damaged.empty()) return false;
    auto kept = (*file)->rollups.load(device, long_step_ms, day);
    if (!kept) return failed(std::move(kept.error()));
    if (!kept->damaged.empty()) {
        tell_damaged_rollup(month, day, kept->damaged.front());
        if (!whole) {
            if (auto begun = roll_again(month, day, device); !begun) return pass(begun);
            return true;
        }
    }
    if (whole)
        rollups.merge(kept->series);
    else
        add_kept(kept->series, rollups);
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
        return (*file)->rollups.replace(device, long_step_ms, day, rollups);
    });
    if (!written) return pass(written, history_path(options_.folder, month));
    if (whole && !read->ids.empty()) chunks_[month] += 1 - static_cast<int64_t>(read->ids.size());
    for (const auto& [id, why] : read->damaged) tell_damaged_chunk(month, id, why);
    return true;
}

// The rollups of a day that keeps its parts are damaged: they are made again from all of them, a step at a time.
Result<void> SqliteStore::roll_again(int32_t month, int64_t day, int64_t device) {
    auto file = history(month);
    if (!file) return pass(file);
    auto written = (*file)->db.transaction([&]() -> Result<void> {
        (*file)->reopen_day.bind(1, device).bind(2, day);
        if (auto done = (*file)->reopen_day.run(); !done) return done;
        return (*file)->rollups.replace(device, long_step_ms, day, {});
    });
    if (!written) return pass(written, history_path(options_.folder, month));
    return {};
}

void SqliteStore::tell_damaged_rollup(int32_t month, int64_t day, const Error& why) {
    const std::string path = history_path(options_.folder, month);
    if (events_waiting_.size() < events_waiting_max)
        events_waiting_.push_back("store: rollups of " + path + " were damaged (" + why.text + ") and are made again from the readings");
    log::error("store.rollup_damaged", {{"file", path}, {"day", day}, {"error", why.text}});
}

void SqliteStore::tell_damaged_chunk(int32_t month, int64_t id, const std::string& why) {
    const std::string path = history_path(options_.folder, month);
    if (events_waiting_.size() < events_waiting_max)
        events_waiting_.push_back("store: chunk " + std::to_string(id) + " of " + path + " is damaged (" + why +
                                  ") and left out; restore the file from a backup");
    log::error("store.chunk_damaged", {{"file", path}, {"chunk", id}, {"error", why}});
}

// S9
Result<bool> SqliteStore::clock_is_steady(WallTime now) {
    auto looked = fleet_.integer("SELECT ifnull((SELECT value FROM meta WHERE key = 'looked_ms'), 0)");
    if (!looked) return pass(looked);
    auto leapt = fleet_.integer("SELECT ifnull((SELECT value FROM meta WHERE key = 'leapt_ms'), 0)");
    if (!leapt) return pass(leapt);
    const bool leaps = *looked != 0 && now.ms - *looked > leap_least_ms;
    std::string notes = "INSERT OR REPLACE INTO meta(key, value) VALUES('looked_ms', " + std::to_string(now.ms) + ")";
    if (leaps) notes += ", ('leapt_ms', " + std::to_string(now.ms) + ")";
    if (auto noted = fleet_.execute(notes); !noted) return pass(noted);
    if (leaps && options_.retire_after_leap.ms > 0) {
        events_waiting_.push_back("store: the wall clock is " + std::to_string((now.ms - *looked) / 86'400'000) +
                                  " days ahead of when the store was last looked after; old months stay for a day");
        log::warn("store.clock_leapt", {{"days", (now.ms - *looked) / 86'400'000}});
    }
    const int64_t since = now.ms - (leaps ? now.ms : *leapt);
    return std::max(since, -since) >= options_.retire_after_leap.ms;
}

// A month wholly older than raw_keep: what its readings amount to goes to its year's rollups, then it is unlinked. Doing it again
// changes nothing.
Result<bool> SqliteStore::retention_step(WallTime now) {
    if (retiring_ == 0) {
        if (is_soon_after(retention_ms_, retention_every_ms, now)) return false;
        retention_ms_ = now.ms;
        auto steady = clock_is_steady(now);
        if (!steady) return pass(steady, "retire");
        clock_steady_ = *steady;
        if (!clock_steady_) return false;
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
    Statement names, device_name, series_name;
    auto table = RollupTable::prepare(into->db);
    if (!table) {
        of_rollups = true;
        return pass(table);
    }
    auto prepared =
        prepare_all(into->db, {{&device_name, "INSERT OR IGNORE INTO device(id, node, name) VALUES(?, ?, ?)"},
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
            for (auto& [step, rollups] : read->rollups) {
                auto kept = table->load(device, step, day);
                if (!kept) return pass(kept);
                for (const Error& why : kept->damaged) log::error("store.rollup_damaged", {{"day", day}, {"error", why.text}});
                rollups.merge(kept->series);
                if (auto saved = table->replace(device, step, day, rollups); !saved) return saved;
            }
            for (const auto& [series, buckets] : read->rollups[long_step_ms]) {
                if (is_empty(buckets)) continue;
                Resetting guard(names);
                names.bind(1, series);
                auto row = names.step();
                of_rollups = row.has_value();
                if (!row) return pass(row);
                if (!*row) continue;
                device_name.bind(1, names.integer(0)).bind(2, names.blob(1)).bind(3, names.blob(2));
                if (auto saved = device_name.run(); !saved) return saved;
                series_name.bind(1, series)
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
    if (is_soon_after(checkpointed_ms_, checkpoint_every_ms, now)) return false;
    checkpointed_ms_ = now.ms;
    auto sizes = stats();
    if (!sizes) return pass(sizes);
    if (sizes->wal_bytes < checkpoint_wal_bytes) return false;
    return shorten_log(fleet_);
}

}  // namespace basmalin::coordinator
