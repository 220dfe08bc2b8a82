#include "coordinator/store/rollup.h"

#include <algorithm>
#include <cmath>

#include "coordinator/store/calendar.h"

namespace basmalin::coordinator {
void Aggregate::add(double value) {
    min = count == 0 ? value : std::min(min, value);
    max = count == 0 ? value : std::max(max, value);
    sum += value;
    ++count;
}

void Aggregate::add(const Aggregate& other) {
    if (other.count == 0) return;
    min = count == 0 ? other.min : std::min(min, other.min);
    max = count == 0 ? other.max : std::max(max, other.max);
    sum += other.sum;
    count += other.count;
}

bool countable(const ColumnValues& values, size_t row, double& value) {
    if (const auto* numbers = std::get_if<Numbers>(&values)) {
        value = (*numbers)[row];
        return std::isfinite(value);
    }
    if (const auto* booleans = std::get_if<Booleans>(&values)) {
        value = (*booleans)[row] != 0 ? 1 : 0;
        return true;
    }
    return false;
}

DayBuckets empty_day(int64_t step_ms) { return DayBuckets(static_cast<size_t>(day_ms / step_ms)); }

void roll(DayBuckets& buckets, int64_t day, int64_t step_ms, const std::vector<int64_t>& times_ms, const ColumnValues& values) {
    double value = 0;
    for (size_t i = 0; i < times_ms.size(); ++i) {
        const int64_t place = floor_divide(times_ms[i] - day * day_ms, step_ms);
        if (place < 0 || place >= static_cast<int64_t>(buckets.size())) continue;
        if (countable(values, i, value)) buckets[static_cast<size_t>(place)].add(value);
    }
}

bool is_empty(const DayBuckets& buckets) {
    return std::all_of(buckets.begin(), buckets.end(), [](const Aggregate& bucket) { return bucket.count == 0; });
}

}  // namespace basmalin::coordinator
