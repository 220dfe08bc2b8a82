// An HTTP/1.1 server on the loop, by Boost.Beast (beast_server.cpp): routes, limits, deadlines, graceful drain, gzip, ETag.
// R1  A header longer than header_bytes_max gets 431 and the connection ends; a body longer than body_bytes_max gets 413,
//     whether its length is declared or chunked. Nothing is buffered beyond these.
// R2  Deadlines: the whole header within header_deadline, the whole body within body_deadline, each 64 KiB of the response within
//     write_deadline, a kept-alive connection idle for idle_deadline at most. A connection past its deadline is closed. The kernel
//     holds little that is not sent yet, so that a response counts as written about when its reader has it.
// R3  At most connections_max connections in all and connections_per_address_max for one address; beyond: 503 and close.
// R4  A handler that returns an Error becomes {"error":{"code","message","hint"}} with the status of its code.
//     A guard's Denied is 401 with WWW-Authenticate (say who you are), a handler's Denied is 403 (you may not).
// R5  drain(): no new connections, `Connection: close` on what is in flight, then done() or the deadline.
// R6  Streams have back-pressure: the next piece is asked for when the previous one is written, each turn one piece of one stream.
//     A stream that ends with its first piece is an ordinary answer, and so is an error before it. At most streams_max at once:
//     beyond, the one whose reader has kept a piece waiting longest, and for stream_patience at least, is cut off; where there is none:
//     503 with Retry-After. One that is said to be brief goes ahead and needs a place only if it is longer than a piece after all; when
//     its turn does not come within first_piece_patience: 503. Answers in one piece, but for short ones, are answer_bytes_max at most on
//     their way to their readers, and make room for each other likewise.
// R7  A path or a query that is badly escaped, not UTF-8 or holds a NUL gets 400. The guard looks at the header, before any
//     body is read.
// R8  Bodies over 1 KiB of a kind that shrinks are sent gzipped to who accepts it; large ones are compressed off the loop.
// Threads: the loop's; only a response's `stream` is called on the server's own stream Worker.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "shared/base/clock.h"
#include "shared/base/result.h"
#include "shared/http/prepared_body.h"
#include "shared/loop/loop.h"

namespace basmalin {

class Json;

struct HttpRequest {
    std::string method;                           // "GET"
    std::string path;                             // decoded, no query
    std::map<std::string, std::string> query;     // decoded; the last of a repeated key
    std::map<std::string, std::string> headers;   // names in lower case
    std::map<std::string, std::string> captures;  // {id} of the route, decoded
    std::string body;
    std::string peer;  // address of the client
    std::string header(const std::string& lower_name) const {
        const auto found = headers.find(lower_name);
        return found == headers.end() ? std::string() : found->second;
    }
};

// Called on the server's stream worker, one call at a time. Appends at most about 64 KiB to `out`; returns false when that was the last
// piece. An error after the first piece ends the connection without the closing chunk, so a client sees that the answer is not whole.
using BodyStream = std::function<Result<bool>(std::string& out)>;

struct HttpResponse {
    int status = 200;
    std::string content_type = "application/json";
    std::string body;
    std::vector<std::pair<std::string, std::string>> headers = {};
    SharedBody shared = {};  // instead of body: for what is answered again and again
    BodyStream stream = {};  // instead of body; sent chunked
    bool brief = false;      // the stream most likely ends with its first piece, which is soon made
    // With a stream, and called on its worker: a body that is at hand already is sent instead (null: it is not); and the body of a
    // stream that ended with its first piece, for whoever asks the same next.
    std::function<SharedBody()> at_hand = {};
    std::function<void(const SharedBody&)> keep = {};
    bool etag = false;       // answer with a strong ETag of the body, and 304 to a matching If-None-Match
    static HttpResponse json(const Json& value, int status = 200);
    static HttpResponse text(std::string body, int status = 200);
};

using HttpHandler = std::function<Result<HttpResponse>(const HttpRequest&)>;
// Looks at every request before its handler and its body ("unmatched" where no route fits): an Error answers instead.
using HttpGuard = std::function<Result<void>(const HttpRequest&, std::string_view route)>;

int http_status(Code code);  // Invalid 400, NotFound 404, Conflict 409, Denied 403, Full 429, Timeout 504, Unavailable 503, Corrupt 500
// A status of 0: the one of the error's code.
HttpResponse error_response(const Error& error, int status = 0);

struct HttpLimits {
    size_t header_bytes_max = 8 * 1024;
    size_t body_bytes_max = 1 << 20;
    size_t connections_max = 4096;
    size_t streams_max = 32;
    size_t answer_bytes_max = 64 << 20;  // of answers in one piece that are on their way; one longer than this goes alone
    size_t connections_per_address_max = 4096;
    Duration header_deadline = seconds(10);
    Duration body_deadline = seconds(30);
    Duration write_deadline = seconds(30);
    Duration idle_deadline = seconds(60);
    Duration stream_patience = seconds(2);
    Duration first_piece_patience = seconds(5);
};

// What became of connections since the start.
struct HttpStats {
    size_t connections = 0;    // open
    size_t streams = 0;        // on their way
    uint64_t refused = 0;      // R3
    uint64_t late_header = 0;  // past their deadlines (R2)
    uint64_t late_body = 0;
    uint64_t late_answer = 0;
    uint64_t late_idle = 0;
    uint64_t streams_cut = 0;  // R6, whole answers among them
    uint64_t streams_refused = 0;
};

struct HttpObservation {
    std::string method;
    std::string route;  // the pattern, "unmatched" where none matched
    int status = 0;
    Duration took;
    double seconds = 0;
};

class HttpServer {
  public:
    // Made and destroyed on the loop's thread, or while the loop does not run. Destroying closes every connection at once and waits
    // for the stream worker: what handlers and streams refer to outlives the server.
    HttpServer(Loop& loop, HttpLimits limits);
    ~HttpServer();
    HttpServer(const HttpServer&) = delete;
    HttpServer& operator=(const HttpServer&) = delete;

    // Before listen(). `pattern` like "/api/nodes/{id}". HEAD is answered from GET. 405 with Allow for other methods.
    void route(const std::string& method, const std::string& pattern, HttpHandler handler);
    void guard(HttpGuard guard);
    void observe(std::function<void(const HttpObservation&)> observer);

    // Port 0: the kernel chooses. Returns the port.
    Result<uint16_t> listen(const std::string& address, uint16_t port);
    // Stops accepting, lets answers in flight finish, then calls `done` (on the loop), at the deadline at the latest.
    void drain(Duration deadline, std::function<void()> done);
    size_t connections() const;
    HttpStats stats() const;

  private:
    struct Impl;
    std::shared_ptr<Impl> impl_;
};

}  // namespace basmalin
