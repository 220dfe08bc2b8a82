// A fleet of made-up gateways that live: each seals what its devices said every few seconds, sends it at once, and waits for the ack.
// The real wire (hello, welcome, sealed batches in `up`, acks), a real broker, a real coordinator. Measures the lag from sealing to the
// ack of the coordinator, and with a FILE writes each reconnect and each batch, for who breaks something meanwhile.
//   fleet_live PORT NODES SERIES EVERY_SECONDS SECONDS CONNECTIONS [FILE]
// R1  The nodes' turns are spread evenly over EVERY_SECONDS, and it begins when every node is welcomed.
// R2  Links and backoff are a gateway's. After a reconnect: hello, and with the welcome everything that is not acked, oldest first.
// R3  At most 16 messages in flight a connection, 64 batches unacknowledged a node; what is not acked after 5 s is sent again.
// R4  After SECONDS nothing is sealed any more; it ends when all is acked, or with an error two minutes later.
// R5  The lag is of batches sealed in the second half of SECONDS: in the first, every series is new to the store.
// FILE: a line "reconnect <unix seconds>" for each connection made again, "batch <unix seconds of sealing> <lag in seconds>" for each
// batch, "readings <number>" at the end.
#include <sys/resource.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <deque>
#include <fstream>
#include <memory>
#include <random>
#include <unordered_map>

#include "shared/base/clock.h"
#include "shared/base/ids.h"
#include "shared/loop/loop.h"
#include "shared/mqtt/link.h"
#include "shared/wire/messages.h"
#include "shared/wire/topics.h"
#include "tests/bench/bench_report.h"
#include "tests/bench/gateway_tape.h"

namespace basmalin::bench {
namespace {

constexpr int in_flight_max = 16;
constexpr size_t unacked_max = 64;
constexpr size_t quantities_a_device = 10;
constexpr size_t nodes_a_garden = 10;
constexpr double resend_after_seconds = 5;
constexpr double ends_after_seconds = 120;

struct Plan {
    uint16_t port = 0;
    size_t nodes = 0;
    size_t series = 0;
    double every_seconds = 0;
    double seconds = 0;
    size_t connections = 0;
    std::string file;
};

double unix_now() { return static_cast<double>(SystemClock().wall().ms) / 1000; }

class Node {
  public:
    struct Sealed {
        std::string bytes;
        double at = 0;  // seconds since 1970
    };

    explicit Node(size_t number)
        : name("live-" + std::to_string(number)),
          garden("garden-" + std::to_string(number / nodes_a_garden)),
          up_topic(Topic{name, Topic::Kind::Up, ""}.text()),
          tape(random_u64(), SystemClock().wall().ms - SystemClock().mono().ms),
          random_(static_cast<uint32_t>(number)) {}

    // What all its devices say now, in one batch.
    void seal(size_t series) {
        const MonoTime now{SystemClock().mono().ms - 200};  // sealed 200 ms after the last reading
        std::vector<Sample> samples;
        for (size_t first = 0; first < series; first += quantities_a_device) {
            Sample sample{.device = "device" + std::to_string(first / quantities_a_device), .time = now, .measurements = {}};
            for (size_t i = first; i < std::min(series, first + quantities_a_device); ++i) {
                values_.resize(std::max(values_.size(), i + 1), 200);
                values_[i] += static_cast<int>(random_() % 5) - 2;
                sample.measurements.push_back({"quantity" + std::to_string(i % quantities_a_device), "Cel", values_[i] / 10.0});
            }
            samples.push_back(std::move(sample));
        }
        std::string bytes = tape.seal(samples);
        readings += tape.readings();
        unacked.push_back({std::move(bytes), unix_now()});
    }
    uint64_t first_unacked() const { return tape.batches() - unacked.size() + 1; }

    const std::string name;
    const std::string garden;
    const std::string up_topic;
    GatewayTape tape;
    std::deque<Sealed> unacked;
    size_t sent = 0;  // of unacked, from its front
    double progress_at = 0;
    bool welcomed = false;
    uint64_t readings = 0;

  private:
    std::mt19937 random_;
    std::vector<int> values_;
};

class Fleet {
  public:
    Fleet(Loop& loop, const Plan& plan) : loop_(loop), plan_(plan), file_(plan.file) {
        for (size_t i = 0; i < plan.nodes; ++i) {
            nodes_.push_back(std::make_unique<Node>(i + 1));
            by_name_[nodes_.back()->name] = nodes_.back().get();
        }
        for (size_t i = 0; i < plan.connections; ++i) connect(i);
    }

