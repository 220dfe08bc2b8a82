#include "shared/http/server.h"

#include <gtest/gtest.h>

#include "shared/base/json.h"
#include "tests/shared/http/http_fixture.h"

namespace basmalin {
namespace {

using testing::Answer;
using testing::BareClient;
using testing::gunzip;
using testing::RunningServer;
class HttpServerTest : public testing::HttpServerFixture {};

TEST_F(HttpServerTest, KeepsAConnectionAliveAndAnswersPipelinedRequestsInOrder) {
    make();
    running_->start();
    BareClient client(running_->port);
    EXPECT_EQ(client.get("/hello").body, "hello");
    client.send(
        "GET /items/1 HTTP/1.1\r\nHost: g\r\n\r\nPOST /echo HTTP/1.1\r\nHost: g\r\nContent-Length: 3\r\n\r\nabc"
        "GET /items/2 HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n");
    EXPECT_EQ(client.read_answer().body, "1");
    EXPECT_EQ(client.read_answer().body, "abc");
    const Answer last = client.read_answer();
    EXPECT_EQ(last.body, "2");
    EXPECT_EQ(last.headers.at("connection"), "close");
    EXPECT_TRUE(client.closed_by_server());
    ASSERT_EQ(seen().size(), 4u);
    EXPECT_EQ(seen()[1].route, "/items/{id}");
    EXPECT_EQ(seen()[2].method, "POST");
    EXPECT_EQ(seen()[3].status, 200);
}

TEST_F(HttpServerTest, ErrorsAreJsonWithAHint) {
    make();
    running_->start();
    BareClient client(running_->port);
    for (const auto& [target, status, code] : {std::tuple{"/items/none", 404, "not_found"},
                                               {"/nowhere", 404, "not_found"},
                                               {"/items/%zz", 400, "invalid"},
                                               {"/hello?x=%00", 400, "invalid"},
                                               {"/items/%ff", 400, "invalid"}}) {
        const Answer answer = client.get(target);
        EXPECT_EQ(answer.status, status) << target;
        const auto json = parse_json(answer.body);
        ASSERT_TRUE(json.has_value()) << answer.body;
        EXPECT_EQ((*json)["error"]["code"].as_string(), code) << target;
        EXPECT_FALSE((*json)["error"]["message"].as_string().empty());
    }
}

TEST_F(HttpServerTest, AWrongMethodIsToldTheRightOnes) {
    make();
    running_->start();
    BareClient client(running_->port);
    const Answer answer = client.get("/hello", {}, "DELETE");
    EXPECT_EQ(answer.status, 405);
    EXPECT_EQ(answer.headers.at("allow"), "GET, HEAD");
    EXPECT_EQ(client.get("/echo").headers.at("allow"), "POST");
}

TEST_F(HttpServerTest, HeadIsGetWithoutTheBody) {
    make();
    running_->start();
    BareClient client(running_->port);
    const Answer head = client.get("/hello", {}, "HEAD");
    EXPECT_EQ(head.status, 200);
    EXPECT_EQ(head.headers.at("content-length"), "5");
    EXPECT_EQ(client.get("/stream", {}, "HEAD").headers.at("transfer-encoding"), "chunked");
    EXPECT_EQ(asked_, 0) << "no stream is started for a HEAD";
    EXPECT_EQ(client.get("/hello").body, "hello");
}

TEST_F(HttpServerTest, R1_ALongHeaderGets431) {
    make();
    running_->start();
    BareClient client(running_->port);
    const Answer answer = client.get("/hello", "X-Long: " + std::string(9000, 'x') + "\r\n");
    EXPECT_EQ(answer.status, 431);
    EXPECT_TRUE(client.closed_by_server());
}

TEST_F(HttpServerTest, R1_TwoHundredThousandHeadersAreRefused) {
    make();
    running_->start();
    BareClient client(running_->port);
    client.send("GET /hello HTTP/1.1\r\nHost: g\r\n");
    std::string many;
    for (int i = 0; i < 1000; ++i) many += "X-" + std::to_string(i) + ": y\r\n";
    bool taken = true;
    for (int i = 0; i < 200 && taken; ++i) taken = client.send(many);
    EXPECT_EQ(client.read_answer().status, 431);
    EXPECT_EQ(client.closed_by_server(), true);
}

TEST_F(HttpServerTest, R1_ALongTargetGets431) {
    make();
    running_->start();
    EXPECT_EQ(client().get("/" + std::string(20'000, 'a')).status, 431);
}

TEST_F(HttpServerTest, R1_ALongDeclaredBodyGets413BeforeItIsSent) {
    make({.body_bytes_max = 1000});
    running_->start();
    BareClient client(running_->port);
    client.send("POST /echo HTTP/1.1\r\nHost: g\r\nContent-Length: 1001\r\n\r\n");
    EXPECT_EQ(client.read_answer().status, 413);
    BareClient exact(running_->port);
    exact.send("POST /echo HTTP/1.1\r\nHost: g\r\nContent-Length: 1000\r\n\r\n" + std::string(1000, 'b'));
    EXPECT_EQ(exact.read_answer().body.size(), 1000u);
}

TEST_F(HttpServerTest, R1_AnEndlessChunkedBodyIsCutOff) {
    make({.body_bytes_max = 100'000});
    running_->start();
    BareClient client(running_->port);
    client.send("POST /echo HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n");
    const std::string chunk = "1000\r\n" + std::string(0x1000, 'c') + "\r\n";
    int taken = 0;
    while (taken < 100'000 && client.send(chunk)) ++taken;
    EXPECT_LT(taken, 100'000) << "400 MB were accepted";
    BareClient polite(running_->port);
    polite.send("POST /echo HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 26; ++i) polite.send(chunk);
    EXPECT_EQ(polite.read_answer().status, 413);
}

TEST_F(HttpServerTest, R1_EndlessChunkExtensionsAreCutOff) {
    make();
    running_->start();
    BareClient client(running_->port);
    client.send("POST /echo HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n4;");
    const std::string more(4096, 'e');
    int taken = 0;
    while (taken < 10'000 && client.send(more)) ++taken;
    EXPECT_LT(taken, 10'000);
}

TEST_F(HttpServerTest, ChunkedBodiesArriveWhole) {
    make();
    running_->start();
    BareClient client(running_->port);
    client.send("POST /echo HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: t\r\n\r\n");
    EXPECT_EQ(client.read_answer().body, "abcde");
    EXPECT_EQ(client.get("/hello").body, "hello");
}

TEST_F(HttpServerTest, SmugglingAndNonsenseGet400) {
    make();
    running_->start();
    for (const char* bad : {"GET /hello HTTP/1.1\r\n\r\n", "GET /hello HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
                            "POST /echo HTTP/1.1\r\nHost: g\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                            "POST /echo HTTP/1.1\r\nHost: g\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
                            "POST /echo HTTP/1.1\r\nHost: g\r\nContent-Length: -3\r\n\r\n",
                            "POST /echo HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
                            "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 tls\r\n\r\n", "GET hello HTTP/1.1\r\nHost: g\r\n\r\n"}) {
        BareClient client(running_->port);
        client.send(bad);
        EXPECT_EQ(client.read_answer().status, 400) << bad;
    }
    BareClient odd(running_->port);
    odd.send("POST /echo HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n");
    EXPECT_EQ(odd.read_answer().status, 501);
}

TEST_F(HttpServerTest, ExpectContinueIsAnsweredBeforeTheBody) {
    make();
    running_->start();
    BareClient client(running_->port);
    client.send("POST /echo HTTP/1.1\r\nHost: g\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    EXPECT_EQ(client.read_answer().status, 100);
    client.send("ok");
    EXPECT_EQ(client.read_answer().body, "ok");
}

TEST_F(HttpServerTest, TheGuardRefusesBeforeTheBodyIsRead) {
    make();
    running_->server->guard([](const HttpRequest& request, std::string_view route) -> Result<void> {
        if (route == "/hello" || request.header("authorization") == "Bearer sesame") return {};
        return fail(Code::Denied, "a token is needed", "send it");
    });
    running_->start();
    BareClient client(running_->port);
    EXPECT_EQ(client.get("/hello").status, 200);
    const Answer refused = client.get("/items/1");
    EXPECT_EQ(refused.status, 401);
    EXPECT_TRUE(refused.headers.at("www-authenticate").starts_with("Bearer"));
    EXPECT_EQ(client.get("/nowhere").status, 401) << "what exists is not told to strangers";
    EXPECT_EQ(client.get("/items/1", "Authorization: Bearer sesame\r\n").status, 200);
    client.send("POST /echo HTTP/1.1\r\nHost: g\r\nContent-Length: 1000\r\n\r\n");
    EXPECT_EQ(client.read_answer().status, 401);
    EXPECT_TRUE(client.closed_by_server());
}

TEST_F(HttpServerTest, R2_ASlowHeaderIsClosed) {
    make({.header_deadline = milliseconds(100)});
    running_->start();
    BareClient silent(running_->port);
    BareClient slow(running_->port);
    slow.send("GET /hello HTTP/1.1\r\nHos");
    EXPECT_TRUE(slow.closed_by_server());
    EXPECT_TRUE(silent.closed_by_server());
    EXPECT_EQ(client().get("/hello").body, "hello");
}

TEST_F(HttpServerTest, R2_DrippingDoesNotExtendTheHeaderDeadline) {
    make({.header_deadline = milliseconds(150)});
    running_->start();
    BareClient slow(running_->port);
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::milliseconds(testing::patience_ms);
    bool open = true;
    while (open && std::chrono::steady_clock::now() < give_up) {
        open = slow.send("x");
        std::this_thread::yield();
        if (running_->on_loop([this] { return running_->server->connections(); }) == 0) open = false;
    }
    EXPECT_FALSE(open);
}

TEST_F(HttpServerTest, R2_ASlowBodyIsClosed) {
    make({.body_deadline = milliseconds(100)});
    running_->start();
    BareClient slow(running_->port);
    slow.send("POST /echo HTTP/1.1\r\nHost: g\r\nContent-Length: 10\r\n\r\nabc");
    EXPECT_TRUE(slow.closed_by_server());
}

TEST_F(HttpServerTest, ARequestThatNeverCameWholeIsNotCounted) {
    make({.body_deadline = milliseconds(100)});
    running_->start();
    BareClient client(running_->port);
    EXPECT_EQ(client.get("/hello").status, 200);
    client.send("POST /echo HTTP/1.1\r\nHost: g\r\nContent-Length: 10\r\n\r\nabc");
    EXPECT_TRUE(client.closed_by_server());
    EXPECT_EQ(seen().size(), 1u);
}

TEST_F(HttpServerTest, R2_AnIdleConnectionIsClosed) {
    make({.idle_deadline = milliseconds(100)});
    running_->start();
    BareClient client(running_->port);
    EXPECT_EQ(client.get("/hello").body, "hello");
    EXPECT_TRUE(client.closed_by_server());
}

TEST_F(HttpServerTest, R2_AStalledReaderIsClosed) {
    make({.write_deadline = milliseconds(150)});
    running_->start();
    BareClient stalled(running_->port, 4096);
    stalled.send("GET /big?n=20000000 HTTP/1.1\r\nHost: g\r\n\r\n");
    BareClient stalled_stream(running_->port, 4096);
    stalled_stream.send("GET /stream?pieces=100000&bytes=65536 HTTP/1.1\r\nHost: g\r\n\r\n");
    EXPECT_TRUE(running_->eventually_connections(0));
    EXPECT_LT(asked_, 1000) << "a stalled reader held the stream back";
}

TEST_F(HttpServerTest, R2_WhoReadsAByteNowAndThenIsClosed) {
    make({.write_deadline = milliseconds(400)});
    running_->start();
    BareClient dripping(running_->port, 4096);
    dripping.send("GET /big?n=20000000 HTTP/1.1\r\nHost: g\r\n\r\n");
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::milliseconds(testing::patience_ms);
    bool open = true;
    while (open && std::chrono::steady_clock::now() < give_up) {
        dripping.sip(1024);
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        open = running_->on_loop([this] { return running_->server->connections(); }) > 0;
    }
    EXPECT_FALSE(open);
    EXPECT_EQ(running_->on_loop([this] { return running_->server->stats().late_answer; }), 1u);
}

TEST_F(HttpServerTest, R3_ConnectionsBeyondTheLimitGet503) {
    make({.connections_max = 3});
    running_->start();
    BareClient a(running_->port);
    BareClient b(running_->port);
    auto c = std::make_unique<BareClient>(running_->port);
    ASSERT_TRUE(running_->eventually_connections(3));
    BareClient d(running_->port);
    EXPECT_EQ(d.read_answer().status, 503);
    EXPECT_TRUE(d.closed_by_server());
    c.reset();
    ASSERT_TRUE(running_->eventually_connections(2));
    EXPECT_EQ(client().get("/hello").body, "hello");
}

TEST_F(HttpServerTest, R3_OneAddressHasALimitOfItsOwn) {
    make({.connections_per_address_max = 1});
    running_->start();
    BareClient a(running_->port);
    ASSERT_TRUE(running_->eventually_connections(1));
    EXPECT_EQ(client().read_answer().status, 503);
}

TEST_F(HttpServerTest, R5_DrainLetsAnswersFinishAndClosesIdleConnections) {
    make();
    running_->start();
    BareClient idle(running_->port);
    EXPECT_EQ(idle.get("/hello").body, "hello");
    BareClient busy(running_->port);
    busy.send("POST /echo HTTP/1.1\r\nHost: g\r\nContent-Length: 4\r\n\r\nab");
    ASSERT_TRUE(running_->eventually_connections(2));
    BareClient probe(running_->port);  // its answer means that what busy sent was read
    EXPECT_EQ(probe.get("/hello").body, "hello");
    std::promise<void> done;
    running_->on_loop([&] {
        running_->server->drain(seconds(60), [&] { done.set_value(); });
        return 0;
    });
    EXPECT_TRUE(idle.closed_by_server());
    auto finished = done.get_future();
    EXPECT_EQ(finished.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout);
    busy.send("cd");
    const Answer answer = busy.read_answer();
    EXPECT_EQ(answer.body, "abcd");
    EXPECT_TRUE(busy.closed_by_server());
    EXPECT_EQ(finished.wait_for(std::chrono::milliseconds(testing::patience_ms)), std::future_status::ready);
    BareClient late(running_->port);
    EXPECT_FALSE(late.connected());
}

TEST_F(HttpServerTest, R5_DrainEndsAtItsDeadline) {
    make();
    running_->start();
    BareClient busy(running_->port);
    busy.send("POST /echo HTTP/1.1\r\nHost: g\r\nContent-Length: 4\r\n\r\nab");
    ASSERT_TRUE(running_->eventually_connections(1));
    std::promise<void> done;
    running_->on_loop([&] {
        running_->server->drain(milliseconds(100), [&] { done.set_value(); });
        return 0;
    });
    EXPECT_EQ(done.get_future().wait_for(std::chrono::milliseconds(testing::patience_ms)), std::future_status::ready);
    EXPECT_TRUE(busy.closed_by_server());
}

TEST_F(HttpServerTest, R8_BodiesAreGzippedForWhoAcceptsIt) {
    make();
    running_->start();
    BareClient client(running_->port);
    for (const char* target : {"/big?n=2000", "/big?n=500000", "/stream?pieces=20&bytes=50000"}) {
        const Answer plain = client.get(target);
        EXPECT_FALSE(plain.headers.contains("content-encoding"));
        EXPECT_EQ(plain.headers.at("vary"), "Accept-Encoding");
        const Answer packed = client.get(target, "Accept-Encoding: gzip, br\r\n");
        ASSERT_EQ(packed.headers.at("content-encoding"), "gzip") << target;
        EXPECT_LT(packed.body.size(), plain.body.size() / 10);
        EXPECT_TRUE(gunzip(packed.body) == plain.body) << target;
    }
    EXPECT_FALSE(client.get("/big?n=1000", "Accept-Encoding: gzip\r\n").headers.contains("content-encoding"));
}

TEST_F(HttpServerTest, AnETagSavesTheBody) {
    make();
    running_->start();
    BareClient client(running_->port);
    const Answer first = client.get("/big?n=5000&etag");
    const std::string tag = first.headers.at("etag");
    const Answer again = client.get("/big?n=5000&etag", "If-None-Match: " + tag + "\r\n");
    EXPECT_EQ(again.status, 304);
    EXPECT_EQ(again.headers.at("etag"), tag);
    EXPECT_EQ(again.body, "");
    const Answer packed = client.get("/big?n=5000&etag", "Accept-Encoding: gzip\r\n");
    EXPECT_NE(packed.headers.at("etag"), tag) << "another coding is another representation";
    EXPECT_EQ(client.get("/big?n=5000&etag", "If-None-Match: " + packed.headers.at("etag") + "\r\n").status, 304);
    EXPECT_EQ(client.get("/big?n=5001&etag", "If-None-Match: " + tag + "\r\n").status, 200);
    const Answer large = client.get("/big?n=500000&etag", "Accept-Encoding: gzip\r\n");
    EXPECT_EQ(large.headers.at("content-encoding"), "gzip");
    EXPECT_EQ(large.headers.at("cache-control"), "no-cache");
    EXPECT_EQ(client.get("/big?n=500000&etag", "Accept-Encoding: gzip\r\nIf-None-Match: " + large.headers.at("etag") + "\r\n").status, 304);
}

TEST_F(HttpServerTest, StoppingWithOpenStreamsIsClean) {
    make();
    running_->start();
    BareClient a(running_->port, 4096);
    a.send("GET /stream?pieces=100000&bytes=65536 HTTP/1.1\r\nHost: g\r\n\r\n");
    BareClient b(running_->port);
    b.send("GET /hel");
    ASSERT_TRUE(running_->eventually_connections(2));
    running_->stop();
    EXPECT_TRUE(a.closed_by_server());
    EXPECT_TRUE(b.closed_by_server());
}

TEST(HttpServerAddress, APortInUseIsAnErrorWithARemedy) {
    RunningServer first;
    first.start();
    Loop loop;
    HttpServer second(loop, {});
    const auto bound = second.listen("127.0.0.1", first.port);
    ASSERT_FALSE(bound.has_value());
    EXPECT_EQ(bound.error().code, Code::Unavailable);
    EXPECT_FALSE(bound.error().hint.empty());
    EXPECT_EQ(second.listen("localhost", 0).error().code, Code::Invalid);
}

}  // namespace
}  // namespace basmalin
