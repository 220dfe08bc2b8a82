#include "coordinator/store/boot_clock.h"

#include <gtest/gtest.h>

namespace basmalin::coordinator {
namespace {

constexpr WallTime received{1'790'000'000'000};

BatchHeader synced(int64_t wall_ms) {
    BatchHeader header;
    header.clock = ClockState::Synced;
    header.sealed_wall = WallTime{wall_ms};
    return header;
}

// R4
TEST(BootClock, BelievesASyncedWordOnlyBetween1990AndADayAhead) {
    EXPECT_TRUE(believed(synced(received.ms), received));
    EXPECT_TRUE(believed(synced(received.ms + hours(24).ms), received));
    EXPECT_FALSE(believed(synced(received.ms + hours(24).ms + 1), received));
    EXPECT_TRUE(believed(synced(631'152'000'000), received));
    EXPECT_FALSE(believed(synced(0), received));
    EXPECT_FALSE(believed(synced(INT64_MIN), received));
    BatchHeader unsynced = synced(received.ms);
    unsynced.clock = ClockState::Unsynced;
    EXPECT_FALSE(believed(unsynced, received));
    EXPECT_FALSE(believed(BootOffset{0, ClockState::Synced, received.ms, 0}, received));
    EXPECT_FALSE(believed(BootOffset{1, ClockState::Unsynced, received.ms, 0}, received));
    EXPECT_FALSE(believed(BootOffset{1, ClockState::Synced, received.ms, -1}, received));
    EXPECT_TRUE(believed(BootOffset{1, ClockState::Synced, received.ms, 5}, received));
}

// R2
TEST(BootClock, KeepsTheWordWithTheLeastErrorAndTheFirstAmongEquals) {
    BootClock clock;
    EXPECT_TRUE(clock.hear_synced(1, 1000, 50));
    EXPECT_FALSE(clock.hear_synced(1, 1003, 50));
    EXPECT_EQ(clock.timing(1, {}, received), (Timing{1000, 50, false}));
    EXPECT_TRUE(clock.hear_synced(1, 1001, 0));
    EXPECT_FALSE(clock.hear_synced(1, 1002, 0));
    EXPECT_EQ(clock.timing(1, {}, received), (Timing{1001, 0, false}));
}

// R3
TEST(BootClock, EstimatesByTheQuickestDelivery) {
    BootClock clock;
    EXPECT_TRUE(clock.hear_batch(3, MonoTime{1000}, WallTime{501'000}));
    EXPECT_TRUE(clock.hear_batch(3, MonoTime{2000}, WallTime{501'500}));
    EXPECT_FALSE(clock.hear_batch(3, MonoTime{3000}, WallTime{509'000}));
    const Timing timing = clock.timing(3, MonoTime{1000}, WallTime{501'000});
    EXPECT_EQ(timing.offset_ms, 499'500);
    EXPECT_TRUE(timing.estimated);
    EXPECT_EQ(timing.error_ms, no_bound_ms);
}

TEST(BootClock, ABootThatNeverSyncedLiesBetweenTheBootsAroundIt) {
    BootClock clock;
    clock.hear_synced(1, 1'000'000, 0);
    clock.hear_batch(1, MonoTime{100'000}, WallTime{1'100'100});  // ended at 1,100,000 at the earliest
    clock.hear_batch(2, MonoTime{50'000}, WallTime{9'000'000});   // came with the backlog, much later
    clock.hear_synced(3, 1'400'000, 0);                           // began at 1,400,000
    const Timing timing = clock.timing(2, MonoTime{50'000}, WallTime{9'000'000});
    EXPECT_EQ(timing.offset_ms, 1'350'000);
    EXPECT_EQ(timing.error_ms, 250'000);
    EXPECT_TRUE(timing.estimated);
}

TEST(BootClock, UnknownNeighboursTakeTheirTimeToo) {
    BootClock clock;
    clock.hear_synced(1, 1'000'000, 0);
    clock.hear_batch(1, MonoTime{100'000}, WallTime{1'100'100});
    clock.hear_batch(2, MonoTime{60'000}, WallTime{9'000'000});
    clock.hear_batch(3, MonoTime{70'000}, WallTime{9'000'000});
    clock.hear_synced(4, 2'000'000, 0);
    EXPECT_EQ(clock.timing(2, {}, received).offset_ms, 2'000'000 - 70'000 - 60'000);
    EXPECT_EQ(clock.timing(3, {}, received).offset_ms, 2'000'000 - 70'000);
    EXPECT_EQ(clock.timing(3, {}, received).error_ms, 2'000'000 - 70'000 - (1'100'000 + 60'000));
}

TEST(BootClock, AForgottenBootIsPlacedByEachReceipt) {
    const BootClock clock;
    EXPECT_EQ(clock.timing(9, MonoTime{1000}, WallTime{5000}), (Timing{4000, no_bound_ms, true}));
}

TEST(BootClock, RemembersABoundedNumberOfBoots) {
    BootClock clock;
    for (uint32_t boot = 1; boot <= boots_per_stream_max; ++boot) clock.hear_synced(boot, boot, 0);
    EXPECT_FALSE(clock.trim());
    clock.hear_synced(1'000'000, 1, 0);
    EXPECT_EQ(clock.trim(), 1U);
    EXPECT_EQ(clock.find(1), nullptr);
    EXPECT_NE(clock.find(2), nullptr);
}

}  // namespace
}  // namespace basmalin::coordinator
