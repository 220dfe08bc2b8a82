#include <algorithm>

#include "coordinator/store/calendar.h"
#include "coordinator/store/sqlite_reader.h"
#include "coordinator/store/sqlite_store.h"

namespace basmalin::coordinator {
namespace {

constexpr Duration patience = milliseconds(2000);
constexpr size_t series_max = 64;
constexpr size_t page_max = 100'000;
constexpr size_t list_max = 100'000;
constexpr int64_t time_bound_ms = int64_t{1} << 52;

Result<ReadingQuery> checked(const ReadingQuery& query) {
    if (query.series.size() > series_max)
        return fail(Code::Invalid, "series: " + std::to_string(query.series.size()) + " given, at most " + std::to_string(series_max));
    if (query.from > query.to) return fail(Code::Invalid, "from: is after to");
    ReadingQuery bounded = query;
    bounded.from.ms = std::clamp(query.from.ms, -time_bound_ms, time_bound_ms);
    bounded.to.ms = std::clamp(query.to.ms, -time_bound_ms, time_bound_ms);
    return bounded;
}

void bind_list(Statement& list, const std::string& node, size_t limit, int64_t before) {
    if (!node.empty()) list.bind(1, std::string_view(node));
    list.bind(2, before > 0 ? before : INT64_MAX).bind(3, static_cast<int64_t>(std::min(limit, list_max)));
}

}  // namespace

Result<std::unique_ptr<StoreReader>> open_sqlite_reader(const StoreOptions& options) {
    auto reader = std::unique_ptr<SqliteReader>(new SqliteReader(options.folder));
    DatabaseOptions how;
    how.read_only = true;
    how.cache_bytes = 8 << 20;
    auto fleet = Database::open(options.folder + "/fleet.db", how);
    if (!fleet) return pass(fleet, "open a reader");
    reader->fleet_ = std::move(*fleet);
    auto hot = HotReader::prepare(reader->fleet_);
    if (!hot) return pass(hot, "open a reader");
    reader->hot_ = std::move(*hot);
    auto prepared = prepare_all(
        reader->fleet_,
        {{&reader->gaps_,
          "SELECT id, node, stream, first_seq, last_seq, readings, exact, from_ms, to_ms, reason, received_ms FROM gap "
          "WHERE id < ?2 ORDER BY id DESC LIMIT ?3"},
         {&reader->gaps_of_node_,
          "SELECT id, node, stream, first_seq, last_seq, readings, exact, from_ms, to_ms, reason, received_ms FROM gap "
          "WHERE node = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3"},
         {&reader->dead_letters_, "SELECT id, node, received_ms, reason, size FROM dead_letter WHERE id < ?2 ORDER BY id DESC LIMIT ?3"},
         {&reader->events_, "SELECT id, node, received_ms, time, text FROM event WHERE id < ?2 ORDER BY id DESC LIMIT ?3"},
         {&reader->events_of_node_,
          "SELECT id, node, received_ms, time, text FROM event WHERE node = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3"}});
    if (!prepared) return pass(prepared, "open a reader");
    return std::unique_ptr<StoreReader>(std::move(reader));
}

// The fleet's snapshot comes first: what left hot before it is in history's snapshots, taken later; what is in both is left out of
// hot by history's marks.
Result<void> SqliteReader::begin() {
    if (auto begun = fleet_.execute("BEGIN; SELECT count(*) FROM meta;"); !begun) return begun;
    if (auto begun = history_.begin(); !begun) {
        fleet_.rollback();
        return begun;
    }
    return {};
}

void SqliteReader::end() {
    hot_.clear();
    history_.end();
    fleet_.rollback();
}

Result<bool> SqliteReader::moved(const HotRef& batch, int64_t day) { return history_.applied(month_of_day(day), batch.stream, batch.seq); }

Result<StoreReader::Page> SqliteReader::readings(const ReadingQuery& asked, size_t limit, const std::string& cursor) {
    auto query = checked(asked);
    if (!query) return pass(query);
    if (limit == 0 || limit > page_max) return fail(Code::Invalid, "limit: must be 1 to " + std::to_string(page_max));
    PointCursor start{query->from.ms, 0, 0};
    if (!cursor.empty()) {
        auto parsed = parse_cursor(cursor);
        if (!parsed) return pass(parsed);
        if (parsed->time_ms < query->from.ms || parsed->time_ms >= query->to.ms)
            return fail(Code::Invalid, "cursor: outside of the time asked for", "start again without a cursor");
        start = *parsed;
    }
    Page page;
    const MonoTime now = SystemClock().mono();
    if (const HeldDay* held = held_.find(query->answer, start.time_ms, now)) {
        if (auto next = merge_points(held->columns, start, limit, page.points)) {
            page.next = to_text(*next);
            return page;
        }
        start = {held->to_ms, 0, 0};
    }
    held_.drop(query->answer);
    if (start.time_ms >= query->to.ms) return page;
    if (auto begun = begin(); !begun) return pass(begun, "read");
    auto read = read_page(*query, start, limit, page);
    end();
    if (!read) return pass(read, "read");
    return page;
}

Result<void> SqliteReader::read_page(const ReadingQuery& query, PointCursor start, size_t limit, Page& page) {
    const Deadline deadline(patience);
    auto wanted = hot_.wanted(query.series);
    if (!wanted) return pass(wanted);
    if (wanted->empty()) return {};
    if (auto selected = hot_.select(*wanted, start.time_ms, query.to.ms, deadline); !selected) return pass(selected);
    int64_t from = start.time_ms;
    for (;;) {
        auto day = next_day(*wanted, from, query.to.ms);
        if (!day) return pass(day);
        if (!*day) return {};
        const int64_t begin_ms = std::max(from, **day * day_ms);
        const int64_t end_ms = std::min(query.to.ms, (**day + 1) * day_ms);
        PointColumns columns;
        if (auto read = read_day(*wanted, **day, begin_ms, end_ms, columns, deadline); !read) return pass(read);
        for (auto& [key, column] : columns) sort_by_time(column);
        if (auto next = merge_points(columns, start, limit, page.points)) {
            page.next = to_text(*next);
            held_.hold({query.answer, begin_ms, end_ms, std::move(columns), 0, {}}, SystemClock().mono());
            return {};
        }
        if (end_ms >= query.to.ms) return {};
        from = end_ms;
    }
}

// The first day at or after from_ms that may hold something; none before to_ms.
Result<std::optional<int64_t>> SqliteReader::next_day(const std::vector<WantedSeries>& wanted, int64_t from_ms, int64_t to_ms) {
    std::optional<int64_t> next;
    if (const int64_t hot = hot_.next_time(from_ms); hot < to_ms) next = day_of(hot);
    auto kept = history_.next_day(wanted, day_of(from_ms), day_of(to_ms - 1));
    if (!kept) return pass(kept);
    if (*kept && (!next || **kept < *next)) next = **kept;
    return next;
}

Result<void> SqliteReader::read_day(const std::vector<WantedSeries>& wanted, int64_t day, int64_t from_ms, int64_t to_ms,
                                    PointColumns& columns, const Deadline& deadline) {
    if (auto read = history_.read_day(wanted, day, from_ms, to_ms, columns, deadline); !read) return read;
    return hot_.read(from_ms, to_ms, [&](const HotRef& batch) { return moved(batch, day); }, columns, deadline);
}

Result<std::vector<GapRecord>> SqliteReader::gaps(const std::string& node, size_t limit, int64_t before) {
    std::vector<GapRecord> found;
    Statement& list = node.empty() ? gaps_ : gaps_of_node_;
    Resetting guard(list);
    bind_list(list, node, limit, before);
    for (;;) {
        auto row = list.step();
        if (!row) return pass(row, "read gaps");
        if (!*row) return found;
        GapRecord record;
        record.id = list.integer(0);
        record.node = list.text(1);
        record.gap.stream = from_row(list.integer(2));
        record.gap.first_seq = from_row(list.integer(3));
        record.gap.last_seq = from_row(list.integer(4));
        record.gap.readings = from_row(list.integer(5));
        record.gap.exact = list.integer(6) != 0;
        record.gap.from = WallTime{list.integer(7)};
        record.gap.to = WallTime{list.integer(8)};
        record.gap.reason = static_cast<GapReason>(list.integer(9));
        record.received = WallTime{list.integer(10)};
        found.push_back(std::move(record));
    }
}

Result<std::vector<StoreReader::DeadLetter>> SqliteReader::dead_letters(size_t limit, int64_t before) {
    std::vector<DeadLetter> found;
    Resetting guard(dead_letters_);
    bind_list(dead_letters_, {}, limit, before);
    for (;;) {
        auto row = dead_letters_.step();
        if (!row) return pass(row, "read dead letters");
        if (!*row) return found;
        found.push_back({dead_letters_.integer(0), dead_letters_.text(1), WallTime{dead_letters_.integer(2)}, dead_letters_.text(3),
                         static_cast<size_t>(dead_letters_.integer(4))});
    }
}

Result<std::vector<StoreReader::Event>> SqliteReader::events(const std::string& node, size_t limit, int64_t before) {
    std::vector<Event> found;
    Statement& list = node.empty() ? events_ : events_of_node_;
    Resetting guard(list);
    bind_list(list, node, limit, before);
    for (;;) {
        auto row = list.step();
        if (!row) return pass(row, "read events");
        if (!*row) return found;
        found.push_back({list.integer(0), list.text(1), WallTime{list.integer(2)}, list.text(3), list.text(4)});
    }
}

}  // namespace basmalin::coordinator
