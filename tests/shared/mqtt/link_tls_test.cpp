#include <ctime>

#include "tests/shared/mqtt/link_fixture.h"

namespace basmalin {
namespace {

using testing_support::CertificateFiles;
using testing_support::TestCertificates;

class LinkTlsTest : public LinkFixture {
  protected:
    static void SetUpTestSuite() {
        broker = new TestBroker(TestBroker::Tls{});
        broker->start();
    }
    static void TearDownTestSuite() {
        delete broker;
        broker = nullptr;
    }
    static LinkOptions tls_options(const std::string& node, const std::string& ca = broker->ca_file()) {
        LinkOptions o = options(broker->port(), node);
        o.host = "localhost";
        o.tls = true;
        const CertificateFiles files = broker->certificates().client(node);
        o.tls_files = {ca, files.certificate, files.key};
        return o;
    }
    static TestBroker* broker;
};
TestBroker* LinkTlsTest::broker = nullptr;
using LinkOverTls = LinkTlsTest;

TEST_F(LinkOverTls, ANodeReachesItsOwnSubtreeOnly) {
    Client a(loop, tls_options("gw1"));
    Client b(loop, tls_options("gw2"));
    a.link->subscribe("fleet/1/gw1/#");
    b.link->subscribe("fleet/1/#");
    a.link->start();
    b.link->start();
    ASSERT_TRUE(until([&] { return a.connects == 1 && b.connects == 1; }));
    ASSERT_TRUE(a.link->publish("fleet/1/gw1/up", "mine"));
    ASSERT_TRUE(b.link->publish("fleet/1/gw1/up", "not mine"));
    ASSERT_TRUE(until([&] { return a.acks.size() == 1 && b.acks.size() == 1 && !a.messages.empty(); }));
    EXPECT_EQ(a.acks[0].second, 0);
    EXPECT_EQ(b.acks[0].second, 0x87) << "not authorized";
    ASSERT_EQ(a.messages.size(), 1u);
    EXPECT_EQ(a.messages[0].payload, "mine");
    EXPECT_TRUE(b.messages.empty());
}

TEST_F(LinkOverTls, LargeMessagesBothWays) {
    Client a(loop, tls_options("gw3"));
    a.link->subscribe("fleet/1/gw3/#");
    a.link->start();
    ASSERT_TRUE(until([&] { return a.connects == 1; }));
    size_t sent = 0;
    const auto fill = [&] {
        while (sent < 200 && sent - a.acks.size() < 16) ASSERT_TRUE(a.link->publish("fleet/1/gw3/up", std::string(40'000, static_cast<char>(sent++))));
    };
    a.on_published = fill;
    fill();
    ASSERT_TRUE(until([&] { return a.messages.size() == 200 && a.acks.size() == 200; }));
    for (size_t i = 0; i < 200; ++i) ASSERT_EQ(a.messages[i].payload, std::string(40'000, static_cast<char>(i))) << i;
}

TEST_F(LinkOverTls, ABrokerOfAnotherAuthorityIsRefused) {  // R5
    const TestCertificates stranger("A stranger");
    Client a(loop, tls_options("gw4", stranger.ca_file()));
    a.link->start();
    ASSERT_TRUE(until([&] { return !a.errors.empty(); }));
    EXPECT_EQ(a.connects, 0);
    EXPECT_EQ(a.errors[0].code, Code::Denied);
    EXPECT_TRUE(a.errors[0].text.starts_with("the broker's certificate: ")) << a.errors[0].message();
}

TEST_F(LinkOverTls, ABrokerOfAnotherNameIsRefused) {  // R5
    TestBroker elsewhere(TestBroker::Tls{}, "DNS:broker.example,IP:192.0.2.1");
    elsewhere.start();
    for (const char* host : {"localhost", "127.0.0.1"}) {
        LinkOptions o = tls_options("gw5");
        o.host = host;
        o.port = elsewhere.port();
        const CertificateFiles files = elsewhere.certificates().client("gw5");
        o.tls_files = {elsewhere.ca_file(), files.certificate, files.key};
        Client a(loop, o);
        a.link->start();
        ASSERT_TRUE(until([&] { return !a.errors.empty(); }));
        EXPECT_EQ(a.connects, 0);
        EXPECT_EQ(a.errors[0].code, Code::Denied);
        EXPECT_NE(a.errors[0].text.find("mismatch"), std::string::npos) << a.errors[0].message();
    }
}

TEST_F(LinkOverTls, AnAddressIsCheckedToo) {  // R5
    LinkOptions o = tls_options("gw14");
    o.host = "127.0.0.1";
    Client a(loop, o);
    a.link->start();
    ASSERT_TRUE(until([&] { return a.connects == 1; }));
}

TEST_F(LinkOverTls, ANodeWithoutCertificateIsTurnedAway) {
    LinkOptions o = tls_options("gw6");
    o.tls_files.certificate_file.clear();
    o.tls_files.key_file.clear();
    Client a(loop, o);
    a.link->start();
    ASSERT_TRUE(until([&] { return !a.errors.empty(); }));
    EXPECT_EQ(a.connects, 0);
    // The broker's alert may be lost in the reset that follows it.
    EXPECT_NE(a.errors[0].hint.find("certificate"), std::string::npos) << a.errors[0].message();
}

TEST_F(LinkOverTls, ANodeOfAnotherAuthorityIsTurnedAway) {
    TestCertificates stranger("A stranger");
    LinkOptions o = tls_options("gw7");
    const CertificateFiles files = stranger.client("gw7");
    o.tls_files.certificate_file = files.certificate;
    o.tls_files.key_file = files.key;
    Client a(loop, o);
    a.link->start();
    ASSERT_TRUE(until([&] { return !a.errors.empty(); }));
    EXPECT_EQ(a.connects, 0);
    EXPECT_NE(a.errors[0].hint.find("certificate"), std::string::npos) << a.errors[0].message();
}

TEST_F(LinkOverTls, MissingFilesAreNamed) {
    LinkOptions o = tls_options("gw8");
    o.tls_files.ca_file = "/nowhere/ca.pem";
    Client a(loop, o);
    a.link->start();
    ASSERT_TRUE(until([&] { return !a.errors.empty(); }));
    EXPECT_EQ(a.errors[0].code, Code::Invalid);
    EXPECT_NE(a.errors[0].text.find("/nowhere/ca.pem"), std::string::npos) << a.errors[0].message();
    LinkOptions swapped = tls_options("gw9");
    swapped.tls_files.key_file = broker->certificates().client("other").key;
    Client b(loop, swapped);
    b.link->start();
    ASSERT_TRUE(until([&] { return !b.errors.empty(); }));
    EXPECT_EQ(b.errors[0].code, Code::Invalid);
    EXPECT_NE(b.errors[0].text.find(swapped.tls_files.key_file), std::string::npos) << b.errors[0].message();
}

TEST_F(LinkOverTls, APlainListenerIsLeftAtOnce) {
    Listener plain;
    LinkOptions o = tls_options("gw10");
    o.host = "127.0.0.1";
    o.port = plain.port();
    Client a(loop, o);
    a.link->start();
    int fd = -1;
    ASSERT_TRUE(until([&] { return (fd = plain.take()) >= 0; }));
    ASSERT_EQ(::shutdown(fd, SHUT_RDWR), 0);
    ASSERT_TRUE(until([&] { return !a.errors.empty(); }));
    EXPECT_NE(a.errors[0].code, Code::Timeout) << a.errors[0].message();
    EXPECT_EQ(a.connects, 0);
}

TEST_F(LinkOverTls, APortWithoutListenerIsRefusedNotAwaited) {
    LinkOptions o = tls_options("gw11");
    o.port = testing_support::free_port();
    Client a(loop, o);
    a.link->start();
    ASSERT_TRUE(until([&] { return !a.errors.empty(); }));
    EXPECT_NE(a.errors[0].text.find("Connection refused"), std::string::npos) << a.errors[0].message();
}

TEST_F(LinkOverTls, ASilentServerIsLeftAtTheDeadlineWithoutSpinning) {  // R2
    Listener silent;
    LinkOptions o = tls_options("gw12");
    o.host = "127.0.0.1";
    o.port = silent.port();
    o.connect_timeout = milliseconds(300);
    Client a(loop, o);
    const std::clock_t before = std::clock();
    a.link->start();
    ASSERT_TRUE(until([&] { return a.errors.size() >= 1; }));
    EXPECT_EQ(a.errors[0].code, Code::Timeout);
    EXPECT_LT(static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC, 0.25) << "the handshake polls";
}

TEST_F(LinkOverTls, TheLinkComesBackAfterAKill) {
    Client a(loop, tls_options("gw13"));
    a.link->start();
    ASSERT_TRUE(until([&] { return a.connects == 1; }));
    broker->kill9();
    ASSERT_TRUE(until([&] { return !a.errors.empty(); }));
    broker->start();
    ASSERT_TRUE(until([&] { return a.connects == 2; }));
}

}  // namespace
}  // namespace basmalin
