// The rollups of a device, one UTC day and one step: min, max, sum and count of each bucket that has numbers. Pure.
// Hourly ones are written when a day is merged; 5-minute ones only when a month's readings go: until then they would cost as much as
// the readings, which give the same in a few milliseconds a month.
// R1  A pure function of the day's readings: redoing it gives the same. NaN and infinities are left out; booleans count 0 and 1.
// R2  min and max come back bit for bit; a sum of short decimals comes back as the decimal (better rounded than adding doubles).
// R3  Any bytes give buckets or Corrupt. One series is decoded without the others.
// The byte format is in README.md.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "coordinator/store/store.h"
#include "shared/base/result.h"
#include "shared/series/codec.h"

namespace basmalin::coordinator {

constexpr int64_t short_step_ms = 300'000;
constexpr int64_t long_step_ms = 3'600'000;

struct Aggregate {
    double min = 0;
    double max = 0;
    double sum = 0;
    uint64_t count = 0;
    void add(double value);
    void add(const Aggregate& other);
    bool operator==(const Aggregate&) const = default;
};

// One value of a column, as buckets count it; false when they do not.
bool countable(const ColumnValues& values, size_t row, double& value);

// A day's buckets, by their place in the day; empty ones have count 0.
using DayBuckets = std::vector<Aggregate>;
DayBuckets empty_day(int64_t step_ms);
// Readings outside of the day are ignored.
void roll(DayBuckets& buckets, int64_t day, int64_t step_ms, const std::vector<int64_t>& times_ms, const ColumnValues& values);
bool is_empty(const DayBuckets& buckets);

// A device's series in rows of a few neighbours, so that a chart of one of many reads few of the others. Empty days are left out.
constexpr size_t rollup_row_series_max = 32;
using SeriesBuckets = std::map<SeriesId, DayBuckets>;
struct RollupRow {
    SeriesId first = 0;
    SeriesId last = 0;
    std::string bytes;
};
std::vector<RollupRow> encode_rollups(const SeriesBuckets& rollups);
// All series of a row, or the one asked for if it is there.
Result<SeriesBuckets> decode_rollups(std::string_view bytes, int64_t step_ms, std::optional<SeriesId> only = std::nullopt);

}  // namespace basmalin::coordinator
