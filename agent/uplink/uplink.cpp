#include "agent/uplink/uplink.h"

#include <algorithm>

#include "shared/base/ids.h"
#include "shared/base/log.h"

namespace basmalin::agent {
namespace {

constexpr size_t retained_on_their_way_max = 2;
constexpr size_t retained_waiting_max = 2048;
constexpr int refused_locally = 0x95;  // MQTT 5: packet too large; any reason >= 0x80 pauses the window

}  // namespace

Uplink::Uplink(Loop& loop, const Clock& clock, BufferShell& buffers, UplinkOptions options, Callbacks callbacks)
    : loop_(loop),
      clock_(clock),
      buffers_(buffers),
      options_(std::move(options)),
      callbacks_(std::move(callbacks)),
      limits_(options_.window),
      link_(loop,
            [this] {
                LinkOptions link = options_.link;
                link.will_topic = Topic{options_.node, Topic::Kind::Status, {}}.text();
                link.will_payload = encode(status(false, "lost"));
                return link;
            }(),
            {.connected = [this](uint16_t receive_maximum) { on_connected(receive_maximum); },
             .disconnected = [this](const Error& why) { on_disconnected(why); },
             .message = [this](const LinkMessage& message) { on_message(message); },
             .published = [this](int id, int reason) { on_published(id, reason); }}),
      retained_(retained_waiting_max) {}

Uplink::~Uplink() { *alive_ = false; }

Status Uplink::status(bool online, std::string reason) const {
    return {.online = online, .reason = std::move(reason), .since = callbacks_.now().wall, .agent_version = BASMALIN_VERSION, .boot = options_.boot, .garden = options_.garden};
}

void Uplink::start(uint32_t boot_no, const std::vector<BootOffset>& boots) {
    boot_no_ = boot_no;
    for (const BootOffset& b : boots) boots_[b.boot_no] = b;
    link_.subscribe(Topic::filter(Topic::Kind::Welcome, options_.node));
    link_.subscribe(Topic::filter(Topic::Kind::Ack, options_.node));
    link_.start();
}

void Uplink::on_reopened(uint32_t boot_no, const std::vector<BootOffset>& boots) {
    boot_no_ = boot_no;
    boots_.clear();
    for (const BootOffset& b : boots) boots_[b.boot_no] = b;
    clock_offset_.boot_no = boot_no;
    happened(event::GreetAgain{});
}

void Uplink::on_grown(int64_t last_id) { happened(event::Grown{.last_id = last_id}); }

void Uplink::set_clock(const BootOffset& offset) {
    const bool first_synced = offset.state == ClockState::Synced && clock_offset_.state != ClockState::Synced && clock_offset_.boot_no != 0;
    clock_offset_ = offset;
    boots_[offset.boot_no] = offset;
    if (first_synced) happened(event::GreetAgain{});
}

BatchRef Uplink::keep(const Held& held) {
    held_[held.id] = held;
    return {.id = held.id,
            .stream = held.stream,
            .seq = held.header.seq,
            .bytes = static_cast<uint32_t>(held.bytes->size()),
            .boot_no = held.header.clock == ClockState::Unsynced ? held.header.boot_no : 0,
            .priority = held.header.priority};
}

void Uplink::on_sealed(const std::vector<Held>& sealed) {
    event::Sealed e;
    for (const Held& held : sealed) e.batches.push_back(keep(held));
    if (!e.batches.empty()) happened(e);
}

// Commands may bring events about at once (a publish that is refused): they wait for the end of the turn.
void Uplink::happened(const WindowEvent& e) {
    events_.push_back(e);
    if (turning_) return;
    turning_ = true;
    while (!events_.empty()) {
        const WindowEvent next = std::move(events_.front());
        events_.pop_front();
        WindowStep s = step(std::move(window_), next, clock_.mono(), limits_);
        window_ = std::move(s.next);
        for (const WindowCommand& c : s.commands) std::visit([&](const auto& one) { run(one); }, c);
    }
    turning_ = false;
    note_phase();
    arm();
}

void Uplink::note_phase() {
    if (window_.phase == told_phase_ && window_.reason == told_reason_) return;
    const bool was_open = told_phase_ == WindowPhase::Open;
    told_phase_ = window_.phase;
    told_reason_ = window_.reason;
    if (window_.phase == WindowPhase::Open) {
        log::info("uplink_open", {{"epoch", to_hex(window_.epoch)}});
        told_pause_.clear();
    } else if (was_open || (window_.phase == WindowPhase::Paused && told_pause_ != window_.reason)) {
        // Once, not at every probe.
        log::warn("uplink_closed", {{"phase", to_string(window_.phase)}, {"why", window_.reason}});
        told_pause_ = window_.reason;
    }
}

void Uplink::arm() {
    const auto due = next_tick(window_, limits_);
    if (!due) {
        timer_.cancel();
        timer_at_ = MonoTime{INT64_MAX};
        return;
    }
    if (timer_at_ == *due) return;
    timer_at_ = *due;
    const Duration wait{std::clamp<int64_t>((*due - clock_.mono()).ms, 0, 60'000)};
    timer_ = loop_.after(wait, [this] {
        timer_at_ = MonoTime{INT64_MAX};
        happened(event::Tick{});
    });
}

void Uplink::run(const command::SendHello& c) {
    buffers_.greeting([this, alive = alive_, number = c.message](BufferShell::Greeting greeting) {
        if (!*alive || window_.hello_message != number) return;
        Hello hello{.garden = options_.garden, .agent_version = BASMALIN_VERSION, .boot = options_.boot, .boot_no = boot_no_,
                    .clock = clock_offset_, .streams = std::move(greeting.streams), .gaps_pending = greeting.gaps_pending, .labels = {}};
        hello.clock.boot_no = boot_no_;
        auto id = link_.publish(Topic{options_.node, Topic::Kind::Hello, {}}.text(), encode(hello));
        if (!id) return refused(number, id.error());
        messages_[*id] = number;
    });
}

void Uplink::run(const command::Publish& c) {
    UpMessage up{.stream = c.stream, .lane = c.lane, .boots = {}, .batches = {}};
    for (const int64_t id : c.ids) {
        const auto found = held_.find(id);
        if (found == held_.end()) continue;
        const BatchHeader& header = found->second.header;
        const auto boot = boots_.find(header.boot_no);
        const bool told = std::any_of(up.boots.begin(), up.boots.end(), [&](const BootOffset& b) { return b.boot_no == header.boot_no; });
        if (header.clock == ClockState::Unsynced && boot != boots_.end() && boot->second.state == ClockState::Synced && !told)
            up.boots.push_back(boot->second);
        up.batches.push_back(*found->second.bytes);
    }
    auto id = link_.publish(Topic{options_.node, Topic::Kind::Up, {}}.text(), encode_up(up));
    if (!id) return refused(c.message, id.error());
    messages_[*id] = c.message;
}

void Uplink::refused(uint64_t message, const Error& why) {
    if (why.code == Code::Unavailable) return;  // disconnected: that is an event of its own
    log::error("publish_refused", {{"why", why.message()}});
    happened(event::Published{message, refused_locally});
}

void Uplink::run(const command::Fetch& c) {
    const auto only = c.lane == Lane::Alarm ? std::optional(Priority::Alarm) : std::nullopt;
    buffers_.fetch(c.after_id, c.until_id, c.bytes_max, c.batches_max, only, [this, alive = alive_, c](Result<Page> page) {
        if (!*alive) return;
        event::Fetched e{.lane = c.lane, .batches = {}, .last_id = c.after_id, .end = false, .number = c.number};
        if (page) {
            for (const Held& held : page->batches) e.batches.push_back(keep(held));
            e.last_id = page->last_id;
            e.end = page->end;
        } else {
            log::warn("backlog_not_read", {{"why", page.error().message()}});
        }
        happened(e);
    });
}

void Uplink::run(const command::Forget& c) {
    for (const int64_t id : c.ids) held_.erase(id);
}

void Uplink::run(const command::SealDefinitions&) {
    buffers_.seal_definitions(callbacks_.now(), [this, alive = alive_](std::vector<Held> sealed) {
        if (*alive) on_sealed(sealed);
    });
}

void Uplink::run(const command::Reconnect& c) {
    messages_.clear();
    retained_on_their_way_.clear();
    link_.reconnect(c.why);
}

void Uplink::on_connected(uint16_t receive_maximum) {
    messages_.clear();
    retained_on_their_way_.clear();
    connected_since_ = callbacks_.now().wall;
    link_.set_will(encode(status(false, "lost")));
    log::info("central_connected", {{"host", options_.link.host}, {"port", options_.link.port}, {"receive_maximum", receive_maximum}});
    publish_retained({options_.node, Topic::Kind::Status, {}}, encode(status(true, "")));
    // Retained messages have their own small share of what the broker lets be in flight.
    const auto share = static_cast<uint16_t>(retained_on_their_way_max);
    happened(event::Connected{static_cast<uint16_t>(receive_maximum > 2 * share ? receive_maximum - share : receive_maximum)});
    if (callbacks_.connected) callbacks_.connected();
}

void Uplink::on_disconnected(const Error& why) {
    messages_.clear();
    retained_on_their_way_.clear();
    if (window_.phase != WindowPhase::Away || told_reason_ != why.text) log::warn("central_disconnected", {{"why", why.message()}});
    happened(event::Disconnected{});
    window_.reason = why.message();
    told_reason_ = why.text;
}

void Uplink::on_message(const LinkMessage& message) {
    auto topic = Topic::parse(message.topic);
    const bool ours = topic && topic->node == options_.node && !message.retained;
    if (ours && topic->kind == Topic::Kind::Ack) {
        auto ack = decode_ack(message.payload);
        if (ack) return on_ack(*ack);
    } else if (ours && topic->kind == Topic::Kind::Welcome) {
        auto welcome = decode_welcome(message.payload);
        if (welcome) return on_welcome(std::move(*welcome));
    }
    ++bad_messages_;
    log::debug("central_message_ignored", {{"topic", message.topic}});
}

void Uplink::on_ack(const Ack& ack) {
    ++acks_;
    // The window first, for the next batches go out at once; the buffer hears it in its order.
    const bool counts = window_.phase == WindowPhase::Open && ack.epoch == window_.epoch;
    happened(event::Acked{ack});
    if (!counts) return;
    buffers_.ack(ack, [this, alive = alive_](bool understood) {
        if (*alive && !understood && !welcome_under_way_) happened(event::GreetAgain{});
    });
}

void Uplink::on_welcome(Welcome welcome) {
    if (welcome_under_way_) return;  // the next hello asks again
    welcome_under_way_ = true;
    if (callbacks_.welcomed) callbacks_.welcomed(welcome);
    const bool definitions = welcome.definitions_wanted;
    const uint64_t epoch = welcome.epoch;
    buffers_.welcome(std::move(welcome), callbacks_.now(), [this, alive = alive_, epoch, definitions](Result<WelcomeOutcome> outcome) {
        if (!*alive) return;
        welcome_under_way_ = false;
        if (!outcome) {
            log::warn("welcome_not_applied", {{"why", outcome.error().message()}});
            return;
        }
        event::Welcomed e{.epoch = epoch, .acked = {}, .last_id = outcome->last_id, .definitions_wanted = definitions || outcome->new_stream, .random = random_unit()};
        for (const StreamAcks& s : outcome->streams) e.acked[s.stream] = s.acked;
        if (outcome->new_stream) log::warn("new_stream", {{"why", "the coordinator has more of our stream than this buffer ever sealed"}});
        if (outcome->released_batches > 0) log::warn("batches_released", {{"batches", outcome->released_batches}});
        happened(e);
        tell_gaps();
    });
}

void Uplink::tell_gaps() {
    if (window_.phase != WindowPhase::Open || gaps_under_way_ || ending_) return;
    gaps_under_way_ = true;
    buffers_.seal_gaps(callbacks_.now(), [this, alive = alive_](std::vector<Held> sealed) {
        if (!*alive) return;
        gaps_under_way_ = false;
        on_sealed(sealed);
    });
}

void Uplink::on_published(int id, int reason) {
    if (retained_on_their_way_.erase(id) > 0) {
        flush_retained();
        return;
    }
    const auto found = messages_.find(id);
    if (found == messages_.end()) return;
    const uint64_t number = found->second;
    messages_.erase(found);
    happened(event::Published{number, reason});
}

void Uplink::publish_retained(const Topic& topic, std::string payload) {
    retained_.put(topic, std::move(payload));
    flush_retained();
}

void Uplink::flush_retained() {
    while (link_.connected() && !retained_.empty() && retained_on_their_way_.size() < retained_on_their_way_max) {
        auto id = link_.publish(retained_.next().topic, retained_.next().payload, 1, true);
        if (!id && id.error().code == Code::Unavailable) return;
        if (id) retained_on_their_way_.insert(*id);
        retained_.drop_next();  // refused for good, or sent
    }
}

void Uplink::end(Duration within, std::function<void()> done) {
    ending_ = true;
    when_ended_ = std::move(done);
    const auto finish = [this] {
        end_poll_.cancel();
        end_timer_.cancel();
        if (link_.connected()) {
            retained_.clear();
            retained_on_their_way_.clear();
            publish_retained({options_.node, Topic::Kind::Status, {}}, encode(status(false, "shutdown")));
        }
        link_.stop(true);
        if (when_ended_) std::exchange(when_ended_, nullptr)();
    };
    const auto nothing_left = [this] { return window_.phase != WindowPhase::Open || (idle() && window_.backlog_end); };
    if (nothing_left()) {
        loop_.post([alive = alive_, finish] {
            if (*alive) finish();
        });
        return;
    }
    end_timer_ = loop_.after(within, finish);
    end_poll_ = loop_.every(milliseconds(20), [nothing_left, finish] {
        if (nothing_left()) finish();
    });
}

UplinkState Uplink::state() const {
    return {.phase = window_.phase,
            .reason = window_.reason,
            .connected = link_.connected(),
            .reconnects = link_.reconnects(),
            .bytes_sent = link_.bytes_sent(),
            .bytes_received = link_.bytes_received(),
            .sent_batches_total = window_.sent_batches_total,
            .resends_total = window_.resends_total,
            .acks_total = acks_,
            .bad_messages_total = bad_messages_,
            .in_flight_messages = window_.messages_in_flight,
            .unacked_batches = window_.live_unacked + window_.backlog_unacked,
            .unheard_since = window_.unheard_since};
}

}  // namespace basmalin::agent
