#include "coordinator/store/rollup.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <optional>

#include "coordinator/store/calendar.h"
#include "coordinator/store/integers.h"
#include "shared/base/bytes.h"

namespace basmalin::coordinator {
namespace {

constexpr uint8_t format_raw = 0x20;  // 8 bytes a number; below: scaled by that many decimals
constexpr int decimals_max = 15;
constexpr int level = 9;
constexpr double powers[decimals_max + 1] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
constexpr double scaled_max = 4503599627370496.0;  // 2^52

struct Columns {
    std::vector<int64_t> places, counts, least, most, sums;
};

std::optional<int64_t> exactly(double value, int decimals) {
    const double scaled = value * powers[decimals];
    if (!(std::abs(scaled) < scaled_max)) return std::nullopt;
    const int64_t n = std::llround(scaled);
    if (std::bit_cast<uint64_t>(static_cast<double>(n) / powers[decimals]) != std::bit_cast<uint64_t>(value)) return std::nullopt;
    return n;
}

// The sum as the decimal it nearly is. Adding `count` doubles errs by less than count units in the last place of the sum of their
// magnitudes, which is at most count * max(|min|, |max|).
std::optional<int64_t> nearly(const Aggregate& bucket, int decimals) {
    const double scaled = bucket.sum * powers[decimals];
    if (!(std::abs(scaled) < scaled_max)) return std::nullopt;
    const int64_t n = std::llround(scaled);
    const auto count = static_cast<double>(bucket.count);
    const double error = count * count * std::max(std::abs(bucket.min), std::abs(bucket.max)) * 2.3e-16 * powers[decimals];
    if (error > 0.2 || std::abs(scaled - static_cast<double>(n)) > error + 1e-9) return std::nullopt;
    return n;
}

bool scale_all(const DayBuckets& buckets, int decimals, Columns& columns) {
    for (const Aggregate& bucket : buckets) {
        if (bucket.count == 0) continue;
        const auto least = exactly(bucket.min, decimals);
        const auto most = exactly(bucket.max, decimals);
        const auto sum = nearly(bucket, decimals);
        if (!least || !most || !sum) return false;
        columns.least.push_back(*least);
        columns.most.push_back(*most - *least);
        columns.sums.push_back(static_cast<int64_t>(static_cast<uint64_t>(*sum) - static_cast<uint64_t>(*least) * bucket.count));
    }
    return true;
}

}  // namespace

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

std::string encode_rollup(const DayBuckets& buckets) {
    Columns columns;
    int decimals = 0;
    for (size_t i = 0; i < buckets.size(); ++i) {
        if (buckets[i].count == 0) continue;
        columns.places.push_back(static_cast<int64_t>(i));
        columns.counts.push_back(static_cast<int64_t>(buckets[i].count));
        for (const double value : {buckets[i].min, buckets[i].max}) {
            const int needed = decimals_of(value);
            decimals = needed < 0 || decimals < 0 ? -1 : std::max(decimals, needed);
        }
    }
    // Values between min and max may have more decimals than they: try two more.
    bool scaled = false;
    for (int more = 0; decimals >= 0 && more <= 2 && decimals + more <= decimals_max && !scaled; ++more) {
        Columns tried = columns;
        scaled = scale_all(buckets, decimals + more, tried);
        if (!scaled) continue;
        columns = std::move(tried);
        decimals += more;
    }
    if (!scaled) {
        for (const Aggregate& bucket : buckets) {
            if (bucket.count == 0) continue;
            columns.least.push_back(std::bit_cast<int64_t>(bucket.min));
            columns.most.push_back(std::bit_cast<int64_t>(bucket.max));
            columns.sums.push_back(std::bit_cast<int64_t>(bucket.sum));
        }
    }
    Writer head;
    head.u8(scaled ? static_cast<uint8_t>(decimals) : format_raw);
    head.varint(columns.places.size());
    std::string out = head.take();
    for (const auto* column : {&columns.places, &columns.counts, &columns.least, &columns.most, &columns.sums})
        encode_integers(out, *column, level);
    return out;
}

Result<DayBuckets> decode_rollup(std::string_view bytes, int64_t step_ms) {
    DayBuckets buckets = empty_day(step_ms);
    Reader in(bytes);
    const uint8_t form = in.u8();
    const uint64_t count = in.varint();
    if (!in.ok() || count > buckets.size() || form > format_raw || (form > decimals_max && form != format_raw))
        return fail(Code::Corrupt, "rollup: damaged");
    std::vector<int64_t> columns[5];
    for (auto& column : columns) {
        auto decoded = decode_integers(in, count);
        if (!decoded) return pass(decoded, "rollup");
        column = std::move(*decoded);
    }
    for (size_t i = 0; i < count; ++i) {
        const int64_t place = columns[0][i];
        if (place < 0 || place >= static_cast<int64_t>(buckets.size())) return fail(Code::Corrupt, "rollup: a bucket is out of its day");
        Aggregate& bucket = buckets[static_cast<size_t>(place)];
        bucket.count = static_cast<uint64_t>(columns[1][i]);
        if (form == format_raw) {
            bucket.min = std::bit_cast<double>(columns[2][i]);
            bucket.max = std::bit_cast<double>(columns[3][i]);
            bucket.sum = std::bit_cast<double>(columns[4][i]);
            continue;
        }
        const auto least = static_cast<uint64_t>(columns[2][i]);
        bucket.min = static_cast<double>(columns[2][i]) / powers[form];
        bucket.max = static_cast<double>(static_cast<int64_t>(least + static_cast<uint64_t>(columns[3][i]))) / powers[form];
        bucket.sum = static_cast<double>(static_cast<int64_t>(least * bucket.count + static_cast<uint64_t>(columns[4][i]))) / powers[form];
    }
    return buckets;
}

}  // namespace basmalin::coordinator
