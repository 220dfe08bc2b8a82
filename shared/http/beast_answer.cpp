// The writing half of a connection: whole answers and streams (server.h R2, R6, R8).
#include <array>
#include <charconv>
#include <utility>

#include "shared/http/beast_session.h"

namespace basmalin::beast_http {
namespace {

constexpr size_t gzip_bytes_min = 1024;
constexpr size_t large_bytes = 64 * 1024;
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
    if (response.body.size() > large_bytes) response.shared = std::make_shared<const PreparedBody>(std::move(response.body));
    const bool large = response.shared && response.shared->bytes().size() > large_bytes;
    if (!large || head_only_ || response.status != 200 || !wants_gzip(response) ||
        (response.etag && http_message::etag_matches(request_.header("if-none-match"), response.shared->etag()))) {
        return send_whole(std::move(response));
    }
    // Compressing this much would hold the loop: let the worker do it.
    response.at_hand = [body = std::exchange(response.shared, nullptr)] { return body; };
    response.brief = true;
    start_stream(std::move(response));
}

void Session::send_whole(HttpResponse response) {
    stage_ = Stage::Answering;
    status_ = response.status;
    shared_body_ = std::move(response.shared);
    body_ = std::move(response.body);
    sending_ = shared_body_ ? shared_body_->bytes() : body_;
    std::string etag;
    if (response.etag && response.status == 200) etag = shared_body_ ? shared_body_->etag() : http_message::etag_of(body_);
    if (!etag.empty() && http_message::etag_matches(request_.header("if-none-match"), etag)) {
        response.status = status_ = 304;
        sending_ = {};
    }
    if (http_message::is_compressible(response.content_type)) response.headers.emplace_back("Vary", "Accept-Encoding");
    http_message::HeadOptions options;
    if (sending_.size() > gzip_bytes_min && wants_gzip(response)) {
        options.with_length = !head_only_ || sending_.size() <= large_bytes;  // a HEAD is not worth compressing that much
        if (options.with_length) {
            if (!shared_body_) body_ = gzip(body_);
            sending_ = shared_body_ ? shared_body_->gzipped() : body_;
        }
        response.headers.emplace_back("Content-Encoding", "gzip");
        if (!etag.empty()) etag = http_message::gzip_etag(etag);
    }
    if (!etag.empty()) response.headers.emplace_back("ETag", etag);
    options.keep_alive = keep_alive_;
    options.length = sending_.size();
    options.date = core_->date();
    head_ = http_message::render_head(response, options);
    if (head_only_) sending_ = {};
    if (sending_.empty() || sending_.data() == body_.data()) shared_body_.reset();
    if (shared_body_ && shared_body_->bytes().size() > large_bytes) {
        while (!core_->hold(shared_body_)) {
            if (core_->cut_stalled(Room::Answers)) continue;
            shared_body_.reset();
            return send_busy({Code::Unavailable, "too many long answers at once", "ask again in a moment"});
        }
        holds_ = true;
    }
    write(Then::Finish);
}

void Session::send_busy(Error error) {
    ++core_->stats.streams_refused;
    HttpResponse busy = error_response(error, 503);
    busy.headers.emplace_back("Retry-After", "1");
    send_whole(std::move(busy));
}

void Session::start_stream(HttpResponse response) {
    if (head_only_) {
        response.stream = {};
        status_ = response.status;
        head_ = http_message::render_head(response, {keep_alive_, !http10_, false, 0, core_->date()});
        return write(Then::Finish);
    }
    pull_ = std::make_shared<Pull>();
    if (!response.brief && !place_stream()) {
        release_stream();
        return send_busy({Code::Unavailable, "too many long answers at once", "ask again in a moment"});
    }
    pull_->source = std::exchange(response.stream, {});
    pull_->at_hand = std::exchange(response.at_hand, {});
    pull_->keep = std::exchange(response.keep, {});
    pull_->packs = wants_gzip(response);
    pull_->patient_until = Steady::now() + std::chrono::milliseconds(core_->limits.first_piece_patience.ms);
    pull_->response = std::move(response);
    next_piece();
}

Piece Pull::next() {
    Piece piece;
    const bool first = !std::exchange(asked, true);
    if (first && Steady::now() > patient_until) {
        piece.refused = true;
        return piece;
    }
    if (first && at_hand) piece.whole = at_hand();
    if (!piece.whole) {
        piece.more = source(piece.bytes);
        if (first && piece.more && !*piece.more) {
            piece.whole = std::make_shared<const PreparedBody>(std::move(piece.bytes));
            if (keep) keep(piece.whole);
        }
    }
    if (!packs || !piece.more) return piece;
    if (piece.whole) {
        if (piece.whole->bytes().size() > gzip_bytes_min) piece.whole->gzipped();
        return piece;
    }
    if (!gzip) gzip = std::make_unique<Gzip>();
    std::string packed;
    gzip->add(piece.bytes, !*piece.more, packed);
    piece.bytes = std::move(packed);
    return piece;
}

void Session::next_piece() {
    stage_ = Stage::Answering;
    stream_.expires_never();
    // The worker holds no session: the last reference to a socket must go on the loop's thread.
    const bool posted = core_->worker.try_post(
        [weak = weak_from_this(), pull = pull_, loop = &core_->loop] {
            if (pull->cancelled) return;
            auto piece = std::make_shared<Piece>(pull->next());
            loop->post([weak, pull, piece] {
                const auto self = weak.lock();
                if (self && self->pull_ == pull) self->on_piece(std::move(*piece));
            });
        },
        !pull_->placed);
    if (!posted) close();  // only while the server is going away: the queue has room for every connection
}

void Session::on_piece(Piece piece) {
    if (piece.refused) {
        release_stream();
        return send_busy({Code::Unavailable, "too many answers are waiting", "ask again in a moment"});
    }
    if (!piece.more) {
        const bool begun = pull_->begun;
        if (!begun) {
            release_stream();
            return send_whole(error_response(piece.more.error()));
        }
        log::warn("http_stream_broken", {{"route", route_}, {"error", piece.more.error().message()}});
        return close();
    }
    if (piece.whole) {
        HttpResponse response = std::move(pull_->response);
        release_stream();
        response.shared = std::move(piece.whole);
        return send_whole(std::move(response));
    }
    const bool last = !*piece.more;
    if (piece.bytes.empty() && !last) return next_piece();
    head_.clear();
    if (!pull_->placed && !place_stream()) {
        release_stream();
        return send_busy({Code::Unavailable, "too many long answers at once", "ask again in a moment"});
    }
    if (!pull_->begun) begin_stream();
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
    sending_ = body_;
    write(last ? Then::Finish : Then::NextPiece);
}

// False where there is no room for one more.
bool Session::place_stream() {
    if (core_->stats.streams >= core_->limits.streams_max && !core_->cut_stalled(Room::Streams)) return false;
    ++core_->stats.streams;
    pull_->placed = true;
    return true;
}

void Session::begin_stream() {
    HttpResponse& response = pull_->response;
    pull_->begun = true;
    status_ = response.status;
    if (http10_) keep_alive_ = false;  // the end of the connection is the end of the body
    if (http_message::is_compressible(response.content_type)) response.headers.emplace_back("Vary", "Accept-Encoding");
    if (pull_->packs) response.headers.emplace_back("Content-Encoding", "gzip");
    head_ = http_message::render_head(response, {keep_alive_, !http10_, false, 0, core_->date()});
}

void Session::write(Then then) {
    then_ = then;
    written_ = 0;
    writing_since_ = progressed_at_ = Steady::now();
    deadline(then == Then::ReadBody ? core_->limits.body_deadline : core_->limits.write_deadline);
    write_some();
}

void Session::write_some() {
    const size_t from_head = std::min(written_, head_.size());
    const size_t from_body = written_ - from_head;
    const std::array<asio::const_buffer, 2> rest = {asio::buffer(head_.data() + from_head, head_.size() - from_head),
                                                    asio::buffer(sending_.data() + from_body, sending_.size() - from_body)};
    stream_.async_write_some(rest, [self = shared_from_this()](const Failure& failure, size_t n) { self->on_written(failure, n); });
}

void Session::on_written(const Failure& failure, size_t n) {
    if (stage_ == Stage::Closed) return;
    if (failure) return broken(failure);
    const bool next_stretch = (written_ + n) / write_stretch_bytes > written_ / write_stretch_bytes;
    written_ += n;
    progressed_at_ = Steady::now();
    if (written_ < head_.size() + sending_.size()) {
        if (next_stretch) deadline(core_->limits.write_deadline);
        return write_some();
    }
    writing_since_.reset();
    head_.clear();
    sending_ = {};
    body_ = std::string();
    let_go();
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

void Session::let_go() {
    if (holds_) core_->let_go(shared_body_);
    holds_ = false;
    shared_body_.reset();
}

void Session::release_stream() {
    if (!pull_) return;
    pull_->cancelled = true;
    if (pull_->placed) --core_->stats.streams;
    pull_.reset();
}

void Session::observe() {
    if (observed_) return;
    observed_ = true;
    if (!core_->observer || status_ == 0) return;
    const std::chrono::duration<double> took = Steady::now() - started_;
    core_->observer({request_.method, route_, status_, milliseconds(static_cast<int64_t>(took.count() * 1000)), took.count()});
}

}  // namespace basmalin::beast_http
