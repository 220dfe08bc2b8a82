// Pages that a file does not use any more go back to the disk, a few at a time and in transactions of their own.
#include "coordinator/store/calendar.h"
#include "coordinator/store/sqlite_store.h"

namespace basmalin::coordinator {
namespace {

constexpr int64_t pages_per_step = 512;
constexpr int64_t worth_pages = 4;
// fleet.db has an hour or two of batches, so after each sweep about as much is free as is in use, for the next hour. More than
// twice as much is left of a backlog.
constexpr int64_t fleet_free_per_live = 2;
// This month's parts leave room to the next day's: soon a small share of the file.
constexpr int64_t month_live_per_free = 16;

bool is_worth_it(const Database::Pages& pages, int32_t which, WallTime now) {
    if (pages.free < worth_pages) return false;
    if (which == fleet_file) return pages.free > pages.live * fleet_free_per_live;
    return which < month_of_day(day_of(now.ms)) || pages.free * month_live_per_free > pages.live;
}

}  // namespace

// Looks at fleet.db after a sweep, and at a month after its merging.
Result<bool> SqliteStore::shrink_step(WallTime now) {
    if (shrinking_.empty()) return false;
    auto& [which, begun] = *shrinking_.begin();
    auto more = shrink(which, begun, now);
    if (!more || !*more) shrinking_.erase(shrinking_.begin());
    if (!more) return pass(more, "give back pages");
    return !shrinking_.empty();
}

Result<bool> SqliteStore::shrink(int32_t which, bool& begun, WallTime now) {
    Database* db = &fleet_;
    if (which != fleet_file) {
        if (!chunks_.contains(which)) return false;  // it went
        auto file = history(which);
        if (!file) return pass(file);
        db = &(*file)->db;
    }
    auto pages = db->pages();
    if (!pages) return pass(pages);
    if (!begun && !is_worth_it(*pages, which, now)) return false;
    if (auto done = db->give_back(pages_per_step); !done) return pass(done);
    auto left = db->pages();
    if (!left) return pass(left);
    begun = left->free > 0 && left->free < pages->free;  // a file that cannot give back keeps them for later
    if (begun) return true;
    return shorten_log(*db);
}

// What was cut off leaves the disk when the log is written back; a reader in the way only postpones it.
Result<bool> SqliteStore::shorten_log(Database& db) {
    auto done = db.execute("PRAGMA busy_timeout=50; PRAGMA wal_checkpoint(TRUNCATE); PRAGMA busy_timeout=5000;");
    if (!done && done.error().code != Code::Unavailable) return pass(done, "checkpoint");
    if (auto restored = db.execute("PRAGMA busy_timeout=5000"); !restored) return pass(restored, "checkpoint");
    return false;
}

}  // namespace basmalin::coordinator
