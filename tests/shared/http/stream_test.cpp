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
    while (refused.status != 503 && std::chrono::steady_clock::now() < give_up) refused = client().get("/stream?pieces=2&brief=1");
    EXPECT_EQ(refused.status, 503) << "longer than it was said to be";
    EXPECT_EQ(client().get("/stream?pieces=1").status, 503);
    EXPECT_EQ(client().get("/stream?pieces=1&brief=1").body, "aaaa") << "a brief one needs no room";
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

TEST_F(HttpStreams, R6_AnAnswerThatIsAtHandIsSentInstead) {
    make();
    running_->start();
    for (const char* coding : {"", "Accept-Encoding: gzip\r\n"}) {
        const Answer answer = client().get("/kept?pieces=1&bytes=3000", coding);
        EXPECT_EQ(answer.status, 200);
        EXPECT_EQ(answer.headers.contains("content-encoding"), *coding != '\0');
        EXPECT_EQ(*coding == '\0' ? answer.body : testing::gunzip(answer.body), std::string(3000, 'a'));
        EXPECT_EQ(asked_, 1) << "made once";
    }
    EXPECT_EQ(client().get("/stream?pieces=1").body, "aaaa");
    kept_.reset();
    EXPECT_EQ(client().get("/kept?pieces=2").body, "aaaabbbb") << "a longer one is not kept";
    EXPECT_FALSE(kept_);
}

TEST_F(HttpStreams, R6_WhatSlowReadersKeepWaitingIsBounded) {
    make({.answer_bytes_max = 5 << 20});
    running_->start();
    BareClient slow(running_->port, 4096);
    slow.send("GET /big?n=4000000 HTTP/1.1\r\nHost: g\r\n\r\n");
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::milliseconds(testing::patience_ms);
    Answer refused;
    while (refused.status != 503 && std::chrono::steady_clock::now() < give_up) refused = client().get("/big?n=4000001");
    EXPECT_EQ(refused.status, 503);
    EXPECT_EQ(refused.headers.at("retry-after"), "1");
    EXPECT_EQ(client().get("/big?n=500000").body.size(), 500'000U) << "there is room for this";
    EXPECT_EQ(client().get("/kept?pieces=1&bytes=3000").body.size(), 3000U);
    // One body that many read takes room once.
    std::vector<std::unique_ptr<BareClient>> readers;
    for (int i = 0; i < 40; ++i) {
        readers.push_back(std::make_unique<BareClient>(running_->port, 4096));
        readers.back()->send("GET /shared HTTP/1.1\r\nHost: g\r\n\r\n");
    }
    EXPECT_EQ(client().get("/shared").body.size(), 200'000U);
}

TEST_F(HttpStreams, ASharedBodyHasOneTagAndOneCompressedForm) {
    make();
    running_->start();
    const Answer plain = client().get("/shared");
    EXPECT_EQ(plain.body, shared_->bytes());
    EXPECT_EQ(plain.headers.at("etag"), shared_->etag());
    const Answer packed = client().get("/shared", "Accept-Encoding: gzip\r\n");
    EXPECT_EQ(testing::gunzip(packed.body), shared_->bytes());
    EXPECT_NE(packed.headers.at("etag"), plain.headers.at("etag"));
    for (const Answer* known : {&plain, &packed})
        EXPECT_EQ(client().get("/shared", "If-None-Match: " + known->headers.at("etag") + "\r\nAccept-Encoding: gzip\r\n").status, 304);
    const Answer head = client().get("/shared", "Accept-Encoding: gzip\r\n", "HEAD");
    EXPECT_EQ(head.headers.at("content-encoding"), "gzip");
    EXPECT_FALSE(head.headers.contains("content-length")) << "not compressed for a HEAD";
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
