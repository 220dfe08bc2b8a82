// The reading half of a connection: bytes to a request, and the refusals on the way (server.h R1, R2, R7).
#include "shared/http/beast_session.h"

namespace basmalin::beast_http {
namespace {

constexpr size_t linger_bytes_max = 256 * 1024;

}  // namespace

void Session::fresh_parser() {
    parser_.emplace();
    parser_->header_limit(static_cast<uint32_t>(core_->limits.header_bytes_max));
    parser_->body_limit(core_->limits.body_bytes_max);
}

void Session::close() {
    if (stage_ == Stage::Closed) return;
    stage_ = Stage::Closed;
    release_stream();
    let_go();
    observe();
    stream_.close();
    core_->forget(shared_from_this());
}

// A connection that failed, or is past its deadline (R2).
void Session::broken(const Failure& failure) {
    if (failure == beast::error::timeout) {
        HttpStats& stats = core_->stats;
        if (stage_ == Stage::Header) ++stats.late_header;
        if (stage_ == Stage::Body) ++stats.late_body;
        if (stage_ == Stage::Answering) ++stats.late_answer;
        if (stage_ == Stage::Idle) ++stats.late_idle;
    }
    close();
}

void Session::read() {
    const size_t room = std::min(read_bytes, buffer_.max_size() - buffer_.size());
    if (room == 0) return refuse(431, {Code::Invalid, "a header, or what stands between chunks, is too long", "send less"});
    stream_.async_read_some(buffer_.prepare(room),
                            [self = shared_from_this()](const Failure& failure, size_t n) { self->on_read(failure, n); });
}

void Session::on_read(const Failure& failure, size_t n) {
    if (stage_ == Stage::Closed) return;
    if (failure) return broken(failure);
    if (stage_ == Stage::Lingering) {
        lingered_ += n;
        return lingered_ > linger_bytes_max ? close() : linger();
    }
    buffer_.commit(n);
    if (stage_ == Stage::Idle) {
        stage_ = Stage::Header;
        deadline(core_->limits.header_deadline);
    }
    parse();
}

void Session::parse() {
    while (buffer_.size() > 0) {
        Failure failure;
        const size_t n = parser_->put(buffer_.data(), failure);
        buffer_.consume(n);
        if (failure && failure != http::error::need_more) return refuse_syntax(failure);
        if (stage_ == Stage::Header && parser_->is_header_done()) return on_header();
        if (stage_ == Stage::Body && parser_->is_done()) return on_request();
        if (failure == http::error::need_more || n == 0) break;
    }
    read();
}

void Session::refuse(int status, Error error) {
    keep_alive_ = false;
    input_pending_ = true;
    if (stage_ == Stage::Header && observed_) {  // no request was understood: it is counted all the same
        request_ = {};
        request_.method = "unknown";
        route_ = "unmatched";
        started_ = Steady::now();
        head_only_ = false;
        observed_ = false;
    }
    send_whole(error_response(error, status));
}

void Session::refuse_syntax(const Failure& failure) {
    if (failure == http::error::header_limit || failure == http::error::buffer_overflow) {
        return refuse(431, {Code::Invalid, "the header is longer than " + std::to_string(core_->limits.header_bytes_max) + " bytes",
                            "send fewer or shorter headers"});
    }
    if (failure == http::error::body_limit) {
        return refuse(413, {Code::Full, "the body is longer than " + std::to_string(core_->limits.body_bytes_max) + " bytes", "send less"});
    }
    refuse(400, {Code::Invalid, "this is not HTTP/1.1: " + failure.message(), "speak HTTP/1.1"});
}

// Turns the parsed head into request_. False when it was refused.
bool Session::take_head() {
    const auto& head = parser_->get();
    started_ = Steady::now();
    observed_ = false;
    status_ = 0;
    request_ = {};
    request_.peer = peer_;
    request_.method = std::string(head.method_string());
    route_ = "unmatched";
    http10_ = head.version() == 10;
    head_only_ = head.method() == http::verb::head;
    input_pending_ = !parser_->is_done();
    keep_alive_ = head.keep_alive() && !core_->draining;
    bool twice = false;
    for (const auto& field : head) {
        const std::string name = http_message::lower({field.name_string().data(), field.name_string().size()});
        const std::string value(field.value());
        const auto [at, fresh] = request_.headers.emplace(name, value);
        if (fresh) continue;
        twice = twice || name == "host" || name == "authorization";
        at->second += ", " + value;
    }
    if (head.version() != 10 && head.version() != 11) return refuse(505, {Code::Invalid, "only HTTP/1.1 is spoken here", ""}), false;
    if (twice) return refuse(400, {Code::Invalid, "Host or Authorization comes twice", "send it once"}), false;
    if (!http10_ && !request_.headers.contains("host")) return refuse(400, {Code::Invalid, "Host is missing", "send it"}), false;
    if (request_.headers.contains("transfer-encoding") &&
        (http10_ || http_message::lower(request_.header("transfer-encoding")) != "chunked")) {
        return refuse(501, {Code::Invalid, "only the transfer encoding chunked is understood", "send a Content-Length"}), false;
    }
    return true;
}

// Finds the handler and asks the guard. False when it was refused.
bool Session::route_it() {
    const auto refused = [this](const Error& error, int status, std::vector<std::pair<std::string, std::string>> headers = {}) {
        keep_alive_ = keep_alive_ && !input_pending_;
        HttpResponse response = error_response(error, status);
        response.headers = std::move(headers);
        send_whole(std::move(response));
        return false;
    };
    const auto text = parser_->get().target();
    auto target = http_message::parse_target({text.data(), text.size()});
    if (!target) return refused(target.error(), 0);
    request_.path = std::move(target->path);
    request_.query = std::move(target->query);
    Router::Match match = core_->router.find(request_.method, target->segments);
    route_ = match.pattern;
    request_.captures = std::move(match.captures);
    if (core_->guard) {
        if (auto allowed = core_->guard(request_, route_); !allowed) {
            if (allowed.error().code != Code::Denied) return refused(allowed.error(), 0);
            return refused(allowed.error(), 401, {{"WWW-Authenticate", "Bearer realm=\"basmalin\""}});
        }
    }
    if (match.methods.empty())
        return refused({Code::NotFound, "there is nothing at " + request_.path, "GET /api/openapi.yaml lists what is"}, 404);
    if (match.handler == nullptr) {
        std::string allow;
        for (const std::string& method : match.methods) allow += (allow.empty() ? "" : ", ") + method;
        return refused({Code::Invalid, request_.method + " is not possible here", "use " + allow}, 405, {{"Allow", allow}});
    }
    handler_ = *match.handler;
    return true;
}

void Session::on_header() {
    if (!take_head() || !route_it()) return;
    if (!input_pending_) return on_request();
    stage_ = Stage::Body;
    deadline(core_->limits.body_deadline);
    parser_->eager(true);
    const bool asks = http_message::lower(request_.header("expect")) == "100-continue";
    if (!asks || http10_) return parse();
    head_ = "HTTP/1.1 100 Continue\r\n\r\n";
    write(Then::ReadBody);
}

void Session::on_request() {
    input_pending_ = false;
    request_.body = std::move(parser_->get().body());
    stage_ = Stage::Answering;
    stream_.expires_never();
    const HttpHandler handler = std::move(handler_);
    auto response = handler(request_);
    answer(response ? std::move(*response) : error_response(response.error()));
}

}  // namespace basmalin::beast_http
