#include "coordinator/store/sqlite_history_reader.h"

#include <sys/stat.h>

#include <algorithm>

#include "coordinator/store/applied.h"
#include "coordinator/store/calendar.h"
#include "coordinator/store/chunk.h"
#include "coordinator/store/sqlite_history.h"

namespace basmalin::coordinator {
namespace {

constexpr size_t open_files_max = 40;
constexpr size_t day_values_max = size_t{1} << 24;  // decoded for one page's day: 256 MB

ino_t inode_of(const std::string& path) {
    struct stat info{};
    return ::stat(path.c_str(), &info) == 0 ? info.st_ino : 0;
}

}  // namespace

struct HistoryReader::OpenFile {
    Database db;
    Statement applied, next_day, day_chunks, dirty_days, rollups;
    ino_t inode = 0;
    bool begun = false;
    uint64_t used = 0;
    uint64_t checked = 0;
};

HistoryReader::HistoryReader(std::string folder) : folder_(std::move(folder)) {}
HistoryReader::~HistoryReader() = default;

Result<void> HistoryReader::begin() {
    ++call_;
    const auto months = history_months(folder_);
    const auto years = rollup_years(folder_);
    months_ = std::set<int32_t>(months.begin(), months.end());
    years_ = std::set<int32_t>(years.begin(), years.end());
    std::erase_if(history_, [&](const auto& entry) { return !months_.contains(entry.first); });
    std::erase_if(rolled_, [&](const auto& entry) { return !years_.contains(entry.first); });
    return {};
}

void HistoryReader::end() {
    applied_.clear();
    for (auto* files : {&history_, &rolled_}) {
        for (auto& [number, file] : *files) {
            if (file->begun) file->db.rollback();
            file->begun = false;
        }
        while (files->size() > open_files_max) {
            const auto oldest = std::min_element(files->begin(), files->end(),
                                                 [](const auto& a, const auto& b) { return a.second->used < b.second->used; });
            files->erase(oldest);
        }
    }
}

Result<HistoryReader::OpenFile*> HistoryReader::open(std::map<int32_t, std::unique_ptr<OpenFile>>& files, int32_t number,
                                                     const std::string& path, bool chunks) {
    auto at = files.find(number);
    if (at != files.end() && at->second->checked != call_) {
        // The file may have been set aside and made anew since the last call.
        if (inode_of(path) == at->second->inode) {
            at->second->checked = call_;
        } else {
            files.erase(at);
            at = files.end();
        }
    }
    if (at == files.end()) {
        auto file = std::make_unique<OpenFile>();
        file->inode = inode_of(path);
        if (file->inode == 0) return nullptr;  // retention took it just now
        DatabaseOptions how;
        how.read_only = true;
        auto db = Database::open(path, how);
        if (!db) return pass(db);
        file->db = std::move(*db);
        auto version = file->db.integer("PRAGMA user_version");
        if (!version) return pass(version, path);
        if (*version == 0) return nullptr;  // the writer is making it: nothing is in it yet
        auto prepared = prepare_all(file->db, {{&file->rollups,
                                                "SELECT day, bytes FROM rollup WHERE device = ?1 AND step = ?2 AND day BETWEEN ?3 AND ?4 "
                                                "AND first <= ?5 AND last >= ?5"}});
        if (prepared && chunks) {
            prepared = prepare_all(
                file->db, {{&file->applied, "SELECT bits FROM applied WHERE stream = ? AND block = ?"},
                           {&file->next_day, "SELECT min(day) FROM chunk WHERE device = ? AND day BETWEEN ? AND ?"},
                           {&file->day_chunks, "SELECT bytes FROM chunk WHERE device = ? AND day = ? AND rolled < 2 ORDER BY part"},
                           {&file->dirty_days, "SELECT DISTINCT day FROM chunk WHERE device = ? AND day BETWEEN ? AND ? AND rolled = 0"}});
        }
        if (!prepared) return pass(prepared, path);
        file->checked = call_;
        at = files.insert_or_assign(number, std::move(file)).first;
    }
    OpenFile& file = *at->second;
    file.used = call_;
    if (!file.begun) {
        if (auto begun = file.db.execute("BEGIN; SELECT count(*) FROM sqlite_schema;"); !begun) return pass(begun, path);
        file.begun = true;
    }
    return &file;
}

Result<HistoryReader::OpenFile*> HistoryReader::file(int32_t month) {
    if (!months_.contains(month)) return nullptr;
    return open(history_, month, history_path(folder_, month), true);
}

Result<HistoryReader::OpenFile*> HistoryReader::rollup_file(int32_t year) {
    if (!years_.contains(year)) return nullptr;
    return open(rolled_, year, rollup_path(folder_, year), false);
}

Result<bool> HistoryReader::applied(int32_t month, uint64_t stream, uint64_t seq) {
    const auto key = std::make_tuple(month, stream, applied_block(seq));
    auto at = applied_.find(key);
    if (at == applied_.end()) {
        auto from = file(month);
        if (!from) return pass(from);
        std::string bits;
        if (*from != nullptr) {
            Statement& find = (*from)->applied;
            Resetting guard(find);
            find.bind(1, to_row(stream)).bind(2, applied_block(seq));
            auto row = find.step();
            if (!row) return pass(row, "read what moved to history");
            if (*row) bits = std::string(find.blob(0));
        }
        at = applied_.emplace(key, std::move(bits)).first;
    }
    return is_applied(at->second, seq);
}

Result<std::optional<int64_t>> HistoryReader::next_day(const std::vector<WantedSeries>& wanted, int64_t first, int64_t last) {
    if (months_.empty() || first > last) return std::nullopt;
    std::set<int64_t> devices;
    for (const WantedSeries& series : wanted) devices.insert(series.device);
    const int32_t from_month = month_of_day(std::max(first, first_day_of(*months_.begin())));
    for (auto month = months_.lower_bound(from_month); month != months_.end() && first_day_of(*month) <= last; ++month) {
        auto from = file(*month);
        if (!from) return pass(from);
        if (*from == nullptr) continue;
        std::optional<int64_t> next;
        for (const int64_t device : devices) {
            Statement& find = (*from)->next_day;
            Resetting guard(find);
            find.bind(1, device).bind(2, first).bind(3, last);
            auto row = find.step();
            if (!row) return pass(row, "read history");
            if (!find.is_null(0) && (!next || find.integer(0) < *next)) next = find.integer(0);
        }
        if (next) return next;
    }
    return std::nullopt;
}

void HistoryReader::tell_damage(int64_t day, const Error& error) {
    if (!damage_told_.open(SystemClock().mono())) return;
    log::error("store.chunk_unreadable",
               {{"month", month_of_day(day)}, {"day", day}, {"error", error.message()}, {"suppressed", damage_told_.suppressed()}});
}

Result<void> HistoryReader::read_day(const std::vector<WantedSeries>& wanted, int64_t day, int64_t from_ms, int64_t to_ms,
                                     PointColumns& columns, const Deadline& deadline) {
    auto from = file(month_of_day(day));
    if (!from) return pass(from);
    if (*from == nullptr) return {};
    std::set<int64_t> devices;
    std::set<SeriesId> series_wanted;
    for (const WantedSeries& series : wanted) {
        devices.insert(series.device);
        series_wanted.insert(series.id);
    }
    size_t values_read = 0;
    for (const int64_t device : devices) {
        Statement& chunks = (*from)->day_chunks;
        Resetting guard(chunks);
        chunks.bind(1, device).bind(2, day);
        for (;;) {
            if (auto good = deadline.check(); !good) return good;
            auto row = chunks.step();
            if (!row) return pass(row, "read history");
            if (!*row) break;
            auto view = ChunkView::open(chunks.blob(0));
            if (!view) {
                tell_damage(day, view.error());
                continue;
            }
            for (const ChunkView::Table& table : view->tables()) {
                if (table.rows == 0 || table.last_ms < from_ms || table.first_ms >= to_ms) continue;
                std::vector<int64_t> times;
                for (const ChunkView::Column& column : table.columns) {
                    if (!series_wanted.contains(column.series)) continue;
                    values_read += table.rows;
                    if (values_read > day_values_max)
                        return fail(Code::Invalid, "the query holds too many readings of one day", "ask for fewer series");
                    if (times.empty()) {
                        auto decoded = chunk_times(table);
                        if (!decoded) {
                            tell_damage(day, decoded.error());
                            break;
                        }
                        times = std::move(*decoded);
                    }
                    auto values = chunk_values(table, column);
                    if (!values) {
                        tell_damage(day, values.error());
                        continue;
                    }
                    add_points(columns, {column.series, table.estimated}, times, 0, *values, from_ms, to_ms);
                }
            }
        }
    }
    return {};
}

Result<std::set<int64_t>> HistoryReader::dirty_days(int64_t device, int64_t first, int64_t last) {
    std::set<int64_t> days;
    for (const int32_t month : months_) {
        if (first_day_of(month + 1) <= first || first_day_of(month) > last) continue;
        auto from = file(month);
        if (!from) return pass(from);
        if (*from == nullptr) continue;
        Statement& find = (*from)->dirty_days;
        Resetting guard(find);
        find.bind(1, device).bind(2, first).bind(3, last);
        for (;;) {
            auto row = find.step();
            if (!row) return pass(row, "read history");
            if (!*row) break;
            days.insert(find.integer(0));
        }
    }
    return days;
}

Result<void> HistoryReader::rollups(const WantedSeries& series, int64_t step_ms, int64_t first, int64_t last,
                                    const std::set<int64_t>& dirty, const TakeDay& take, const Deadline& deadline) {
    for (const int32_t year : years_) {
        for (int32_t month = year * 12; month < year * 12 + 12; ++month) {
            if (months_.contains(month) || first_day_of(month + 1) <= first || first_day_of(month) > last) continue;
            auto from = rollup_file(year);
            if (!from) return pass(from);
            if (*from == nullptr) continue;
            const int64_t until = std::min(last, first_day_of(month + 1) - 1);
            auto read = read_rollups(**from, series, step_ms, std::max(first, first_day_of(month)), until, {}, take, deadline);
            if (!read) return read;
        }
    }
    for (const int32_t month : months_) {
        if (first_day_of(month + 1) <= first || first_day_of(month) > last) continue;
        auto from = file(month);
        if (!from) return pass(from);
        if (*from == nullptr) continue;
        if (auto read = read_rollups(**from, series, step_ms, first, last, dirty, take, deadline); !read) return read;
    }
    return {};
}

Result<void> HistoryReader::read_rollups(OpenFile& from, const WantedSeries& series, int64_t step_ms, int64_t first, int64_t last,
                                         const std::set<int64_t>& dirty, const TakeDay& take, const Deadline& deadline) {
    Statement& find = from.rollups;
    Resetting guard(find);
    find.bind(1, series.device).bind(2, step_ms).bind(3, first).bind(4, last).bind(5, series.id);
    for (;;) {
        if (auto good = deadline.check(); !good) return good;
        auto row = find.step();
        if (!row) return pass(row, "read rollups");
        if (!*row) return {};
        if (dirty.contains(find.integer(0))) continue;
        auto found = decode_rollups(find.blob(1), step_ms, series.id);
        if (!found) {
            tell_damage(find.integer(0), found.error());
            continue;
        }
        for (const auto& [id, buckets] : *found) take(find.integer(0), buckets);
    }
}

}  // namespace basmalin::coordinator
