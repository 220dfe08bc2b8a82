// The real program between two real brokers, with a coordinator of a few lines: what is published arrives once, whatever ends.
#include <gtest/gtest.h>

#include <csignal>
#include <map>
#include <memory>

#include "shared/base/file.h"
#include "shared/loop/loop.h"
#include "shared/mqtt/link.h"
#include "shared/series/codec.h"
#include "shared/sqlite/database.h"
#include "shared/wire/batch.h"
#include "shared/wire/messages.h"
#include "shared/wire/topics.h"
#include "tests/support/broker.h"

namespace basmalin::agent {
namespace {

using testing_support::Process;
using testing_support::TemporaryFolder;
using testing_support::TestBroker;

LinkOptions link_to(uint16_t port) {
    LinkOptions o;
    o.port = port;
    o.backoff = {.first = milliseconds(20), .cap = milliseconds(200)};
    return o;
}

class AgentStory : public ::testing::Test {
  protected:
    void SetUp() override {
        local.start();
        central.start();
        coordinator = std::make_unique<Link>(loop, link_to(central.port()), Link::Callbacks{.connected = {}, .disconnected = {}, .message = [this](const LinkMessage& m) { hear(m); }, .published = {}});
        for (const auto kind : {Topic::Kind::Hello, Topic::Kind::Up, Topic::Kind::Status, Topic::Kind::Health, Topic::Kind::DeviceHealth})
            coordinator->subscribe(Topic::filter(kind));
        coordinator->start();
        device = std::make_unique<Link>(loop, link_to(local.port()), Link::Callbacks{});
        device->start();
        ASSERT_TRUE(until([&] { return coordinator->connected() && device->connected(); }));
    }
    void TearDown() override {
        if (HasFailure()) {
            auto log = read_file(folder / "agent.log", 1 << 20);
            if (log) std::fprintf(stderr, "%s", log->c_str());
        }
    }

    void start_agent(const std::string& seal_after = "50 ms", const std::vector<std::string>& more = {}) {
        http_port = testing_support::free_port();
        const auto number = [](uint16_t n) { return std::to_string(n); };
        std::vector<std::string> words = {AGENT_PROGRAM, "--set", "node=g1", "--set", "garden=kalemegdan", "--set", "state_folder=" + (folder / "state"),
                                 "--set", "local.port=" + number(local.port()), "--set", "central.host=127.0.0.1", "--set", "central.port=" + number(central.port()),
                                 "--set", "central.tls=false", "--set", "central.reconnect_first=50 ms", "--set", "central.reconnect_most=200 ms",
                                 "--set", "central.backlog_start_most=0", "--set", "http.port=" + number(http_port), "--set", "buffer.seal_after=" + seal_after};
        for (const std::string& setting : more) words.insert(words.end(), {"--set", setting});
        ASSERT_TRUE(agent.start(words, folder / "agent.log"));
    }
    // Until the broker has its subscription to what publish() publishes.
    void start_listening_agent(const std::string& seal_after = "50 ms", const std::vector<std::string>& more = {}) {
        const int64_t before = subscriptions();
        start_agent(seal_after, more);
        ASSERT_TRUE(until([&] { return subscriptions() > before; }));
    }
    int64_t subscriptions() const {
        const std::string log = local.log();
        const std::string words = "+/sensor/+/state (QoS";
        int64_t n = 0;
        for (size_t at = 0; (at = log.find(words, at)) != std::string::npos; ++at) ++n;
        return n;
    }
    bool until(const std::function<bool()>& condition, int64_t deadline_ms = 30'000) {
        return testing_support::wait_until(
            [&] {
                loop.run_for(milliseconds(5));
                return condition();
            },
            deadline_ms);
    }
    // Each message is its own value, so that a reading lost or doubled shows.
    void publish(int first, int last) {
        for (int i = first; i <= last; ++i) {
            ASSERT_TRUE(device->publish("bed1/sensor/temperature/state", std::to_string(i)));
            if (i % 50 == 0) loop.run_for(milliseconds(5));
        }
        loop.run_for(milliseconds(20));
    }
    std::map<double, int> values() const {
        std::map<double, int> counted;
        for (const double v : stored_values) ++counted[v];
        return counted;
    }
    bool has_all(int last) const { return values().size() >= static_cast<size_t>(last); }
    void expect_each_once(int last) {
        const auto counted = values();
        for (int i = 1; i <= last; ++i) {
            const auto found = counted.find(i);
            EXPECT_EQ(found == counted.end() ? 0 : found->second, 1) << "value " << i;
        }
    }

