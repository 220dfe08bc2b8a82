#include "shared/base/clock.h"

#include <gtest/gtest.h>

namespace basmalin {
namespace {

TEST(Clock, WallTimeIsWrittenAsRfc3339) {
    EXPECT_EQ(to_rfc3339({0}), "1970-01-01T00:00:00.000Z");
    EXPECT_EQ(to_rfc3339({1'795'368'900'123}), "2026-11-22T17:35:00.123Z");
    EXPECT_EQ(to_rfc3339({951'782'400'000}), "2000-02-29T00:00:00.000Z");
    EXPECT_EQ(to_rfc3339({-1}), "1969-12-31T23:59:59.999Z");
    EXPECT_EQ(to_rfc3339({-62'135'596'800'000}), "0001-01-01T00:00:00.000Z");
    EXPECT_EQ(to_rfc3339({253'402'300'799'999}), "9999-12-31T23:59:59.999Z");
}

TEST(Clock, ATimeWithoutAFourDigitYearIsOutOfRange) {
    for (const int64_t ms : {INT64_MIN, INT64_MAX, int64_t{253'402'300'800'000}, int64_t{-99'999'999'999'999}}) EXPECT_EQ(to_rfc3339({ms}), "out of range");
}

TEST(Clock, MonotonicTimeDoesNotGoBack) {
    const SystemClock clock;
    MonoTime last = clock.mono();
    for (int i = 0; i < 10'000; ++i) {
        const MonoTime now = clock.mono();
        ASSERT_GE(now, last);
        last = now;
    }
    EXPECT_GT(clock.wall().ms, 1'700'000'000'000);
}

TEST(Clock, AManualClockStepsOnlyTheWall) {
    ManualClock clock;
    const MonoTime mono = clock.mono();
    const WallTime wall = clock.wall();
    clock.step_wall(hours(-1));
    EXPECT_EQ(clock.mono(), mono);
    EXPECT_EQ(clock.wall() - wall, hours(-1));
    clock.advance(seconds(5));
    EXPECT_EQ(clock.mono() - mono, seconds(5));
    EXPECT_EQ(clock.wall() - wall, seconds(5) - hours(1));
}

TEST(Clock, ItsStatesHaveNames) {
    EXPECT_EQ(to_string(ClockState::Synced), "synced");
    EXPECT_EQ(to_string(ClockState::Unsynced), "unsynced");
}

}  // namespace
}  // namespace basmalin
