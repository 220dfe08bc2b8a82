#include "coordinator/ingest/outbox.h"

#include <gtest/gtest.h>

namespace basmalin::coordinator {

namespace {

Outgoing message(const std::string& key, const std::string& payload = "x") { return {.key = key, .topic = "t/" + key, .payload = payload}; }

}  // namespace

TEST(Outbox, R1NeverMoreThanTheWindowIsOnItsWay) {
    Outbox outbox(16);
    for (int i = 0; i < 100; ++i) outbox.put(message("k" + std::to_string(i)));
    uint64_t id = 0;
    while (auto next = outbox.next()) outbox.sent(++id, std::move(*next));
    EXPECT_EQ(id, 16U);
    outbox.ended(1, true);
    EXPECT_TRUE(outbox.next());
    EXPECT_EQ(outbox.on_their_way(), 15U);
}

TEST(Outbox, R2ANewerAckOfAStreamReplacesTheOneThatWaitsAndKeepsItsPlace) {
    Outbox outbox;
    outbox.put(message("a", "mark 1"));
    outbox.put(message("b", "mark 5"));
    outbox.put(message("a", "mark 2"));
    EXPECT_EQ(outbox.waiting(), 2U);
    EXPECT_EQ(outbox.next()->payload, "mark 2");
    EXPECT_EQ(outbox.next()->payload, "mark 5");
}

TEST(Outbox, R3TheOldestGoesWhenTooManyWaitAndIsCounted) {
    Outbox outbox(16, 3);
    for (const char* key : {"a", "b", "c", "d"}) outbox.put(message(key));
    EXPECT_EQ(outbox.waiting(), 3U);
    EXPECT_EQ(outbox.dropped(), 1U);
    EXPECT_EQ(outbox.next()->key, "b");
}

TEST(Outbox, R4WhatWasOnItsWayWaitsAgainAfterTheConnectionWent) {
    Outbox outbox;
    outbox.put(message("a", "mark 1"));
    outbox.put(message("b", "mark 5"));
    outbox.sent(1, *outbox.next());
    outbox.sent(2, *outbox.next());
    outbox.put(message("a", "mark 3"));
    outbox.connection_lost();
    EXPECT_EQ(outbox.on_their_way(), 0U);
    ASSERT_EQ(outbox.waiting(), 2U);
    EXPECT_EQ(outbox.next()->payload, "mark 3") << "the newer one stands";
    EXPECT_EQ(outbox.next()->payload, "mark 5");
}

TEST(Outbox, AnEndForSomethingUnknownChangesNothing) {
    Outbox outbox;
    outbox.put(message("a"));
    outbox.ended(77, false);
    EXPECT_EQ(outbox.waiting(), 1U);
}

}  // namespace basmalin::coordinator
