// The writing half of a connection: whole answers and streams (server.h R2, R6, R8).
#include <array>
#include <charconv>

#include "shared/http/beast_session.h"

namespace basmalin::beast_http {
namespace {

constexpr size_t gzip_bytes_min = 1024;
constexpr size_t gzip_on_loop_bytes_max = 64 * 1024;
constexpr size_t write_stretch_bytes = 64 * 1024;  // R2
constexpr Duration linger_deadline = seconds(2);

}  // namespace

bool Session::wants_gzip(const HttpResponse& response) const {
    for (const auto& [name, value] : response.headers) {
        if (http_message::lower(name) == "content-encoding") return false;
    }
    return !http10_ && http_message::is_compressible(response.content_type) &&
           http_message::accepts_gzip(request_.header("accept-encoding"));
}

void Session::answer(HttpResponse response) {
    if (response.stream) return start_stream(std::move(response));
    const bool large = response.body.size() > gzip_on_loop_bytes_max && response.status == 200;
    if (!large || head_only_ || core_->stats.streams >= core_->limits.streams_max || !wants_gzip(response)) {
        return send_whole(std::move(response));
    }
    if (response.etag) {
        const std::string etag = http_message::etag_of(response.body);
        if (http_message::etag_matches(request_.header("if-none-match"), etag)) return send_whole(std::move(response));
        response.headers.emplace_back("ETag", http_message::gzip_etag(etag));
    }
    // Compressing this much would hold the loop: let the worker do it, piece by piece.
    response.stream = [body = std::make_shared<const std::string>(std::move(response.body)), at = size_t{0}](std::string& out) mutable {
        out.append(*body, at, gzip_on_loop_bytes_max);
        at += gzip_on_loop_bytes_max;
        return Result<bool>(at < body->size());
    };
    start_stream(std::move(response));
}

void Session::send_whole(HttpResponse response) {
    stage_ = Stage::Answering;
    status_ = response.status;
    std::string etag;
    if (response.etag && response.status == 200) etag = http_message::etag_of(response.body);
    if (!etag.empty() && http_message::etag_matches(request_.header("if-none-match"), etag)) {
        response.status = status_ = 304;
        response.body.clear();
    }
    const bool shrinks = response.body.size() > gzip_bytes_min && response.body.size() <= gzip_on_loop_bytes_max * 16;
    if (http_message::is_compressible(response.content_type)) response.headers.emplace_back("Vary", "Accept-Encoding");
    if (shrinks && wants_gzip(response)) {
        response.body = gzip(response.body);
        response.headers.emplace_back("Content-Encoding", "gzip");
        if (!etag.empty()) etag = http_message::gzip_etag(etag);
    }
    if (!etag.empty()) response.headers.emplace_back("ETag", etag);
    http_message::HeadOptions options;
    options.keep_alive = keep_alive_;
    options.length = response.body.size();
    options.date = core_->date();
    head_ = http_message::render_head(response, options);
    body_ = head_only_ ? std::string() : std::move(response.body);
    write(Then::Finish);
}

void Session::start_stream(HttpResponse response) {
    if (head_only_) {
        response.stream = {};
        status_ = response.status;
        head_ = http_message::render_head(response, {keep_alive_, !http10_, false, 0, core_->date()});
        body_.clear();
        return write(Then::Finish);
    }
    if (core_->stats.streams >= core_->limits.streams_max && !core_->cut_stalled_stream()) {
        ++core_->stats.streams_refused;
        HttpResponse busy = error_response({Code::Unavailable, "too many long answers at once", "ask again in a moment"}, 503);
        busy.headers.emplace_back("Retry-After", "1");
        return send_whole(std::move(busy));
    }
    ++core_->stats.streams;
    pull_ = std::make_shared<Pull>();
    pull_->source = std::move(response.stream);
    response.stream = {};
    if (wants_gzip(response)) pull_->gzip = std::make_unique<Gzip>();
    pull_->response = std::move(response);
    next_piece();
}

void Session::next_piece() {
    stage_ = Stage::Answering;
    stream_.expires_never();
    // The worker holds no session: the last reference to a socket must go on the loop's thread.
    const bool posted = core_->worker.try_post([weak = weak_from_this(), pull = pull_, loop = &core_->loop, first = !pull_->begun] {
        if (pull->cancelled) return;
        auto piece = std::make_shared<Piece>();
        piece->more = pull->source(piece->bytes);
        if (piece->more && pull->gzip && !(first && !*piece->more)) {
            std::string packed;
            pull->gzip->add(piece->bytes, !*piece->more, packed);
            piece->bytes = std::move(packed);
            piece->gzipped = true;
        }
        loop->post([weak, pull, piece] {
            const auto self = weak.lock();
            if (self && self->pull_ == pull) self->on_piece(std::move(*piece));
        });
    });
    if (!posted) close();  // only while the server is going away: the queue has room for every stream
}

void Session::on_piece(Piece piece) {
    if (!piece.more) {
        const bool begun = pull_->begun;
        if (!begun) {
            release_stream();
            return send_whole(error_response(piece.more.error()));
        }
        log::warn("http_stream_broken", {{"route", route_}, {"error", piece.more.error().message()}});
        return close();
    }
    const bool last = !*piece.more;
    if (last && !pull_->begun) {  // all of it in one piece: an ordinary answer
        HttpResponse response = std::move(pull_->response);
        release_stream();
        response.body = std::move(piece.bytes);
        return send_whole(std::move(response));
    }
    if (piece.bytes.empty() && !last) return next_piece();
    head_.clear();
    if (!pull_->begun) begin_stream(piece.gzipped);
    body_ = std::move(piece.bytes);
    if (!http10_) {
        std::array<char, 20> size;
        const auto end = std::to_chars(size.data(), size.data() + size.size(), body_.size(), 16);
        if (!body_.empty()) {
            head_.append(size.data(), end.ptr).append("\r\n");
            body_ += "\r\n";
        }
        if (last) body_ += "0\r\n\r\n";
    }
    write(last ? Then::Finish : Then::NextPiece);
}

void Session::begin_stream(bool gzipped) {
    HttpResponse& response = pull_->response;
    pull_->begun = true;
    status_ = response.status;
    if (http10_) keep_alive_ = false;  // the end of the connection is the end of the body
    if (http_message::is_compressible(response.content_type)) response.headers.emplace_back("Vary", "Accept-Encoding");
    if (gzipped) response.headers.emplace_back("Content-Encoding", "gzip");
    head_ = http_message::render_head(response, {keep_alive_, !http10_, false, 0, core_->date()});
}

void Session::write(Then then) {
    then_ = then;
    written_ = 0;
    writing_since_ = Steady::now();
    deadline(then == Then::ReadBody ? core_->limits.body_deadline : core_->limits.write_deadline);
    write_some();
}

void Session::write_some() {
    const size_t from_head = std::min(written_, head_.size());
    const size_t from_body = written_ - from_head;
    const std::array<asio::const_buffer, 2> rest = {asio::buffer(head_.data() + from_head, head_.size() - from_head),
                                                    asio::buffer(body_.data() + from_body, body_.size() - from_body)};
    stream_.async_write_some(rest, [self = shared_from_this()](const Failure& failure, size_t n) { self->on_written(failure, n); });
}

void Session::on_written(const Failure& failure, size_t n) {
    if (stage_ == Stage::Closed) return;
    if (failure) return broken(failure);
    const bool next_stretch = (written_ + n) / write_stretch_bytes > written_ / write_stretch_bytes;
    written_ += n;
    if (written_ < head_.size() + body_.size()) {
        if (next_stretch) deadline(core_->limits.write_deadline);
        return write_some();
    }
    writing_since_.reset();
    head_.clear();
    body_ = std::string();
    switch (then_) {
        case Then::ReadBody: return parse();
        case Then::NextPiece: return next_piece();
        case Then::Finish: return finish();
    }
}

void Session::finish() {
    observe();
    release_stream();
    if (keep_alive_ && !core_->draining && core_->acceptor.is_open()) {
        request_ = {};
        fresh_parser();
        stage_ = buffer_.size() == 0 ? Stage::Idle : Stage::Header;
        deadline(stage_ == Stage::Idle ? core_->limits.idle_deadline : core_->limits.header_deadline);
        return parse();
    }
    Failure ignored;
    stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
    if (!input_pending_) return close();
    stage_ = Stage::Lingering;
    deadline(linger_deadline);
    linger();
}

// Closing with unread input resets the connection, and the client would lose our answer: read on a little.
void Session::linger() {
    buffer_.clear();
    stream_.async_read_some(buffer_.prepare(read_bytes),
                            [self = shared_from_this()](const Failure& failure, size_t n) { self->on_read(failure, n); });
}

void Session::release_stream() {
    if (!pull_) return;
    pull_->cancelled = true;
    pull_.reset();
    --core_->stats.streams;
}

void Session::observe() {
    if (observed_) return;
    observed_ = true;
    if (!core_->observer || status_ == 0) return;
    const std::chrono::duration<double> took = Steady::now() - started_;
    core_->observer({request_.method, route_, status_, milliseconds(static_cast<int64_t>(took.count() * 1000)), took.count()});
}

}  // namespace basmalin::beast_http
