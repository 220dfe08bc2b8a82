#include "coordinator/fleet/fleet.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/coordinator/fleet/story.h"

namespace basmalin::coordinator {

// ---- R1, R5: presence

TEST(FleetPresence, AnyLiveMessageMakesANodeOnline) {
    Story s;
    s.health("g1");
    EXPECT_EQ(s.presence("g1"), Presence::Online);
    s.hello("g2");
    EXPECT_EQ(s.presence("g2"), Presence::Online);
    s.commit("g3", 1, "bed1", s.now(), 20);
    EXPECT_EQ(s.presence("g3"), Presence::Online);
}

TEST(FleetPresence, ReplayedHealthIsNoSignOfLife) {
    Story s;
    s.health("g1", true);
    s.device("g1", "bed1", DeviceState::Ok, true);
    EXPECT_EQ(s.presence("g1"), Presence::Unknown);
    EXPECT_EQ(s.fleet.node("g1")->last_seen.ms, 0);
    EXPECT_TRUE(s.fleet.node("g1")->health);
}

TEST(FleetPresence, AReplayedStatusSaysWhatTheNodeLastSaid) {
    Story s;
    s.status("on", true, "", true);
    s.status("off", false, "shutdown", true);
    s.status("gone", false, "lost", true);
    EXPECT_EQ(s.presence("on"), Presence::Online);
    EXPECT_EQ(s.presence("off"), Presence::Offline);
    EXPECT_EQ(s.presence("gone"), Presence::Lost);
}

TEST(FleetPresence, AnOldCopyOfABrokerBringsNoLostNodeBack) {
    Story s;
    s.status("g1", true);
    s.status("g1", false, "lost");
    s.status("g1", true, "", true);
    EXPECT_EQ(s.presence("g1"), Presence::Lost);
    s.status("g1", true);
    EXPECT_EQ(s.presence("g1"), Presence::Online);
}

TEST(FleetPresence, R8AStepOfTheClockIsNoSilence) {
    for (const int64_t step : {3600, -3600, 400 * 86'400}) {
        Story s;
        s.health("heard-before");
        s.wait(1);
        s.step_clock(step);
        s.health("heard-after");
        s.wait(1);
        for (const char* node : {"heard-before", "heard-after"}) {
            EXPECT_EQ(s.presence(node), Presence::Online) << node << step;
            EXPECT_GE(s.now() - s.fleet.node(node)->last_seen, seconds(1)) << node << step;
            EXPECT_LE(s.now() - s.fleet.node(node)->last_seen, seconds(2)) << node << step;
        }
        s.wait(170);
        EXPECT_EQ(s.presence("heard-before"), Presence::Online) << step;
        s.wait(20);
        for (const char* node : {"heard-before", "heard-after"}) EXPECT_EQ(s.presence(node), Presence::Lost) << node << step;
    }
}

TEST(FleetPresence, R8WhatWasHeardLongerAgoThanAStepBackStaysAsLongAgo) {
    Story s;
    s.health("g1");
    for (int i = 0; i < 150; ++i) s.wait(1);
    s.step_clock(-100);
    s.wait(1);
    EXPECT_EQ((s.now() - s.fleet.node("g1")->last_seen).ms, 151'000);
    s.wait(28);
    EXPECT_EQ(s.presence("g1"), Presence::Online);
    s.wait(3);
    EXPECT_EQ(s.presence("g1"), Presence::Lost);
}

TEST(FleetPresence, TheWillMakesANodeLostAndALaterMessageBringsItBack) {
    Story s;
    s.hello("g1");
    s.wait(5);
    s.status("g1", false, "lost");
    EXPECT_EQ(s.presence("g1"), Presence::Lost);
    EXPECT_EQ(s.fleet.node("g1")->presence_since, s.now());
    s.wait(5);
    s.health("g1");
    EXPECT_EQ(s.presence("g1"), Presence::Online);
}

TEST(FleetPresence, SilenceMakesANodeLostOnlyAfterTheWholeWait) {
    Story s({.heartbeat_missed = seconds(180)});
    s.health("g1");
    s.wait(180);
    EXPECT_EQ(s.presence("g1"), Presence::Online);
    s.wait(1);
    EXPECT_EQ(s.presence("g1"), Presence::Lost);
}

TEST(FleetPresence, ACleanEndStaysACleanEndHoweverLongTheSilence) {
    Story s;
    s.hello("g1");
    s.status("g1", false, "shutdown");
    s.wait(100'000);
    EXPECT_EQ(s.presence("g1"), Presence::Offline);
}

TEST(FleetPresence, NoNodeIsLostWhileTheCentreItselfHearsNothing) {
    Story s({.heartbeat_missed = seconds(180)});
    s.health("g1");
    s.fleet.on_hearing(false, s.now());
    s.wait(10'000);
    EXPECT_EQ(s.presence("g1"), Presence::Online);
    s.fleet.on_hearing(true, s.now());
    s.wait(180);
    EXPECT_EQ(s.presence("g1"), Presence::Online) << "silence counts from when we hear again";
    s.wait(1);
    EXPECT_EQ(s.presence("g1"), Presence::Lost);
}

TEST(FleetPresence, ANodeKnownFromTheStoreIsUnknownUntilHeardAndThenLost) {
    Story before;
    before.hello("g1");
    Story s({.heartbeat_missed = seconds(180)});
    s.at = seconds(50'000);
    s.fleet = Fleet({.heartbeat_missed = seconds(180)});
    s.fleet.restore(before.fleet.unsaved(), {}, {});
    s.fleet.on_hearing(true, s.now());
    s.wait(0);
    EXPECT_EQ(s.presence("g1"), Presence::Unknown);
    s.wait(181);
    EXPECT_EQ(s.presence("g1"), Presence::Lost);
}

TEST(FleetPresence, CountsAlwaysAddUpOverAnyHistory) {
    for (uint32_t seed = 1; seed <= 300; ++seed) {
        std::mt19937 random(seed);
        const auto pick = [&](uint32_t n) { return static_cast<int64_t>(random() % n); };
        Story s({.heartbeat_missed = seconds(60), .nodes_max = 6, .devices_per_node_max = 3});
        for (int step = 0; step < 120; ++step) {
            const std::string node = "n" + std::to_string(pick(8));
            const std::string garden = pick(4) == 0 ? "" : "garden-" + std::to_string(pick(3));
            const std::string device = "d" + std::to_string(pick(5));
            const auto state = static_cast<DeviceState>(pick(4));
            switch (pick(6)) {
                case 0: s.hello(node, garden); break;
                case 1: s.status(node, pick(2) == 0, pick(2) == 0 ? "lost" : "shutdown", pick(2) == 0); break;
                case 2: s.device(node, device, state, pick(2) == 0); break;
                case 3: s.wait(pick(90)); break;
                case 4: s.commit(node, 1 + pick(8) * 10 + pick(5), device, s.now(), 1); break;
                default: s.health(node); break;
            }
        }
        std::map<Presence, size_t> presence;
        std::map<std::string, Garden> gardens;
        for (const auto& [id, node] : s.fleet.nodes()) {
            ++presence[node.presence];
            Garden& garden = gardens[node.garden];
            ++garden.nodes;
            garden.nodes_online += node.presence == Presence::Online;
            garden.devices += node.devices.size();
            for (const auto& [name, d] : node.devices) {
                ++garden.devices_by_state[d.health ? std::string(to_string(d.health->state)) : "unknown"];
                garden.last_reading = std::max(garden.last_reading, d.last_reading);
            }
        }
        for (const auto& [which, count] : s.fleet.presence_counts()) EXPECT_EQ(count, presence[which]) << "seed " << seed;
        ASSERT_EQ(s.fleet.gardens().size(), gardens.size()) << "seed " << seed;
        for (const auto& [name, garden] : s.fleet.gardens()) {
            const Garden& expected = gardens[name];
            EXPECT_EQ(garden.nodes, expected.nodes) << "seed " << seed;
            EXPECT_EQ(garden.nodes_online, expected.nodes_online) << "seed " << seed;
            EXPECT_EQ(garden.devices, expected.devices) << "seed " << seed;
            EXPECT_GE(garden.last_reading, expected.last_reading) << "seed " << seed;
            for (const auto& [state, count] : garden.devices_by_state) {
                const auto found = expected.devices_by_state.find(state);
                EXPECT_EQ(count, found == expected.devices_by_state.end() ? 0 : found->second) << "seed " << seed << " " << state;
            }
        }
        if (HasFailure()) return;
    }
}

// ---- R3: last values

TEST(FleetLatest, ABacklogDoesNotTurnALiveValueBack) {
    Story s;
    s.commit("g1", 1, "bed1", s.now(), 21.5);
    s.commit("g1", 1, "bed1", s.now() - hours(5), 10.0, 300);
    EXPECT_EQ(s.value(1), 21.5);
    EXPECT_EQ(s.fleet.node("g1")->readings_total, 301U);
    EXPECT_EQ(s.fleet.node("g1")->devices.at("bed1").last_reading, s.now());
}

TEST(FleetLatest, AClockFarAheadPinsNothing) {
    Story s;
    s.commit("g1", 1, "bed1", s.now() + hours(24 * 3650), 99);
    EXPECT_EQ(s.value(1), 99) << "it is shown while nothing better is known";
    EXPECT_EQ(s.fleet.node("g1")->devices.at("bed1").last_reading.ms, 0);
    s.commit("g1", 1, "bed1", s.now(), 21);
    EXPECT_EQ(s.value(1), 21);
}

TEST(FleetLatest, AfterARestartTheStoresValuesAreTheFleets) {
    Story s;
    const SeriesInfo info{.id = 7, .node = "g1", .device = "bed1", .quantity = "moisture", .unit = "%"};
    s.fleet.restore({}, {info}, {{.series = 7, .time = s.now(), .estimated = false, .value = 41.5, .readings = 0}});
    EXPECT_EQ(s.value(7), 41.5);
    EXPECT_EQ(s.fleet.node("g1")->devices.at("bed1").series, std::vector<SeriesId>{7});
    EXPECT_EQ(s.fleet.gardens().at("unassigned").last_reading, s.now());
}

// ---- R2, R4: bounds

TEST(FleetBounds, NodesAndDevicesBeyondTheBoundAreRefusedAndCounted) {
    Story s({.nodes_max = 2, .devices_per_node_max = 2});
    for (const char* node : {"a", "b", "c"}) s.hello(node);
    EXPECT_EQ(s.fleet.nodes().size(), 2U);
    EXPECT_EQ(s.fleet.node("c"), nullptr);
    EXPECT_EQ(s.fleet.refused_total(), 1U);
    for (const char* device : {"x", "y", "z"}) s.device("a", device, DeviceState::Ok);
    EXPECT_EQ(s.fleet.node("a")->devices.size(), 2U);
    EXPECT_EQ(s.fleet.refused_total(), 2U);
    s.commit("c", 5, "d", s.now(), 1);
    EXPECT_EQ(s.fleet.series(5), nullptr);
}

TEST(FleetBounds, AHelloWithManyLabelsKeepsSome) {
    Story s;
    Hello hello;
    for (int i = 0; i < 500; ++i) hello.labels["l" + std::to_string(i)] = "v";
    s.fleet.on_hello("g1", hello, s.now());
    EXPECT_EQ(s.fleet.node("g1")->labels.size(), labels_per_node_max);
}

// ---- gaps, lag, gardens, versions

TEST(Fleet, CountsReadingsLostButNotThoseReleased) {
    Story s;
    CommitResult result;
    result.gaps = {{.node = "g1", .gap = {.first_seq = 1, .last_seq = 2, .readings = 40, .reason = GapReason::Evicted}, .received = s.now()},
                   {.node = "g1", .gap = {.first_seq = 3, .last_seq = 3, .readings = 2, .reason = GapReason::Damaged}, .received = s.now()},
                   {.node = "g1", .gap = {.first_seq = 4, .last_seq = 9, .readings = 500, .reason = GapReason::Released}, .received = s.now()}};
    s.fleet.on_commit(result, {}, s.now());
    EXPECT_EQ(s.fleet.node("g1")->gaps_total, 42U);
}

TEST(Fleet, TellsHowLongALiveBatchTook) {
    Story s;
    BatchHeader header{.seq = 1, .clock = ClockState::Synced, .boot_no = 1, .sealed_mono = {50'000}, .sealed_wall = s.now() - seconds(3)};
    IncomingBatch live{.node = "g1", .stream = 9, .lane = Lane::Live, .boots = {}, .bytes = seal_batch(9, header, ""), .received = s.now()};
    IncomingBatch old = live;
    old.lane = Lane::Backlog;
    header.sealed_wall = s.now() - hours(9);
    old.bytes = seal_batch(9, header, "");
    CommitResult result;
    result.outcomes = {Outcome::Stored, Outcome::Stored};
    s.fleet.on_commit(result, {live, old}, s.now());
    ASSERT_TRUE(s.fleet.node("g1")->lag_seconds);
    EXPECT_DOUBLE_EQ(*s.fleet.node("g1")->lag_seconds, 3.0);
}

TEST(Fleet, AnUnsyncedBatchsLagIsToldByItsBootsOffset) {
    Story s;
    const BatchHeader header{.seq = 1, .clock = ClockState::Unsynced, .boot_no = 2, .sealed_mono = {50'000}, .sealed_wall = {}};
    const auto boots = std::make_shared<const std::vector<BootOffset>>(std::vector<BootOffset>{
        {.boot_no = 2, .state = ClockState::Synced, .offset_ms = (s.now() - seconds(7)).ms - 50'000, .error_ms = 1}});
    const IncomingBatch live{
        .node = "g1", .stream = 9, .lane = Lane::Alarm, .boots = boots, .bytes = seal_batch(9, header, ""), .received = s.now()};
    CommitResult result;
    result.outcomes = {Outcome::Stored};
    s.fleet.on_commit(result, {live}, s.now());
    EXPECT_DOUBLE_EQ(s.fleet.node("g1")->lag_seconds.value_or(-1), 7.0);
}

TEST(Fleet, ANodeThatMovesTakesItsDevicesToTheOtherGarden) {
    Story s;
    s.hello("g1", "rose-court");
    s.device("g1", "bed1", DeviceState::Fault);
    s.hello("g1", "lime-walk");
    EXPECT_FALSE(s.fleet.gardens().contains("rose-court"));
    EXPECT_EQ(s.fleet.gardens().at("lime-walk").devices_by_state.at("fault"), 1U);
}

TEST(Fleet, EveryVisibleChangeCountsTheVersionUp) {
    Story s;
    uint64_t last = s.fleet.version();
    const auto counted = [&] {
        const bool up = s.fleet.version() > last;
        last = s.fleet.version();
        return up;
    };
    s.hello("g1");
    EXPECT_TRUE(counted());
    s.health("g1");
    EXPECT_TRUE(counted());
    s.commit("g1", 1, "bed1", s.now(), 1);
    EXPECT_TRUE(counted());
    s.wait(1);
    EXPECT_FALSE(counted()) << "a tick in which nothing happens";
    s.wait(500);
    EXPECT_TRUE(counted()) << "the node is lost";
}

TEST(Fleet, TenThousandNodesAreAskedForGardensAMillionTimes) {
    Story s;
    for (int i = 0; i < 10'000; ++i) s.hello("n" + std::to_string(i), "garden-" + std::to_string(i % 100));
    size_t nodes = 0;
    for (int i = 0; i < 1'000'000; ++i) nodes += s.fleet.gardens().size() + s.fleet.presence_counts().at(Presence::Online);
    EXPECT_EQ(nodes, size_t{1'000'000} * (100 + 10'000));
}

}  // namespace basmalin::coordinator
