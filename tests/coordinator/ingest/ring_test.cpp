#include "coordinator/ingest/ring.h"

#include <gtest/gtest.h>

#include <thread>

namespace basmalin::coordinator {

namespace {

Arrived message(const std::string& node, size_t bytes = 10) {
    return {.topic = {.node = node, .kind = Topic::Kind::Up, .device = {}}, .payload = std::string(bytes, 'x'), .retained = false, .received = {}};
}

}  // namespace

TEST(Ring, GivesBackWhatCameInOrder) {
    Ring ring({});
    for (const char* node : {"a", "b", "c"}) ASSERT_EQ(ring.push(message(node)), Ring::Push::Taken);
    const auto taken = ring.take(2, 1 << 20);
    ASSERT_EQ(taken.size(), 2U);
    EXPECT_EQ(taken[0].topic.node, "a");
    EXPECT_EQ(taken[1].topic.node, "b");
    EXPECT_EQ(ring.messages(), 1U);
    EXPECT_EQ(ring.take(9, 1 << 20).size(), 1U);
    EXPECT_EQ(ring.bytes(), 0U);
}

TEST(Ring, R1IsBoundedByMessagesAndHasRoomAgainAfterATake) {
    Ring ring({.messages_max = 3, .bytes_max = 1 << 20, .node_messages_max = 100});
    for (int i = 0; i < 3; ++i) ASSERT_EQ(ring.push(message("n" + std::to_string(i))), Ring::Push::Taken);
    EXPECT_EQ(ring.push(message("n9")), Ring::Push::Full);
    EXPECT_DOUBLE_EQ(ring.fullness(), 1.0);
    ring.take(1, 1 << 20);
    EXPECT_EQ(ring.push(message("n9")), Ring::Push::Taken);
}

TEST(Ring, R1IsBoundedByBytes) {
    Ring ring({.messages_max = 1000, .bytes_max = 4096, .node_messages_max = 100});
    size_t taken = 0;
    while (ring.push(message("n", 1000)) == Ring::Push::Taken) ++taken;
    EXPECT_EQ(taken, 3U);
    EXPECT_LE(ring.bytes(), 4096U);
}

TEST(Ring, R2ANodeThatFloodsLeavesRoomForOthers) {
    Ring ring({.messages_max = 100, .bytes_max = 1 << 20, .node_messages_max = 10});
    size_t taken = 0;
    for (int i = 0; i < 1000; ++i) taken += ring.push(message("flood")) == Ring::Push::Taken;
    EXPECT_EQ(taken, 10U);
    EXPECT_EQ(ring.push(message("flood")), Ring::Push::NodeFull);
    EXPECT_EQ(ring.take_crowded(), (std::map<std::string, uint64_t>{{"flood", 991}}));
    EXPECT_TRUE(ring.take_crowded().empty()) << "told once";
    EXPECT_EQ(ring.push(message("quiet")), Ring::Push::Taken);
    ring.take(5, 1 << 20);
    EXPECT_EQ(ring.push(message("flood")), Ring::Push::Taken) << "its places are free again";
}

TEST(Ring, R2NodesAreTakenFromInTurnAndEachInItsOrder) {
    Ring ring({});
    for (size_t i = 1; i <= 5; ++i) ASSERT_EQ(ring.push(message("flood", i)), Ring::Push::Taken);
    for (size_t i = 1; i <= 2; ++i) ASSERT_EQ(ring.push(message("quiet", i)), Ring::Push::Taken);
    std::string order;
    for (const Arrived& one : ring.take(6, 1 << 20)) order += one.topic.node[0] + std::to_string(one.payload.size()) + ' ';
    EXPECT_EQ(order, "f1 q1 f2 q2 f3 f4 ");
    ASSERT_EQ(ring.push(message("quiet", 3)), Ring::Push::Taken);
    order.clear();
    for (const Arrived& one : ring.take(9, 1 << 20)) order += one.topic.node[0] + std::to_string(one.payload.size()) + ' ';
    EXPECT_EQ(order, "f5 q3 ");
    EXPECT_EQ(ring.bytes(), 0U);
}

TEST(Ring, ATakeIsBoundedByBytesButNeverStuckOnOneLongMessage) {
    Ring ring({});
    ASSERT_EQ(ring.push(message("a", 50'000)), Ring::Push::Taken);
    ASSERT_EQ(ring.push(message("b", 50'000)), Ring::Push::Taken);
    EXPECT_EQ(ring.take(10, 1000).size(), 1U);
    EXPECT_EQ(ring.take(10, 1000).size(), 1U);
    EXPECT_TRUE(ring.take(10, 1000).empty());
}

TEST(Ring, R3GatherOfNothingDoesNotWait) {
    Ring ring({});
    EXPECT_TRUE(ring.gather({.idle = hours(1), .most = hours(1)}).empty());
}

TEST(Ring, R3GatherWaitsForCompanyUntilTheGroupIsFull) {
    Ring ring({});
    ASSERT_EQ(ring.push(message("a")), Ring::Push::Taken);
    std::jthread other([&] {
        for (int i = 0; i < 4; ++i) static_cast<void>(ring.push(message("b")));
    });
    EXPECT_EQ(ring.gather({.messages_max = 5, .bytes_max = 1 << 20, .idle = minutes(1), .most = minutes(1)}).size(), 5U);
}

TEST(Ring, R3HurryEndsTheWait) {
    Ring ring({});
    ASSERT_EQ(ring.push(message("a")), Ring::Push::Taken);
    std::jthread other([&] { ring.hurry(); });
    EXPECT_EQ(ring.gather({.messages_max = 5, .bytes_max = 1 << 20, .idle = hours(1), .most = hours(1)}).size(), 1U);
}

TEST(Ring, LosesNothingBetweenManyThreadsAndOne) {
    Ring ring({.messages_max = 100'000, .bytes_max = 1 << 30, .node_messages_max = 100'000});
    std::atomic<int> running = 4;
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&, t] {
            for (int i = 0; i < 2000; ++i) static_cast<void>(ring.push(message("n" + std::to_string(t))));
            --running;
        });
    }
    size_t taken = 0;
    while (running > 0 || ring.messages() > 0) taken += ring.gather({.idle = {}, .most = {}}).size();
    EXPECT_EQ(taken, 8000U);
    EXPECT_EQ(ring.bytes(), 0U);
}

}  // namespace basmalin::coordinator
