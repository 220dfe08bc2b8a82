// Accepting, limits of connections, and the end of them (server.h R3, R5).
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <utility>

#include "shared/http/beast_session.h"

namespace basmalin {
namespace beast_http {
namespace {

constexpr Duration accept_pause = milliseconds(100);
constexpr int unsent_bytes_max = 128 * 1024;

}  // namespace

void Core::accept() {
    acceptor.async_accept([self = shared_from_this()](const Failure& failure, tcp::socket socket) {
        if (!self->acceptor.is_open()) return;
        if (failure) {  // no descriptors left, or the client is gone already
            if (self->refusals.open(self->clock.mono())) log::warn("http_accept_failed", {{"error", failure.message()}});
            self->accept_timer = self->loop.after(accept_pause, [raw = self.get()] { raw->accept(); });
            return;
        }
        self->admit(std::move(socket));
        self->accept();
    });
}

void Core::admit(tcp::socket socket) {
    Failure failure;
    const auto peer = socket.remote_endpoint(failure);
    if (failure) return;
    const std::string address = peer.address().to_string();
    const auto same = by_address.find(address);
    const size_t from_there = same == by_address.end() ? 0 : same->second;
    if (sessions.size() >= limits.connections_max || from_there >= limits.connections_per_address_max) {
        ++stats.refused;
        if (refusals.open(clock.mono())) {
            log::warn("http_connection_refused", {{"peer", address}, {"open", sessions.size()}, {"suppressed", refusals.suppressed()}});
        }
        HttpResponse busy = error_response({Code::Unavailable, "too many connections", "close some, or ask again in a moment"}, 503);
        busy.headers.emplace_back("Retry-After", "1");
        const std::string text = http_message::render_head(busy, {false, false, true, busy.body.size(), date()}) + busy.body;
        socket.non_blocking(true, failure);
        socket.send(asio::buffer(text), 0, failure);
        std::array<char, 4096> unread;
        socket.receive(asio::buffer(unread), 0, failure);
        socket.shutdown(tcp::socket::shutdown_both, failure);
        return;
    }
    socket.set_option(tcp::no_delay(true), failure);
    // Else megabytes wait in the kernel for a slow reader, and who reads and who does not looks the same (R2). Best effort.
    ::setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent_bytes_max, sizeof unsent_bytes_max);
    ++by_address[address];
    auto session = std::make_shared<Session>(shared_from_this(), std::move(socket), address);
    sessions.insert(session);
    session->start();
}

void Core::forget(const std::shared_ptr<Session>& session) {
    if (sessions.erase(session) == 0) return;
    const auto same = by_address.find(session->peer());
    if (same != by_address.end() && --same->second == 0) by_address.erase(same);
    end_drain_if_empty();
}

void Core::close_all(bool only_idle) {
    const auto open = sessions;  // closing takes them out of the set
    for (const auto& session : open) {
        if (!only_idle || session->idle()) session->close();
    }
}

bool Core::cut_stalled(Room room) {
    std::shared_ptr<Session> slowest;
    auto since = Steady::now() - std::chrono::milliseconds(limits.stream_patience.ms);
    for (const auto& session : sessions) {
        const auto stalled = session->stalled_since(room);
        if (!stalled || *stalled > since) continue;
        since = *stalled;
        slowest = session;
    }
    if (!slowest) return false;
    ++stats.streams_cut;
    slowest->close();
    return true;
}

// Once, however many read it; its gzipped form is shorter.
bool Core::hold(const SharedBody& body) {
    const auto [at, fresh] = readers.try_emplace(body.get(), 0);
    if (fresh && held_bytes > 0 && held_bytes + body->bytes().size() > limits.answer_bytes_max) {
        readers.erase(at);
        return false;
    }
    if (fresh) held_bytes += body->bytes().size();
    ++at->second;
    return true;
}

void Core::let_go(const SharedBody& body) {
    const auto at = readers.find(body.get());
    if (at == readers.end() || --at->second > 0) return;
    held_bytes -= body->bytes().size();
    readers.erase(at);
}

void Core::end_drain_if_empty() {
    if (!draining || !sessions.empty() || !drained) return;
    drain_timer.cancel();
    loop.post(std::exchange(drained, nullptr));
}

std::string Core::date() {
    const int64_t now = clock.wall().ms / 1000;
    if (now != date_seconds || date_text.empty()) {
        date_seconds = now;
        date_text = http_message::http_date(now);
    }
    return date_text;
}

}  // namespace beast_http

using beast_http::Core;
using beast_http::Failure;
using beast_http::tcp;
namespace asio = boost::asio;

struct HttpServer::Impl {
    std::shared_ptr<Core> core;
};

HttpServer::HttpServer(Loop& loop, HttpLimits limits) : impl_(std::make_shared<Impl>(Impl{std::make_shared<Core>(loop, limits)})) {}

HttpServer::~HttpServer() {
    Core& core = *impl_->core;
    core.drained = nullptr;
    core.observer = nullptr;
    core.drain_timer.cancel();
    core.accept_timer.cancel();
    Failure ignored;
    core.acceptor.close(ignored);
    core.close_all(false);
    core.worker.finish();
}

void HttpServer::route(const std::string& method, const std::string& pattern, HttpHandler handler) {
    impl_->core->router.add(method, pattern, std::move(handler));
}
void HttpServer::guard(HttpGuard guard) { impl_->core->guard = std::move(guard); }
void HttpServer::observe(std::function<void(const HttpObservation&)> observer) { impl_->core->observer = std::move(observer); }
size_t HttpServer::connections() const { return impl_->core->sessions.size(); }
HttpStats HttpServer::stats() const {
    HttpStats out = impl_->core->stats;
    out.connections = impl_->core->sessions.size();
    return out;
}

Result<uint16_t> HttpServer::listen(const std::string& address, uint16_t port) {
    Core& core = *impl_->core;
    const std::string where = "listen on " + address + " port " + std::to_string(port);
    Failure failure;
    const auto parsed = asio::ip::make_address(address, failure);
    if (failure) return fail(Code::Invalid, where + ": this is no IP address", "use 127.0.0.1, 0.0.0.0 or ::");
    const tcp::endpoint endpoint(parsed, port);
    core.acceptor.open(endpoint.protocol(), failure);
    if (!failure) core.acceptor.set_option(tcp::acceptor::reuse_address(true), failure);
    if (!failure) core.acceptor.bind(endpoint, failure);
    if (!failure) core.acceptor.listen(asio::socket_base::max_listen_connections, failure);
    if (failure) {
        Failure ignored;
        core.acceptor.close(ignored);
        return fail(Code::Unavailable, where + ": " + failure.message(), "choose another port, or stop the program that has it");
    }
    const uint16_t bound = core.acceptor.local_endpoint(failure).port();
    core.accept();
    return bound;
}

void HttpServer::drain(Duration deadline, std::function<void()> done) {
    Core& core = *impl_->core;
    core.draining = true;
    core.drained = std::move(done);
    core.accept_timer.cancel();
    Failure ignored;
    core.acceptor.close(ignored);
    core.drain_timer = core.loop.after(deadline, [raw = &core] {
        raw->close_all(false);
        raw->end_drain_if_empty();
    });
    core.close_all(true);
    core.end_drain_if_empty();
}

}  // namespace basmalin
