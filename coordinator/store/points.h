// Columns of points of single series, merged into one order: time, then series, then value. Pure.
// R1  Equal (time, series) are ordered by value, so the order does not depend on where a reading is stored, and a cursor stays
//     right while compaction moves readings.
// R2  A cursor names the next point: its time, its series, and how many of the same (time, series) were given already.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "coordinator/store/store.h"
#include "shared/series/codec.h"

namespace basmalin::coordinator {

struct PointColumn {
    std::vector<int64_t> times_ms;
    ColumnValues values;
};
using PointKey = std::pair<SeriesId, bool>;  // bool: estimated
using PointColumns = std::map<PointKey, PointColumn>;

size_t size_of(const ColumnValues& values);
ColumnValues empty_values(ValueKind kind);
// Appends values[row]; kinds must agree, else nothing happens and false.
bool append_value(ColumnValues& to, const ColumnValues& from, size_t row);
bool append_values(ColumnValues& to, const ColumnValues& from);
ColumnValues permuted(const ColumnValues& values, const std::vector<uint32_t>& order);
// The stable order of the times, or nothing when they ascend already.
std::optional<std::vector<uint32_t>> order_of(const std::vector<int64_t>& times_ms);
void sort_by_time(PointColumn& column);

// Takes part of [from, to) of the column's readings into `columns`.
void add_points(PointColumns& columns, PointKey key, const std::vector<int64_t>& times_ms, int64_t offset_ms, const ColumnValues& values,
                int64_t from_ms, int64_t to_ms);

struct PointCursor {
    int64_t time_ms = 0;
    SeriesId series = 0;
    uint64_t given = 0;
    bool operator==(const PointCursor&) const = default;
};
std::string to_text(const PointCursor& cursor);
Result<PointCursor> parse_cursor(std::string_view text);

// Appends points from `start` on until `out` holds `limit`; the cursor of the next one, if there is a next one. The columns must be
// sorted by time.
std::optional<PointCursor> merge_points(const PointColumns& columns, const PointCursor& start, size_t limit, std::vector<ReadingPoint>& out);

}  // namespace basmalin::coordinator
