#include "coordinator/store/rollup.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <random>

#include "coordinator/store/calendar.h"
#include "coordinator/store/checksum.h"
#include "shared/base/bytes.h"

namespace basmalin::coordinator {
namespace {

double any_number(std::mt19937_64& random, uint64_t shape) {
    const auto n = static_cast<double>(random() % 1000);
    if (shape == 0) return n / 100 - 3;
    if (shape == 1) return n * 0.98;  // a sensor's coarse steps
    if (shape == 2) return static_cast<double>(static_cast<float>(n / 7));
    if (shape == 3) return std::sin(n) * std::pow(10, n / 10 - 50);
    if (shape == 4) return 7;
    return random() % 2 != 0 ? -0.0 : n;
}

// A device: quantities reported together, others by themselves, more of them than fit in a row at times.
SeriesBuckets device_of(uint64_t seed, int64_t step_ms) {
    std::mt19937_64 random(seed);
    SeriesBuckets device;
    const int64_t day = 20'718;
    SeriesId id = static_cast<SeriesId>(random() % 1000);
    for (uint64_t groups = random() % 4 + 1; groups > 0; --groups) {
        std::vector<int64_t> times;
        for (uint64_t i = random() % 300; i > 0; --i)
            times.push_back(day * day_ms + static_cast<int64_t>(random() % static_cast<uint64_t>(day_ms)));
        for (uint64_t members = random() % 20 + 1; members > 0; --members) {
            const uint64_t shape = random() % 6;
            Numbers values;
            for (size_t i = 0; i < times.size(); ++i) values.push_back(any_number(random, shape));
            DayBuckets& buckets = device[id += 1 + static_cast<SeriesId>(random() % 5)];
            buckets = empty_day(step_ms);
            roll(buckets, day, step_ms, times, values);
        }
    }
    return device;
}

void expect_same(const DayBuckets& found, const DayBuckets& given) {
    ASSERT_EQ(found.size(), given.size());
    for (size_t i = 0; i < given.size(); ++i) {
        ASSERT_EQ(found[i].count, given[i].count);
        if (given[i].count == 0) continue;
        ASSERT_EQ(std::bit_cast<uint64_t>(found[i].min), std::bit_cast<uint64_t>(given[i].min));
        ASSERT_EQ(std::bit_cast<uint64_t>(found[i].max), std::bit_cast<uint64_t>(given[i].max));
        ASSERT_NEAR(found[i].sum, given[i].sum, std::abs(given[i].sum) * 1e-12 + 1e-9);
    }
}

// R1, R2, R3
TEST(Rollup, IsWhatTheReadingsSay) {
    for (uint64_t seed = 1; seed <= 150; ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        for (const int64_t step : {short_step_ms, long_step_ms}) {
            const SeriesBuckets device = device_of(seed, step);
            SeriesBuckets found;
            for (const RollupRow& row : encode_rollups(device)) {
                auto back = decode_rollups(row.bytes, step);
                ASSERT_TRUE(back) << back.error().text;
                ASSERT_LE(back->size(), rollup_row_series_max);
                ASSERT_EQ(back->begin()->first, row.first);
                ASSERT_EQ(back->rbegin()->first, row.last);
                const auto alone = decode_rollups(row.bytes, step, row.last);
                ASSERT_TRUE(alone);
                ASSERT_EQ(alone->size(), 1U);
                expect_same(alone->at(row.last), back->at(row.last));
                EXPECT_TRUE(decode_rollups(row.bytes, step, row.last + 1)->empty());
                found.merge(*back);
            }
            for (const auto& [id, buckets] : device) {
                ASSERT_EQ(found.contains(id), !is_empty(buckets));
                if (found.contains(id)) expect_same(found.at(id), buckets);
            }
        }
    }
}

TEST(Rollup, LeavesOutWhatIsNoNumber) {
    DayBuckets buckets = empty_day(long_step_ms);
    roll(buckets, 0, long_step_ms, {0, 1, 2, 3, -1, day_ms}, Numbers{1, std::nan(""), INFINITY, 3, 100, 100});
    EXPECT_EQ(buckets[0], (Aggregate{1, 3, 4, 2}));
    EXPECT_FALSE(is_empty(buckets));
    DayBuckets texts = empty_day(long_step_ms);
    roll(texts, 0, long_step_ms, {0}, Texts{"on"});
    EXPECT_TRUE(is_empty(texts));
}

TEST(Rollup, DamageIsAnErrorAndAnyBytesBehindARightChecksumAreSurvived) {
    const std::string whole = encode_rollups(device_of(5, long_step_ms)).at(0).bytes;
    for (size_t i = 0; i < whole.size(); ++i) {
        std::string damaged = whole;
        damaged[i] = static_cast<char>(damaged[i] ^ 0x10);
        EXPECT_FALSE(decode_rollups(damaged, long_step_ms));
        EXPECT_FALSE(decode_rollups(whole.substr(0, i), long_step_ms));
    }
    for (uint64_t seed = 1; seed <= 3000; ++seed) {
        std::mt19937_64 random(seed);
        std::string bytes = whole.substr(0, whole.size() - 4);
        for (uint64_t n = random() % 4 + 1; n > 0; --n) bytes[random() % bytes.size()] = static_cast<char>(random());
        Writer end;
        end.u32(checksum_of(bytes));
        const auto back = decode_rollups(bytes + end.bytes(), long_step_ms);
        if (!back) {
            EXPECT_EQ(back.error().code, Code::Corrupt) << "seed " << seed << ": " << back.error().text;
        }
    }
}

}  // namespace
}  // namespace basmalin::coordinator
