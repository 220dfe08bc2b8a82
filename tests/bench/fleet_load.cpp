// A fleet of made-up gateways that drain what they buffered: the real wire (hello, welcome, sealed batches in `up`, acks), a real
// broker, a real coordinator. Measures readings a second that are durable end to end: from the first message to the ack of the last.
//   fleet_load PORT [GATEWAYS 64] [READINGS_A_BATCH 256] [READINGS_TOTAL 4000000] [CONNECTIONS 4]
// R1  All batches are sealed before the clock starts: the figure is of broker and coordinator, not of this program.
// R2  Windows as a gateway keeps them: 16 messages in flight a connection, 64 batches unacknowledged a gateway.
// R3  A batch not acked within 5 s is sent again, the same bytes. Three minutes without any ack end the program with an error.
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <deque>
#include <map>
#include <memory>

#include "shared/base/clock.h"
#include "shared/base/ids.h"
#include "shared/loop/loop.h"
#include "shared/mqtt/link.h"
#include "shared/wire/batch.h"
#include "shared/wire/messages.h"
#include "shared/wire/topics.h"
#include "tests/bench/bench_report.h"
#include "tests/bench/gateway_tape.h"

namespace basmalin::bench {
namespace {

constexpr int in_flight_max = 16;
constexpr uint64_t unacked_max = 64;
constexpr double resend_after_seconds = 5;
constexpr double stalled_seconds = 180;

struct Plan {
    uint16_t port = 0;
    size_t gateways = 64;
    size_t readings_a_batch = 256;
    size_t readings_total = 4'000'000;
    size_t connections = 4;
};

struct Gateway {
    std::string node;
    std::string up_topic;
    uint64_t stream = 0;
    std::vector<std::string> batches;  // seq - 1
    std::vector<uint32_t> readings;
    uint64_t sent = 0;                 // seqs up to this were published
    SeqSet acked;
    bool welcomed = false;
    double progress_at = 0;            // when something was last sent for the first time, or acked
    MonoTime last_time;
    bool done() const { return acked.mark() >= batches.size(); }
};

void seal_all(Gateway& gateway, uint32_t seed, const Plan& plan) {
    const size_t batches = std::max<size_t>(1, plan.readings_total / plan.gateways / plan.readings_a_batch);
    MadeUpGarden garden(seed);
    const SystemClock clock;
    // Sixty readings a minute; the newest is of now or a little before.
    const auto minutes_back = static_cast<int64_t>(batches * (plan.readings_a_batch + 3) / 60 + 2);
    const int64_t offset_ms = clock.wall().ms - minutes_back * 60'000 - 1'000'000;  // the garden begins at 1,000 s of its boot
    GatewayTape tape(gateway.stream, offset_ms);
    for (size_t i = 0; i < batches; ++i) {
        std::vector<Sample> samples;
        for (size_t n = 0; n < plan.readings_a_batch;) {
            samples.push_back(garden.next());
            n += samples.back().measurements.size();
        }
        gateway.batches.push_back(tape.seal(samples));
        gateway.readings.push_back(tape.readings());
        gateway.last_time = tape.sealed_mono();
    }
}

class Fleet {
  public:
    Fleet(Loop& loop, const Plan& plan) : loop_(loop), plan_(plan) {
        for (size_t i = 0; i < plan.gateways; ++i) {
            auto g = std::make_unique<Gateway>();
            g->node = "load-" + std::to_string(i + 1);
            g->up_topic = Topic{g->node, Topic::Kind::Up, ""}.text();
            g->stream = random_u64();
            seal_all(*g, static_cast<uint32_t>(i + 1), plan);
            for (const uint32_t n : g->readings) total_ += n;
            for (const auto& b : g->batches) bytes_ += b.size();
            by_node_[g->node] = g.get();
            gateways_.push_back(std::move(g));
        }
        for (size_t i = 0; i < plan.connections; ++i) connect(i);
    }

