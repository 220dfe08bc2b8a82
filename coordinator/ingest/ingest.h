// From the broker to the store and back to the gateways: takes what the subscriber receives, has the writer commit it, tells the
// fleet, and answers (ack after the commit, welcome to a hello). Everything here is on the loop's thread except arrived().
// R1  No ack before its commit (the writer's R1).
// R2  Two lanes: `up` goes to the writer's ring; status, health and hello go to a ring of their own, so that neither starves the other.
// R3  What cannot be decoded is counted, logged with its node (rate-limited), and changes nothing.
// R4  A hello is answered by a welcome with the marks of its streams; a node that is online and was welcomed by another epoch of
//     the store (a restored backup) is welcomed again without asking.
// R5  Only node-to-coordinator topics of fleet/1 are heard; a message longer than the wire allows is dropped and counted.
// R6  stop(): stops listening, commits what was taken, saves the fleet, sends the acks, disconnects; within its deadline.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "coordinator/fleet/fleet.h"
#include "coordinator/ingest/outbox.h"
#include "coordinator/ingest/ring.h"
#include "coordinator/ingest/subscriber.h"
#include "coordinator/ingest/writer.h"
#include "coordinator/store/store.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/config/config.h"
#include "shared/loop/loop.h"

namespace basmalin::coordinator {

struct IngestOptions {
    int64_t queue_messages_max = 8192;
    int64_t queue_bytes_max = 64 << 20;
    int64_t queue_node_messages_max = 256;
    int64_t state_messages_max = 65'536;
    int64_t state_bytes_max = 64 << 20;
    int64_t group_messages_max = 256;
    Duration group_wait = milliseconds(200);
    Duration group_idle = milliseconds(5);
    int64_t publish_window = 16;
    Duration save_every = seconds(3);
    Duration maintain_every = seconds(1);
    Duration probe_every = seconds(10);
};
void declare(Schema& schema, IngestOptions& options);

// What arrives, by kind; also the label of its metrics.
enum class MessageKind { Up, Hello, Status, Health, DeviceHealth, Other };
constexpr size_t message_kinds = 6;
std::string_view to_string(MessageKind kind);  // "up" "hello" "status" "health" "device_health" "other"

constexpr int events_per_second_max = 50;  // lines in the log

struct MessageCounts {
    uint64_t received = 0;
    uint64_t dropped = 0;  // no room, or too long
    uint64_t garbage = 0;  // not decodable
};

struct IngestStats {
    std::array<MessageCounts, message_kinds> messages;  // by MessageKind
    uint64_t batches_stored = 0;
    uint64_t batches_duplicate = 0;
    uint64_t batches_dead = 0;
    uint64_t batches_given_up = 0;
    uint64_t readings_stored = 0;
    uint64_t bytes_stored = 0;
    uint64_t commits = 0;
    uint64_t commit_failures = 0;
    double commit_seconds = 0;  // in all
    uint64_t acks_published = 0;
    uint64_t welcomes_published = 0;
    uint64_t answers_dropped = 0;   // acks and welcomes that found no room
    uint64_t answers_waiting = 0;
    uint64_t events_logged = 0;
    size_t queue_messages = 0;
    size_t queue_bytes = 0;
    double queue_fullness = 0;      // 0 to 1
    size_t state_queue_messages = 0;
    bool connected = false;
    uint64_t reconnects = 0;
    bool commit_retrying = false;
    Duration writer_silence;        // since the writer's thread last finished something
    Duration since_written;         // since a commit or a probe last succeeded
};

// What the metrics are told, on the loop.
struct IngestObserver {
    std::function<void(size_t bytes)> message;           // each `up` message
    std::function<void(const Committed&)> committed;     // after the fleet knows of it
    std::function<void(size_t acks)> acked;              // handed to the connection
    // What a node did wrong, and how often: "garbage" (R3), "flood" (the rings' R2).
    std::function<void(const std::string& node, const char* fault, uint64_t times)> fault;
    std::function<void()> given_up;                      // each batch that is neither stored nor acked: its outcome
};

class Ingest {
  public:
    // The references live longer than the ingest.
    Ingest(Loop& loop, const Clock& clock, Store& store, Fleet& fleet, std::unique_ptr<Subscriber> subscriber, IngestOptions options,
           IngestObserver observer = {});
    ~Ingest();
    Ingest(const Ingest&) = delete;
    Ingest& operator=(const Ingest&) = delete;

