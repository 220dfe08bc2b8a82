#include "agent/buffer/eviction.h"

#include <gtest/gtest.h>

#include <random>

namespace basmalin::agent {
namespace {

Candidate batch(int64_t id, Priority priority, bool acked = false, BatchKind kind = BatchKind::Readings) {
    return {.id = id, .bytes = 100, .readings = 10, .priority = priority, .kind = kind, .acked = acked};
}

TEST(Eviction, AckedGoFirstThenTheLeastImportantThenTheOldest) {  // R1, R2
    const std::vector<Candidate> all = {batch(1, Priority::Normal), batch(2, Priority::Alarm), batch(3, Priority::Low),
                                        batch(4, Priority::Alarm, true), batch(5, Priority::Low), batch(6, Priority::Normal)};
    EXPECT_EQ(choose(all, 1000), (std::vector<int64_t>{4, 3, 5, 1, 6, 2}));
}

TEST(Eviction, NeverGivesUpTheRecordOfLosses) {  // R3
    EXPECT_TRUE(choose({batch(1, Priority::Alarm, false, BatchKind::Gaps)}, 1000).empty());
    EXPECT_EQ(choose({batch(1, Priority::Alarm, true, BatchKind::Gaps)}, 1000).size(), 1u);
}

TEST(Eviction, TakesNoMoreThanNeeded) {  // R4
    std::vector<Candidate> all;
    for (int i = 1; i <= 10; ++i) all.push_back(batch(i, Priority::Normal));
    EXPECT_EQ(choose(all, 250).size(), 3u);
    EXPECT_TRUE(choose(all, 0).empty());
}

TEST(Eviction, WithinItsBoundsItFreesNothing) {
    EXPECT_EQ(bytes_to_free({.used_bytes = 900, .bytes_max = 1000, .disk_free_bytes = 1 << 20, .disk_reserve_bytes = 1 << 19}), 0);
    EXPECT_GT(bytes_to_free({.used_bytes = 1100, .bytes_max = 1000, .disk_free_bytes = 1 << 20, .disk_reserve_bytes = 1 << 19}), 0);
}

TEST(Eviction, FreePagesInsideTheFileCountForTheReserve) {
    Space s{.used_bytes = 5000, .bytes_max = 10'000, .disk_free_bytes = 100, .disk_reserve_bytes = 1000, .reusable_bytes = 900};
    EXPECT_EQ(bytes_to_free(s), 0);
    s.reusable_bytes = 800;
    EXPECT_GT(bytes_to_free(s), 0);
}

TEST(Eviction, BelowTheReserveItOnlyStopsToGrow) {  // R5
    Space s{.used_bytes = 50 << 20,
            .bytes_max = 256 << 20,
            .disk_free_bytes = 200 << 20,
            .disk_reserve_bytes = 256 << 20,
            .next_seal_bytes = 4096};
    EXPECT_EQ(bytes_to_free(s), 2 * 4096);
    s.reusable_bytes = 3000;
    EXPECT_EQ(bytes_to_free(s), 2 * 4096 - 3000);
    s.reusable_bytes = 4096;
    EXPECT_EQ(bytes_to_free(s), 0);
    s = {.used_bytes = 50 << 20, .bytes_max = 256 << 20, .disk_free_bytes = 0, .disk_reserve_bytes = 256 << 20, .next_seal_bytes = 0};
    EXPECT_EQ(bytes_to_free(s), 0) << "nothing is sealed";
}

TEST(Eviction, OnlyAShortageThatLastsIsGivenBackAndGradually) {  // R6
    Space s{.used_bytes = 50 << 20,
            .bytes_max = 256 << 20,
            .disk_free_bytes = 220 << 20,
            .disk_reserve_bytes = 256 << 20,
            .next_seal_bytes = 0};
    Shortage shortage;
    MonoTime now{};
    int64_t given = 0;
    const auto pass_time = [&](Duration d) {
        for (const MonoTime until = now + d; now < until; now = now + seconds(2)) {
            shortage = observed(shortage, s.disk_free_bytes < s.disk_reserve_bytes, now);
            s.shrink_bytes = shortage.share_left;
            const int64_t freed = std::min<int64_t>(bytes_to_free(s), 70'000);  // a slice
            shortage.share_left -= std::min(freed, shortage.share_left);
            s.used_bytes -= freed;
            s.disk_free_bytes += freed;
            given += freed;
        }
    };
    pass_time(minutes(9));
    EXPECT_EQ(given, 0);
    s.disk_free_bytes = 300 << 20;
    pass_time(seconds(2));
    s.disk_free_bytes = 220 << 20;
    pass_time(minutes(9));
    EXPECT_EQ(given, 0) << "it is another shortage";
    pass_time(minutes(2));
    EXPECT_GT(given, 0);
    EXPECT_LE(given, 12 * shrink_share_bytes);
    pass_time(hours(4));
    EXPECT_EQ(s.disk_free_bytes, s.disk_reserve_bytes) << "no more than the shortage";
}

TEST(Eviction, WhatCannotEndAShortageIsNotGivenUpForIt) {  // R6
    Space s{.used_bytes = 50 << 20,
            .bytes_max = 256 << 20,
            .disk_free_bytes = 0,
            .disk_reserve_bytes = 256 << 20,
            .next_seal_bytes = 0,
            .shrink_bytes = shrink_share_bytes};
    EXPECT_EQ(bytes_to_free(s), 0);
    s.disk_free_bytes = 206 << 20;
    EXPECT_EQ(bytes_to_free(s), shrink_share_bytes);
}

TEST(Eviction, GapsThatTouchBecomeOneAndLoseNoReading) {
    for (uint32_t seed = 1; seed <= 500; ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        std::mt19937 random(seed);
        std::vector<uint64_t> seqs;
        for (uint64_t s = 1; s <= 60; ++s)
            if (random() % 3 != 0) seqs.push_back(s);
        std::vector<uint64_t> order = seqs;
        std::shuffle(order.begin(), order.end(), random);
        std::vector<Gap> gaps;
        for (const uint64_t s : order)
            add_gap(gaps, {.stream = 1, .first_seq = s, .last_seq = s, .readings = s, .exact = true, .from = {}, .to = {}, .reason = GapReason::Evicted});
        uint64_t readings = 0;
        std::vector<uint64_t> told;
        for (const Gap& g : gaps) {
            readings += g.readings;
            for (uint64_t s = g.first_seq; s <= g.last_seq; ++s) told.push_back(s);
            for (const Gap& other : gaps) EXPECT_FALSE(joins(g, other));
        }
        std::sort(told.begin(), told.end());
        EXPECT_EQ(told, seqs);
        uint64_t expected = 0;
        for (const uint64_t s : seqs) expected += s;
        EXPECT_EQ(readings, expected);
    }
}

}  // namespace
}  // namespace basmalin::agent
