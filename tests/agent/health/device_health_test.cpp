#include <algorithm>
#include <random>

#include <gtest/gtest.h>

#include "agent/health/device_health.h"
#include "shared/base/ids.h"

namespace basmalin::agent {
namespace {

constexpr WallTime wall_of(MonoTime at) { return WallTime{1'790'000'000'000 + at.ms}; }
constexpr MonoTime at_second(int64_t s) { return MonoTime{s * 1000}; }

// Stories: heard(at) and said(at, online), then expect(at, state). One device unless named.
class DeviceStory : public ::testing::Test {
  protected:
    void note(int64_t at, DeviceNote n) {
        if (n.device.empty()) n.device = "bed1";
        tracker_.on_note(n, at_second(at));
    }
    void heard(int64_t at, const std::string& device = "bed1") {
        DeviceNote n;
        n.device = device;
        n.seen = true;
        note(at, n);
    }
    void heard_every(int64_t interval, int64_t from, int64_t to) {
        for (int64_t at = from; at <= to; at += interval) heard(at);
    }
    void said(int64_t at, bool online, bool live = true) {
        DeviceNote n;
        n.available = online;
        n.seen = live;
        note(at, n);
    }
    std::optional<DeviceHealth> health(int64_t at) const {
        for (const auto& h : tracker_.all(at_second(at), wall_of(at_second(at))))
            if (h.device == "bed1") return h;
        return std::nullopt;
    }
    void expect(int64_t at, DeviceState state, const std::string& reason = "") {
        const auto h = health(at);
        ASSERT_TRUE(h) << "unknown at " << at;
        EXPECT_EQ(to_string(h->state), to_string(state)) << "at " << at;
        if (!reason.empty()) {
            EXPECT_EQ(h->reason, reason) << "at " << at;
        }
    }
    size_t published(int64_t at) { return tracker_.changed(at_second(at), wall_of(at_second(at))).size(); }

