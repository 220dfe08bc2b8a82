// The program itself, killed and started again with gateways at work: what it acked is in the store, once.
#include <gtest/gtest.h>

#include <csignal>
#include <map>
#include <random>

#include "coordinator/store/store.h"
#include "shared/base/file.h"
#include "shared/mqtt/link.h"
#include "tests/coordinator/ingest/gateway.h"
#include "tests/support/broker.h"

namespace basmalin::coordinator {

namespace {

using testing_support::Process;
using testing_support::TemporaryFolder;
using testing_support::TestBroker;

struct Program {
    Program(const TestBroker& broker, std::string store_folder) : store(std::move(store_folder)), port(broker.port()) {}
    void start() {
        ++runs;
        output = folder / ("run" + std::to_string(runs));
        ASSERT_TRUE(process.start({BASMALIN_COORDINATOR, "--set", "broker.tls=false", "--set", "broker.port=" + std::to_string(port), "--set",
                                   "store.folder=" + store, "--set", "http.port=0", "--set", "broker.reconnect_cap=1 s"},
                                  output));
    }
    std::string said() const { return read_file(output, 1 << 20).value_or(""); }

    TemporaryFolder folder;
    std::string store;
    uint16_t port;
    std::string output;
    int runs = 0;
    Process process;
};

// Keeps a window of batches unacknowledged, and sends them again after a while, as the agent does.
struct Sender {
    Sender(Loop& loop, const TestBroker& broker, Gateway who, std::mt19937& random) : gateway(std::move(who)), random_(random) {
        LinkOptions options;
        options.port = broker.port();
        link = std::make_unique<Link>(loop, options,
                                      Link::Callbacks{.connected = {}, .disconnected = {},
                                                      .message = [this](const LinkMessage& message) {
                                                          const auto ack = decode_ack(message.payload);
                                                          if (ack && ack->stream == gateway.stream) mark = std::max(mark, ack->mark);
                                                      },
                                                      .published = {}});
        link->subscribe(gateway.topic(Topic::Kind::Ack));
        link->start();
    }
    // One message with some batches of the window, new or again.
    void send() {
        if (!link->connected()) return;
        const uint64_t first = mark + 1 + random_() % 8;
        const uint64_t last = first + random_() % 4;
        highest = std::max(highest, last);
        static_cast<void>(link->publish(gateway.topic(Topic::Kind::Up), gateway.up(first, last)));
    }
    Gateway gateway;
    std::unique_ptr<Link> link;
    uint64_t mark = 0;
    uint64_t highest = 0;