    void run() {
        for (auto& c : connections_) c->link->start();
        started_ = seconds_now();
        tick_ = loop_.every(milliseconds(10), [this] { on_tick(); });
        loop_.run();
        tick_.cancel();
        for (auto& c : connections_) c->link->stop();
        tell();
    }

  private:
    struct Connection {
        std::unique_ptr<Link> link;
        std::vector<Node*> nodes;
        size_t turn = 0;
        size_t greeted = 0;
        int in_flight = 0;
        bool was_connected = false;
    };

    void connect(size_t index) {
        connections_.push_back(std::make_unique<Connection>());
        Connection& c = *connections_.back();
        for (size_t i = index; i < nodes_.size(); i += plan_.connections) c.nodes.push_back(nodes_[i].get());
        LinkOptions options;
        options.port = plan_.port;
        options.client_id = "fleet-live-" + std::to_string(index + 1);
        Link::Callbacks callbacks;
        callbacks.connected = [this, &c](uint16_t) {
            if (c.was_connected) file_ << "reconnect " << std::to_string(unix_now()) << '\n';
            c.was_connected = true;
            c.in_flight = 0;
            c.greeted = 0;
            pump(c);
        };
        callbacks.disconnected = [&c](const Error&) {
            c.in_flight = 0;
            for (Node* node : c.nodes) {
                node->sent = 0;
                node->welcomed = false;
            }
        };
        callbacks.message = [this, &c](const LinkMessage& message) { on_message(c, message); };
        callbacks.published = [this, &c](int, int reason) {
            c.in_flight = std::max(0, c.in_flight - 1);
            if (reason >= 0x80) give_up("the broker refused a message, reason " + std::to_string(reason));
            pump(c);
        };
        c.link = std::make_unique<Link>(loop_, std::move(options), std::move(callbacks));
        for (const Node* node : c.nodes)
            for (const auto kind : {Topic::Kind::Ack, Topic::Kind::Welcome}) c.link->subscribe(Topic::filter(kind, node->name));
    }

    bool greet(Connection& c, Node& node) {
        Hello hello;
        hello.garden = node.garden;
        hello.agent_version = "load";
        hello.boot = node.tape.stream() ^ 1;
        hello.boot_no = 1;
        hello.clock = {1, ClockState::Synced, SystemClock().wall().ms - SystemClock().mono().ms, 10};
        hello.streams = {{node.tape.stream(), node.tape.batches() + 1, 1, node.first_unacked() - 1}};
        node.progress_at = seconds_now();
        if (!c.link->publish(Topic{node.name, Topic::Kind::Hello, ""}.text(), encode(hello))) return false;
        ++c.in_flight;
        return true;
    }

    void on_message(Connection& c, const LinkMessage& message) {
        const auto topic = Topic::parse(message.topic);
        const auto at = topic ? by_name_.find(topic->node) : by_name_.end();
        if (at == by_name_.end()) return;
        Node& node = *at->second;
        if (topic->kind == Topic::Kind::Welcome && decode_welcome(message.payload)) {
            node.welcomed = true;
            node.sent = 0;
        }
        if (topic->kind == Topic::Kind::Ack) {
            const auto ack = decode_ack(message.payload);
            if (ack && ack->stream == node.tape.stream()) on_ack(node, ack->mark);
        }
        pump(c);
    }

    void on_ack(Node& node, uint64_t mark) {
        const double now = unix_now();
        node.progress_at = seconds_now();
        while (!node.unacked.empty() && node.first_unacked() <= mark) {
            const double sealed = node.unacked.front().at;
            if (sealed >= counted_from_) lags_.push_back(now - sealed);
            if (file_.is_open()) file_ << "batch " << std::to_string(sealed) << ' ' << std::to_string(now - sealed) << '\n';
            node.unacked.pop_front();
            if (node.sent > 0) --node.sent;
        }
    }

    void pump(Connection& c) {
        if (!c.link->connected()) return;
        while (c.in_flight < in_flight_max && c.greeted < c.nodes.size() && greet(c, *c.nodes[c.greeted])) ++c.greeted;
        for (size_t idle = 0; c.in_flight < in_flight_max && idle < c.nodes.size();) {
            Node& node = *c.nodes[c.turn];
            c.turn = (c.turn + 1) % c.nodes.size();
            idle = send(c, node) ? 0 : idle + 1;
        }
    }

