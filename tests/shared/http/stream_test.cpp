// Long answers (server.h R6).
#include "tests/shared/http/http_fixture.h"

namespace basmalin {
namespace {

using testing::Answer;
using testing::BareClient;
class HttpStreams : public testing::HttpServerFixture {};

TEST_F(HttpStreams, R6_StreamsArriveWhole) {
    make();
    running_->start();
    BareClient client(running_->port);
    const Answer answer = client.get("/stream?pieces=50&bytes=60000");
    EXPECT_TRUE(answer.whole);
    EXPECT_EQ(answer.headers.at("transfer-encoding"), "chunked");
    ASSERT_EQ(answer.body.size(), 50u * 60000);
    EXPECT_EQ(answer.body.back(), 'a' + 49 % 26);
    const Answer small = client.get("/stream?pieces=1&bytes=5");
    EXPECT_EQ(small.headers.at("content-length"), "5") << "one piece is an ordinary answer";
    EXPECT_EQ(client.get("/stream?pieces=1&bytes=0").body, "");
}

TEST_F(HttpStreams, R6_AStreamThatBreaksIsSeenToBeBroken) {
    make();
    running_->start();
    BareClient client(running_->port);
    const Answer at_once = client.get("/stream?break=0");
    EXPECT_EQ(at_once.status, 503);
    EXPECT_NE(at_once.body.find("the store went away"), std::string::npos);
    const Answer later = client.get("/stream?pieces=5&break=2");
    EXPECT_EQ(later.status, 200);
    EXPECT_FALSE(later.whole);
    EXPECT_EQ(later.body, "aaaabbbb");
}

TEST_F(HttpStreams, R6_StreamsBeyondTheLimitAreToldToComeBack) {
    make({.streams_max = 2});
    running_->start();
    BareClient a(running_->port, 4096);
    BareClient b(running_->port, 4096);
    for (BareClient* one : {&a, &b}) one->send("GET /stream?pieces=100000&bytes=65536 HTTP/1.1\r\nHost: g\r\n\r\n");
    // Whichever comes when both slots are taken.
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::milliseconds(testing::patience_ms);
    Answer refused;
    while (refused.status != 503 && std::chrono::steady_clock::now() < give_up) refused = client().get("/stream?pieces=1");
    EXPECT_EQ(refused.status, 503);
    EXPECT_EQ(refused.headers.at("retry-after"), "1");
    EXPECT_EQ(client().get("/hello").body, "hello");
}

TEST_F(HttpStreams, R6_TheSlowestReaderMakesRoomForAnother) {
    make({.streams_max = 2, .stream_patience = milliseconds(100)});
    running_->start();
    BareClient a(running_->port, 4096);
    BareClient b(running_->port, 4096);
    for (BareClient* one : {&a, &b}) one->send("GET /stream?pieces=100000&bytes=65536 HTTP/1.1\r\nHost: g\r\n\r\n");
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::milliseconds(testing::patience_ms);
    const auto stats = [this] { return running_->on_loop([this] { return running_->server->stats(); }); };
    while (stats().streams < 2 && std::chrono::steady_clock::now() < give_up) std::this_thread::yield();
    Answer served;
    while (served.status != 200 && std::chrono::steady_clock::now() < give_up) served = client().get("/stream?pieces=3");
    EXPECT_EQ(served.body, "aaaabbbbcccc");
    EXPECT_EQ(stats().streams_cut, 1u);
    EXPECT_EQ(stats().streams, 1u) << "the other one goes on";
}

TEST_F(HttpStreams, R6_AnOldClientGetsAStreamWithoutChunks) {
    make();
    running_->start();
    BareClient client(running_->port);
    client.send("GET /stream HTTP/1.0\r\n\r\n");
    const Answer answer = client.read_answer();
    EXPECT_EQ(answer.body, "aaaabbbbcccc");
    EXPECT_FALSE(answer.headers.contains("transfer-encoding"));
}

}  // namespace
}  // namespace basmalin
