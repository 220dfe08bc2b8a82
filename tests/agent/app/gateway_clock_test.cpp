#include "agent/app/gateway_clock.h"

#include <gtest/gtest.h>

namespace basmalin::agent {
namespace {

constexpr ClockReading unsynced{};
constexpr ClockReading synced{ClockState::Synced, 12};

TEST(GatewayClock, R1_AnUnsyncedClockIsNeverBeforeAWelcome) {
    ManualClock clock;
    clock.set(MonoTime{1'000}, WallTime{0});
    GatewayClock gateway(clock);
    gateway.not_before(WallTime{1'790'000'000'000});
    clock.advance(seconds(5));
    EXPECT_EQ(gateway.now().wall, WallTime{1'790'000'005'000});
    clock.set(clock.mono(), WallTime{1'800'000'000'000});
    EXPECT_EQ(gateway.now().wall, clock.wall()) << "but it may be later";
    clock.set(clock.mono(), WallTime{0});
    gateway.read(synced);
    EXPECT_EQ(gateway.now().wall, WallTime{0}) << "and a synced one is believed";
}

TEST(GatewayClock, R2_ALostServerDoesNotTakeBackWhatWasRight) {
    ManualClock clock;
    GatewayClock gateway(clock);
    EXPECT_FALSE(gateway.read(synced)) << "no boot yet";
    gateway.begin(3, {});
    const auto told = gateway.read(synced);
    ASSERT_TRUE(told);
    EXPECT_EQ(told->boot_no, 3U);
    EXPECT_EQ(told->error_ms, 12);
    EXPECT_FALSE(gateway.read(unsynced));
    EXPECT_EQ(gateway.state(), ClockState::Unsynced);
}

TEST(GatewayClock, R3_OnlyNewsIsTold) {
    ManualClock clock;
    GatewayClock gateway(clock);
    gateway.begin(1, {});
    EXPECT_TRUE(gateway.read(unsynced));
    EXPECT_FALSE(gateway.read(unsynced));
    clock.step_wall(milliseconds(500));
    EXPECT_FALSE(gateway.read(unsynced));
    clock.step_wall(milliseconds(1));
    EXPECT_TRUE(gateway.read(unsynced));
    EXPECT_TRUE(gateway.read(synced));
    gateway.begin(1, {});
    EXPECT_TRUE(gateway.read(synced)) << "a repaired buffer knows nothing";
    GatewayClock again(clock);
    again.begin(1, {BootOffset{.boot_no = 1, .state = ClockState::Synced, .offset_ms = clock.wall().ms - clock.mono().ms, .error_ms = 12}});
    EXPECT_FALSE(again.read(synced)) << "the buffer knows it";
}

}  // namespace
}  // namespace basmalin::agent