    bool send(Connection& c, Node& node) {
        if (!node.welcomed || node.sent >= std::min(node.unacked.size(), unacked_max)) return false;
        UpMessage up;
        up.stream = node.tape.stream();
        up.lane = Lane::Live;
        size_t bytes = up_overhead_bytes_max;
        size_t last = node.sent;
        for (; last < std::min(node.unacked.size(), unacked_max); ++last) {
            bytes += node.unacked[last].bytes.size() + up_overhead_per_batch_bytes;
            if (bytes > up_bytes_max && !up.batches.empty()) break;
            up.batches.push_back(node.unacked[last].bytes);
        }
        if (!c.link->publish(node.up_topic, encode_up(up))) return false;
        ++c.in_flight;
        node.sent = last;
        node.progress_at = seconds_now();
        return true;
    }

    // R1, R4
    void on_tick() {
        const double now = seconds_now();
        if (began_ == 0) {
            if (now - started_ > ends_after_seconds) give_up("not every node was welcomed: does the coordinator run?");
            if (std::ranges::all_of(nodes_, [](const auto& node) { return node->welcomed; })) {
                began_ = now;
                counted_from_ = unix_now() + plan_.seconds / 2;
            }
        } else {
            const double sealing_until = std::min(now - began_, plan_.seconds);
            const auto due = static_cast<uint64_t>(sealing_until / plan_.every_seconds * static_cast<double>(nodes_.size()));
            for (; sealed_ < due; ++sealed_) nodes_[sealed_ % nodes_.size()]->seal(plan_.series);
            if (now - began_ > plan_.seconds && std::ranges::all_of(nodes_, [](const auto& node) { return node->unacked.empty(); }))
                return loop_.stop();
            if (now - began_ > plan_.seconds + ends_after_seconds) give_up("not everything was acked two minutes after the last batch");
        }
        for (auto& c : connections_) {
            for (Node* node : c->nodes) {
                if (now - node->progress_at < resend_after_seconds) continue;
                if (!node->welcomed && c->greeted == c->nodes.size() && c->link->connected()) greet(*c, *node);
                if (node->sent > 0) node->sent = 0;
                node->progress_at = now;
            }
            pump(*c);
        }
    }

    void tell() {
        uint64_t readings = 0;
        for (const auto& node : nodes_) readings += node->readings;
        file_ << "readings " << readings << '\n';
        if (lags_.empty()) give_up("no batch was sealed: SECONDS is too short");
        std::ranges::sort(lags_);
        const auto at = [&](double share) { return lags_[static_cast<size_t>(share * static_cast<double>(lags_.size() - 1))]; };
        const std::string shape = std::to_string(plan_.nodes) + " nodes x " + std::to_string(plan_.series) + " series";
        report({.what = "live: lag from sealing to ack, median, " + shape, .value = at(0.5), .unit = "s"});
        report({.what = "live: lag from sealing to ack, p99, " + shape, .value = at(0.99), .unit = "s", .at_most = 1});
        report({.what = "live: sent in all, " + shape, .value = static_cast<double>(readings), .unit = "readings"});
    }

    Loop& loop_;
    const Plan plan_;
    std::ofstream file_;
    std::vector<std::unique_ptr<Node>> nodes_;
    std::unordered_map<std::string, Node*> by_name_;
    std::vector<std::unique_ptr<Connection>> connections_;
    std::vector<double> lags_;
    Timer tick_;
    uint64_t sealed_ = 0;
    double started_ = 0;
    double began_ = 0;
    double counted_from_ = 0;  // R5, seconds since 1970
};

template <class T>
void take(char** arguments, int at, T& value) {
    const std::string_view text = arguments[at];
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || value <= T{}) give_up("not a number above 0: " + std::string(text));
}

void raise_descriptors() {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace
}  // namespace basmalin::bench

int main(int count, char** arguments) {
    using namespace basmalin::bench;
    if (count < 7) give_up("usage: fleet_live PORT NODES SERIES EVERY_SECONDS SECONDS CONNECTIONS [FILE]");
    Plan plan;
    take(arguments, 1, plan.port);
    take(arguments, 2, plan.nodes);
    take(arguments, 3, plan.series);
    take(arguments, 4, plan.every_seconds);
    take(arguments, 5, plan.seconds);
    take(arguments, 6, plan.connections);
    if (count > 7) plan.file = arguments[7];
    plan.connections = std::min(plan.connections, plan.nodes);
    raise_descriptors();
    basmalin::Loop loop;
    Fleet fleet(loop, plan);
    fleet.run();
    return 0;
}
