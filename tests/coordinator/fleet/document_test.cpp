#include <gtest/gtest.h>

#include <set>

#include "tests/coordinator/fleet/story.h"

namespace basmalin::coordinator {

TEST(NodeDocument, BringsBackAllThatANodeIs) {
    Story s;
    s.hello("g1");
    s.health("g1");
    DeviceHealth health;
    health.device = "Beet 1 (Süd)";
    health.state = DeviceState::Late;
    health.reason = "no reading for 3 min";
    health.battery_percent = 41.5;
    health.dialect = "esphome";
    s.fleet.on_device_health("g1", health, false, s.now());
    CommitResult gaps;
    gaps.gaps = {{.node = "g1", .gap = {.first_seq = 1, .last_seq = 2, .readings = 40}, .received = s.now()}};
    s.fleet.on_commit(gaps, {}, s.now());
    s.fleet.on_welcomed("g1", 0xffff'ffff'ffff'fffe);
    s.status("g1", false, "shutdown");
    const Node& before = *s.fleet.node("g1");

    Fleet after({});
    EXPECT_TRUE(after.restore(s.fleet.unsaved(), {}, {}).empty());
    const Node* node = after.node("g1");
    ASSERT_NE(node, nullptr);
    EXPECT_EQ(node->garden, "rose-court");
    EXPECT_EQ(node->presence, Presence::Offline);
    EXPECT_EQ(node->presence_since, before.presence_since);
    EXPECT_EQ(node->first_seen, before.first_seen);
    EXPECT_EQ(node->last_seen, before.last_seen);
    EXPECT_EQ(node->agent_version, "1.2.3");
    EXPECT_EQ(node->boot, before.boot);
    EXPECT_EQ(node->clock, before.clock);
    EXPECT_EQ(node->streams, before.streams);
    EXPECT_EQ(node->labels, before.labels);
    EXPECT_EQ(node->gaps_total, 40U);
    EXPECT_EQ(node->welcomed_epoch, 0xffff'ffff'ffff'fffe);
    EXPECT_EQ(node->health, before.health);
    ASSERT_TRUE(node->devices.contains("Beet 1 (Süd)"));
    EXPECT_EQ(node->devices.at("Beet 1 (Süd)").health, before.devices.at("Beet 1 (Süd)").health);
    EXPECT_EQ(after.gardens().at("rose-court").devices_by_state.at("late"), 1U);
}

TEST(NodeDocument, AnOnlineNodeIsUnknownAfterARestart) {
    Story s;
    s.hello("g1");
    Fleet after({});
    after.restore(s.fleet.unsaved(), {}, {});
    EXPECT_EQ(after.node("g1")->presence, Presence::Unknown);
}

TEST(NodeDocument, ADamagedOneCostsOnlyItsOwnNodesPast) {
    Story s;
    s.hello("good");
    std::vector<NodeRecord> records = s.fleet.unsaved();
    records.push_back({"torn", R"({"garden":"rose)"});
    records.push_back({"list", "[1,2]"});
    records.push_back({"odd", R"({"garden":17,"devices":{"a":1},"labels":[],"streams":[{"stream":"zz"}],"gaps_total":-5})"});
    Fleet after({});
    EXPECT_EQ(after.restore(records, {}, {}).size(), 2U);
    EXPECT_EQ(after.nodes().size(), 4U);
    EXPECT_EQ(after.node("good")->garden, "rose-court");
    EXPECT_EQ(after.node("odd")->garden, "unassigned");
    EXPECT_EQ(after.node("odd")->gaps_total, 0U);
}

// ---- R7: when what is saved

TEST(NodeSaves, AChangeOfWhatANodeIsIsDueAtOnceAndOnlyOnce) {
    Story s;
    s.hello("g1");
    EXPECT_EQ(s.fleet.unsaved(s.now(), 100).size(), 1U);
    EXPECT_TRUE(s.fleet.unsaved(s.now(), 100).empty());
    s.status("g1", false, "lost");
    EXPECT_EQ(s.fleet.unsaved(s.now(), 100).size(), 1U);
}

TEST(NodeSaves, HealthAloneIsSavedOncePerInterval) {
    Story s({.save_interval = seconds(300)});
    s.hello("g1");
    s.fleet.unsaved(s.now(), 100);
    size_t saves = 0;
    for (int minute = 0; minute < 60; ++minute) {
        s.wait(60);
        s.health("g1");
        saves += s.fleet.unsaved(s.now(), 100).size();
    }
    EXPECT_EQ(saves, 12U);
}

TEST(NodeSaves, AtTheEndEverythingChangedIsHandedOut) {
    Story s;
    s.hello("g1");
    s.fleet.unsaved(s.now(), 100);
    s.wait(1);
    s.health("g1");
    EXPECT_TRUE(s.fleet.unsaved(s.now(), 100).empty());
    EXPECT_EQ(s.fleet.unsaved().size(), 1U);
    EXPECT_TRUE(s.fleet.unsaved().empty());
}

TEST(NodeSaves, AFailedSaveIsDueAgain) {
    Story s;
    s.hello("g1");
    const auto records = s.fleet.unsaved(s.now(), 100);
    s.fleet.save_again(records);
    EXPECT_EQ(s.fleet.unsaved(s.now(), 100).size(), 1U);
}

TEST(NodeSaves, ABusyBeginningOfTheAlphabetDoesNotStarveItsEnd) {
    Story s;
    for (const char* node : {"a", "b", "c", "z"}) s.hello(node);
    std::set<std::string> saved;
    for (int round = 0; round < 4; ++round) {
        for (const NodeRecord& record : s.fleet.unsaved(s.now(), 1)) saved.insert(record.node);
        for (const char* node : {"a", "b"}) s.status(node, round % 2 == 0, "lost");
    }
    EXPECT_TRUE(saved.contains("z"));
}

TEST(NodeSaves, AWallClockSetBackDelaysNoSave) {
    Story s;
    s.hello("g1");
    s.fleet.unsaved(s.now(), 100);
    s.health("g1");
    EXPECT_EQ(s.fleet.unsaved(s.now() - hours(1000), 100).size(), 1U);
}

}  // namespace basmalin::coordinator
