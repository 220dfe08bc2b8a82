// The two halves of a connection (beast_session.cpp reads, beast_answer.cpp writes) and what connections share. Only the
// beast_*.cpp files include this. Thread: the loop's; a Pull's source and gzip are the stream worker's.
#pragma once

#include <atomic>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "shared/base/log.h"
#include "shared/http/gzip.h"
#include "shared/http/message.h"
#include "shared/http/router.h"
#include "shared/http/server.h"
#include "shared/loop/worker.h"

namespace basmalin::beast_http {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using tcp = asio::ip::tcp;
using Failure = boost::system::error_code;
using Steady = std::chrono::steady_clock;

constexpr size_t read_bytes = 16 * 1024;

class Session;

// R6: places of streams, bytes of whole answers.
enum class Room : uint8_t { Streams, Answers };

// What the server and its connections share.
struct Core : std::enable_shared_from_this<Core> {
    Core(Loop& owner, const HttpLimits& bounds)
        : loop(owner), limits(bounds), acceptor(owner.context()), worker("http-stream", bounds.connections_max + 1) {}

    void accept();
    void admit(tcp::socket socket);
    void forget(const std::shared_ptr<Session>& session);
    void close_all(bool only_idle);
    void end_drain_if_empty();
    std::string date();
    // The reader that has stalled longest, and for stream_patience, of those that take up such room. False: there is none.
    bool cut_stalled(Room room);
    // R6: a body that is on its way, to one reader or to many. False: with this one it would be too much.
    bool hold(const SharedBody& body);
    void let_go(const SharedBody& body);

    Loop& loop;
    const HttpLimits limits;
    Router router;
    HttpGuard guard;
    std::function<void(const HttpObservation&)> observer;
    tcp::acceptor acceptor;
    std::set<std::shared_ptr<Session>> sessions;
    std::map<std::string, size_t> by_address;
    std::map<const PreparedBody*, size_t> readers;  // of the bodies on their way
    size_t held_bytes = 0;                          // of these
    HttpStats stats;  // `connections` is the set's size
    bool draining = false;
    std::function<void()> drained;
    Timer drain_timer;
    Timer accept_timer;
    log::Gate refusals{seconds(60)};
    SystemClock clock;
    int64_t date_seconds = 0;
    std::string date_text;
    Worker worker;
};

struct Piece {
    std::string bytes;
    Result<bool> more = false;
    SharedBody whole;  // instead of bytes: the answer in one piece
    bool refused = false;  // R6: it waited too long
};

// A stream on its way, shared with the worker.
struct Pull {
    std::atomic<bool> cancelled = false;
    HttpResponse response;  // head only; the loop's
    bool begun = false;     // the loop's: the head is sent
    bool placed = false;    // the loop's: it is one of streams_max
    // The worker's, but for being made.
    BodyStream source;
    std::function<SharedBody()> at_hand;
    std::function<void(const SharedBody&)> keep;
    bool packs = false;
    std::unique_ptr<Gzip> gzip;
    bool asked = false;
    Steady::time_point patient_until;

    Piece next();
};

//      ┌──────────── kept alive ────────────┐
//   Idle ─> Header ─> Body ─> Answering ────┴─> Lingering ─> Closed     (a deadline or a broken socket: Closed)
class Session : public std::enable_shared_from_this<Session> {
  public:
    Session(std::shared_ptr<Core> core, tcp::socket socket, std::string peer)
        : core_(std::move(core)),
          stream_(std::move(socket)),
          peer_(std::move(peer)),
          buffer_(core_->limits.header_bytes_max + read_bytes) {}

    void start() {
        fresh_parser();
        stage_ = Stage::Header;
        deadline(core_->limits.header_deadline);
        read();
    }
    const std::string& peer() const { return peer_; }
    bool idle() const { return stage_ == Stage::Idle || (stage_ == Stage::Header && buffer_.size() == 0 && !parser_->got_some()); }
    void close();
    // Since when the reader of a stream keeps its piece waiting, or that of an answer took nothing; nothing when none waits for it.
    std::optional<Steady::time_point> stalled_since(Room room) const {
        if (room == Room::Streams) return pull_ ? writing_since_ : std::nullopt;
        return holds_ ? std::optional(progressed_at_) : std::nullopt;
    }

  private:
    enum class Stage { Idle, Header, Body, Answering, Lingering, Closed };
    enum class Then { ReadBody, NextPiece, Finish };

    void deadline(Duration d) { stream_.expires_after(std::chrono::milliseconds(d.ms)); }
    void fresh_parser();
    void broken(const Failure& failure);
    void read();
    void on_read(const Failure& failure, size_t n);
    void parse();
    void refuse(int status, Error error);
    void refuse_syntax(const Failure& failure);
    void on_header();
    bool take_head();
    bool route_it();
    void on_request();
    void answer(HttpResponse response);
    void send_whole(HttpResponse response);
    void start_stream(HttpResponse response);
    void next_piece();
    void on_piece(Piece piece);
    void begin_stream();
    bool place_stream();
    void send_busy(Error error);
    void write(Then then);
    void write_some();
    void on_written(const Failure& failure, size_t n);
    void finish();
    void linger();
    void release_stream();
    void let_go();
    void observe();
    bool wants_gzip(const HttpResponse& response) const;

    std::shared_ptr<Core> core_;
    beast::tcp_stream stream_;
    const std::string peer_;
    beast::flat_buffer buffer_;
    std::optional<http::request_parser<http::string_body>> parser_;
    Stage stage_ = Stage::Idle;
    HttpRequest request_;
    std::string route_;
    HttpHandler handler_;
    Steady::time_point started_;
    bool observed_ = true;
    bool keep_alive_ = true;
    bool http10_ = false;
    bool head_only_ = false;
    bool input_pending_ = false;  // the client may still be sending what nobody reads
    int status_ = 0;
    std::shared_ptr<Pull> pull_;
    std::string head_;
    std::string body_;
    SharedBody shared_body_;
    std::string_view sending_;  // of one of the two
    size_t written_ = 0;
    std::optional<Steady::time_point> writing_since_;
    Steady::time_point progressed_at_;
    bool holds_ = false;  // room for shared_body_
    size_t lingered_ = 0;
    Then then_ = Then::Finish;
};

}  // namespace basmalin::beast_http