    void hear(const LinkMessage& m) {
        auto topic = Topic::parse(m.topic);
        if (!topic) return;
        if (topic->kind == Topic::Kind::Status) {
            if (auto s = decode_status(m.payload)) last_status = *s;
        } else if (topic->kind == Topic::Kind::Health) {
            if (auto h = decode_node_health(m.payload)) ++health_reports;
        } else if (topic->kind == Topic::Kind::DeviceHealth) {
            if (auto h = decode_device_health(m.payload)) device_health[h->device] = *h;
        } else if (topic->kind == Topic::Kind::Hello) {
            ++hellos;
            auto hello = decode_hello(m.payload);
            if (!hello) return;
            Welcome w{.epoch = epoch, .time = {}, .streams = {}};
            for (const auto& s : hello->streams)
                if (stored.contains(s.stream)) w.streams.push_back({s.stream, stored[s.stream].mark(), stored[s.stream].ranges()});
            (void)coordinator->publish(Topic{"g1", Topic::Kind::Welcome, {}}.text(), encode(w));
        } else if (topic->kind == Topic::Kind::Up) {
            store(m.payload);
        }
    }
    void store(std::string_view payload) {
        auto up = decode_up(payload);
        ASSERT_TRUE(up);
        ++ups;
        for (const std::string_view bytes : up->batches) {
            auto view = open_batch(up->stream, bytes);
            ASSERT_TRUE(view);
            seen_readings += view->header.readings;
            if (deaf || stored[up->stream].contains(view->header.seq)) continue;
            // What came before its definitions comes again.
            if (view->header.kind == BatchKind::Readings && !keep_readings(up->stream, *view)) continue;
            stored[up->stream].insert(view->header.seq);
        }
        if (deaf) return;
        const Ack ack{.epoch = epoch, .stream = up->stream, .mark = stored[up->stream].mark(), .ranges = stored[up->stream].ranges()};
        (void)coordinator->publish(Topic{"g1", Topic::Kind::Ack, {}}.text(), encode_ack(ack));
    }
    bool keep_readings(uint64_t stream, const BatchView& view) {
        auto definitions = decode_definitions(view.body);
        if (!definitions) return ADD_FAILURE() << definitions.error().message(), false;
        for (const Layout& l : *definitions) layouts[{stream, l.id}] = l;
        const auto find = [&](uint32_t id) -> const Layout* {
            const auto found = layouts.find({stream, id});
            return found == layouts.end() ? nullptr : &found->second;
        };
        auto body = decode_body(view.body, find);
        if (!body && body.error().code == Code::NotFound) return false;
        if (!body) return ADD_FAILURE() << body.error().message(), false;
        for (const Rows& rows : body->groups) {
            if (find(rows.layout)->device != "bed1") continue;
            for (const double v : std::get<Numbers>(rows.columns[0])) stored_values.push_back(v);
        }
        return true;
    }

    TemporaryFolder folder;
    TestBroker local;
    TestBroker central;
    Loop loop;
    std::unique_ptr<Link> coordinator;
    std::unique_ptr<Link> device;
    Process agent;
    uint16_t http_port = 0;

