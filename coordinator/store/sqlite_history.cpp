#include "coordinator/store/sqlite_history.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <optional>

#include "coordinator/store/calendar.h"
#include "coordinator/store/sqlite_streams.h"
#include "shared/base/file.h"

namespace basmalin::coordinator {
namespace {

constexpr int64_t schema_version = 2;
constexpr int64_t version_max = 100;  // what is above was never written
constexpr int history_page_bytes = 16384;

constexpr std::string_view names_schema =
    "CREATE TABLE device(id INTEGER PRIMARY KEY, node TEXT NOT NULL, name TEXT NOT NULL);"
    "CREATE TABLE series(id INTEGER PRIMARY KEY, device INTEGER NOT NULL, quantity TEXT NOT NULL, unit TEXT NOT NULL, kind INTEGER NOT "
    "NULL);";
constexpr std::string_view rollup_schema =
    "CREATE TABLE rollup(device INTEGER NOT NULL, step INTEGER NOT NULL, day INTEGER NOT NULL, first INTEGER NOT NULL,"
    " last INTEGER NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY(device, step, day, first)) WITHOUT ROWID;";
constexpr std::string_view chunk_schema =
    "CREATE TABLE chunk(id INTEGER PRIMARY KEY, device INTEGER NOT NULL, day INTEGER NOT NULL, part INTEGER NOT NULL,"
    " rolled INTEGER NOT NULL, readings INTEGER NOT NULL, bytes BLOB NOT NULL);"
    "CREATE UNIQUE INDEX chunk_by_day ON chunk(device, day, part, rolled);"
    "CREATE INDEX chunk_open ON chunk(day, device) WHERE rolled = 0;"
    "CREATE TABLE applied(stream INTEGER NOT NULL, block INTEGER NOT NULL, bits BLOB NOT NULL, PRIMARY KEY(stream, block)) WITHOUT ROWID;";

Result<void> make_schema(Database& db, const std::string& path, const std::string& schema) {
    auto empty = is_empty_of(schema_version, db, path);
    if (!empty) return pass(empty);
    if (!*empty) {
        if (auto sound = db.expect_schema(schema); !sound) return pass(sound, path);
        return {};
    }
    auto made = db.transaction([&] { return db.execute(schema + "PRAGMA user_version=" + std::to_string(schema_version) + ";"); });
    if (!made) return pass(made, path);
    return {};
}

// Numbers of files named prefix + digits-and-dashes + ".db", as `parse` reads them.
template <class Parse>
std::vector<int32_t> listed(const std::string& folder, Parse&& parse) {
    std::vector<int32_t> found;
    std::error_code error;
    for (std::filesystem::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
        if (const auto number = parse(at->path().filename().string())) found.push_back(*number);
    }
    std::sort(found.begin(), found.end());
    return found;
}

}  // namespace

std::string history_path(const std::string& folder, int32_t month) {
    std::array<char, 40> name{};
    const int32_t year = year_of(month);
    std::snprintf(name.data(), name.size(), "/history-%04d-%02d.db", year, month - year * 12 + 1);
    return folder + name.data();
}

std::string rollup_path(const std::string& folder, int32_t year) {
    std::array<char, 40> name{};
    std::snprintf(name.data(), name.size(), "/rollup-%04d.db", year);
    return folder + name.data();
}

std::vector<int32_t> history_months(const std::string& folder) {
    return listed(folder, [&](const std::string& name) -> std::optional<int32_t> {
        int year = 0;
        int month = 0;
        if (name.size() != 18 || std::sscanf(name.c_str(), "history-%4d-%2d.db", &year, &month) != 2 || month < 1 || month > 12) return {};
        const int32_t number = year * 12 + month - 1;
        if (history_path(folder, number) != folder + "/" + name) return {};
        return number;
    });
}

std::vector<int32_t> rollup_years(const std::string& folder) {
    return listed(folder, [&](const std::string& name) -> std::optional<int32_t> {
        int year = 0;
        if (name.size() != 14 || std::sscanf(name.c_str(), "rollup-%4d.db", &year) != 1) return {};
        if (rollup_path(folder, year) != folder + "/" + name) return {};
        return year;
    });
}

void unlink_database(const std::string& path) {
    std::error_code ignored;
    for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(path + suffix, ignored);
}

Result<std::string> set_database_aside(const std::string& path, int64_t now_ms) {
    std::string aside = path + ".damaged-" + std::to_string(now_ms);
    std::error_code error;
    std::filesystem::rename(path, aside, error);
    if (error) return fail(Code::Unavailable, "rename " + path + ": " + error.message(), "move the file away by hand");
    std::filesystem::rename(path + "-wal", aside + "-wal", error);  // usually there is none
    std::filesystem::remove(path + "-shm", error);
    if (auto synced = sync_folder(folder_of(path)); !synced) return pass(synced);
    return aside;
}

Result<bool> is_empty_of(int64_t version, Database& db, const std::string& path) {
    auto found = db.integer("PRAGMA user_version");
    if (!found) return pass(found, path);
    if (*found == version) return false;
    if (*found == 0) return true;
    if (*found < 0 || *found > version_max) return fail(Code::Corrupt, path + ": its version is damaged: " + std::to_string(*found));
    return fail(Code::Conflict,
                path + ": its format is version " + std::to_string(*found) + ", this program knows " + std::to_string(version),
                "install the newer basmalin-coordinator again");
}

Result<void> prepare_all(Database& db, std::initializer_list<Preparing> list) {
    for (const Preparing& one : list) {
        auto statement = db.prepare(one.sql);
        if (!statement) return pass(statement);
        *one.into = std::move(*statement);
    }
    return {};
}

Result<std::unique_ptr<HistoryFile>> HistoryFile::open(const std::string& folder, int32_t month) {
    auto file = std::make_unique<HistoryFile>();
    file->month = month;
    const std::string path = history_path(folder, month);
    DatabaseOptions options;
    options.page_size_bytes = history_page_bytes;
    options.gives_back_pages = true;
    options.cache_bytes = 4 << 20;
    auto db = Database::open(path, options);
    if (!db) return pass(db);
    file->db = std::move(*db);
    if (auto made = make_schema(file->db, path, std::string(names_schema) + std::string(rollup_schema) + std::string(chunk_schema)); !made)
        return pass(made);
    auto prepared = prepare_all(
        file->db,
        {{&file->name_device, "INSERT OR IGNORE INTO device(id, node, name) VALUES(?, ?, ?)"},
         {&file->name_series, "INSERT OR IGNORE INTO series(id, device, quantity, unit, kind) VALUES(?, ?, ?, ?, ?)"},
         {&file->find_applied, "SELECT bits FROM applied WHERE stream = ? AND block = ?"},
         {&file->save_applied, "INSERT OR REPLACE INTO applied(stream, block, bits) VALUES(?, ?, ?)"},
         {&file->last_part, "SELECT ifnull(max(part), 0), count(*) FROM chunk WHERE device = ? AND day = ? AND rolled < 2"},
         {&file->insert_chunk, "INSERT INTO chunk(device, day, part, rolled, readings, bytes) VALUES(?, ?, ?, ?, ?, ?)"},
         {&file->open_days, "SELECT day, device FROM chunk WHERE rolled = 0 AND day < ? ORDER BY day, device LIMIT 1"},
         {&file->day_size, "SELECT ifnull(sum(readings), 0) FROM chunk WHERE device = ? AND day = ? AND rolled < 2"},
         {&file->day_chunks, "SELECT id, rolled, readings, bytes FROM chunk WHERE device = ? AND day = ? AND rolled < 2 ORDER BY part"},
         {&file->open_chunks, "SELECT id, rolled, readings, bytes FROM chunk WHERE device = ? AND day = ? AND rolled = 0 ORDER BY part"},
         {&file->delete_chunk, "DELETE FROM chunk WHERE id = ?"},
         {&file->roll_chunk, "UPDATE chunk SET rolled = 1 WHERE id = ?"},
         {&file->spoil_chunk, "UPDATE chunk SET rolled = 2, part = id WHERE id = ?"},
         {&file->reopen_day, "UPDATE chunk SET rolled = 0 WHERE device = ? AND day = ? AND rolled = 1"}});
    if (!prepared) return pass(prepared, path);
    auto rollups = RollupTable::prepare(file->db);
    if (!rollups) return pass(rollups, path);
    file->rollups = std::move(*rollups);
    return file;
}

Result<RollupTable> RollupTable::prepare(Database& db) {
    RollupTable table;
    auto prepared = prepare_all(db, {{&table.find, "SELECT bytes FROM rollup WHERE device = ? AND step = ? AND day = ?"},
                                     {&table.forget, "DELETE FROM rollup WHERE device = ? AND step = ? AND day = ?"},
                                     {&table.save, "INSERT INTO rollup(device, step, day, first, last, bytes) VALUES(?, ?, ?, ?, ?, ?)"}});
    if (!prepared) return pass(prepared);
    return table;
}

Result<RollupTable::Kept> RollupTable::load(int64_t device, int64_t step_ms, int64_t day) {
    Kept kept;
    Resetting guard(find);
    find.bind(1, device).bind(2, step_ms).bind(3, day);
    for (;;) {
        auto row = find.step();
        if (!row) return pass(row);
        if (!*row) return kept;
        auto decoded = decode_rollups(find.blob(0), step_ms);
        if (decoded)
            kept.series.merge(*decoded);
        else
            kept.damaged.push_back(decoded.error());
    }
}

Result<void> RollupTable::replace(int64_t device, int64_t step_ms, int64_t day, const SeriesBuckets& rollups) {
    forget.bind(1, device).bind(2, step_ms).bind(3, day);
    if (auto done = forget.run(); !done) return done;
    for (const RollupRow& row : encode_rollups(rollups)) {
        save.bind(1, device).bind(2, step_ms).bind(3, day).bind(4, row.first).bind(5, row.last).bind_blob(6, row.bytes);
        if (auto done = save.run(); !done) return done;
    }
    return {};
}

Result<RollupFile> RollupFile::open(const std::string& folder, int32_t year) {
    const std::string path = rollup_path(folder, year);
    DatabaseOptions options;
    options.page_size_bytes = history_page_bytes;
    options.gives_back_pages = true;
    auto db = Database::open(path, options);
    if (!db) return pass(db);
    RollupFile file;
    file.db = std::move(*db);
    if (auto made = make_schema(file.db, path, std::string(names_schema) + std::string(rollup_schema)); !made) return pass(made);
    return file;
}

}  // namespace basmalin::coordinator
