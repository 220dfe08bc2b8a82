#include "coordinator/ingest/ingest.h"

#include <gtest/gtest.h>

#include "tests/coordinator/ingest/world.h"

namespace basmalin::coordinator {

namespace {

MessageCounts counts(const World& world, MessageKind kind) { return world.ingest->stats().messages[static_cast<size_t>(kind)]; }

}  // namespace

TEST(Ingest, R1AcksWhatIsCommitted) {
    World world;
    const Gateway g1;
    world.send(g1, Topic::Kind::Up, g1.up(1, 4));
    ASSERT_TRUE(world.until([&] { return world.acked(g1) == 4; }));
    const auto marks = world.store->marks("g1", {g1.stream});
    ASSERT_EQ(marks.size(), 1U);
    EXPECT_EQ(marks[0].mark, 4U);
    EXPECT_EQ(world.ingest->stats().readings_stored, 12U);
    EXPECT_EQ(world.fleet->node("g1")->batches_total, 4U);
    EXPECT_EQ(world.fleet->series().size(), 1U);
}

TEST(Ingest, R1NothingIsAckedWhileTheDiskIsFullAndAllOfItAfterwards) {
    World world;
    const Gateway g1;
    world.store->broken = true;
    for (uint64_t seq = 1; seq <= 20; ++seq) world.send(g1, Topic::Kind::Up, g1.up(seq, seq));
    ASSERT_TRUE(world.until([&] { return world.ingest->stats().commit_failures >= 3; }));
    EXPECT_EQ(world.acked(g1), 0U);
    EXPECT_TRUE(world.ingest->stats().commit_retrying);
    world.store->broken = false;
    ASSERT_TRUE(world.until([&] { return world.acked(g1) == 20; }));
    EXPECT_EQ(world.ingest->stats().batches_stored, 20U);
    EXPECT_TRUE(world.until([&] { return !world.ingest->stats().commit_retrying; }));
}

TEST(Ingest, OverloadShedsAndStopsTheAcksInsteadOfGrowing) {
    World world({.queue_messages_max = 64, .queue_node_messages_max = 64});
    const Gateway g1;
    world.store->broken = true;
    world.send(g1, Topic::Kind::Up, g1.up(1, 1));
    ASSERT_TRUE(world.until([&] { return world.ingest->stats().commit_retrying; }));
    for (uint64_t seq = 2; seq <= 500; ++seq) world.send(g1, Topic::Kind::Up, g1.up(seq, seq));
    EXPECT_EQ(world.ingest->stats().queue_messages, 64U);
    EXPECT_EQ(counts(world, MessageKind::Up).dropped, 499U - 64U);
    world.store->broken = false;
    ASSERT_TRUE(world.until([&] { return world.acked(g1) == 65; }));
    for (uint64_t seq = 66; seq <= 500; ++seq) {  // the gateway sends again what was not acked
        world.send(g1, Topic::Kind::Up, g1.up(seq, seq));
        if (seq % 50 != 0) continue;
        ASSERT_TRUE(world.until([&] { return world.acked(g1) >= seq - 1; }));
    }
    ASSERT_TRUE(world.until([&] { return world.acked(g1) == 500; }));
    EXPECT_EQ(world.ingest->stats().batches_stored, 500U);
}

TEST(Ingest, ABatchThatComesTwiceChangesNothingAndIsAckedAgain) {
    World world;
    const Gateway g1;
    world.send(g1, Topic::Kind::Up, g1.up(1, 3));
    ASSERT_TRUE(world.until([&] { return world.acked(g1) == 3; }));
    const size_t acks = world.subscriber->published.size();
    world.send(g1, Topic::Kind::Up, g1.up(1, 3));
    ASSERT_TRUE(world.until([&] { return world.subscriber->published.size() > acks; }));
    EXPECT_EQ(world.acked(g1), 3U);
    EXPECT_EQ(world.ingest->stats().batches_duplicate, 3U);
    EXPECT_EQ(world.ingest->stats().readings_stored, 9U);
}

TEST(Ingest, R3GarbageIsCountedAndNeitherAckedNorInTheWay) {
    World world;
    const Gateway evil{.node = "evil", .stream = 666};
    const Gateway good;
    std::string torn = evil.up(1, 2);
    torn.resize(torn.size() / 2);
    for (const std::string& payload : {std::string(), std::string("x"), std::string(30'000, '\xff'), torn}) {
        world.send(evil, Topic::Kind::Up, payload);
    }
    world.send(good, Topic::Kind::Up, good.up(1, 1));
    ASSERT_TRUE(world.until([&] { return world.acked(good) == 1 && counts(world, MessageKind::Up).garbage == 4; }));
    EXPECT_TRUE(world.subscriber->payloads(evil.topic(Topic::Kind::Ack)).empty());
}

TEST(Ingest, ABatchThatTheStoreCannotReadIsAckedAsDeadAndBlocksNothing) {
    World world;
    const Gateway g1;
    std::string poison = g1.batch(2);
    poison[poison.size() / 2] = static_cast<char>(poison[poison.size() / 2] ^ 0x55);
    world.send(g1, Topic::Kind::Up, g1.up({g1.batch(1), poison, g1.batch(3)}));
    ASSERT_TRUE(world.until([&] { return world.ingest->stats().batches_stored == 2; }));
    EXPECT_EQ(world.ingest->stats().batches_dead, 1U);
}

TEST(Ingest, WriterR3OneBatchThatBreaksTheTransactionIsADeadLetterAndAcked) {
    World world;
    world.store->poisoned = 999;
    const Gateway g1;
    const Gateway bad{.node = "bad", .stream = 999};
    const Gateway g3{.node = "g3", .stream = 3};
    for (uint64_t seq = 1; seq <= 9; ++seq) world.send(g1, Topic::Kind::Up, g1.up(seq, seq));
    world.send(bad, Topic::Kind::Up, bad.up(1, 1));
    for (uint64_t seq = 1; seq <= 9; ++seq) world.send(g3, Topic::Kind::Up, g3.up(seq, seq));
    ASSERT_TRUE(world.until([&] { return world.acked(g1) == 9 && world.acked(g3) == 9 && world.acked(bad) == 1; }));
    EXPECT_EQ(world.ingest->stats().batches_given_up, 0U);
    EXPECT_EQ(world.ingest->stats().batches_dead, 1U);
    EXPECT_EQ(world.store->stats().value().dead_letters, 1) << "it is kept for a person";
}

TEST(Ingest, WriterR6AFloodOfTinyBatchesIsCommittedInSeveralTransactions) {
    World world;
    const Gateway g1;
    const Gateway evil{.node = "evil", .stream = 666};
    world.store->broken = true;
    world.send(g1, Topic::Kind::Up, g1.up(1, 1));
    ASSERT_TRUE(world.until([&] { return world.ingest->stats().commit_retrying; }));
    const std::string flood = evil.up(std::vector<std::string>(2000, "x"));
    for (int i = 0; i < 5; ++i) world.send(evil, Topic::Kind::Up, flood);
    world.send(g1, Topic::Kind::Up, g1.up(2, 2));
    world.store->broken = false;
    ASSERT_TRUE(world.until([&] { return world.acked(g1) == 2; })) << "what comes after the flood is stored";
    ASSERT_TRUE(world.until([&] { return world.ingest->stats().batches_dead == 10'000U; }));
    EXPECT_EQ(world.store->most_batches, WriterOptions().batches_max);
    EXPECT_EQ(world.store->commits, 4) << "the first batch, then three for the rest";
    EXPECT_TRUE(world.stop());
}

TEST(Ingest, WriterR6WhatABatchClaimsMakesNoTransactionOfItsOwn) {
    World world;
    const Gateway evil{.node = "evil", .stream = 666};
    std::vector<std::string> liars;
    for (uint64_t seq = 1; seq <= 640; ++seq) {
        BatchHeader header;
        header.seq = seq;
        header.boot_no = 1;
        header.readings = UINT32_MAX;
        liars.push_back(seal_batch(666, header, "x"));
    }
    world.send(evil, Topic::Kind::Up, evil.up(liars));
    ASSERT_TRUE(world.until([&] { return world.ingest->stats().batches_dead == 640U; }));
    EXPECT_LE(world.store->commits, 10);
    EXPECT_TRUE(world.stop());
}

TEST(Ingest, WriterR3AStoreThatIsIllBuriesAndAcksNothing) {
    World world;
    world.store->damaged = true;
    const Gateway g1;
    for (uint64_t seq = 1; seq <= 9; ++seq) world.send(g1, Topic::Kind::Up, g1.up(seq, seq));
    ASSERT_TRUE(world.until([&] { return world.ingest->stats().batches_given_up == 9; }));
    EXPECT_EQ(world.acked(g1), 0U);
    EXPECT_EQ(world.store->stats().value().dead_letters, 0);
}

TEST(Ingest, WriterR3WhenEveryBatchIsGuiltyItIsTheStoreAndTheGatewaysKeepTheirs) {
    World world;
    const Gateway bad{.node = "bad", .stream = 999};
    world.store->poisoned = 999;
    for (uint64_t seq = 1; seq <= 40; ++seq) world.send(bad, Topic::Kind::Up, bad.up(seq, seq));
    ASSERT_TRUE(world.until([&] { return world.ingest->stats().batches_given_up == 24; }));
    EXPECT_EQ(world.store->stats().value().dead_letters, 16);
    world.store->poisoned = 0;
    const Gateway g1;
    world.send(g1, Topic::Kind::Up, g1.up(1, 1));
    ASSERT_TRUE(world.until([&] { return world.acked(g1) == 1; }));
    for (uint64_t seq = 17; seq <= 40; ++seq) world.send(bad, Topic::Kind::Up, bad.up(seq, seq));
    EXPECT_TRUE(world.until([&] { return world.acked(bad) == 40; })) << "what was kept is stored when it comes again";
}

TEST(Ingest, AWishForDefinitionsIsNotReplacedByAnAckWithoutOne) {
    World world;
    world.deliver = false;
    for (uint64_t i = 0; i < 16; ++i) {  // the window is full: what follows waits
        const Gateway other{.node = "n" + std::to_string(i), .stream = 100 + i};
        world.send(other, Topic::Kind::Up, other.up(1, 1));
    }
    ASSERT_TRUE(world.until([&] { return world.subscriber->published.size() == 16; }));
    const Gateway g1;
    Rows rows{.layout = 7, .times_ms = {1000}, .columns = {Numbers{1.0}}};
    Body body{.definitions = {}, .groups = {rows}};
    const Layout unknown{.id = 7, .device = "bed1", .columns = {{.quantity = "temperature", .unit = "Cel", .decimals = 1}}};
    const BatchHeader header{.seq = 1, .boot_no = 1, .sealed_mono = {2000}, .readings = 1, .first = {1000}};
    const std::string pending = seal_batch(g1.stream, header, encode_body(body, [&](uint32_t) { return &unknown; }).value());
    world.send(g1, Topic::Kind::Up, g1.up({pending}));
    ASSERT_TRUE(world.until([&] { return world.ingest->stats().batches_stored == 17; }));
    world.send(g1, Topic::Kind::Up, g1.up(2, 2));
    ASSERT_TRUE(world.until([&] { return world.ingest->stats().batches_stored == 18; }));
    world.deliver = true;
    ASSERT_TRUE(world.until([&] { return world.acked(g1) == 2; }));
    bool asked = false;
    for (const std::string& payload : world.subscriber->payloads(g1.topic(Topic::Kind::Ack))) {
        asked = asked || decode_ack(payload)->definitions_wanted;
    }
    EXPECT_TRUE(asked);
}

TEST(Ingest, ManyMessagesShareACommit) {
    World world({.group_messages_max = 64, .group_wait = seconds(1), .group_idle = milliseconds(500)});
    for (uint64_t i = 0; i < 64; ++i) {
        const Gateway gateway{.node = "n" + std::to_string(i), .stream = 100 + i};
        world.send(gateway, Topic::Kind::Up, gateway.up(1, 1));
    }
    ASSERT_TRUE(world.until([&] { return world.ingest->stats().batches_stored == 64; }));
    EXPECT_LE(world.store->commits, 3);
}

TEST(Ingest, NeverMoreThanSixteenAnswersAreOnTheirWay) {
    World world;
    world.deliver = false;
    for (uint64_t i = 0; i < 60; ++i) {
        const Gateway gateway{.node = "n" + std::to_string(i), .stream = 100 + i};
        world.send(gateway, Topic::Kind::Up, gateway.up(1, 1));
    }
    ASSERT_TRUE(world.until([&] { return world.ingest->stats().answers_waiting == 60; }));
    EXPECT_EQ(world.subscriber->published.size(), 16U);
    world.deliver = true;
    ASSERT_TRUE(world.until([&] { return world.ingest->stats().answers_waiting == 0; }));
    EXPECT_EQ(world.subscriber->most_in_flight, 16U);
    EXPECT_EQ(world.subscriber->published.size(), 60U);
}

TEST(Ingest, AcksOnTheirWayWhenTheConnectionGoesAreSentAgain) {
    World world;
    world.deliver = false;
    const Gateway g1;
    world.send(g1, Topic::Kind::Up, g1.up(1, 1));
    ASSERT_TRUE(world.until([&] { return world.subscriber->published.size() == 1; }));
    world.subscriber->lose();
    world.subscriber->published.clear();
    world.subscriber->connect();
    ASSERT_TRUE(world.until([&] { return world.acked(g1) == 1; }));
}

TEST(Ingest, R2ANodeThatFloodsDoesNotStopTheOthers) {
    World world({.queue_messages_max = 1024, .queue_node_messages_max = 64});
    const Gateway flood{.node = "flood", .stream = 1};
    const Gateway quiet{.node = "quiet", .stream = 2};
    world.store->broken = true;
    for (int i = 0; i < 50'000; ++i) world.send(flood, Topic::Kind::Up, "garbage");
    for (int i = 0; i < 50'000; ++i) world.send(flood, Topic::Kind::Status, "{\"garbage\":");
    world.send(quiet, Topic::Kind::Up, quiet.up(1, 1));
    world.send(quiet, Topic::Kind::Hello, quiet.hello(2, 0));
    world.store->broken = false;
    ASSERT_TRUE(world.until([&] { return world.acked(quiet) == 1 && world.welcomes(quiet).size() == 1; }));
    EXPECT_GT(counts(world, MessageKind::Up).dropped, 0U);
}

TEST(Ingest, R4AHelloIsAnsweredWithTheEpochTheMarksAndTheTime) {
    World world;
    const Gateway g1;
    world.send(g1, Topic::Kind::Up, g1.up(1, 5));
    ASSERT_TRUE(world.until([&] { return world.acked(g1) == 5; }));
    const WallTime asked = world.clock.wall();
    world.send(g1, Topic::Kind::Hello, g1.hello(9, 3));
    ASSERT_TRUE(world.until([&] { return !world.welcomes(g1).empty(); }));
    const Welcome welcome = world.welcomes(g1).front();
    EXPECT_EQ(welcome.epoch, world.store->epoch());
    EXPECT_GE(welcome.time, asked);
    ASSERT_EQ(welcome.streams.size(), 1U);
    EXPECT_EQ(welcome.streams[0].stream, g1.stream);
    EXPECT_EQ(welcome.streams[0].mark, 5U);
    EXPECT_FALSE(welcome.definitions_wanted);
    EXPECT_EQ(world.fleet->node("g1")->garden, "rose-court");
}

TEST(Ingest, R4AStreamThatWasAckedElsewhereIsAskedForItsDefinitions) {
    World world;
    const Gateway g1;
    world.send(g1, Topic::Kind::Hello, g1.hello(900, 880));
    ASSERT_TRUE(world.until([&] { return !world.welcomes(g1).empty(); }));
    EXPECT_TRUE(world.welcomes(g1).front().streams.empty());
    EXPECT_TRUE(world.welcomes(g1).front().definitions_wanted);
}

TEST(Ingest, R4ANodeOfAnotherEpochIsWelcomedOnceWithoutAsking) {
    World world;
    const Gateway g1;
    world.send(g1, Topic::Kind::Hello, g1.hello(1, 0));
    ASSERT_TRUE(world.until([&] { return world.welcomes(g1).size() == 1; }));
    world.send(g1, Topic::Kind::Status, g1.status(true), true);
    world.fleet->on_welcomed("g1", 4711);  // as a restored backup remembers it
    world.send(g1, Topic::Kind::Status, g1.status(true), true);
    ASSERT_TRUE(world.until([&] { return world.welcomes(g1).size() == 2; }));
    world.send(g1, Topic::Kind::Status, g1.status(true), true);
    world.send(g1, Topic::Kind::Up, g1.up(1, 1));
    ASSERT_TRUE(world.until([&] { return world.acked(g1) == 1; }));
    EXPECT_EQ(world.welcomes(g1).size(), 2U);
}

TEST(Ingest, R5HearsNodesOnlyAndNothingLongerThanTheWireAllows) {
    World world;
    const Gateway g1;
    EXPECT_EQ(world.subscriber->filters,
              (std::vector<std::string>{"fleet/1/+/up", "fleet/1/+/hello", "fleet/1/+/status", "fleet/1/+/health",
                                        "fleet/1/+/device/+/health"}));
    world.subscriber->callbacks.message("fleet/1/g1/ack", "x", false);
    world.subscriber->callbacks.message("fleet/2/g1/up", "x", false);
    world.subscriber->callbacks.message("fleet/1/bad name/up", "x", false);
    EXPECT_EQ(counts(world, MessageKind::Other).dropped, 3U);
    world.send(g1, Topic::Kind::Up, std::string(65 * 1024, 'x'));
    world.send(g1, Topic::Kind::Health, std::string(65 * 1024, ' '));
    EXPECT_EQ(counts(world, MessageKind::Up).dropped, 1U);
    EXPECT_EQ(counts(world, MessageKind::Health).dropped, 1U);
}

TEST(Ingest, StatusAndHealthReachTheFleet) {
    World world;
    const Gateway g1;
    NodeHealth health;
    health.time = g1.wall;
    health.values = {{"load_1m", 0.5}};
    DeviceHealth device;
    device.device = "ignored: the topic says which";
    device.state = DeviceState::Silent;
    world.send(g1, Topic::Kind::Status, g1.status(true));
    world.send(g1, Topic::Kind::Health, encode(health));
    world.subscriber->callbacks.message(Topic{.node = "g1", .kind = Topic::Kind::DeviceHealth, .device = "bed1"}.text(), encode(device), true);
    ASSERT_TRUE(world.until([&] { return world.fleet->node("g1") != nullptr && world.fleet->node("g1")->devices.contains("bed1"); }));
    const Node& node = *world.fleet->node("g1");
    EXPECT_EQ(node.presence, Presence::Online);
    EXPECT_DOUBLE_EQ(node.health->values.at("load_1m"), 0.5);
    EXPECT_EQ(node.devices.at("bed1").health->state, DeviceState::Silent);
    world.subscriber->callbacks.message(g1.topic(Topic::Kind::Status), "{\"online\":17}", false);
    ASSERT_TRUE(world.until([&] { return counts(world, MessageKind::Status).garbage == 1; }));
}

TEST(Ingest, AnEventOfANodeIsLogged) {
    World world;
    const Gateway g1;
    world.send(g1, Topic::Kind::Up, g1.up({g1.event(1, R"({"time":"2026-11-22T17:00:00Z","text":"disk low"})"), g1.event(2, "not json")}));
    ASSERT_TRUE(world.until([&] { return world.acked(g1) == 2; }));
    EXPECT_EQ(world.ingest->stats().events_logged, 1U);
    EXPECT_EQ(world.ingest->stats().batches_stored, 1U);
    const auto kept = world.store->reader().value()->events("g1", 10, 0).value();  // the newest first
    ASSERT_EQ(kept.size(), 2U);
    EXPECT_EQ(kept[1].text, "disk low");
    EXPECT_NE(kept[0].text.find("dead letter"), std::string::npos);
}

TEST(Ingest, MaintenanceHasItsTurnUnderLoadToo) {
    World world;
    const Gateway g1;
    uint64_t seq = 0;
    ASSERT_TRUE(world.until([&] {
        ++seq;
        world.send(g1, Topic::Kind::Up, g1.up(seq, seq));
        return world.store->maintained >= 2;
    }));
}

TEST(Ingest, R6AtTheEndEverythingTakenIsCommittedSavedAndAcked) {
    World world;
    const Gateway g1;
    world.send(g1, Topic::Kind::Hello, g1.hello(1, 0));
    ASSERT_TRUE(world.until([&] { return world.fleet->node("g1") != nullptr; }));
    for (uint64_t seq = 1; seq <= 200; ++seq) world.send(g1, Topic::Kind::Up, g1.up(seq, seq));
    EXPECT_TRUE(world.stop());
    EXPECT_FALSE(world.subscriber->listening);
    EXPECT_EQ(world.acked(g1), 200U);
    world.close();
    world.open();
    EXPECT_EQ(world.fleet->node("g1")->garden, "rose-court");
    EXPECT_EQ(world.fleet->series().size(), 1U);
    EXPECT_EQ(world.store->marks("g1", {g1.stream}).at(0).mark, 200U);
}

TEST(Ingest, R6AnEndWithABrokenDiskComesInTimeAndSaysSo) {
    World world;
    const Gateway g1;
    world.store->broken = true;
    world.send(g1, Topic::Kind::Up, g1.up(1, 1));
    ASSERT_TRUE(world.until([&] { return world.ingest->stats().commit_retrying; }));
    bool ended = false;
    bool clean = true;
    world.ingest->stop(seconds(1), [&](bool so) {
        ended = true;
        clean = so;
    });
    ASSERT_TRUE(world.until([&] { return ended; }));
    EXPECT_FALSE(clean);
    EXPECT_EQ(world.acked(g1), 0U);
}

}  // namespace basmalin::coordinator
