// The ingest with a real broker in between: Paho on our side, libmosquitto on the gateways'.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <iostream>

#include "coordinator/ingest/ingest.h"
#include "shared/mqtt/link.h"
#include "tests/coordinator/ingest/gateway.h"
#include "tests/coordinator/ingest/world.h"
#include "tests/support/broker.h"

namespace basmalin::coordinator {

namespace {

using testing_support::TestBroker;

// A gateway's connection: publishes, and remembers what the coordinator says to it.
struct Connection {
    Connection(Loop& loop, const Gateway& who, LinkOptions options) : gateway(who) {
        options.backoff = {.first = milliseconds(20), .cap = milliseconds(200)};
        link = std::make_unique<Link>(loop, std::move(options),
                                      Link::Callbacks{.connected = {}, .disconnected = {},
                                                      .message = [this](const LinkMessage& message) { on(message); },
                                                      .published = [this](int, int reason) {
                                                          ++published;
                                                          if (reason == 0x10) ++nobody;
                                                      }});
        link->subscribe(gateway.topic(Topic::Kind::Ack));
        link->subscribe(gateway.topic(Topic::Kind::Welcome));
        link->start();
    }
    void on(const LinkMessage& message) {
        if (const auto ack = decode_ack(message.payload); ack && message.topic == gateway.topic(Topic::Kind::Ack)) {
            mark = std::max(mark, ack->mark);
            acked_at = std::chrono::steady_clock::now();
        } else {
            ++welcomes;
        }
    }
    void up(uint64_t first, uint64_t last) {
        EXPECT_TRUE(link->publish(gateway.topic(Topic::Kind::Up), gateway.up(first, last)));
    }

    Gateway gateway;
    std::unique_ptr<Link> link;
    uint64_t mark = 0;
    size_t published = 0;
    size_t nobody = 0;
    size_t welcomes = 0;
    std::chrono::steady_clock::time_point acked_at;
};

struct Centre {
    explicit Centre(SubscriberOptions broker) {
        store = open_sqlite_store({.folder = folder.path()}).value();
        fleet = std::make_unique<Fleet>(FleetOptions{});
        broker.backoff = {.first = milliseconds(20), .cap = milliseconds(200)};
        ingest = std::make_unique<Ingest>(loop, clock, *store, *fleet, make_paho_subscriber(loop, broker), IngestOptions{});
        ingest->start();
    }
    bool until(const std::function<bool()>& condition, int deadline_seconds = 60) { return run_until(loop, condition, deadline_seconds); }
    bool connected() {
        return until([&] { return ingest->stats().connected; });
    }

    testing_support::TemporaryFolder folder;
    SystemClock clock;
    Loop loop;
    std::unique_ptr<Store> store;
    std::unique_ptr<Fleet> fleet;
    std::unique_ptr<Ingest> ingest;
};

SubscriberOptions plain(const TestBroker& broker) {
    SubscriberOptions options;
    options.port = broker.port();
    options.tls = false;
    return options;
}

LinkOptions link_to(const TestBroker& broker) {
    LinkOptions options;
    options.port = broker.port();
    return options;
}

}  // namespace

TEST(IngestWithABroker, AcksWhatAGatewayPublishesAndWelcomesIt) {
    TestBroker broker;
    broker.start();
    Centre centre(plain(broker));
    ASSERT_TRUE(centre.connected());
    Connection g1(centre.loop, {.node = "g1", .stream = 1}, link_to(broker));
    ASSERT_TRUE(centre.until([&] { return g1.link->connected(); }));
    ASSERT_TRUE(g1.link->publish(g1.gateway.topic(Topic::Kind::Hello), g1.gateway.hello(1, 0)));
    g1.up(1, 5);
    ASSERT_TRUE(centre.until([&] { return g1.mark == 5 && g1.welcomes == 1; }));
    EXPECT_EQ(centre.store->marks("g1", {1}).at(0).mark, 5U);
}

TEST(IngestWithABroker, SendsSmallMessagesToTheBrokerAtOnce) {
    TestBroker broker;
    broker.start();
    Centre centre(plain(broker));
    ASSERT_TRUE(centre.connected());
    size_t connections = 0;
    for (int descriptor = 0; descriptor < 1024; ++descriptor) {
        sockaddr_in peer{};
        socklen_t length = sizeof peer;
        if (::getpeername(descriptor, reinterpret_cast<sockaddr*>(&peer), &length) != 0) continue;
        if (peer.sin_family != AF_INET || ntohs(peer.sin_port) != broker.port()) continue;
        int at_once = 0;
        length = sizeof at_once;
        ASSERT_EQ(::getsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &at_once, &length), 0);
        EXPECT_NE(at_once, 0);
        ++connections;
    }
    EXPECT_EQ(connections, 1U);
}

