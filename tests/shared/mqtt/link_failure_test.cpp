#include <fcntl.h>

#include "tests/shared/mqtt/link_fixture.h"

namespace basmalin {
namespace {

class LinkFailureTest : public LinkFixture {};
using LinkInTrouble = LinkFailureTest;

TEST_F(LinkInTrouble, AKilledBrokerIsFoundAgainAndSubscribedAgain) {
    TestBroker broker;
    broker.start();
    Client a(loop, options(broker.port(), "a"));
    a.link->subscribe("after");
    a.link->start();
    ASSERT_TRUE(until([&] { return a.connects == 1; }));
    broker.kill9();
    ASSERT_TRUE(until([&] { return !a.errors.empty(); }));
    EXPECT_FALSE(a.link->connected());
    EXPECT_EQ(a.errors[0].code, Code::Unavailable);
    broker.start();
    ASSERT_TRUE(until([&] { return a.connects == 2; }));
    EXPECT_EQ(a.link->reconnects(), 1u);
    ASSERT_TRUE(a.link->publish("after", "x"));
    ASSERT_TRUE(until([&] { return a.messages.size() == 1 && a.acks.size() == 1; }));
    EXPECT_EQ(a.acks[0].second, 0);
}

TEST_F(LinkInTrouble, ARefusedConnectionIsReportedAndTriedAgain) {
    const uint16_t port = testing_support::free_port();
    Client a(loop, options(port));
    a.link->start();
    ASSERT_TRUE(until([&] { return a.errors.size() >= 3; }));
    EXPECT_EQ(a.errors[0].text, "127.0.0.1 port " + std::to_string(port) + ": Connection refused");
    EXPECT_EQ(a.errors[0].code, Code::Unavailable);
}

TEST_F(LinkInTrouble, ASilentBrokerIsLeftAtTheDeadline) {  // R2
    Listener silent;
    LinkOptions o = options(silent.port());
    o.connect_timeout = milliseconds(100);
    Client a(loop, o);
    a.link->start();
    ASSERT_TRUE(until([&] { return a.errors.size() >= 2; }));
    EXPECT_EQ(a.errors[0].code, Code::Timeout);
    EXPECT_EQ(a.errors[0].text, "no answer from 127.0.0.1 port " + std::to_string(silent.port()));
    EXPECT_EQ(a.connects, 0);
    EXPECT_GE(silent.take(), 0);
    EXPECT_GE(silent.take(), 0);
}

TEST_F(LinkInTrouble, AConnectionThatNeverComesUpHoldsNobody) {  // R1, R2
    Listener full(0);
    // Fills the backlog: the next SYN gets no answer.
    std::vector<std::unique_ptr<Client>> others;
    LinkOptions o = options(full.port());
    o.connect_timeout = milliseconds(200);
    std::vector<int> fillers;
    for (int i = 0; i < 4; ++i) {
        const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(full.port());
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address);
        fillers.push_back(fd);
    }
    Client a(loop, o);
    bool other_work = false;
    a.link->start();
    const Timer timer = loop.after(milliseconds(1), [&] { other_work = a.errors.empty(); });
    ASSERT_TRUE(until([&] { return a.errors.size() >= 1; }));
    EXPECT_TRUE(other_work) << "the loop went on before the deadline";
    EXPECT_EQ(a.errors[0].code, Code::Timeout);
    a.link->start();
    a.link.reset();  // returns at once in the middle of an attempt
    for (const int fd : fillers) ::close(fd);
}

TEST_F(LinkInTrouble, AnUnknownNameIsReported) {
    LinkOptions o = options(1883);
    o.host = "no-such-host.invalid";
    o.connect_timeout = seconds(60);
    Client a(loop, o);
    a.link->start();
    ASSERT_TRUE(until([&] { return !a.errors.empty(); }, 60'000));
    EXPECT_TRUE(a.errors[0].text.starts_with("look up no-such-host.invalid: ")) << a.errors[0].text;
}

TEST_F(LinkInTrouble, AStoppedLinkForgetsItsLookUp) {
    LinkOptions o = options(1883);
    o.host = "no-such-host.invalid";
    Client a(loop, o);
    a.link->start();
    a.link->stop();
    a.link.reset();  // the thread that looks up ends whenever it wants
    loop.run_for(milliseconds(1));
    EXPECT_TRUE(a.errors.empty());
}

TEST_F(LinkInTrouble, APeerThatSpeaksNoMqttIsLeft) {
    Listener liar;
    Client a(loop, options(liar.port()));
    a.link->start();
    int fd = -1;
    ASSERT_TRUE(until([&] { return (fd = liar.take()) >= 0; }));
    ASSERT_EQ(::send(fd, "\x20\xff\xff\xff\xff\xff", 6, MSG_NOSIGNAL), 6);
    ASSERT_TRUE(until([&] { return !a.errors.empty(); }));
    EXPECT_EQ(a.connects, 0);
}

TEST_F(LinkInTrouble, TwoClientsOfOneNameAreToldSo) {
    Listener broker;
    Client a(loop, options(broker.port(), "same"));
    a.link->start();
    int fd = -1;
    ASSERT_TRUE(until([&] { return (fd = broker.take()) >= 0; }));
    const unsigned char accepted_then_taken_over[] = {0x20, 0x03, 0x00, 0x00, 0x00, 0xe0, 0x02, 0x8e, 0x00};
    ASSERT_EQ(::send(fd, accepted_then_taken_over, sizeof accepted_then_taken_over, MSG_NOSIGNAL), 9);
    ASSERT_TRUE(until([&] { return !a.errors.empty(); }));
    EXPECT_EQ(a.connects, 1);
    EXPECT_EQ(a.receive_maximum, 65535) << "it named none";
    EXPECT_EQ(a.errors[0].code, Code::Conflict) << a.errors[0].message();
    EXPECT_NE(a.errors[0].hint.find("\"same\""), std::string::npos) << a.errors[0].message();
}

TEST_F(LinkInTrouble, ARefusalOfTheBrokerHasAReasonAndARemedy) {
    TestBroker broker;
    const std::string empty = broker.folder() + "/passwords";
    ASSERT_GE(::close(::open(empty.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0700)), 0);
    broker.start({"allow_anonymous false", "password_file " + empty});
    LinkOptions o = options(broker.port(), "a");
    o.user = "gardener";
    o.password = "wrong";
    Client a(loop, o);
    a.link->start();
    ASSERT_TRUE(until([&] { return !a.errors.empty(); }));
    EXPECT_EQ(a.errors[0].code, Code::Denied) << a.errors[0].message();
    EXPECT_TRUE(a.errors[0].text.starts_with("the broker refuses: ")) << a.errors[0].message();
    EXPECT_FALSE(a.errors[0].hint.empty());
    EXPECT_EQ(a.errors[0].message().find("wrong"), std::string::npos);
}

TEST_F(LinkInTrouble, ADescriptorReusedAfterACloseIsNotTouched) {
    TestBroker broker;
    broker.start();
    Client a(loop, options(broker.port(), "a"));
    a.link->start();
    ASSERT_TRUE(until([&] { return a.connects == 1; }));
    std::vector<int> files;
    a.on_disconnected = [&] {
        // The numbers that the library and the watch have just closed are taken by others.
        for (int i = 0; i < 20; ++i) files.push_back(::open("/dev/null", O_RDWR | O_CLOEXEC));
    };
    broker.kill9();
    ASSERT_TRUE(until([&] { return !a.errors.empty(); }));
    a.on_disconnected = nullptr;
    broker.start();
    ASSERT_TRUE(until([&] { return a.connects == 2; }));
    for (const int fd : files) {
        ASSERT_GE(fd, 0);
        EXPECT_EQ(::write(fd, "x", 1), 1) << "somebody closed a descriptor that was ours";
        ::close(fd);
    }
    settle(a);
}

TEST_F(LinkInTrouble, ABrokerThatStopsAnsweringIsNoticedByPings) {
    TestBroker broker;
    broker.start();
    LinkOptions o = options(broker.port(), "a");
    o.keepalive_seconds = 5;
    Client a(loop, o);
    a.link->start();
    ASSERT_TRUE(until([&] { return a.connects == 1; }));
    broker.pause();
    ASSERT_TRUE(until([&] { return !a.errors.empty(); }, 60'000));
    EXPECT_EQ(a.errors[0].code, Code::Timeout) << a.errors[0].message();
    broker.resume();
    ASSERT_TRUE(until([&] { return a.connects == 2; }));
}

TEST_F(LinkInTrouble, TheBackoffGrowsUntilAConnectionHasLived) {  // R6
    TestBroker broker;
    broker.start();
    LinkOptions o = options(broker.port(), "a");
    o.settled_after = milliseconds(0);
    o.backoff = {milliseconds(1), milliseconds(50), 0};
    Client a(loop, o);
    a.on_connected = [&] {
        if (a.connects < 30) a.link->reconnect("again");
    };
    a.link->start();
    ASSERT_TRUE(until([&] { return a.connects == 30; }));
    EXPECT_EQ(a.errors.size(), 29u);
}

TEST_F(LinkInTrouble, AMessageLargerThanTheBrokerTakesIsFull) {
    TestBroker broker;
    broker.start({"max_packet_size 2000"});
    Client a(loop, options(broker.port(), "a"));
    a.link->start();
    ASSERT_TRUE(until([&] { return a.connects == 1; }));
    auto large = a.link->publish("t", std::string(5000, 'x'));
    ASSERT_FALSE(large);
    EXPECT_EQ(large.error().code, Code::Full) << large.error().message();
    settle(a);
    EXPECT_TRUE(a.errors.empty());
}

}  // namespace
}  // namespace basmalin
