#include "agent/app/progress.h"

#include <gtest/gtest.h>

namespace basmalin::agent {
namespace {

constexpr MonoTime now{hours(2).ms};
using Words = std::vector<std::string>;

Progress well() { return {.ready = true, .writable = true, .buffer_answered = now, .seal_due = {}, .unheard_since = {}}; }

TEST(Progress, WhatGetsOnHasNoComplaints) {
    Progress p = well();
    p.buffer_answered = now - stuck_after;
    p.seal_due = now - stuck_after;
    p.phase = WindowPhase::Open;
    p.unheard_since = now - unacked_too_long;
    EXPECT_EQ(complaints_of(p, now), Words{});
    EXPECT_FALSE(buffer_hangs(p, now));
}

TEST(Progress, R1_ABufferThatDoesNotAnswerHangs) {
    Progress p = well();
    p.buffer_answered = now - stuck_after - milliseconds(1);
    EXPECT_EQ(complaints_of(p, now), Words{"the buffer does not answer"});
    EXPECT_TRUE(buffer_hangs(p, now));
    p.buffer_answered = now - seconds(3);
    EXPECT_TRUE(buffer_hangs(p, now, seconds(2)));
    EXPECT_FALSE(buffer_hangs(p, now, seconds(3)));
}

TEST(Progress, R1_ARepairIsGivenItsTime) {
    Progress p = well();
    p.opening = true;
    p.buffer_answered = now - minutes(14);
    EXPECT_FALSE(buffer_hangs(p, now, seconds(2)));
    p.buffer_answered = now - minutes(16);
    EXPECT_TRUE(buffer_hangs(p, now));
}

TEST(Progress, R2_AwayIsNoFailureAndUnheardIs) {
    Progress p = well();
    p.unheard_since = now - minutes(6);
    p.phase = WindowPhase::Away;
    EXPECT_EQ(complaints_of(p, now), Words{});
    p.phase = WindowPhase::Open;
    EXPECT_EQ(complaints_of(p, now), Words{"the coordinator does not acknowledge"});
}

TEST(Progress, R3_ABrokerThatStaysAwayIsAComplaintAndNoReasonToRestart) {
    Progress p = well();
    p.local_away_since = now - unconnected_too_long;
    EXPECT_EQ(complaints_of(p, now), Words{}) << "it may restart";
    p.local_away_since = now - unconnected_too_long - milliseconds(1);
    EXPECT_EQ(complaints_of(p, now), Words{"the gateway's own broker is away: no device is heard"});
    EXPECT_FALSE(buffer_hangs(p, now));
}

TEST(Progress, ReadingsThatCannotBeSealedShow) {
    Progress p = well();
    p.writable = false;
    p.seal_due = now - seconds(61);
    EXPECT_EQ(complaints_of(p, now), (Words{"the buffer cannot be written", "readings wait to be sealed"}));
    EXPECT_EQ(complaints_of({}, MonoTime{}), Words{"the buffer is not open yet"});
}

}  // namespace
}  // namespace basmalin::agent