TEST(IngestWithABroker, ComesBackAndSubscribesAgainAfterTheBrokerDied) {
    TestBroker broker;
    broker.start();
    Centre centre(plain(broker));
    ASSERT_TRUE(centre.connected());
    Connection g1(centre.loop, {.node = "g1", .stream = 1}, link_to(broker));
    uint64_t seq = 0;
    for (int round = 0; round < 3; ++round) {
        ASSERT_TRUE(centre.until([&] { return g1.link->connected() && centre.ingest->stats().connected; }));
        ++seq;
        ASSERT_TRUE(centre.until([&] {
            if (g1.link->connected()) static_cast<void>(g1.link->publish(g1.gateway.topic(Topic::Kind::Up), g1.gateway.up(seq, seq)));
            centre.loop.run_for(milliseconds(20));
            return g1.mark == seq;
        })) << "round " << round;
        broker.kill9();
        ASSERT_TRUE(centre.until([&] { return !centre.ingest->stats().connected; }));
        broker.restart();
    }
    ASSERT_TRUE(centre.connected());
    EXPECT_GE(centre.ingest->stats().reconnects, 3U);
    EXPECT_EQ(centre.ingest->stats().batches_stored, seq);
}

TEST(IngestWithABroker, StartsBeforeTheBrokerDoes) {
    TestBroker broker;
    broker.start();
    broker.stop();
    Centre centre(plain(broker));
    centre.loop.run_for(milliseconds(200));
    EXPECT_FALSE(centre.ingest->stats().connected);
    broker.restart();
    EXPECT_TRUE(centre.connected());
}

TEST(IngestWithABroker, SpeaksTlsWithACertificateOfItsOwn) {
    TestBroker broker(TestBroker::Tls{.access_list = "user coordinator\ntopic readwrite fleet/1/#\n\npattern readwrite fleet/1/%u/#\n"});
    broker.start();
    const auto mine = broker.certificates().client("coordinator");
    const auto its = broker.certificates().client("g1");
    SubscriberOptions options;
    options.host = "localhost";
    options.port = broker.port();
    options.ca_file = broker.ca_file();
    options.certificate_file = mine.certificate;
    options.key_file = mine.key;
    Centre centre(options);
    ASSERT_TRUE(centre.connected());
    LinkOptions link = link_to(broker);
    link.tls = true;
    link.tls_files = {broker.ca_file(), its.certificate, its.key};
    Connection g1(centre.loop, {.node = "g1", .stream = 1}, link);
    ASSERT_TRUE(centre.until([&] { return g1.link->connected(); }));
    g1.up(1, 2);
    ASSERT_TRUE(centre.until([&] { return g1.mark == 2; }));
}