    void run() {
        for (auto& c : connections_) c->link->start();
        tick_ = loop_.every(milliseconds(200), [this] { on_tick(); });
        loop_.run();
        tick_.cancel();
        for (auto& c : connections_) c->link->stop();
        const double took = ended_ - began_;
        const std::string shape =
            std::to_string(plan_.readings_a_batch) + " readings a batch, " + std::to_string(plan_.gateways) + " gateways";
        report({"ingest: durable end to end, " + shape, static_cast<double>(total_) / took, "readings/s", plan_.readings_a_batch >= 256 ? 2'000'000 : 1'000'000});
        report({"ingest: sent in all, " + shape, static_cast<double>(total_), "readings"});
        report({"ingest: batches as sent, " + shape, static_cast<double>(bytes_) / static_cast<double>(total_), "B/reading"});
        if (resent_ > 0) std::fprintf(stderr, "%llu batches were sent again\n", static_cast<unsigned long long>(resent_));
    }

  private:
    struct Connection {
        std::unique_ptr<Link> link;
        std::vector<Gateway*> gateways;
        size_t turn = 0;
        int in_flight = 0;
    };

    void connect(size_t index) {
        connections_.push_back(std::make_unique<Connection>());
        Connection& c = *connections_.back();
        for (size_t i = index; i < gateways_.size(); i += plan_.connections) c.gateways.push_back(gateways_[i].get());
        LinkOptions options;
        options.port = plan_.port;
        options.client_id = "fleet-load-" + std::to_string(index + 1);
        Link::Callbacks callbacks;
        callbacks.connected = [this, &c](uint16_t) {
            c.in_flight = 0;
            for (Gateway* g : c.gateways) greet(c, *g);
        };
        callbacks.disconnected = [&c](const Error& why) {
            std::fprintf(stderr, "disconnected: %s\n", why.message().c_str());
            c.in_flight = 0;
            for (Gateway* g : c.gateways) g->sent = g->acked.mark();
        };
        callbacks.message = [this, &c](const LinkMessage& message) { on_message(c, message); };
        callbacks.published = [this, &c](int, int reason) {
            c.in_flight = std::max(0, c.in_flight - 1);
            if (reason >= 0x80) give_up("the broker refused a message, reason " + std::to_string(reason));
            pump(c);
        };
        c.link = std::make_unique<Link>(loop_, std::move(options), std::move(callbacks));
        for (Gateway* g : c.gateways)
            for (const auto kind : {Topic::Kind::Ack, Topic::Kind::Welcome}) c.link->subscribe(Topic::filter(kind, g->node));
    }

    void greet(Connection& c, const Gateway& g) {
        Hello hello;
        hello.garden = "garden-" + g.node;
        hello.agent_version = "load";
        hello.boot = g.stream ^ 1;
        hello.boot_no = 1;
        hello.clock = {1, ClockState::Synced, SystemClock().wall().ms - g.last_time.ms, 10};
        hello.streams = {{g.stream, g.batches.size() + 1, 1, g.acked.mark()}};
        if (c.link->publish(Topic{g.node, Topic::Kind::Hello, ""}.text(), encode(hello))) ++c.in_flight;
    }

    void on_message(Connection& c, const LinkMessage& message) {
        const auto topic = Topic::parse(message.topic);
        const auto at = topic ? by_node_.find(topic->node) : by_node_.end();
        if (at == by_node_.end()) return;
        Gateway& g = *at->second;
        if (topic->kind == Topic::Kind::Welcome && decode_welcome(message.payload)) {
            g.welcomed = true;
            if (began_ == 0 && std::ranges::all_of(gateways_, [](const auto& each) { return each->welcomed; })) begin();
        } else if (const auto ack = topic->kind == Topic::Kind::Ack ? decode_ack(message.payload) : fail(Code::Invalid, "")) {
            if (ack->stream != g.stream) return;
            if (ack->mark > g.acked.mark()) g.acked.insert(SeqRange{g.acked.mark() + 1, ack->mark});
            for (const auto& range : ack->ranges) g.acked.insert(range);
            g.progress_at = seconds_now();
            ended_ = g.progress_at;
            if (std::ranges::all_of(gateways_, [](const auto& each) { return each->done(); })) return loop_.stop();
        }
        if (began_ > 0) pump(c);
    }