    DeviceHealthTracker tracker_{DeviceHealthOptions{}};
};

TEST_F(DeviceStory, OtherSettingsForgetNothing) {
    heard_every(60, 0, 600);
    tracker_.set_options({.late_after_intervals = 5, .interval_least = seconds(600)});
    expect(600 + 181, DeviceState::Ok);
    expect(600 + 301, DeviceState::Late, "late: reports every 60 s");
    heard(1000);
    EXPECT_EQ(health(1000)->interval_seconds, 60) << "400 s are one burst now";
}

TEST_F(DeviceStory, ASteadyDeviceIsOkThenLateThenSilentThenOkAgain) {
    heard_every(60, 0, 600);
    expect(600, DeviceState::Ok);
    expect(600 + 180, DeviceState::Ok);
    expect(600 + 181, DeviceState::Late, "late: reports every 60 s");
    expect(600 + 600, DeviceState::Late);
    expect(600 + 601, DeviceState::Silent, "silent: used to report every 60 s");
    heard(1300);
    expect(1301, DeviceState::Ok, "");
    EXPECT_EQ(health(1301)->interval_seconds, 60);
}

TEST_F(DeviceStory, JitterAndLostMessagesDoNotDisturbTheInterval) {
    for (const int64_t at : {0, 61, 119, 240, 301, 359, 420, 602, 660, 719, 781}) heard(at);
    EXPECT_NEAR(health(781)->interval_seconds.value(), 60, 3);
}

TEST_F(DeviceStory, ABurstIsOneSighting) {
    for (int64_t at = 0; at <= 3000; at += 300)
        for (int64_t part = 0; part < 8; ++part) heard(at + part);
    EXPECT_NEAR(health(3010)->interval_seconds.value(), 300, 8);
}

TEST_F(DeviceStory, AnOutageDoesNotStretchTheInterval) {
    heard_every(60, 0, 600);
    heard_every(60, 90'000, 90'300);
    EXPECT_EQ(health(90'300)->interval_seconds, 60);
}

TEST_F(DeviceStory, ANewIntervalIsLearnedWithoutStayingFalselySilent) {
    heard_every(10, 0, 1000);
    heard_every(300, 1300, 1000 + 20 * 300);
    EXPECT_EQ(health(7000)->interval_seconds, 300);
    expect(7000 + 800, DeviceState::Ok);
    heard_every(10, 7010, 7200);
    EXPECT_EQ(health(7200)->interval_seconds, 10);
}

TEST_F(DeviceStory, ADeviceThatSpeaksWhenSomethingHappensIsNotCalledSilentEachNight) {
    int64_t at = 0;
    for (int day = 0; day < 4; ++day)
        for (int visit = 0; visit < 4; ++visit, at += 7200)
            for (int motion = 0; motion < 3; ++motion) heard(at += 20);
    EXPECT_FALSE(health(at)->interval_seconds);
    expect(at + 8 * 3600, DeviceState::Ok);
    expect(at + 25 * 3600, DeviceState::Silent, "nothing heard for more than 24 h");
}

TEST_F(DeviceStory, UntilAnIntervalIsLearnedOnlyADayMakesItSilent) {
    heard(0);
    heard(60);
    heard(120);
    expect(120 + 24 * 3600, DeviceState::Ok);
    expect(121 + 24 * 3600, DeviceState::Silent);
}

TEST_F(DeviceStory, AfterARestartItIsUnknownUntilHeard) {
    DeviceNote described;
    described.model = "Soil 3";
    note(0, described);
    EXPECT_FALSE(health(10));
    EXPECT_EQ(published(10), 0u);
    heard(20);
    expect(20, DeviceState::Ok);
    EXPECT_EQ(health(20)->model, "Soil 3");
}

TEST_F(DeviceStory, ARetainedWordOfItsAvailabilityCounts) {
    said(0, true, false);
    expect(1, DeviceState::Ok);
    EXPECT_FALSE(health(1)->last_seen);
    said(2, false, false);
    expect(3, DeviceState::Fault, "its availability topic says offline");
}

TEST_F(DeviceStory, OneThatIsDescribedAndNeverComesBecomesSilent) {
    DeviceNote described;
    described.model = "Soil 3";
    note(0, described);
    EXPECT_FALSE(health(24 * 3600));
    expect(24 * 3600 + 1, DeviceState::Silent, "known, but never heard since the agent started");
}

TEST_F(DeviceStory, OfflineIsAFaultAtOnceAndOnlineEndsIt) {
    heard_every(60, 0, 600);
    said(610, false);
    expect(610, DeviceState::Fault);
    EXPECT_EQ(health(620)->last_seen, wall_of(at_second(600)));  // the broker said it, not the device
    said(700, true);
    expect(700, DeviceState::Ok);
}

TEST_F(DeviceStory, ALiveMessageProvesAnOfflineWordWrong) {
    said(0, false, false);
    heard(5);
    expect(5, DeviceState::Ok);
}

TEST_F(DeviceStory, ASleeperIsNoFaultAndHasThreeTimesLonger) {
    heard_every(60, 0, 600);
    DeviceNote sleeps;
    sleeps.sleeping = true;
    sleeps.available = false;
    note(601, sleeps);
    expect(602, DeviceState::Ok, "sleeping");
    expect(600 + 540, DeviceState::Ok);
    expect(600 + 541, DeviceState::Late);
    expect(600 + 1801, DeviceState::Silent);
    DeviceNote wakes;
    wakes.sleeping = false;
    wakes.available = true;
    wakes.seen = true;
    note(3000, wakes);
    expect(3181, DeviceState::Late);
}

TEST_F(DeviceStory, ALowBatteryIsAReasonAndNoState) {
    DeviceNote low;
    low.seen = true;
    low.battery_percent = 8;
    note(0, low);
    expect(0, DeviceState::Ok, "battery 8 %");
    low.battery_percent = 60;
    note(60, low);
    EXPECT_EQ(health(60)->reason, "");
}

TEST_F(DeviceStory, ValuesOutOfRangeAndHostileTextsAreRefusedOrCut) {
    DeviceNote n;
    n.seen = true;
    n.battery_percent = 101;
    n.battery_volts = -1;
    n.link_quality_percent = std::numeric_limits<double>::quiet_NaN();
    n.rssi_dbm = 1e300;
    n.name = std::string(127, 'x') + "\xc3\xa9\xc3\xa9";
    n.model = "bad\xff";
    n.firmware_version = "1.0\n2";
    note(0, n);
    const DeviceHealth h = health(0).value();
    EXPECT_FALSE(h.battery_percent || h.battery_volts || h.link_quality_percent || h.rssi_dbm);
    EXPECT_EQ(h.name, std::string(127, 'x'));
    EXPECT_EQ(h.model, "");
    EXPECT_EQ(h.firmware_version, "1.0 2");
}

TEST_F(DeviceStory, AChangeOfStateIsPublishedAtOnceAndAllElseOnceAMinute) {
    heard(0);
    EXPECT_EQ(published(0), 1u);
    EXPECT_EQ(published(1), 0u);
    for (int64_t at = 5; at < 60; at += 5) {
        heard(at);
        EXPECT_EQ(published(at), 0u) << at;
    }
    EXPECT_EQ(published(60), 1u);
    EXPECT_EQ(published(75), 0u);  // nothing came since
    said(76, false);
    EXPECT_EQ(published(76), 1u);
    EXPECT_EQ(published(77), 0u);
    said(78, true);
    EXPECT_EQ(published(78), 1u);
}

TEST_F(DeviceStory, BecomingLateAndSilentIsPublishedOnceEach) {
    heard_every(60, 0, 600);
    published(600);
    std::vector<DeviceState> told;
    for (int64_t at = 601; at < 4000; ++at)
        for (const auto& h : tracker_.changed(at_second(at), wall_of(at_second(at)))) told.push_back(h.state);
    EXPECT_EQ(told, (std::vector{DeviceState::Late, DeviceState::Silent}));
}

TEST_F(DeviceStory, AStepOfTheWallClockPublishesNothing) {
    heard(0);
    published(0);
    EXPECT_TRUE(tracker_.changed(at_second(100), wall_of(at_second(5'000'000))).empty());
}

TEST_F(DeviceStory, AFlappingAvailabilityIsBoundedAndTheLastWordArrives) {
    size_t messages = 0;
    for (int64_t at = 0; at < 600; ++at) {
        said(at, at % 2 == 0, false);
        messages += published(at);
    }
    EXPECT_LE(messages, 80u);
    said(600, false, false);
    std::optional<DeviceState> last;
    for (int64_t at = 600; at < 730; ++at)
        for (const auto& h : tracker_.changed(at_second(at), wall_of(at_second(at)))) last = h.state;
    expect(730, DeviceState::Fault);
    if (last) {
        EXPECT_EQ(*last, DeviceState::Fault);
    }
}

TEST_F(DeviceStory, TheNumberOfDevicesIsBounded) {
    for (size_t i = 0; i < DeviceHealthTracker::devices_max + 50; ++i) heard(0, "d" + std::to_string(i));
    EXPECT_EQ(tracker_.devices(), DeviceHealthTracker::devices_max);
    EXPECT_EQ(tracker_.refused(), 50u);
    heard(0, "a/b");
    heard(0, std::string("x\ny"));
    EXPECT_EQ(tracker_.refused(), 52u);
}

// Over any history: what was published last is the truth once a minute has passed in peace, a state is only left for a cause,
// and no text or number gets out that does not belong.
TEST(DeviceHealthProperty, WhatIsPublishedFollowsTheTruth) {
    for (unsigned seed = 1; seed <= 2000; ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        std::mt19937 random(seed);
        DeviceHealthTracker tracker{DeviceHealthOptions{}};
        std::map<std::string, DeviceHealth> board;
        MonoTime now{0};
        const auto publish = [&] {
            for (auto& h : tracker.changed(now, wall_of(now))) board[h.device] = h;
        };
        for (int step = 0; step < 60; ++step) {
            const uint32_t scale = random() % 4;
            now = now + Duration{static_cast<int64_t>(random() % (scale == 0   ? 100
                                                                  : scale == 1 ? 10'000
                                                                  : scale == 2 ? 300'000
                                                                               : 40'000'000))};
            DeviceNote n;
            n.device = "d" + std::to_string(random() % 3);
            n.seen = random() % 3 != 0;
            if (random() % 6 == 0) n.available = random() % 2 == 0;
            if (random() % 12 == 0) n.sleeping = random() % 2 == 0;
            if (random() % 4 == 0) n.battery_percent = static_cast<double>(random() % 130) - 10;
            tracker.on_note(n, now);
            if (random() % 3 != 0) publish();
        }
        publish();
        now = now + seconds(61);
        publish();
        const auto truth = tracker.all(now, wall_of(now));
        EXPECT_EQ(board.size(), truth.size());
        for (const auto& h : truth) {
            ASSERT_TRUE(board.contains(h.device));
            EXPECT_EQ(board.at(h.device).state, h.state);
            EXPECT_EQ(board.at(h.device).last_seen, h.last_seen);
            EXPECT_EQ(board.at(h.device).reason, h.reason);
            EXPECT_EQ(h.state == DeviceState::Ok && h.reason.starts_with("late"), false);
            if (h.last_seen) {
                EXPECT_LE(*h.last_seen, wall_of(now));
            }
            if (h.interval_seconds) {
                EXPECT_GE(*h.interval_seconds, 10);
            }
        }
    }
}

}  // namespace
}  // namespace basmalin::agent