TEST(IngestWithABroker, RefusesABrokerOfAnotherAuthority) {
    TestBroker broker{TestBroker::Tls{}};
    broker.start();
    testing_support::TestCertificates others("Another authority");
    const auto mine = broker.certificates().client("coordinator");
    SubscriberOptions options;
    options.host = "localhost";
    options.port = broker.port();
    options.ca_file = others.ca_file();
    options.certificate_file = mine.certificate;
    options.key_file = mine.key;
    options.backoff = {.first = milliseconds(20), .cap = milliseconds(100)};
    Loop loop;
    auto subscriber = make_paho_subscriber(loop, options);
    std::vector<std::string> why;
    bool subscribed = false;
    subscriber->start({"fleet/1/+/up"}, {.message = [](auto, auto, bool) {},
                                         .subscribed = [&] { subscribed = true; },
                                         .lost = [&](const Error& error) { why.push_back(error.message()); },
                                         .published = {}});
    ASSERT_TRUE(run_until(loop, [&] { return why.size() >= 2; }));
    EXPECT_FALSE(subscribed);
    EXPECT_NE(why[0].find("certificate"), std::string::npos) << why[0];
}

TEST(IngestWithABroker, ALongMessageIsDroppedAndTheConnectionStays) {
    TestBroker broker;
    broker.start();
    Centre centre(plain(broker));
    ASSERT_TRUE(centre.connected());
    Connection g1(centre.loop, {.node = "g1", .stream = 1}, link_to(broker));
    ASSERT_TRUE(centre.until([&] { return g1.link->connected(); }));
    ASSERT_TRUE(g1.link->publish(g1.gateway.topic(Topic::Kind::Up), std::string(2 << 20, 'x')));
    g1.up(1, 1);
    ASSERT_TRUE(centre.until([&] { return g1.mark == 1; }));
    EXPECT_EQ(centre.ingest->stats().messages[static_cast<size_t>(MessageKind::Up)].dropped, 1U);
    EXPECT_EQ(centre.ingest->stats().reconnects, 0U);
}

TEST(IngestWithABroker, ABurstOfManyGatewaysIsAckedToTheLast) {
    TestBroker broker;
    broker.start({"max_queued_messages 0", "max_inflight_messages 64"});
    Centre centre(plain(broker));
    ASSERT_TRUE(centre.connected());
    std::vector<std::unique_ptr<Connection>> gateways;
    for (uint64_t i = 0; i < 40; ++i) {
        gateways.push_back(std::make_unique<Connection>(centre.loop, Gateway{.node = "n" + std::to_string(i), .stream = 100 + i}, link_to(broker)));
    }
    const auto all = [&](auto&& what) { return std::ranges::all_of(gateways, [&](const auto& one) { return what(*one); }); };
    ASSERT_TRUE(centre.until([&] { return all([](const Connection& one) { return one.link->connected(); }); }));
    const auto begun = std::chrono::steady_clock::now();
    for (uint64_t seq = 1; seq <= 16; ++seq) {
        for (const auto& one : gateways) one->up(seq, seq);
    }
    ASSERT_TRUE(centre.until([&] { return all([](const Connection& one) { return one.mark == 16; }); }));
    std::chrono::steady_clock::duration longest{};
    for (const auto& one : gateways) longest = std::max(longest, one->acked_at - begun);
    std::cout << "640 messages of 40 gateways: all acked after " << std::chrono::duration_cast<std::chrono::milliseconds>(longest).count()
              << " ms\n";
    EXPECT_EQ(centre.ingest->stats().batches_stored, 640U);
    EXPECT_EQ(centre.ingest->stats().answers_dropped, 0U);
}

TEST(IngestWithABroker, AfterItsEndTheBrokerSendsItNothing) {
    TestBroker broker;
    broker.start();
    Centre centre(plain(broker));
    ASSERT_TRUE(centre.connected());
    Connection g1(centre.loop, {.node = "g1", .stream = 1}, link_to(broker));
    ASSERT_TRUE(centre.until([&] { return g1.link->connected(); }));
    g1.up(1, 1);
    ASSERT_TRUE(centre.until([&] { return g1.mark == 1; }));
    bool clean = false;
    centre.ingest->stop(seconds(8), [&](bool so) { clean = so; });
    ASSERT_TRUE(centre.until([&] { return clean; }));
    g1.up(2, 2);
    ASSERT_TRUE(centre.until([&] { return g1.published == 2; }));
    EXPECT_EQ(g1.nobody, 1U) << "PUBACK says that nobody subscribes";
}

}  // namespace basmalin::coordinator
