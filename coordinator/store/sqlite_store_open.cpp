#include <sys/stat.h>

#include "coordinator/store/sqlite_store.h"
#include "shared/base/file.h"
#include "shared/base/ids.h"
#include "shared/base/log.h"

namespace basmalin::coordinator {
namespace {

constexpr int64_t schema_version = 1;
// quick_check reads the whole file: about 1 s for 80 MB. Longer files are checked by the backup, not at start.
constexpr int64_t check_bytes_max = 32 << 20;
constexpr int64_t check_bytes_in_all = 128 << 20;

constexpr std::string_view fleet_schema =
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;"
    "CREATE TABLE node(id TEXT PRIMARY KEY, document TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE stream(id INTEGER PRIMARY KEY, node TEXT NOT NULL, mark INTEGER NOT NULL, ranges BLOB NOT NULL);"
    "CREATE INDEX stream_by_node ON stream(node);"
    "CREATE TABLE boot(stream INTEGER NOT NULL, boot_no INTEGER NOT NULL, known INTEGER NOT NULL, offset_ms INTEGER NOT NULL,"
    " error_ms INTEGER NOT NULL, upper_ms INTEGER NOT NULL, last_mono_ms INTEGER NOT NULL, PRIMARY KEY(stream, boot_no)) WITHOUT ROWID;"
    "CREATE TABLE device(id INTEGER PRIMARY KEY AUTOINCREMENT, node TEXT NOT NULL, name TEXT NOT NULL, UNIQUE(node, name));"
    "CREATE TABLE series(id INTEGER PRIMARY KEY AUTOINCREMENT, device INTEGER NOT NULL, quantity TEXT NOT NULL, unit TEXT NOT NULL,"
    " kind INTEGER NOT NULL, UNIQUE(device, quantity, unit, kind));"
    "CREATE TABLE layout(stream INTEGER NOT NULL, id INTEGER NOT NULL, device INTEGER NOT NULL, name TEXT NOT NULL, columns BLOB NOT NULL,"
    " series BLOB NOT NULL, PRIMARY KEY(stream, id)) WITHOUT ROWID;"
    "CREATE TABLE hot(id INTEGER PRIMARY KEY, stream INTEGER NOT NULL, seq INTEGER NOT NULL, boot_no INTEGER NOT NULL,"
    " first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL, received_ms INTEGER NOT NULL, pending INTEGER NOT NULL, bytes BLOB NOT NULL);"
    "CREATE INDEX hot_by_time ON hot(stream, boot_no, first_ms, last_ms, received_ms);"
    "CREATE INDEX hot_pending ON hot(stream) WHERE pending = 1;"
    "CREATE TABLE latest(series INTEGER PRIMARY KEY, time_ms INTEGER NOT NULL, estimated INTEGER NOT NULL, value BLOB NOT NULL);"
    "CREATE TABLE gap(id INTEGER PRIMARY KEY AUTOINCREMENT, node TEXT NOT NULL, stream INTEGER NOT NULL, first_seq INTEGER NOT NULL,"
    " last_seq INTEGER NOT NULL, readings INTEGER NOT NULL, exact INTEGER NOT NULL, from_ms INTEGER NOT NULL, to_ms INTEGER NOT NULL,"
    " reason INTEGER NOT NULL, received_ms INTEGER NOT NULL);"
    "CREATE INDEX gap_by_node ON gap(node, id);"
    "CREATE TABLE dead_letter(id INTEGER PRIMARY KEY AUTOINCREMENT, node TEXT NOT NULL, stream INTEGER NOT NULL, digest INTEGER NOT NULL,"
    " received_ms INTEGER NOT NULL, reason TEXT NOT NULL, size INTEGER NOT NULL, bytes BLOB NOT NULL, UNIQUE(stream, digest));";

constexpr std::string_view remedy =
    "restore the newest backup; or move fleet.db, fleet.db-wal and fleet.db-shm aside and start again: a new fleet.db adopts the series "
    "of the history files, and the gateways send again what they still hold";

int64_t size_of(const std::string& path) {
    struct stat info{};
    return ::stat(path.c_str(), &info) == 0 ? info.st_size : 0;
}

Result<void> make_schema(Database& fleet, const std::string& path) {
    auto empty = is_empty_of(schema_version, fleet, path);
    if (!empty) return pass(empty);
    if (!*empty) return {};
    return fleet.transaction([&]() -> Result<void> {
        if (auto made = fleet.execute(std::string(fleet_schema)); !made) return made;
        uint64_t epoch = 0;
        while (epoch == 0) epoch = random_u64() >> 1;  // JSON and SQLite keep it exactly
        return fleet.execute("INSERT INTO meta(key, value) VALUES('epoch', " + std::to_string(epoch) +
                             ");PRAGMA user_version=" + std::to_string(schema_version) + ";");
    });
}

}  // namespace

Result<std::unique_ptr<SqliteStore>> SqliteStore::open(const StoreOptions& options) {
    auto store = std::unique_ptr<SqliteStore>(new SqliteStore);
    store->options_ = options;
    if (auto made = make_folders(options.folder, 0750); !made) return pass(made);
    const std::string path = options.folder + "/fleet.db";
    DatabaseOptions how;
    how.cache_bytes = 32 << 20;
    how.wal_checkpoint_pages = 8000;
    how.journal_size_limit_bytes = 64 << 20;
    how.page_size_bytes = 2048;  // a commit writes whole pages, and most batches are shorter than half a page
    how.gives_back_pages = true;
    const auto corrupt = [&](Error error) {
        if (error.code == Code::Invalid) error.code = Code::Corrupt;  // statements that are right elsewhere do not fit this file
        if (error.code == Code::Corrupt) error.hint = remedy;
        return std::unexpected(std::move(error));
    };
    const int64_t bytes = size_of(path);
    auto fleet = Database::open(path, how);
    if (!fleet) return corrupt(std::move(fleet.error()));
    store->fleet_ = std::move(*fleet);
    if (auto checked = store->check_fleet(path, bytes); !checked) return corrupt(std::move(checked.error()).context(path));
    if (auto made = make_schema(store->fleet_, path); !made) return corrupt(std::move(made.error()));
    if (auto sound = store->fleet_.expect_schema(fleet_schema); !sound) return corrupt(std::move(sound.error()).context(path));
    if (auto made = store->make_event_table(); !made) return corrupt(std::move(made.error()).context(path));
    if (auto prepared = store->prepare(); !prepared) return corrupt(std::move(prepared.error()).context(path));
    store->check_history();
    if (auto adopted = store->adopt_names(); !adopted) return corrupt(std::move(adopted.error()));
    if (auto counted = store->count(); !counted) return corrupt(std::move(counted.error()).context(path));
    log::info("store.open", {{"folder", options.folder}, {"epoch", to_hex(store->epoch_)}, {"hot_batches", store->hot_batches_}});
    return store;
}

// S8
Result<void> SqliteStore::check_fleet(const std::string& path, int64_t bytes) {
    if (bytes == 0) return {};
    if (bytes > check_bytes_max) {
        log::info("store.check_skipped", {{"file", path}, {"bytes", bytes}});
        return {};
    }
    return check_or_mend(fleet_, path);
}

// The whole check sees all that the quick one does; what only the whole one sees are indexes.
Result<void> SqliteStore::check_or_mend(Database& db, const std::string& path) {
    const auto whole = db.check(true);
    if (whole) return {};
    if (auto tables = db.check(false); !tables) return tables;
    return make_indexes_again(db, path, whole.error());
}

Result<void> SqliteStore::make_indexes_again(Database& db, const std::string& path, const Error& why) {
    log::error("store.index_damaged", {{"file", path}, {"error", why.text}});
    if (auto made = db.execute("REINDEX"); !made) return pass(made, "make the indexes again");
    events_waiting_.push_back("store: the indexes of " + path + " were damaged (" + why.text + ") and are made again");
    return {};
}

Result<void> SqliteStore::prepare() {
    auto epoch = fleet_.integer("SELECT value FROM meta WHERE key = 'epoch'");
    if (!epoch) return pass(epoch, "epoch");
    epoch_ = from_row(*epoch);
    auto loader = StreamLoader::prepare(fleet_);
    if (!loader) return pass(loader);
    loader_ = std::move(*loader);
    if (auto prepared = prepare_series(); !prepared) return prepared;
    return prepare_all(
        fleet_,
        {{&sql_.insert_hot,
          "INSERT INTO hot(stream, seq, boot_no, first_ms, last_ms, received_ms, pending, bytes) VALUES(?, ?, ?, ?, ?, ?, ?, ?)"},
         {&sql_.upsert_stream,
          "INSERT INTO stream(id, node, mark, ranges) VALUES(?, ?, ?, ?) "
          "ON CONFLICT(id) DO UPDATE SET mark = excluded.mark, ranges = excluded.ranges"},
         {&sql_.upsert_boot,
          "INSERT OR REPLACE INTO boot(stream, boot_no, known, offset_ms, error_ms, upper_ms, last_mono_ms) VALUES(?, ?, ?, ?, ?, ?, ?)"},
         {&sql_.delete_boot, "DELETE FROM boot WHERE stream = ? AND boot_no = ?"},
         {&sql_.insert_layout, "INSERT OR REPLACE INTO layout(stream, id, device, name, columns, series) VALUES(?, ?, ?, ?, ?, ?)"},
         {&sql_.count_streams, "SELECT count(*) FROM stream WHERE node = ?"},
         {&sql_.streams_at_rest,
          "SELECT id, (SELECT max(iif(upper_ms < 4503599627370496, upper_ms, 0) + last_mono_ms) FROM boot WHERE stream = stream.id) heard "
          "FROM stream WHERE node = ? AND NOT EXISTS(SELECT 1 FROM hot WHERE hot.stream = stream.id) "
          "ORDER BY length(ranges) > 0, heard, id"},
         {&sql_.layouts_of_node,
          "SELECT count(*), ifnull(sum(length(name) + length(columns) + length(series)), 0) FROM stream "
          "JOIN layout ON layout.stream = stream.id WHERE stream.node = ?"},
         {&sql_.layouts_of_stream,
          "SELECT count(*), ifnull(sum(length(name) + length(columns) + length(series)), 0) FROM layout WHERE stream = ?"},
         {&sql_.find_device, "SELECT id FROM device WHERE node = ? AND name = ?"},
         {&sql_.insert_device, "INSERT INTO device(node, name) VALUES(?, ?)"},
         {&sql_.find_series, "SELECT id FROM series WHERE device = ? AND quantity = ? AND unit = ? AND kind = ?"},
         {&sql_.any_series, "SELECT 1 FROM series WHERE device = ? LIMIT 1"},
         {&sql_.count_devices, "SELECT count(*) FROM device WHERE node = ?"},
         {&sql_.count_series, "SELECT count(*) FROM device JOIN series ON series.device = device.id WHERE device.node = ?"},
         {&sql_.insert_gap,
          "INSERT INTO gap(node, stream, first_seq, last_seq, readings, exact, from_ms, to_ms, reason, received_ms) "
          "VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"},
         {&sql_.trim_gaps,
          "DELETE FROM gap WHERE node = ?1 AND id <= (SELECT id FROM gap WHERE node = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)"},
         {&sql_.insert_dead,
          "INSERT OR IGNORE INTO dead_letter(node, stream, digest, received_ms, reason, size, bytes) VALUES(?, ?, ?, ?, ?, ?, ?)"},
         {&sql_.trim_dead, "DELETE FROM dead_letter WHERE id = (SELECT min(id) FROM dead_letter)"},
         {&sql_.pending_after,
          "SELECT id, seq, received_ms, bytes FROM hot WHERE stream = ? AND pending = 1 AND id > ? ORDER BY id LIMIT ?"},
         {&sql_.settle_hot, "UPDATE hot SET pending = 0, first_ms = ?, last_ms = ?, boot_no = ? WHERE id = ?"},
         {&sql_.unsettle_hot, "UPDATE hot SET pending = 1 WHERE id = ?"},
         {&sql_.delete_hot, "DELETE FROM hot WHERE id = ?"},
         {&sql_.next_stream, "SELECT min(stream) FROM hot WHERE stream >= ?"},
         {&sql_.next_boot, "SELECT min(boot_no) FROM hot WHERE stream = ? AND boot_no > ?"},
         {&sql_.boot_batches,
          "SELECT id, seq, received_ms, bytes FROM hot INDEXED BY hot_by_time WHERE stream = ? AND boot_no = ? "
          "AND received_ms < ? AND pending = 0 ORDER BY first_ms LIMIT ?"},
         {&sql_.upsert_latest,
          "INSERT INTO latest(series, time_ms, estimated, value) VALUES(?, ?, ?, ?) ON CONFLICT(series) DO UPDATE "
          "SET time_ms = excluded.time_ms, estimated = excluded.estimated, value = excluded.value "
          "WHERE excluded.time_ms >= latest.time_ms"},
         {&sql_.insert_event, "INSERT INTO event(node, received_ms, time, text) VALUES(?, ?, ?, ?)"},
         {&sql_.trim_events_of_node,
          "DELETE FROM event WHERE node = ?1 AND id <= (SELECT id FROM event WHERE node = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)"},
         {&sql_.trim_events, "DELETE FROM event WHERE id <= (SELECT id FROM event ORDER BY id DESC LIMIT 1 OFFSET ?)"},
         {&sql_.names_of_series,
          "SELECT device.id, device.node, device.name, series.quantity, series.unit, series.kind FROM series "
          "JOIN device ON device.id = series.device WHERE series.id = ?"}});
}

Result<void> SqliteStore::count() {
    auto hot = fleet_.prepare("SELECT count(*), ifnull(sum(length(bytes)), 0) FROM hot");
    if (!hot) return pass(hot);
    if (auto row = hot->step(); !row) return pass(row);
    hot_batches_ = hot->integer(0);
    hot_bytes_ = hot->integer(1);
    // What waits may have got its layouts in a commit whose resolving a kill cut short.
    auto waiting = fleet_.prepare("SELECT DISTINCT stream FROM hot WHERE pending = 1");
    if (!waiting) return pass(waiting);
    for (;;) {
        auto row = waiting->step();
        if (!row) return pass(row);
        if (!*row) break;
        resolving_[from_row(waiting->integer(0))] = 0;
    }
    auto dead = fleet_.integer("SELECT count(*) FROM dead_letter");
    if (!dead) return pass(dead);
    dead_letters_ = *dead;
    return {};
}

// S3: damaged files are renamed before anything needs them.
void SqliteStore::check_history() {
    const std::vector<int32_t> months = history_months(options_.folder);
    int64_t left = check_bytes_in_all;
    for (auto month = months.rbegin(); month != months.rend(); ++month) {
        const std::string path = history_path(options_.folder, *month);
        const int64_t bytes = size_of(path);
        auto file = HistoryFile::open(options_.folder, *month);
        Result<void> checked;
        if (!file) checked = pass(file);
        if (checked && bytes <= check_bytes_max && bytes <= left) {
            left -= bytes;
            checked = check_or_mend((*file)->db, path);
        } else if (checked) {
            log::info("store.check_skipped", {{"file", path}, {"bytes", bytes}});
        }
        Result<int64_t> chunks = 0;
        if (checked) chunks = (*file)->db.integer("SELECT count(*) FROM chunk");
        if (checked && !chunks) checked = pass(chunks);
        if (checked) {
            chunks_[*month] = *chunks;
            unmerged_.insert(*month);
            continue;
        }
        if (file) file->reset();
        if (checked.error().code == Code::Corrupt) {
            set_aside(*month, checked.error());
        } else {
            events_waiting_.push_back("store: " + path + " cannot be used: " + checked.error().message());
            log::error("store.history_unusable", {{"file", path}, {"error", checked.error().message()}});
        }
    }
}

void SqliteStore::set_aside(int32_t month, const Error& why) {
    SystemClock clock;
    history_.erase(month);
    chunks_.erase(month);
    const std::string path = history_path(options_.folder, month);
    auto aside = set_database_aside(path, clock.wall().ms);
    const std::string now = aside ? "set aside as " + *aside : "and cannot be set aside: " + aside.error().message();
    events_waiting_.push_back("store: " + path + " is damaged (" + why.text + "), " + now + "; restore it from a backup");
    log::error("store.history_damaged", {{"file", path}, {"error", why.message()}, {"now", now}});
}

// S4
Result<void> SqliteStore::adopt_names() {
    auto series_max = fleet_.integer("SELECT ifnull(max(id), 0) FROM series");
    if (!series_max) return pass(series_max);
    auto device_max = fleet_.integer("SELECT ifnull(max(id), 0) FROM device");
    if (!device_max) return pass(device_max);
    std::vector<std::string> paths;
    for (const auto& [month, chunks] : chunks_) paths.push_back(history_path(options_.folder, month));
    for (const int32_t year : rollup_years(options_.folder)) paths.push_back(rollup_path(options_.folder, year));
    int64_t adopted = 0;
    for (const std::string& path : paths) {
        DatabaseOptions how;
        how.read_only = true;
        auto file = Database::open(path, how);
        if (!file) continue;  // said by check_history; a damaged rollup file only lacks its own names
        auto copied = fleet_.transaction([&]() -> Result<void> {
            auto devices = file->prepare("SELECT id, node, name FROM device WHERE id > ?");
            auto series = file->prepare("SELECT id, device, quantity, unit, kind FROM series WHERE id > ?");
            auto keep_device = fleet_.prepare("INSERT OR IGNORE INTO device(id, node, name) VALUES(?, ?, ?)");
            auto keep_series = fleet_.prepare("INSERT OR IGNORE INTO series(id, device, quantity, unit, kind) VALUES(?, ?, ?, ?, ?)");
            if (!devices || !series) return {};  // a damaged rollup file: retention sets it aside
            if (!keep_device) return pass(keep_device);
            if (!keep_series) return pass(keep_series);
            devices->bind(1, *device_max);
            series->bind(1, *series_max);
            for (auto row = devices->step(); row && *row; row = devices->step()) {
                keep_device->bind(1, devices->integer(0)).bind(2, devices->blob(1)).bind(3, devices->blob(2));
                if (auto done = keep_device->run(); !done) return done;
            }
            for (auto row = series->step(); row && *row; row = series->step()) {
                keep_series->bind(1, series->integer(0)).bind(2, series->integer(1)).bind(3, series->blob(2)).bind(4, series->blob(3));
                keep_series->bind(5, series->integer(4));
                if (auto done = keep_series->run(); !done) return done;
                ++adopted;
            }
            return {};
        });
        if (!copied) return pass(copied, "adopt the names of " + path);
    }
    if (adopted > 0) {
        log::warn("store.adopted", {{"series", adopted}});
        events_waiting_.push_back("store: fleet.db did not know " + std::to_string(adopted) + " series of the history files; adopted");
    }
    return {};
}

}  // namespace basmalin::coordinator
