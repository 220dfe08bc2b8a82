#include <algorithm>

#include "tests/shared/mqtt/link_fixture.h"

namespace basmalin {
namespace {

class LinkTest : public LinkFixture {
  protected:
    void SetUp() override { broker.start({"max_inflight_messages 12"}); }
    TestBroker broker;
};
using LinkOnABroker = LinkTest;

TEST_F(LinkOnABroker, ConnectsAndSaysHowManyMessagesMayFly) {
    Client a(loop, options(broker.port(), "a"));
    EXPECT_FALSE(a.link->connected());
    EXPECT_FALSE(a.link->publish("t", "x")) << "not connected";
    a.link->start();
    ASSERT_TRUE(until([&] { return a.connects == 1; }));
    EXPECT_TRUE(a.link->connected());
    EXPECT_EQ(a.receive_maximum, 12);
    EXPECT_EQ(a.link->reconnects(), 0u);
    EXPECT_TRUE(a.errors.empty());
}

TEST_F(LinkOnABroker, SendsNothingLargerThanTheClientTakes) {
    LinkOptions small = options(broker.port(), "a");
    small.packet_bytes_max = 2048;
    Client a(loop, small);
    Client b(loop, options(broker.port(), "b"));
    a.link->subscribe("t");
    a.link->start();
    b.link->start();
    ASSERT_TRUE(until([&] { return a.connects == 1 && b.connects == 1; }));
    settle(a);
    ASSERT_TRUE(b.link->publish("t", std::string(2048, 'x')));
    ASSERT_TRUE(b.link->publish("t", std::string(2000, 'y')));
    ASSERT_TRUE(until([&] { return !a.messages.empty(); }));
    EXPECT_EQ(a.messages[0].payload.front(), 'y');
    EXPECT_EQ(a.connects, 1);
    broker.restart();
    ASSERT_TRUE(until([&] { return a.connects == 2 && b.link->connected(); })) << "and says so again";
    settle(a);
    a.messages.clear();
    ASSERT_TRUE(b.link->publish("t", std::string(2048, 'x')));
    ASSERT_TRUE(b.link->publish("t", "z"));
    ASSERT_TRUE(until([&] { return !a.messages.empty(); }));
    EXPECT_EQ(a.messages[0].payload, "z");
}

TEST_F(LinkOnABroker, APublishedMessageArrivesAndIsAcknowledged) {
    Client a(loop, options(broker.port(), "a"));
    Client b(loop, options(broker.port(), "b"));
    b.link->subscribe("garden/+/up");
    a.link->start();
    b.link->start();
    ASSERT_TRUE(until([&] { return a.connects == 1 && b.connects == 1; }));
    settle(b);
    const std::string payload("with\0zero", 9);
    auto id = a.link->publish("garden/1/up", payload);
    ASSERT_TRUE(id);
    ASSERT_TRUE(until([&] { return b.messages.size() == 1 && a.acks.size() == 1; }));
    EXPECT_EQ(b.messages[0].topic, "garden/1/up");
    EXPECT_EQ(b.messages[0].payload, payload);
    EXPECT_FALSE(b.messages[0].retained);
    EXPECT_EQ(a.acks[0], std::make_pair(*id, 0));
    EXPECT_EQ(a.link->bytes_sent(), 11 + payload.size());
    EXPECT_EQ(b.link->bytes_received(), 11 + payload.size());
}

TEST_F(LinkOnABroker, AMessageForNobodyIsAcknowledgedWithThatReason) {
    Client a(loop, options(broker.port(), "a"));
    a.link->start();
    ASSERT_TRUE(until([&] { return a.connects == 1; }));
    ASSERT_TRUE(a.link->publish("nobody/listens", "x"));
    ASSERT_TRUE(until([&] { return a.acks.size() == 1; }));
    EXPECT_EQ(a.acks[0].second, 0x10);
}

TEST_F(LinkOnABroker, ARetainedMessageIsMarkedWhenReplayed) {
    Client a(loop, options(broker.port(), "a"));
    a.link->start();
    ASSERT_TRUE(until([&] { return a.connects == 1; }));
    ASSERT_TRUE(a.link->publish("state", "kept", 1, true));
    ASSERT_TRUE(until([&] { return a.acks.size() == 1; }));
    Client b(loop, options(broker.port(), "b"));
    b.link->subscribe("state");
    b.link->start();
    ASSERT_TRUE(until([&] { return b.messages.size() == 1; }));
    EXPECT_TRUE(b.messages[0].retained);
    EXPECT_EQ(b.messages[0].payload, "kept");
}

TEST_F(LinkOnABroker, QosZeroGetsNoCallback) {
    Client a(loop, options(broker.port(), "a"));
    a.link->subscribe("zero", 0);
    a.link->start();
    ASSERT_TRUE(until([&] { return a.connects == 1; }));
    ASSERT_TRUE(a.link->publish("zero", "x", 0));
    ASSERT_TRUE(until([&] { return a.messages.size() == 1; }));
    settle(a);
    EXPECT_EQ(a.acks.size(), 1u) << "only the one of settle()";
}

TEST_F(LinkOnABroker, PublishingInsideCallbacksIsSentAtOnce) {
    Client a(loop, options(broker.port(), "a"));
    a.link->subscribe("ping/#");
    a.on_connected = [&] { EXPECT_TRUE(a.link->publish("ping/0", "")); };
    a.on_message = [&] {
        if (a.messages.size() >= 50) return;
        EXPECT_TRUE(a.link->publish("ping/" + std::to_string(a.messages.size()), ""));
    };
    a.link->start();
    // 50 round trips; one that waited for the tick of a second would take longer than the deadline.
    ASSERT_TRUE(until([&] { return a.messages.size() == 50; }, 10'000));
}

TEST_F(LinkOnABroker, ManyLargeMessagesPassThroughAWindow) {
    Client a(loop, options(broker.port(), "a"));
    Client b(loop, options(broker.port(), "b"));
    b.link->subscribe("bulk");
    a.link->start();
    b.link->start();
    ASSERT_TRUE(until([&] { return a.connects == 1 && b.connects == 1; }));
    settle(b);
    size_t sent = 0;
    size_t flying_max = 0;
    const auto fill = [&] {
        while (sent < 300 && sent - a.acks.size() < 12) {
            ASSERT_TRUE(a.link->publish("bulk", std::string(32 * 1024, static_cast<char>(sent))));
            flying_max = std::max(flying_max, ++sent - a.acks.size());
        }
    };
    a.on_published = fill;
    fill();
    ASSERT_TRUE(until([&] { return b.messages.size() == 300 && a.acks.size() == 300; }));
    for (size_t i = 0; i < 300; ++i) ASSERT_EQ(b.messages[i].payload, std::string(32 * 1024, static_cast<char>(i))) << i;
    EXPECT_LE(flying_max, 12u);
}

TEST_F(LinkOnABroker, TheWillIsSentWhenTheLinkDies) {
    Client b(loop, options(broker.port(), "b"));
    b.link->subscribe("state/a");
    b.link->start();
    LinkOptions o = options(broker.port(), "a");
    o.will_topic = "state/a";
    o.will_payload = "first";
    Client a(loop, o);
    a.link->set_will("gone");
    a.link->start();
    ASSERT_TRUE(until([&] { return a.connects == 1 && b.connects == 1; }));
    settle(b);
    a.link.reset();
    ASSERT_TRUE(until([&] { return b.messages.size() == 1; }));
    EXPECT_EQ(b.messages[0].payload, "gone");
    Client late(loop, options(broker.port(), "late"));
    late.link->subscribe("state/a");
    late.link->start();
    ASSERT_TRUE(until([&] { return late.messages.size() == 1; }));
    EXPECT_TRUE(late.messages[0].retained);
}

TEST_F(LinkOnABroker, AGracefulStopSendsWhatWasPublishedAndNoWill) {
    Client b(loop, options(broker.port(), "b"));
    b.link->subscribe("state/a");
    b.link->start();
    LinkOptions o = options(broker.port(), "a");
    o.will_topic = "state/a";
    o.will_payload = "gone";
    Client a(loop, o);
    a.link->subscribe("trigger");
    a.on_message = [&] {
        EXPECT_TRUE(a.link->publish("state/a", "goodbye", 1, true));
        a.link->stop();  // inside a callback, where the library only queues
        EXPECT_FALSE(a.link->connected());
    };
    a.link->start();
    ASSERT_TRUE(until([&] { return a.connects == 1 && b.connects == 1; }));
    settle(b);
    ASSERT_TRUE(a.link->publish("trigger", ""));
    ASSERT_TRUE(until([&] { return b.messages.size() == 1; }));
    ASSERT_TRUE(until([&] { return broker.log().find("Received DISCONNECT from a") != std::string::npos; }));
    settle(b);
    ASSERT_EQ(b.messages.size(), 1u);
    EXPECT_EQ(b.messages[0].payload, "goodbye");
    EXPECT_TRUE(a.errors.empty()) << "R4: a stop is not reported";
}

TEST_F(LinkOnABroker, AfterAStopItStaysAwayUntilStart) {
    Client a(loop, options(broker.port(), "a"));
    a.link->start();
    ASSERT_TRUE(until([&] { return a.connects == 1; }));
    a.link->stop();
    EXPECT_FALSE(a.link->connected());
    Client witness(loop, options(broker.port(), "w"));
    witness.link->start();
    ASSERT_TRUE(until([&] { return witness.connects == 1; }));
    settle(witness);
    EXPECT_EQ(a.connects, 1);
    a.link->start();
    ASSERT_TRUE(until([&] { return a.connects == 2; }));
    EXPECT_EQ(a.link->reconnects(), 1u);
}

TEST_F(LinkOnABroker, StopAndStartInsideACallbackConnectAnew) {
    Client a(loop, options(broker.port(), "a"));
    a.on_connected = [&] {
        if (a.connects > 1) return;
        a.link->stop();
        a.link->start();
    };
    a.link->start();
    ASSERT_TRUE(until([&] { return a.connects == 2; }));
    EXPECT_TRUE(a.link->connected());
    EXPECT_TRUE(a.errors.empty());
}

TEST_F(LinkOnABroker, ReconnectIsReportedOnceWithItsReason) {  // R4
    Client a(loop, options(broker.port(), "a"));
    a.link->subscribe("x");
    a.on_message = [&] {
        if (a.connects == 1) a.link->reconnect("no ack came");
    };
    a.link->start();
    ASSERT_TRUE(until([&] { return a.connects == 1; }));
    ASSERT_TRUE(a.link->publish("x", ""));
    ASSERT_TRUE(until([&] { return a.connects == 2; }));
    ASSERT_EQ(a.errors.size(), 1u);
    EXPECT_EQ(a.errors[0].text, "no ack came");
    a.link->reconnect("once more");
    EXPECT_FALSE(a.link->connected());
    a.link->reconnect("and again");
    ASSERT_TRUE(until([&] { return a.connects == 3; }));
    ASSERT_EQ(a.errors.size(), 2u);
    EXPECT_EQ(a.errors[1].text, "once more");
}

TEST_F(LinkOnABroker, UnsubscribedFiltersDeliverNothing) {
    Client a(loop, options(broker.port(), "a"));
    a.link->start();
    ASSERT_TRUE(until([&] { return a.connects == 1; }));
    a.link->subscribe("x");
    a.link->subscribe("y");
    a.link->unsubscribe("x");
    settle(a);
    ASSERT_TRUE(a.link->publish("x", "1"));
    ASSERT_TRUE(a.link->publish("y", "2"));
    ASSERT_TRUE(until([&] { return !a.messages.empty(); }));
    EXPECT_EQ(a.messages[0].topic, "y");
}

TEST_F(LinkOnABroker, AWrongTopicIsInvalidAndTheConnectionGoesOn) {
    Client a(loop, options(broker.port(), "a"));
    a.link->start();
    ASSERT_TRUE(until([&] { return a.connects == 1; }));
    auto wrong = a.link->publish("with/#/wildcard", "x");
    ASSERT_FALSE(wrong);
    EXPECT_EQ(wrong.error().code, Code::Invalid);
    settle(a);
    EXPECT_EQ(a.connects, 1);
}

TEST_F(LinkOnABroker, ANameIsLookedUp) {  // R2: localhost is ::1 first on many machines, and the broker listens on 127.0.0.1 only
    LinkOptions o = options(broker.port(), "a");
    o.host = "localhost";
    Client a(loop, o);
    a.link->start();
    ASSERT_TRUE(until([&] { return a.connects == 1; }));
    EXPECT_TRUE(a.errors.empty());
}

TEST_F(LinkOnABroker, AGracefulStopIsHeardThoughTheProgramEndsAtOnce) {
    Client b(loop, options(broker.port(), "b"));
    b.link->subscribe("state/a");
    b.link->start();
    ASSERT_TRUE(until([&] { return b.connects == 1; }));
    settle(b);
    for (int i = 0; i < 20; ++i) {
        LinkOptions o = options(broker.port(), "a");
        o.will_topic = "state/a";
        o.will_payload = "gone";
        Client a(loop, o);
        a.link->start();
        ASSERT_TRUE(until([&] { return a.connects == 1; }));
        for (int k = 0; k < 5; ++k) ASSERT_TRUE(a.link->publish("state/a", "goodbye"));  // acknowledgements come while it leaves
        a.link->stop();
    }
    settle(b);
    ASSERT_TRUE(until([&] { return b.messages.size() >= 100; }));
    settle(b);
    EXPECT_EQ(b.messages.size(), 100u) << "a will was sent";
}

}  // namespace
}  // namespace basmalin