    void begin() {
        began_ = ended_ = seconds_now();
        for (auto& g : gateways_) g->progress_at = began_;
        for (auto& c : connections_) pump(*c);
    }

    // The gateways of a connection in turn, a message each, while there is room.
    void pump(Connection& c) {
        if (began_ == 0 || !c.link->connected()) return;
        size_t idle = 0;
        while (c.in_flight < in_flight_max && idle < c.gateways.size()) {
            Gateway& g = *c.gateways[c.turn];
            c.turn = (c.turn + 1) % c.gateways.size();
            idle = send_one(c, g) ? 0 : idle + 1;
        }
    }

    bool send_one(Connection& c, Gateway& g) {
        const uint64_t end = std::min<uint64_t>(g.batches.size(), g.acked.mark() + unacked_max);
        if (g.sent >= end) return false;
        UpMessage up;
        up.stream = g.stream;
        up.lane = Lane::Backlog;
        size_t bytes = up_overhead_bytes_max;
        uint64_t last = g.sent;
        while (last < end) {
            const std::string& batch = g.batches[last];
            bytes += batch.size() + up_overhead_per_batch_bytes;
            if (bytes > up_bytes_max && !up.batches.empty()) break;
            up.batches.push_back(batch);
            ++last;
        }
        if (!c.link->publish(g.up_topic, encode_up(up))) return false;
        ++c.in_flight;
        g.sent = last;
        g.progress_at = seconds_now();
        return true;
    }

    void on_tick() {
        const double now = seconds_now();
        if (started_ == 0) started_ = now;
        if (now - std::max(ended_, started_) > stalled_seconds)
            give_up(began_ == 0 ? "no welcome came: does the coordinator run?" : "no ack came for three minutes");
        if (began_ == 0) return;
        for (auto& c : connections_) {
            for (Gateway* g : c->gateways) {
                if (g->done() || g->sent == g->acked.mark() || now - g->progress_at < resend_after_seconds) continue;
                resent_ += g->sent - g->acked.mark();
                g->sent = g->acked.mark();
                g->progress_at = now;
            }
            pump(*c);
        }
    }

    Loop& loop_;
    const Plan plan_;
    std::vector<std::unique_ptr<Gateway>> gateways_;
    std::map<std::string, Gateway*> by_node_;
    std::vector<std::unique_ptr<Connection>> connections_;
    Timer tick_;
    uint64_t total_ = 0;
    uint64_t bytes_ = 0;
    uint64_t resent_ = 0;
    double started_ = 0;
    double began_ = 0;
    double ended_ = 0;
};

template <class T>
void take(int count, char** arguments, int at, T& value) {
    if (at >= count) return;
    const std::string_view text = arguments[at];
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || value == 0) give_up("not a number above 0: " + std::string(text));
}

}  // namespace
}  // namespace basmalin::bench

int main(int count, char** arguments) {
    using namespace basmalin::bench;
    if (count < 2) give_up("usage: fleet_load PORT [GATEWAYS] [READINGS_A_BATCH] [READINGS_TOTAL] [CONNECTIONS]");
    Plan plan;
    take(count, arguments, 1, plan.port);
    take(count, arguments, 2, plan.gateways);
    take(count, arguments, 3, plan.readings_a_batch);
    take(count, arguments, 4, plan.readings_total);
    take(count, arguments, 5, plan.connections);
    plan.connections = std::min(plan.connections, plan.gateways);
    basmalin::Loop loop;
    Fleet fleet(loop, plan);
    fleet.run();
    return 0;
}