    void start();
    // R6; `done(true)` when everything taken is committed and saved.
    void stop(Duration deadline, std::function<void(bool clean)> done);

    // The subscriber's message callback. Threads: any.
    void arrived(std::string_view topic, std::string_view payload, bool retained);

    IngestStats stats() const;
    // Runs `work` with the store on the writer's thread, between commits; false when too much waits there.
    [[nodiscard]] bool with_store(std::function<void(Store&)> work) { return writer_->run(std::move(work)); }

  private:
    struct Greeting {
        std::vector<uint64_t> streams;
        std::vector<uint64_t> acked_streams;  // those of which the node holds an ack: unknown here, their layouts are wanted
        std::optional<BootOffset> clock;      // of the first stream; nothing to note otherwise
    };
    struct Answer {
        std::string node;
        Welcome welcome;
        Result<void> clock_noted;
    };
    struct Counters {
        std::atomic<uint64_t> received = 0;
        std::atomic<uint64_t> dropped = 0;
        std::atomic<uint64_t> garbage = 0;
    };
    enum class Ending { No, Draining, Saving, Answering, Done };

    // ingest.cpp: messages
    void drain_state();
    void on_state(const Arrived& message);
    void on_hello(const std::string& node, const Hello& hello, WallTime now);
    void on_status(const std::string& node, const Status& status, bool retained, WallTime now);
    void greet();
    static std::vector<Answer> answers_to(const std::map<std::string, Greeting>& greetings, Store& store);
    void answer(std::vector<Answer> answers);
    void on_committed(const Committed& committed);
    void on_commit_failed(const Error& why, bool given_up);
    void on_taken(const Taken& taken);
    void on_garbage(const std::string& node, MessageKind kind, const Error& why);
    void on_flood(const std::map<std::string, uint64_t>& crowded);
    void log_events(const Committed& committed);
    void pump();
    void post(std::function<void(Ingest&)> work);  // threads: any; dropped when this ingest is gone

    // chores.cpp: what comes by the clock
    void tick();
    void save();
    void save_records(std::vector<NodeRecord> records);
    void maintain();
    void probe();
    void end_step();

    Loop& loop_;
    const Clock& clock_;
    Fleet& fleet_;
    const IngestOptions options_;
    IngestObserver observer_;
    const uint64_t epoch_;
    std::shared_ptr<Ingest*> alive_;
    Ring up_;
    Ring state_;
    std::atomic<bool> state_scheduled_ = false;
    std::array<Counters, message_kinds> counters_;
    IngestStats counts_;  // the loop's part of them
    Outbox outbox_;
    std::map<std::string, Greeting> greetings_;
    bool greeting_ = false;

    std::map<std::string, log::Gate> garbage_gates_;  // by node; forgotten together when there are too many
    std::map<std::string, log::Gate> flood_gates_;    // likewise
    log::Gate lost_gate_{minutes(1)};
    log::Gate commit_gate_{seconds(30)};
    log::Gate given_up_gate_{seconds(30)};
    log::Gate boot_gate_{seconds(30)};
    log::Gate chore_gate_{seconds(30)};
    log::Gate shed_gate_{seconds(30)};
    uint64_t shed_logged_ = 0;
    int events_left_ = events_per_second_max;  // lines that this second may still log
    uint64_t events_held_ = 0;

    Timer tick_timer_;
    Timer maintain_timer_;
    Timer end_timer_;
    MonoTime saved_at_;
    MonoTime probed_at_;
    MonoTime maintained_at_;
    Duration maintain_wait_;
    Duration maintain_rest_;
    bool saving_ = false;
    bool save_failed_ = false;
    bool maintaining_ = false;
    bool probing_ = false;
    Ending ending_ = Ending::No;
    MonoTime end_by_;
    MonoTime end_began_;
    std::function<void(bool)> ended_;

    std::unique_ptr<Writer> writer_;
    std::unique_ptr<Subscriber> subscriber_;
};

}  // namespace basmalin::coordinator