  private:
    std::mt19937& random_;
};

bool run_until(Loop& loop, const std::function<bool()>& condition, int deadline_seconds = 60) {
    return testing_support::wait_until(
        [&] {
            loop.run_for(milliseconds(5));
            return condition();
        },
        deadline_seconds * 1000);
}

// Every reading's time, counted: one batch of seq n holds 3 readings, from n minutes on.
std::map<int64_t, int> readings_of(Store& store, const std::string& node) {
    std::map<int64_t, int> times;
    auto reader = store.reader().value();
    const std::vector<SeriesInfo> all = store.series().value();
    for (const SeriesInfo& info : all) {
        if (info.node != node) continue;
        std::string cursor;
        do {
            const auto page = reader->readings({.series = {info.id}, .from = {0}, .to = {INT64_MAX / 2}}, 10'000, cursor).value();
            for (const ReadingPoint& point : page.points) ++times[point.time.ms];
            cursor = page.next;
        } while (!cursor.empty());
    }
    return times;
}

}  // namespace

TEST(Coordinator, KilledUnderLoadLosesNothingItAckedAndStoresNothingTwice) {
    const uint32_t seed = std::random_device{}();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    TestBroker broker;
    broker.start();
    TemporaryFolder store_folder;
    Program coordinator(broker, store_folder.path());
    Loop loop;
    std::vector<std::unique_ptr<Sender>> senders;
    for (uint64_t i = 0; i < 5; ++i) {
        senders.push_back(std::make_unique<Sender>(loop, broker, Gateway{.node = "n" + std::to_string(i), .stream = 100 + i}, random));
    }
    const auto sum = [&] {
        uint64_t total = 0;
        for (const auto& sender : senders) total += sender->mark;
        return total;
    };
    for (int round = 0; round < 5; ++round) {
        coordinator.start();
        const uint64_t wanted = sum() + 40 + random() % 80;
        ASSERT_TRUE(run_until(loop, [&] {
            for (const auto& sender : senders) sender->send();
            return sum() >= wanted;
        })) << coordinator.said();
        coordinator.process.kill9();
    }
    coordinator.start();
    const uint64_t wanted = sum() + 20;
    ASSERT_TRUE(run_until(loop, [&] {
        for (const auto& sender : senders) sender->send();
        return sum() >= wanted;
    })) << coordinator.said();
    // Acks of the run before may still have been on their way: only what this run says shows that it listens to signals.
    ASSERT_TRUE(run_until(loop, [&] { return coordinator.said().find("broker_connected") != std::string::npos; })) << coordinator.said();
    coordinator.process.signal(SIGTERM);
    ASSERT_EQ(coordinator.process.wait(), 0) << coordinator.said();

    const auto store = open_sqlite_store({.folder = store_folder.path()}).value();
    for (const auto& sender : senders) {
        const auto marks = store->marks(sender->gateway.node, {sender->gateway.stream});
        ASSERT_EQ(marks.size(), 1U);
        EXPECT_GE(marks[0].mark, sender->mark);
        const std::map<int64_t, int> times = readings_of(*store, sender->gateway.node);
        for (const auto& [time, count] : times) ASSERT_EQ(count, 1) << "twice: " << sender->gateway.node << " " << time;
        for (uint64_t seq = 1; seq <= sender->mark; ++seq) {
            for (int64_t i = 0; i < 3; ++i) {
                const int64_t time = sender->gateway.wall.ms + static_cast<int64_t>(seq) * 60'000 + i * 1000;
                ASSERT_TRUE(times.contains(time)) << "acked and not there: " << sender->gateway.node << " seq " << seq;
            }
        }
    }
}

TEST(Coordinator, EndsInTimeWhenItsBrokerIsAway) {
    TestBroker broker;
    broker.start();
    TemporaryFolder store_folder;
    Program coordinator(broker, store_folder.path());
    coordinator.start();
    ASSERT_TRUE(testing_support::wait_until([&] { return coordinator.said().find("broker_connected") != std::string::npos; }))
        << coordinator.said();
    broker.kill9();
    ASSERT_TRUE(testing_support::wait_until([&] { return coordinator.said().find("broker_lost") != std::string::npos; }))
        << coordinator.said();
    coordinator.process.signal(SIGTERM);
    EXPECT_EQ(coordinator.process.wait(), 0) << coordinator.said();
}

TEST(Coordinator, RefusesAWrongConfigurationByNameWithStatusTwo) {
    TemporaryFolder folder;
    EXPECT_EQ(testing_support::run({BASMALIN_COORDINATOR, "check-config", "--set", "broker.tls=false", "--set", "http.prot=1"},
                                   folder / "output"),
              2);
    EXPECT_NE(read_file(folder / "output", 65'536).value().find("prot"), std::string::npos);
    EXPECT_EQ(testing_support::run({BASMALIN_COORDINATOR, "check-config"}, folder / "output"), 2);
    EXPECT_NE(read_file(folder / "output", 65'536).value().find("broker.ca_file"), std::string::npos);
    EXPECT_EQ(testing_support::run({BASMALIN_COORDINATOR, "check-config", "--set", "broker.tls=false"}, folder / "output"), 0);
}

}  // namespace basmalin::coordinator