    uint64_t epoch = 42;
    bool deaf = false;  // hears everything, stores and acks nothing
    std::map<uint64_t, SeqSet> stored;
    std::map<std::pair<uint64_t, uint32_t>, Layout> layouts;
    std::vector<double> stored_values;
    uint64_t seen_readings = 0;
    int ups = 0;
    int hellos = 0;
    int health_reports = 0;
    std::optional<Status> last_status;
    std::map<std::string, DeviceHealth> device_health;
};

TEST_F(AgentStory, WhatADevicePublishesArrivesOnce) {
    start_listening_agent();
    publish(1, 100);
    ASSERT_TRUE(until([&] { return has_all(100); }));
    expect_each_once(100);
    ASSERT_TRUE(until([&] { return last_status && last_status->online && health_reports > 0; }));
    EXPECT_EQ(last_status->garden, "kalemegdan");
    ASSERT_TRUE(until([&] { return device_health.contains("bed1"); }));
}

TEST_F(AgentStory, AKillLosesNothingSealed) {
    deaf = true;
    start_listening_agent();
    publish(1, 300);
    ASSERT_TRUE(until([&] { return seen_readings >= 300; })) << "what was sent was sealed before";
    agent.kill9();
    deaf = false;
    start_listening_agent();
    ASSERT_TRUE(until([&] { return has_all(300); }));
    expect_each_once(300);
}

TEST_F(AgentStory, WithoutACentreItBuffersAndDeliversLater) {
    central.stop();
    start_listening_agent();
    publish(1, 200);
    central.restart();
    ASSERT_TRUE(until([&] { return has_all(200); }));
    expect_each_once(200);
}

TEST_F(AgentStory, ACentreKilledMidwayLosesNothing) {
    start_listening_agent();
    publish(1, 100);
    ASSERT_TRUE(until([&] { return ups > 0; }));
    central.kill9();
    publish(101, 200);
    central.restart();
    publish(201, 300);
    ASSERT_TRUE(until([&] { return has_all(300); }));
    expect_each_once(300);
}

TEST_F(AgentStory, ARestoredCoordinatorIsRefilled) {
    start_listening_agent();
    publish(1, 100);
    ASSERT_TRUE(until([&] { return has_all(100); }));
    epoch = 43;  // its backup was empty
    stored.clear();
    stored_values.clear();
    publish(101, 110);
    ASSERT_TRUE(until([&] { return has_all(110); }));
    expect_each_once(110);
}

TEST_F(AgentStory, AsksToEndAndSealsDeliversAndSaysSo) {
    start_listening_agent("60 s");
    ASSERT_TRUE(until([&] { return last_status && last_status->online; }));
    publish(1, 10);
    ASSERT_TRUE(until([&] { return device_health.contains("bed1"); })) << "heard, and not sealed yet";
    agent.signal(SIGTERM);
    EXPECT_TRUE(until([&] { return has_all(10); }));
    EXPECT_TRUE(until([&] { return last_status && !last_status->online; }));
    EXPECT_EQ(last_status->reason, "shutdown");
    EXPECT_EQ(agent.wait(), 0);
}

// Another program holds the buffer's file: every write waits for it in vain.
TEST_F(AgentStory, EndsWithinTenSecondsWhateverTheDiskDoes) {
    start_listening_agent("60 s");
    publish(1, 10);
    ASSERT_TRUE(until([&] { return device_health.contains("bed1"); }));
    auto other = Database::open(folder / "state/buffer.db");
    ASSERT_TRUE(other) << other.error().message();
    ASSERT_TRUE(other->execute("BEGIN IMMEDIATE"));
    agent.signal(SIGTERM);
    EXPECT_NE(agent.wait(10'000), -1);
}

TEST_F(AgentStory, ADeviceThatDiedWhileTheAgentWasAwayIsToldAsSilent) {
    start_listening_agent();
    publish(1, 10);
    ASSERT_TRUE(until([&] { return has_all(10) && device_health.contains("bed1"); }));
    EXPECT_EQ(device_health["bed1"].state, DeviceState::Ok);
    agent.signal(SIGTERM);
    ASSERT_EQ(agent.wait(), 0);
    start_listening_agent("50 ms", {"device_health.silent_without_interval=2 s", "health.probe_every=1 s"});
    EXPECT_TRUE(until([&] { return device_health["bed1"].state == DeviceState::Silent; }));
}

TEST_F(AgentStory, ADeathIsToldByTheBroker) {
    start_listening_agent();
    ASSERT_TRUE(until([&] { return last_status && last_status->online; }));
    agent.kill9();
    ASSERT_TRUE(until([&] { return last_status && !last_status->online; }));
    EXPECT_EQ(last_status->reason, "lost");
}

TEST_F(AgentStory, WrongSettingsEndWithASentence) {
    Process wrong;
    ASSERT_TRUE(wrong.start({AGENT_PROGRAM, "--set", "node=no/name"}, folder / "wrong.log"));
    EXPECT_EQ(wrong.wait(), 2);
    auto log = read_file(folder / "wrong.log", 1 << 16);
    ASSERT_TRUE(log);
    EXPECT_NE(log->find("node"), std::string::npos);
}

}  // namespace
}  // namespace basmalin::agent
