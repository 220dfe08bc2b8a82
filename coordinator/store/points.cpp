#include "coordinator/store/points.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <numeric>
#include <queue>
#include <tuple>

namespace basmalin::coordinator {
namespace {

// A total order of doubles: NaNs too have their place.
int64_t ordered_bits(double value) {
    const auto bits = std::bit_cast<int64_t>(value);
    return bits < 0 ? static_cast<int64_t>(~static_cast<uint64_t>(bits) | (uint64_t{1} << 63)) : bits;
}

bool value_before(const ReadingPoint& a, const ReadingPoint& b) {
    if (a.value.index() != b.value.index()) return a.value.index() < b.value.index();
    if (const auto* x = std::get_if<double>(&a.value)) {
        const int64_t left = ordered_bits(*x);
        const int64_t right = ordered_bits(std::get<double>(b.value));
        if (left != right) return left < right;
    } else if (a.value != b.value) {
        return a.value < b.value;
    }
    return a.estimated < b.estimated;
}

Value value_at(const ColumnValues& values, size_t row) {
    if (const auto* numbers = std::get_if<Numbers>(&values)) return (*numbers)[row];
    if (const auto* booleans = std::get_if<Booleans>(&values)) return (*booleans)[row] != 0;
    return std::get<Texts>(values)[row];
}

struct Head {
    int64_t time_ms = 0;
    SeriesId series = 0;
    const PointColumn* column = nullptr;
    bool estimated = false;
    size_t row = 0;
    bool operator>(const Head& other) const { return std::tie(time_ms, series) > std::tie(other.time_ms, other.series); }
};

}  // namespace

size_t size_of(const ColumnValues& values) {
    return std::visit([](const auto& list) { return list.size(); }, values);
}

ColumnValues empty_values(ValueKind kind) {
    if (kind == ValueKind::Boolean) return Booleans{};
    if (kind == ValueKind::Text) return Texts{};
    return Numbers{};
}

bool append_value(ColumnValues& to, const ColumnValues& from, size_t row) {
    return std::visit(
        [&](auto& list) {
            const auto* other = std::get_if<std::decay_t<decltype(list)>>(&from);
            if (other == nullptr) return false;
            list.push_back((*other)[row]);
            return true;
        },
        to);
}

bool append_values(ColumnValues& to, const ColumnValues& from) {
    return std::visit(
        [&](auto& list) {
            const auto* other = std::get_if<std::decay_t<decltype(list)>>(&from);
            if (other == nullptr) return false;
            list.insert(list.end(), other->begin(), other->end());
            return true;
        },
        to);
}

ColumnValues permuted(const ColumnValues& values, const std::vector<uint32_t>& order) {
    return std::visit(
        [&](const auto& list) -> ColumnValues {
            std::decay_t<decltype(list)> sorted;
            sorted.reserve(order.size());
            for (const uint32_t row : order) sorted.push_back(list[row]);
            return sorted;
        },
        values);
}

std::optional<std::vector<uint32_t>> order_of(const std::vector<int64_t>& times_ms) {
    if (std::is_sorted(times_ms.begin(), times_ms.end())) return std::nullopt;
    std::vector<uint32_t> order(times_ms.size());
    std::iota(order.begin(), order.end(), uint32_t{0});
    std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return std::tie(times_ms[a], a) < std::tie(times_ms[b], b); });
    return order;
}

void sort_by_time(PointColumn& column) {
    const auto order = order_of(column.times_ms);
    if (!order) return;
    column.values = permuted(column.values, *order);
    std::sort(column.times_ms.begin(), column.times_ms.end());
}

void add_points(PointColumns& columns, PointKey key, const std::vector<int64_t>& times_ms, int64_t offset_ms, const ColumnValues& values,
                int64_t from_ms, int64_t to_ms) {
    PointColumn& column = columns.try_emplace(key, PointColumn{{}, empty_values(static_cast<ValueKind>(values.index()))}).first->second;
    if (column.values.index() != values.index()) return;  // a series is of one kind
    for (size_t i = 0; i < times_ms.size(); ++i) {
        const int64_t time = times_ms[i] + offset_ms;
        if (time < from_ms || time >= to_ms) continue;
        column.times_ms.push_back(time);
        append_value(column.values, values, i);
    }
}

std::string to_text(const PointCursor& cursor) {
    return std::to_string(cursor.time_ms) + "." + std::to_string(cursor.series) + "." + std::to_string(cursor.given);
}

Result<PointCursor> parse_cursor(std::string_view text) {
    PointCursor cursor;
    const char* at = text.data();
    const char* end = at + text.size();
    const auto number = [&](auto& into, bool dot) {
        const auto [next, error] = std::from_chars(at, end, into);
        at = next;
        if (error != std::errc{}) return false;
        if (!dot) return at == end;
        if (at == end || *at != '.') return false;
        ++at;
        return true;
    };
    if (!number(cursor.time_ms, true) || !number(cursor.series, true) || !number(cursor.given, false))
        return fail(Code::Invalid, "cursor: not one that this service gave", "start again without a cursor");
    return cursor;
}

std::optional<PointCursor> merge_points(const PointColumns& columns, const PointCursor& start, size_t limit, std::vector<ReadingPoint>& out) {
    std::priority_queue<Head, std::vector<Head>, std::greater<>> heads;
    for (const auto& [key, column] : columns) {
        // A series before the cursor's has given all of its points at the cursor's time.
        const int64_t from = key.first < start.series ? start.time_ms + 1 : start.time_ms;
        const auto at = std::lower_bound(column.times_ms.begin(), column.times_ms.end(), from);
        if (at != column.times_ms.end())
            heads.push({*at, key.first, &column, key.second, static_cast<size_t>(at - column.times_ms.begin())});
    }
    std::vector<ReadingPoint> same;
    while (!heads.empty()) {
        const int64_t time = heads.top().time_ms;
        const SeriesId series = heads.top().series;
        same.clear();
        while (!heads.empty() && heads.top().time_ms == time && heads.top().series == series) {
            Head head = heads.top();
            heads.pop();
            same.push_back({series, WallTime{time}, value_at(head.column->values, head.row), head.estimated});
            if (++head.row == head.column->times_ms.size()) continue;
            head.time_ms = head.column->times_ms[head.row];
            heads.push(head);
        }
        std::sort(same.begin(), same.end(), value_before);
        const uint64_t given = time == start.time_ms && series == start.series ? start.given : 0;
        for (uint64_t i = given; i < same.size(); ++i) {
            if (out.size() >= limit) return PointCursor{time, series, i};
            out.push_back(std::move(same[i]));
        }
    }
    return std::nullopt;
}

}  // namespace basmalin::coordinator
