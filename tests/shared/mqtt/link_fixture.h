// A Link, what it reported, and a loop to wait on.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "shared/mqtt/link.h"
#include "tests/support/broker.h"

namespace basmalin {

using testing_support::TestBroker;

struct Received {
    std::string topic;
    std::string payload;
    bool retained = false;
};

// One client and everything that its callbacks said.
struct Client {
    Client(Loop& loop, LinkOptions options) {
        Link::Callbacks c;
        c.connected = [this](uint16_t maximum) {
            ++connects;
            receive_maximum = maximum;
            if (on_connected) on_connected();
        };
        c.disconnected = [this](const Error& why) {
            errors.push_back(why);
            if (on_disconnected) on_disconnected();
        };
        c.message = [this](const LinkMessage& m) {
            messages.push_back({std::string(m.topic), std::string(m.payload), m.retained});
            if (on_message) on_message();
        };
        c.published = [this](int id, int reason) {
            acks.emplace_back(id, reason);
            if (on_published) on_published();
        };
        link = std::make_unique<Link>(loop, std::move(options), std::move(c));
    }
    std::unique_ptr<Link> link;
    int connects = 0;
    uint16_t receive_maximum = 0;
    std::vector<Error> errors;
    std::vector<Received> messages;
    std::vector<std::pair<int, int>> acks;
    std::function<void()> on_connected, on_disconnected, on_message, on_published;
};

class LinkFixture : public testing::Test {
  protected:
    static LinkOptions options(uint16_t port, const std::string& id = "") {
        LinkOptions o;
        o.port = port;
        o.client_id = id;
        o.backoff = {milliseconds(5), milliseconds(50), 0};
        return o;
    }
    bool until(const std::function<bool()>& condition, int64_t deadline_ms = 20'000) {
        const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(deadline_ms);
        while (!condition()) {
            if (std::chrono::steady_clock::now() > end) return false;
            loop.run_for(milliseconds(2));
        }
        return true;
    }
    // Everything that was under way has come: a message to oneself came back.
    void settle(Client& client) {
        const size_t before = client.acks.size();
        ASSERT_TRUE(client.link->publish("settle", "x"));
        ASSERT_TRUE(until([&] { return client.acks.size() > before; }));
    }
    Loop loop;
};

// Listens on 127.0.0.1 and does only what the test tells it.
class Listener {
  public:
    explicit Listener(int backlog = 16) {
        fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&address), size), 0);
        EXPECT_EQ(::listen(fd_, backlog), 0);
        ::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
        port_ = ntohs(address.sin_port);
    }
    ~Listener() {
        for (const int fd : taken_) ::close(fd);
        ::close(fd_);
    }
    uint16_t port() const { return port_; }
    int fd() const { return fd_; }
    // The next connection that waits, or -1. Closed with the Listener.
    int take() {
        const int fd = ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) taken_.push_back(fd);
        return fd;
    }
    bool waiting() const {
        fd_set set;
        FD_ZERO(&set);
        FD_SET(fd_, &set);
        timeval none{};
        return ::select(fd_ + 1, &set, nullptr, nullptr, &none) == 1;
    }

  private:
    int fd_ = -1;
    uint16_t port_ = 0;
    std::vector<int> taken_;
};

}  // namespace basmalin
