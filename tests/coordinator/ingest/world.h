// The ingest between a subscriber that the test plays and a real SQLite store in a temporary folder.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>

#include "coordinator/ingest/ingest.h"
#include "shared/base/json.h"
#include "tests/coordinator/ingest/gateway.h"
#include "tests/support/process.h"

namespace basmalin::coordinator {

// Plays the broker: hands over what was published, ends publishes when told (or at once).
class FakeSubscriber final : public Subscriber {
  public:
    struct Published {
        std::string topic;
        std::string payload;
        uint64_t id = 0;
    };
    void start(std::vector<std::string> wanted, SubscriberCallbacks its) override {
        filters = std::move(wanted);
        callbacks = std::move(its);
    }
    bool subscribed() const override { return up; }
    Result<uint64_t> publish(const std::string& topic, const std::string& payload) override {
        published.push_back({topic, payload, ++last_id});
        ++in_flight;
        most_in_flight = std::max(most_in_flight, in_flight);
        return last_id;
    }
    void stop_listening() override { listening = false; }
    void stop(std::function<void()> done) override {
        up = false;
        done();
    }
    uint64_t reconnects() const override { return 0; }

    void connect() {
        up = true;
        callbacks.subscribed();
    }
    void lose() {
        up = false;
        in_flight = 0;
        callbacks.lost({Code::Unavailable, "the test pulled the plug", ""});
    }
    void deliver_all() {
        while (delivered < published.size()) {
            --in_flight;
            callbacks.published(published[delivered++].id, true);
        }
    }
    std::vector<std::string> payloads(const std::string& topic) const {
        std::vector<std::string> out;
        for (const Published& one : published) {
            if (one.topic == topic) out.push_back(one.payload);
        }
        return out;
    }

    std::vector<std::string> filters;
    SubscriberCallbacks callbacks;
    std::vector<Published> published;
    size_t delivered = 0;
    size_t in_flight = 0;
    size_t most_in_flight = 0;
    uint64_t last_id = 0;
    bool up = false;
    bool listening = true;
};

// The real store, and in front of it a disk that the test can break.
class FaultyStore final : public Store {
  public:
    explicit FaultyStore(std::unique_ptr<Store> real) : real_(std::move(real)) {}
    Result<CommitResult> commit(const std::vector<IncomingBatch>& batches) override {
        if (broken) return fail(Code::Full, "commit: the disk is full");
        if (damaged) return fail(Code::Corrupt, "commit: the database is damaged");
        for (const IncomingBatch& batch : batches) {
            if (poisoned != 0 && batch.stream == poisoned) return fail(Code::Corrupt, "commit: this one breaks the transaction");
        }
        ++commits;
        most_batches = std::max(most_batches.load(), batches.size());
        return real_->commit(batches);
    }
    Result<CommitResult> give_up(const IncomingBatch& batch, const std::string& reason) override {
        if (damaged) return fail(Code::Corrupt, "commit: the database is damaged");
        return real_->give_up(batch, reason);
    }
    uint64_t epoch() const override { return real_->epoch(); }
    std::vector<Welcome::Stream> marks(const std::string& node, const std::vector<uint64_t>& streams) override {
        return real_->marks(node, streams);
    }
    Result<void> note_boot(const std::string& node, uint64_t stream, const BootOffset& offset) override {
        return real_->note_boot(node, stream, offset);
    }
    Result<bool> maintain(WallTime now) override {
        ++maintained;
        return real_->maintain(now);
    }
    Result<void> save_nodes(const std::vector<NodeRecord>& nodes) override {
        if (broken) return fail(Code::Full, "save: the disk is full");
        return real_->save_nodes(nodes);
    }
    Result<std::vector<NodeRecord>> load_nodes() override { return real_->load_nodes(); }
    Result<std::vector<SeriesInfo>> series() override { return real_->series(); }
    Result<std::vector<Latest>> latest() override { return real_->latest(); }
    Result<StoreStats> stats() override { return real_->stats(); }
    Result<std::unique_ptr<StoreReader>> reader() override { return real_->reader(); }
    Result<void> probe() override { return real_->probe(); }

    std::atomic<bool> broken = false;
    std::atomic<bool> damaged = false;
    std::atomic<uint64_t> poisoned = 0;
    std::atomic<int> commits = 0;
    std::atomic<size_t> most_batches = 0;
    std::atomic<int> maintained = 0;

  private:
    std::unique_ptr<Store> real_;
};

// Runs the loop until the condition holds; false after the deadline.
inline bool run_until(Loop& loop, const std::function<bool()>& condition, int deadline_seconds = 30) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(deadline_seconds);
    while (!condition()) {
        if (std::chrono::steady_clock::now() > end) return false;
        loop.run_for(milliseconds(2));
    }
    return true;
}

struct World {
    explicit World(IngestOptions wanted = {}) : options(wanted) {
        open();
        subscriber->connect();
    }
    void open() {
        auto opened = open_sqlite_store({.folder = folder.path()});
        if (!opened) ADD_FAILURE() << opened.error().message();
        store = std::make_unique<FaultyStore>(std::move(*opened));
        fleet = std::make_unique<Fleet>(FleetOptions{});
        fleet->restore(store->load_nodes().value(), store->series().value(), store->latest().value());
        auto fake = std::make_unique<FakeSubscriber>();
        subscriber = fake.get();
        ingest = std::make_unique<Ingest>(loop, clock, *store, *fleet, std::move(fake), options);
        ingest->start();
    }
    void close() {
        ingest.reset();
        fleet.reset();
        store.reset();
    }
    bool until(const std::function<bool()>& condition) {
        return run_until(loop, [&] {
            if (deliver) subscriber->deliver_all();
            return condition();
        });
    }
    void send(const Gateway& gateway, Topic::Kind kind, const std::string& payload, bool retained = false) {
        subscriber->callbacks.message(gateway.topic(kind), payload, retained);
    }
    // The mark of the newest ack for a gateway's stream, 0 if none came.
    uint64_t acked(const Gateway& gateway) const {
        uint64_t mark = 0;
        for (const std::string& payload : subscriber->payloads(gateway.topic(Topic::Kind::Ack))) {
            const auto ack = decode_ack(payload);
            if (ack && ack->stream == gateway.stream) mark = std::max(mark, ack->mark);
        }
        return mark;
    }
    std::vector<Welcome> welcomes(const Gateway& gateway) const {
        std::vector<Welcome> out;
        for (const std::string& payload : subscriber->payloads(gateway.topic(Topic::Kind::Welcome))) {
            if (auto welcome = decode_welcome(payload)) out.push_back(std::move(*welcome));
        }
        return out;
    }
    bool stop() {
        bool ended = false;
        bool clean = false;
        ingest->stop(seconds(8), [&](bool so) {
            ended = true;
            clean = so;
        });
        return until([&] { return ended; }) && clean;
    }

    testing_support::TemporaryFolder folder;
    SystemClock clock;
    Loop loop;
    IngestOptions options;
    bool deliver = true;
    std::unique_ptr<FaultyStore> store;
    std::unique_ptr<Fleet> fleet;
    std::unique_ptr<Ingest> ingest;
    FakeSubscriber* subscriber = nullptr;
};

}  // namespace basmalin::coordinator
