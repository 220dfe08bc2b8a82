// A server on a loop of its own thread, and a client of bare sockets: for tests that speak bad HTTP on purpose.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "shared/http/server.h"
#include "shared/loop/loop.h"

namespace basmalin::testing {

constexpr int patience_ms = 20'000;  // longer than anything here takes, on a loaded machine

struct RunningServer {
    explicit RunningServer(HttpLimits limits = {}) : server(std::make_unique<HttpServer>(loop, limits)) {}
    ~RunningServer() { stop(); }
    void start() {
        auto bound = server->listen("127.0.0.1", 0);
        ASSERT_TRUE(bound.has_value()) << bound.error().message();
        port = *bound;
        thread = std::thread([this] { loop.run(); });
    }
    void stop() {
        if (!thread.joinable()) return;
        loop.stop();
        thread.join();
        server.reset();
    }
    // Runs `work` on the loop's thread and waits for it.
    template <class Work>
    auto on_loop(Work work) {
        std::promise<decltype(work())> done;
        loop.post([&] { done.set_value(work()); });
        return done.get_future().get();
    }
    bool eventually_connections(size_t wanted) {
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(patience_ms);
        while (on_loop([this] { return server->connections(); }) != wanted) {
            if (std::chrono::steady_clock::now() > deadline) return false;
            std::this_thread::yield();
        }
        return true;
    }
    Loop loop;
    std::unique_ptr<HttpServer> server;
    uint16_t port = 0;
    std::thread thread;
};

struct Answer {
    int status = 0;
    std::map<std::string, std::string> headers;  // lower case
    std::string body;                            // chunks joined
    bool whole = false;                          // its length, or its last chunk, was reached
};

class BareClient {
  public:
    explicit BareClient(uint16_t port, int receive_buffer_bytes = 0) {
        fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (receive_buffer_bytes > 0) ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes, sizeof receive_buffer_bytes);
        sockaddr_in to{};
        to.sin_family = AF_INET;
        to.sin_port = htons(port);
        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0;
    }
    ~BareClient() { ::close(fd_); }
    BareClient(const BareClient&) = delete;
    BareClient& operator=(const BareClient&) = delete;

    // False when the server hung up before all was taken.
    bool send(std::string_view bytes) {
        while (!bytes.empty()) {
            pollfd ready{fd_, POLLOUT, 0};
            if (::poll(&ready, 1, patience_ms) <= 0) return false;
            const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
            if (n < 0) return false;
            bytes.remove_prefix(static_cast<size_t>(n));
        }
        return true;
    }
    bool connected() const { return connected_; }
    // Takes at most so much of what is there, and forgets it.
    void sip(size_t bytes) {
        std::string piece(bytes, '\0');
        [[maybe_unused]] const ssize_t n = ::recv(fd_, piece.data(), bytes, MSG_DONTWAIT);
    }

    // True when the server ends the connection (what still arrives is dropped).
    bool closed_by_server() {
        while (fill()) unread_.clear();
        return !timed_out_;
    }

    Answer get(const std::string& target, const std::string& headers = {}, const std::string& method = "GET") {
        send(method + ' ' + target + " HTTP/1.1\r\nHost: garden\r\n" + headers + "\r\n");
        return read_answer(method == "HEAD");
    }

    Answer read_answer(bool head_only = false) {
        Answer answer;
        size_t end = std::string::npos;
        while ((end = unread_.find("\r\n\r\n")) == std::string::npos) {
            if (!fill()) return answer;
        }
        parse_head(unread_.substr(0, end + 2), answer);
        unread_.erase(0, end + 4);
        if (head_only || answer.status == 304 || answer.status == 204 || answer.status == 100) {
            answer.whole = true;
        } else if (answer.headers.contains("transfer-encoding")) {
            read_chunks(answer);
        } else if (answer.headers.contains("content-length")) {
            const size_t length = std::stoul(answer.headers["content-length"]);
            while (unread_.size() < length && fill()) {
            }
            answer.whole = unread_.size() >= length;
            answer.body = unread_.substr(0, length);
            unread_.erase(0, answer.body.size());
        } else {
            while (fill()) {
            }
            answer.body = std::move(unread_);
            answer.whole = !timed_out_;
        }
        return answer;
    }

  private:
    bool fill() {
        pollfd ready{fd_, POLLIN, 0};
        if (::poll(&ready, 1, patience_ms) <= 0) {
            timed_out_ = true;
            return false;
        }
        char piece[16384];
        const ssize_t n = ::recv(fd_, piece, sizeof piece, 0);
        if (n <= 0) return false;
        unread_.append(piece, static_cast<size_t>(n));
        return true;
    }
    static void parse_head(const std::string& head, Answer& answer) {
        if (head.size() > 12) answer.status = std::atoi(head.c_str() + 9);
        for (size_t from = head.find("\r\n") + 2; from < head.size();) {
            const size_t to = head.find("\r\n", from);
            const size_t colon = head.find(": ", from);
            if (to == std::string::npos || colon > to) break;
            std::string name = head.substr(from, colon - from);
            std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
            answer.headers[name] = head.substr(colon + 2, to - colon - 2);
            from = to + 2;
        }
    }
    void read_chunks(Answer& answer) {
        for (;;) {
            size_t line = 0;
            while ((line = unread_.find("\r\n")) == std::string::npos) {
                if (!fill()) return;
            }
            const size_t size = std::stoul(unread_.substr(0, line), nullptr, 16);
            while (unread_.size() < line + 2 + size + 2) {
                if (!fill()) return;
            }
            answer.body += unread_.substr(line + 2, size);
            unread_.erase(0, line + 2 + size + 2);
            if (size == 0) {
                answer.whole = true;
                return;
            }
        }
    }
    int fd_ = -1;
    bool connected_ = false;
    bool timed_out_ = false;
    std::string unread_;
};

inline std::string gunzip(const std::string& packed) {
    z_stream stream{};
    if (inflateInit2(&stream, 15 + 16) != Z_OK) return "no zlib";
    std::string out(64 << 20, '\0');
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
    stream.avail_in = static_cast<uInt>(packed.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    const int end = inflate(&stream, Z_FINISH);
    out.resize(stream.total_out);
    inflateEnd(&stream);
    return end == Z_STREAM_END ? out : "broken gzip";
}

}  // namespace basmalin::testing
