#include "coordinator/ingest/ingest.h"

#include <algorithm>

#include "shared/base/ids.h"

namespace basmalin::coordinator {

namespace {

constexpr size_t state_slice = 128;  // messages handled before the loop has its turn
constexpr size_t greetings_slice = 64;
constexpr size_t garbage_gates_max = 4096;
constexpr size_t up_message_bytes_max = 64 * 1024;

std::optional<MessageKind> kind_of(Topic::Kind kind) {
    switch (kind) {
        case Topic::Kind::Up: return MessageKind::Up;
        case Topic::Kind::Hello: return MessageKind::Hello;
        case Topic::Kind::Status: return MessageKind::Status;
        case Topic::Kind::Health: return MessageKind::Health;
        case Topic::Kind::DeviceHealth: return MessageKind::DeviceHealth;
        default: return std::nullopt;
    }
}

RingLimits limits(int64_t messages, int64_t bytes, int64_t node_messages) {
    return {static_cast<size_t>(messages), static_cast<size_t>(bytes), static_cast<size_t>(node_messages)};
}

WriterOptions writer_options(const IngestOptions& options) {
    WriterOptions out;
    out.gather.messages_max = static_cast<size_t>(options.group_messages_max);
    out.gather.most = options.group_wait;
    out.gather.idle = options.group_idle;
    return out;
}

}  // namespace

std::string_view to_string(MessageKind kind) {
    switch (kind) {
        case MessageKind::Up: return "up";
        case MessageKind::Hello: return "hello";
        case MessageKind::Status: return "status";
        case MessageKind::Health: return "health";
        case MessageKind::DeviceHealth: return "device_health";
        case MessageKind::Other: return "other";
    }
    return "other";
}

void declare(Schema& schema, IngestOptions& options) {
    schema.section("ingest", "From the broker into the store. What finds no room is not acknowledged, and the gateways send it again.");
    schema.integer("queue_messages_max", options.queue_messages_max, 64, 1'000'000, "Messages of readings that wait for the store.");
    schema.bytes("queue_bytes_max", options.queue_bytes_max, 1 << 20, 1LL << 34, "Their bytes.");
    schema.integer("queue_node_messages_max", options.queue_node_messages_max, 16, 1'000'000, "How many of them one node may have.");
    schema.integer("state_messages_max", options.state_messages_max, 64, 10'000'000, "Messages of status and health that wait.");
    schema.bytes("state_bytes_max", options.state_bytes_max, 1 << 20, 1LL << 34, "Their bytes.");
    schema.integer("group_messages_max", options.group_messages_max, 1, 4096, "Messages committed in one transaction.");
    schema.duration("group_wait", options.group_wait, milliseconds(0), seconds(2),
                    "How long a commit waits for company while messages keep coming.");
    schema.duration("group_idle", options.group_idle, milliseconds(0), seconds(1), "A commit waits no more when none came for so long.");
    schema.integer("publish_window", options.publish_window, 1, 20,
                   "Answers on their way at once; the broker's max_inflight_messages must not be less.");
}

Ingest::Ingest(Loop& loop, const Clock& clock, Store& store, Fleet& fleet, std::unique_ptr<Subscriber> subscriber, IngestOptions options,
               IngestObserver observer)
    : loop_(loop),
      clock_(clock),
      fleet_(fleet),
      options_(options),
      observer_(std::move(observer)),
      epoch_(store.epoch()),
      alive_(std::make_shared<Ingest*>(this)),
      up_(limits(options.queue_messages_max, options.queue_bytes_max, options.queue_node_messages_max)),
      state_(limits(options.state_messages_max, options.state_bytes_max, std::max<int64_t>(64, options.state_messages_max / 8))),
      outbox_(static_cast<size_t>(options.publish_window)),
      subscriber_(std::move(subscriber)) {
    WriterCallbacks callbacks{
        .committed = [this](const Committed& committed) { on_committed(committed); },
        .failed = [this](const Error& why, bool given_up) { on_commit_failed(why, given_up); },
        .taken = [this](const Taken& taken) { on_taken(taken); },
    };
    writer_ = std::make_unique<Writer>(loop, clock, up_, store, writer_options(options), std::move(callbacks));
}

// Both threads that call us end before anything that they use: first the library's, then the writer's.
Ingest::~Ingest() {
    subscriber_.reset();
    writer_.reset();
    alive_.reset();
}

void Ingest::post(std::function<void(Ingest&)> work) {
    loop_.post([weak = std::weak_ptr(alive_), work = std::move(work)] {
        if (const auto self = weak.lock()) work(**self);
    });
}

void Ingest::start() {
    tick_timer_ = loop_.every(seconds(1), [this] { tick(); });
    maintain_timer_ = loop_.every(milliseconds(100), [this] { maintain(); });
    SubscriberCallbacks callbacks{
        .message = [this](std::string_view topic, std::string_view payload, bool retained) { arrived(topic, payload, retained); },
        .subscribed =
            [this] {
                log::info("broker_connected", {{"reconnects", subscriber_->reconnects()}});
                fleet_.on_hearing(true, clock_.wall());
                pump();
            },
        .lost =
            [this](const Error& why) {
                fleet_.on_hearing(false, clock_.wall());
                outbox_.connection_lost();
                if (lost_gate_.open(clock_.mono())) {
                    log::warn("broker_lost", {{"error", why.message()}, {"suppressed", lost_gate_.suppressed()}});
                }
            },
        .published =
            [this](uint64_t id, bool delivered) {
                outbox_.ended(id, delivered);
                pump();
            },
    };
    std::vector<std::string> filters;
    for (const Topic::Kind kind :
         {Topic::Kind::Up, Topic::Kind::Hello, Topic::Kind::Status, Topic::Kind::Health, Topic::Kind::DeviceHealth}) {
        filters.push_back(Topic::filter(kind));
    }
    subscriber_->start(std::move(filters), std::move(callbacks));
}

// R2, R5. On the library's thread, under its lock: copies and returns.
void Ingest::arrived(std::string_view text, std::string_view payload, bool retained) {
    auto topic = Topic::parse(text);
    const MessageKind kind = topic ? kind_of(topic->kind).value_or(MessageKind::Other) : MessageKind::Other;
    Counters& counters = counters_[static_cast<size_t>(kind)];
    ++counters.received;
    const bool up = kind == MessageKind::Up;
    if (kind == MessageKind::Other || payload.size() > (up ? up_message_bytes_max : json_message_bytes_max)) {
        ++counters.dropped;
        return;
    }
    // Retained: an up message that a node retained by mistake comes with each of our connections; it is a duplicate. No text: a
    // retained message was deleted, which says nothing.
    if (!up && payload.empty()) return;
    Ring& ring = up ? up_ : state_;
    if (ring.push({std::move(*topic), std::string(payload), retained, clock_.wall()}) != Ring::Push::Taken) ++counters.dropped;
    if (up) return writer_->wake();
    if (!state_scheduled_.exchange(true)) {
        post([](Ingest& self) { self.drain_state(); });
    }
}

void Ingest::drain_state() {
    state_scheduled_ = false;
    for (const Arrived& message : state_.take(state_slice, SIZE_MAX)) on_state(message);
    if (state_.messages() > 0 && !state_scheduled_.exchange(true)) {
        post([](Ingest& self) { self.drain_state(); });
    }
}

void Ingest::on_state(const Arrived& message) {
    const std::string& node = message.topic.node;
    const auto handle = [&](auto decoded, MessageKind kind, auto&& use) {
        decoded ? use(*decoded) : on_garbage(node, kind, decoded.error());
    };
    switch (message.topic.kind) {
        case Topic::Kind::Hello:
            handle(decode_hello(message.payload), MessageKind::Hello, [&](const Hello& hello) { on_hello(node, hello, message.received); });
            break;
        case Topic::Kind::Status:
            handle(decode_status(message.payload), MessageKind::Status,
                   [&](const Status& status) { on_status(node, status, message.retained, message.received); });
            break;
        case Topic::Kind::Health:
            handle(decode_node_health(message.payload), MessageKind::Health,
                   [&](const NodeHealth& health) { fleet_.on_health(node, health, message.retained, message.received); });
            break;
        case Topic::Kind::DeviceHealth:
            handle(decode_device_health(message.payload), MessageKind::DeviceHealth, [&](DeviceHealth& health) {
                health.device = message.topic.device;  // the topic is what the retained message is found by
                fleet_.on_device_health(node, health, message.retained, message.received);
            });
            break;
        default: break;
    }
}

void Ingest::on_hello(const std::string& node, const Hello& hello, WallTime now) {
    const Node* before = fleet_.node(node);
    const bool same_clock = before != nullptr && before->welcomed_epoch == epoch_ && before->clock == hello.clock;
    fleet_.on_hello(node, hello, now);
    if (fleet_.node(node) == nullptr) return;  // refused: the fleet is full
    Greeting greeting;
    for (const Hello::Stream& stream : hello.streams) {
        greeting.streams.push_back(stream.stream);
        if (stream.acked > 0) greeting.acked_streams.push_back(stream.stream);
    }
    if (!hello.streams.empty() && hello.clock.boot_no != 0 && !same_clock) greeting.clock = hello.clock;
    greetings_[node] = std::move(greeting);
    greet();
}

void Ingest::on_status(const std::string& node, const Status& status, bool retained, WallTime now) {
    fleet_.on_status(node, status, retained, now);
    const Node* known = fleet_.node(node);
    if (known == nullptr || !status.online || known->welcomed_epoch == epoch_ || greetings_.contains(node)) return;
    Greeting greeting;  // R4: a new epoch
    for (const Hello::Stream& stream : known->streams) greeting.streams.push_back(stream.stream);
    greetings_[node] = std::move(greeting);
    fleet_.on_welcomed(node, epoch_);  // now: what else it says until the answer asks for no other
    greet();
}

// One look-up at a time on the writer's thread; newer hellos of a node replace older ones while they wait.
void Ingest::greet() {
    if (greeting_ || greetings_.empty()) return;
    std::map<std::string, Greeting> some;
    while (!greetings_.empty() && some.size() < greetings_slice) some.insert(greetings_.extract(greetings_.begin()));
    const bool taken =
        writer_->run([this, some](Store& store) { post([answers = answers_to(some, store)](Ingest& self) { self.answer(answers); }); });
    greeting_ = taken;
    if (!taken) greetings_.merge(some);  // the next tick tries again
}

// The writer's thread.
std::vector<Ingest::Answer> Ingest::answers_to(const std::map<std::string, Greeting>& greetings, Store& store) {
    std::vector<Answer> answers;
    for (const auto& [node, greeting] : greetings) {
        Answer answer{.node = node, .welcome = {}, .clock_noted = {}};
        if (greeting.clock) answer.clock_noted = store.note_boot(node, greeting.streams.front(), *greeting.clock);
        answer.welcome.epoch = store.epoch();
        answer.welcome.streams = store.marks(node, greeting.streams);
        for (const uint64_t stream : greeting.acked_streams) {
            const bool here = std::ranges::any_of(answer.welcome.streams, [&](const auto& known) { return known.stream == stream; });
            if (!here) answer.welcome.definitions_wanted = true;
        }
        answers.push_back(std::move(answer));
    }
    return answers;
}

void Ingest::answer(std::vector<Answer> answers) {
    greeting_ = false;
    for (Answer& one : answers) {
        if (const auto& noted = one.clock_noted; !noted && boot_gate_.open(clock_.mono()))
            log::warn("boot_clock_not_noted", {{"node", one.node}, {"error", noted.error().message()}, {"suppressed", boot_gate_.suppressed()}});
        one.welcome.time = clock_.wall();
        const Topic topic{.node = one.node, .kind = Topic::Kind::Welcome, .device = {}};
        outbox_.put({.key = "welcome " + one.node, .topic = topic.text(), .payload = encode(one.welcome)});
        fleet_.on_welcomed(one.node, epoch_);
        ++counts_.welcomes_published;
    }
    greet();
    pump();
}

// R1
void Ingest::on_committed(const Committed& committed) {
    for (const CommitResult::NodeAck& one : committed.result.acks) {
        const Topic topic{.node = one.node, .kind = Topic::Kind::Ack, .device = {}};
        // A later ack says the marks of this one, but not that definitions are wanted: one that asks is replaced by such only.
        const std::string kind = one.ack.definitions_wanted ? "ask " : "ack ";
        outbox_.put({.key = kind + one.node + " " + to_hex(one.ack.stream), .topic = topic.text(), .payload = encode_ack(one.ack)});
        ++counts_.acks_published;
    }
    pump();
    if (observer_.acked) observer_.acked(committed.result.acks.size());
    for (const Outcome outcome : committed.result.outcomes) {
        if (outcome == Outcome::Stored) ++counts_.batches_stored;
        if (outcome == Outcome::Duplicate) ++counts_.batches_duplicate;
        if (outcome == Outcome::Dead) ++counts_.batches_dead;
    }
    ++counts_.commits;
    counts_.commit_seconds += static_cast<double>(committed.took.ms) / 1000.0;
    counts_.readings_stored += committed.result.readings_stored;
    counts_.bytes_stored += committed.result.bytes_stored;
    fleet_.on_commit(committed.result, committed.batches, clock_.wall());
    log_events(committed);
    if (observer_.committed) observer_.committed(committed);
}

void Ingest::log_events(const Committed& committed) {
    for (const std::string& sentence : committed.result.events) {
        if (events_left_-- > 0) log::info("store_event", {{"event", sentence}});
    }
    for (const NodeEvent& event : committed.events) {
        if (events_left_-- <= 0) continue;
        log::info("node_event", {{"node", event.node}, {"event", event.text}});
        ++counts_.events_logged;
    }
    if (events_left_ < 0) {
        events_held_ += static_cast<uint64_t>(-events_left_);
        events_left_ = 0;
    }
}

void Ingest::on_commit_failed(const Error& why, bool given_up) {
    ++counts_.commit_failures;
    if (given_up) {
        ++counts_.batches_given_up;
        if (observer_.given_up) observer_.given_up();
        if (given_up_gate_.open(clock_.mono()))
            log::error("batch_given_up", {{"error", why.message()}, {"suppressed", given_up_gate_.suppressed()}});
    } else if (commit_gate_.open(clock_.mono())) {
        log::warn("commit_failed", {{"error", why.message()}, {"retrying", true}, {"suppressed", commit_gate_.suppressed()}});
    }
}

void Ingest::on_taken(const Taken& taken) {
    for (const size_t bytes : taken.message_bytes) {
        if (observer_.message) observer_.message(bytes);
    }
    for (const Garbage& garbage : taken.garbage) on_garbage(garbage.node, MessageKind::Up, garbage.why);
}

// R3
void Ingest::on_garbage(const std::string& node, MessageKind kind, const Error& why) {
    ++counters_[static_cast<size_t>(kind)].garbage;
    if (observer_.fault) observer_.fault(node, "garbage", 1);
    if (garbage_gates_.size() >= garbage_gates_max) garbage_gates_.clear();
    log::Gate& gate = garbage_gates_.try_emplace(node, minutes(1)).first->second;
    if (!gate.open(clock_.mono())) return;
    log::warn("garbage_received",
              {{"node", node}, {"message", to_string(kind)}, {"error", why.message()}, {"suppressed", gate.suppressed()}});
}

void Ingest::on_flood(const std::map<std::string, uint64_t>& crowded) {
    if (flood_gates_.size() + crowded.size() > garbage_gates_max) flood_gates_.clear();
    for (const auto& [node, times] : crowded) {
        if (observer_.fault) observer_.fault(node, "flood", times);
        log::Gate& gate = flood_gates_.try_emplace(node, minutes(1)).first->second;
        if (gate.open(clock_.mono())) log::warn("node_floods", {{"node", node}, {"dropped", times}, {"suppressed", gate.suppressed()}});
    }
}

void Ingest::pump() {
    while (subscriber_->subscribed()) {
        auto message = outbox_.next();
        if (!message) return;
        const auto id = subscriber_->publish(message->topic, message->payload);
        if (!id) return outbox_.back(std::move(*message));
        outbox_.sent(*id, std::move(*message));
    }
}

IngestStats Ingest::stats() const {
    IngestStats out = counts_;
    for (size_t i = 0; i < message_kinds; ++i) {
        out.messages[i] = {counters_[i].received, counters_[i].dropped, counters_[i].garbage};
    }
    out.answers_dropped = outbox_.dropped();
    out.answers_waiting = outbox_.waiting() + outbox_.on_their_way();
    out.queue_messages = up_.messages();
    out.queue_bytes = up_.bytes();
    out.queue_fullness = up_.fullness();
    out.state_queue_messages = state_.messages();
    out.connected = subscriber_->subscribed();
    out.reconnects = subscriber_->reconnects();
    out.commit_retrying = writer_->holding();
    out.writer_silence = clock_.mono() - writer_->progress();
    out.since_written = clock_.mono() - writer_->written();
    return out;
}

}  // namespace basmalin::coordinator
