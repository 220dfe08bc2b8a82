// The files beside fleet.db: history-YYYY-MM.db (chunks, rollups, marks of what moved there) and rollup-YYYY.db (rollups of months
// whose file was unlinked). Each names its devices and series, so it can be read alone. Thread: the connection's.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "coordinator/store/rollup.h"
#include "shared/base/result.h"
#include "shared/sqlite/database.h"

namespace basmalin::coordinator {

// The part of a chunk row's life that readers ask for.
enum class Rolled : int64_t {
    No = 0,       // its readings are in no rollup yet: the day is dirty
    Yes = 1,      // the day's rollups cover it
    Damaged = 2,  // cannot be read: kept for a person, left out of everything; its part is its id
};

std::string history_path(const std::string& folder, int32_t month);
std::string rollup_path(const std::string& folder, int32_t year);
// Months (years) that have a file, ascending; empty when the folder cannot be read.
std::vector<int32_t> history_months(const std::string& folder);
std::vector<int32_t> rollup_years(const std::string& folder);
// The database with its -wal and -shm.
void unlink_database(const std::string& path);
// Renames it (and its -wal; the -shm goes) to <path>.damaged-<time>: kept for a person, out of the way.
Result<std::string> set_database_aside(const std::string& path, int64_t now_ms);

// True when the database has no tables yet, false when its format is this version; Conflict for another one.
Result<bool> is_empty_of(int64_t version, Database& db, const std::string& path);

// The table of rollups, of either kind of file.
struct RollupTable {
    Statement find, forget, save;
    static Result<RollupTable> prepare(Database& db);
    // What a device's day has; rows that are damaged are counted and left out.
    struct Kept {
        SeriesBuckets series;
        std::vector<Error> damaged;
    };
    Result<Kept> load(int64_t device, int64_t step_ms, int64_t day);
    // In place of all that the device's day had. Of the caller's transaction.
    Result<void> replace(int64_t device, int64_t step_ms, int64_t day, const SeriesBuckets& rollups);
};

struct HistoryFile {
    int32_t month = 0;
    uint64_t used = 0;
    bool reindexed = false;
    Database db;
    Statement name_device, name_series, find_applied, save_applied, last_part, insert_chunk;
    Statement open_days, day_size, day_chunks, open_chunks, delete_chunk, roll_chunk, spoil_chunk, reopen_day;
    RollupTable rollups;
    std::unordered_set<int64_t> named_devices;
    std::unordered_set<int64_t> named_series;

    // Opens, and creates if missing.
    static Result<std::unique_ptr<HistoryFile>> open(const std::string& folder, int32_t month);
};

struct RollupFile {
    Database db;
    static Result<RollupFile> open(const std::string& folder, int32_t year);
};

// Several statements at once, for a struct of them.
struct Preparing {
    Statement* into;
    std::string_view sql;
};
Result<void> prepare_all(Database& db, std::initializer_list<Preparing> list);

}  // namespace basmalin::coordinator
