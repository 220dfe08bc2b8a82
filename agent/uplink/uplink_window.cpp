#include "agent/uplink/uplink_window.h"

#include <algorithm>
#include <set>

namespace basmalin::agent {
namespace {

class Turn {
  public:
    Turn(Window&& window, MonoTime now, const WindowLimits& limits) : w(std::move(window)), now_(now), limits_(limits) {}

    void on(const event::Connected& e);
    void on(const event::Disconnected&) { leave("not connected"); }
    void on(const event::Welcomed& e);
    void on(const event::Sealed& e);
    void on(const event::Fetched& e);
    void on(const event::Published& e);
    void on(const event::Acked& e);
    void on(const event::GreetAgain&);
    void on(const event::Grown& e);
    void on(const event::Tick&);
    void pump();

    Window w;
    std::vector<WindowCommand> commands;

  private:
    size_t slots() const { return std::min<size_t>(std::max<size_t>(w.receive_maximum, 1), limits_.messages_max); }
    Duration wait_after(int times) const { return {std::min(limits_.resend_cap.ms, limits_.resend_first.ms << std::min(times, 10))}; }
    bool is_acked(const BatchRef& ref) const {
        const auto stream = w.acked.find(ref.stream);
        return stream != w.acked.end() && stream->second.contains(ref.seq);
    }
    bool may_be_sent(const BatchRef& ref) const { return w.acked.contains(ref.stream) && !is_acked(ref); }  // R11
    void leave(std::string why);
    void put_everything_back();
    void start_over(const event::Welcomed& e);
    void greet();
    void say_hello();
    void ask_to_name(uint64_t stream);
    std::map<uint64_t, Window::Message> on_their_way() const;
    void pause(std::string why);
    void want_definitions();
    void forget(int64_t id);
    void drop_acked(uint64_t stream);
    void expire();
    void refill();
    bool send_again(bool backlog);
    bool send_from(std::deque<int64_t>& queue, Lane lane);
    void publish(Lane lane, uint64_t stream, std::vector<int64_t> ids, int resends);
    size_t backlog_on_its_way() const;
    void fetch();

    MonoTime now_;
    const WindowLimits& limits_;
};

// Everything in flight or waiting is forgotten; the buffer still has it.
void Turn::put_everything_back() {
    command::Forget all;
    for (const auto& [id, tracked] : w.batches) all.ids.push_back(id);
    if (!all.ids.empty()) commands.push_back(std::move(all));
    w.batches.clear();
    w.alarm.clear();
    w.live.clear();
    w.backlog.clear();
    w.messages.clear();
    w.resend.clear();
    w.live_unacked = w.backlog_unacked = w.flight_bytes = 0;
    w.alarm_end = w.backlog_end = true;
    w.fetching = 0;
}

// Messages on their way keep their slots until their PUBACK; their content is put back.
std::map<uint64_t, Window::Message> Turn::on_their_way() const {
    std::map<uint64_t, Window::Message> kept;
    for (const auto& [number, message] : w.messages)
        if (message.on_its_way) {
            kept[number] = message;
            kept[number].ids.clear();
            kept[number].deadline = {INT64_MAX};
        }
    return kept;
}

void Turn::leave(std::string why) {
    put_everything_back();
    w.phase = WindowPhase::Away;
    w.reason = std::move(why);
    if (w.strikes == 0) w.unheard_since.reset();
    w.messages_in_flight = 0;
    w.hello_message = 0;
    w.hello_wanted = false;
}

// One hello on its way at a time, and within the window.
void Turn::say_hello() {
    w.hello_wanted = w.hello_message == 0 && w.messages_in_flight >= slots();
    if (w.hello_message != 0 || w.hello_wanted) return;
    w.hello_message = w.next_message++;
    ++w.messages_in_flight;
    commands.push_back(command::SendHello{w.hello_message});
}

// R11: a welcome that was lost on its way is asked for again by what waits for it.
void Turn::ask_to_name(uint64_t stream) {
    if (w.phase != WindowPhase::Open || w.acked.contains(stream) || now_ < w.hello_not_before) return;
    w.hello_not_before = now_ + limits_.resend_first;
    say_hello();
}

void Turn::greet() {
    w.phase = WindowPhase::Greeting;
    w.hello_deadline = now_ + wait_after(w.greetings);
    ++w.greetings;
    say_hello();
}

void Turn::pause(std::string why) {
    auto kept = on_their_way();
    put_everything_back();
    w.messages = std::move(kept);
    w.phase = WindowPhase::Paused;
    w.unheard_since.reset();
    w.reason = std::move(why);
    w.hello_deadline = now_ + wait_after(w.greetings);
}

void Turn::on(const event::Connected& e) {
    leave("waiting for the coordinator's welcome");
    w.receive_maximum = e.receive_maximum;
    w.pace = {};
    w.greetings = 0;
    greet();
}

void Turn::on(const event::GreetAgain&) {
    if (w.phase == WindowPhase::Away) return;
    if (w.phase != WindowPhase::Open) return greet();
    say_hello();  // goes on sending meanwhile: the answer is merged
}

// From the beginning: what is known, sent or acknowledged is passed over.
void Turn::on(const event::Grown& e) {
    if (w.phase != WindowPhase::Open) return;  // the next welcome finds it in the buffer
    w.fetching = 0;
    w.alarm_cursor = w.backlog_cursor = 0;
    w.alarm_end = w.backlog_end = false;
    w.backlog_until = std::max(w.backlog_until, e.last_id);
}

void Turn::start_over(const event::Welcomed& e) {
    auto kept = on_their_way();
    put_everything_back();
    w.messages = std::move(kept);
    w.epoch = e.epoch;
    w.acked = e.acked;
    w.alarm_cursor = w.backlog_cursor = 0;
    w.alarm_end = w.backlog_end = false;
    w.backlog_until = e.last_id;
    w.backlog_start = now_ + Duration{static_cast<int64_t>(static_cast<double>(limits_.backlog_delay_max.ms) * e.random)};
    w.tokens = 0;
    w.tokens_at = now_;
    w.fetch_not_before = now_;
}

void Turn::on(const event::Welcomed& e) {
    if (w.phase == WindowPhase::Away) return;
    bool lacks = e.epoch != w.epoch;
    for (const auto& [stream, acked] : w.acked) {
        const auto theirs = e.acked.find(stream);
        lacks = lacks || theirs == e.acked.end() || theirs->second.mark() < acked.mark();
    }
    if (w.phase == WindowPhase::Open && !lacks) {
        bool named = false;  // R11: a stream that was not known before
        for (const auto& [stream, theirs] : e.acked) {
            const auto [place, is_new] = w.acked.try_emplace(stream);
            named = named || is_new;
            SeqSet& ours = place->second;
            if (theirs.mark() > 0) ours.insert(SeqRange{1, theirs.mark()});
            for (const SeqRange& r : theirs.ranges()) ours.insert(r);
            drop_acked(stream);
        }
        if (named) on(event::Grown{e.last_id});
    } else {
        start_over(e);
    }
    w.phase = WindowPhase::Open;
    w.reason.clear();
    w.greetings = 0;
    if (e.definitions_wanted) want_definitions();
}

void Turn::want_definitions() {
    if (now_ < w.definitions_not_before) return;
    w.definitions_not_before = now_ + limits_.definitions_every;
    commands.push_back(command::SealDefinitions{});
}

void Turn::on(const event::Sealed& e) {
    command::Forget unwanted;
    for (const BatchRef& ref : e.batches) {
        if (w.phase != WindowPhase::Open || w.batches.contains(ref.id) || !may_be_sent(ref) || ref.id <= w.backlog_cursor) {
            // Not open, or of a stream not named: the next welcome finds it in the buffer.
            ask_to_name(ref.stream);
            if (!w.batches.contains(ref.id)) unwanted.ids.push_back(ref.id);
            continue;
        }
        const bool is_alarm = ref.priority == Priority::Alarm;
        if (w.alarm.size() + w.live.size() >= limits_.live_waiting_max) {
            unwanted.ids.push_back(ref.id);
            w.backlog_until = std::max(w.backlog_until, ref.id);
            w.backlog_end = false;
            if (is_alarm) w.alarm_end = false;  // R1: it is read again before the rest of the backlog
            continue;
        }
        w.batches[ref.id] = {ref, is_alarm ? Lane::Alarm : Lane::Live, Window::Where::Waiting};
        (is_alarm ? w.alarm : w.live).push_back(ref.id);
    }
    if (!unwanted.ids.empty()) commands.push_back(std::move(unwanted));
}

void Turn::on(const event::Fetched& e) {
    const bool asked = w.fetching != 0 && e.number == w.fetching && w.phase == WindowPhase::Open;
    if (asked) w.fetching = 0;
    command::Forget unwanted;
    for (const BatchRef& ref : e.batches) {
        if (w.batches.contains(ref.id)) continue;
        if (!asked || !may_be_sent(ref)) {
            ask_to_name(ref.stream);
            unwanted.ids.push_back(ref.id);
            continue;
        }
        w.batches[ref.id] = {ref, e.lane, Window::Where::Waiting};
        (e.lane == Lane::Alarm ? w.alarm : w.backlog).push_back(ref.id);
    }
    if (!unwanted.ids.empty()) commands.push_back(std::move(unwanted));
    if (!asked) return;
    int64_t& cursor = e.lane == Lane::Alarm ? w.alarm_cursor : w.backlog_cursor;
    bool& end = e.lane == Lane::Alarm ? w.alarm_end : w.backlog_end;
    const bool progress = e.last_id > cursor;
    cursor = std::max(cursor, e.end ? w.fetch_until : e.last_id);
    end = e.end && (e.lane == Lane::Alarm || w.fetch_until >= w.backlog_until);
    if (!progress && !e.end) w.fetch_not_before = now_ + seconds(1);  // the buffer could not answer
}

void Turn::on(const event::Published& e) {
    if (e.message == w.hello_message && e.message != 0) {
        w.hello_message = 0;
        if (w.messages_in_flight > 0) --w.messages_in_flight;
        if (e.reason == 0 || w.phase == WindowPhase::Away) return;
        pause(e.reason == 0x10 ? "no coordinator listens" : "the broker refuses our messages, reason " + std::to_string(e.reason));
        return;
    }
    const auto found = w.messages.find(e.message);
    if (found == w.messages.end() || !found->second.on_its_way) return;
    const Window::Message& m = found->second;
    if (e.reason == 0)
        w.pace = heard(w.pace, {m.sent, m.bytes, m.lane == Lane::Backlog, m.alone, backlog_on_its_way()}, now_, limits_.pace);
    found->second.on_its_way = false;
    if (w.messages_in_flight > 0) --w.messages_in_flight;
    if (found->second.ids.empty()) w.messages.erase(found);
    if (e.reason == 0 || w.phase != WindowPhase::Open) return;
    pause(e.reason == 0x10 ? "no coordinator listens" : "the broker refuses our messages, reason " + std::to_string(e.reason));
}

void Turn::forget(int64_t id) {
    const auto found = w.batches.find(id);
    if (found == w.batches.end()) return;
    const Window::Tracked& t = found->second;
    if (t.where == Window::Where::Sent) {
        --(t.lane == Lane::Backlog ? w.backlog_unacked : w.live_unacked);
        w.flight_bytes -= t.ref.bytes;
    } else {
        auto& queue = t.lane == Lane::Alarm ? w.alarm : t.lane == Lane::Live ? w.live : w.backlog;
        std::erase(queue, id);
    }
    w.batches.erase(found);
}

void Turn::drop_acked(uint64_t stream) {
    command::Forget done;
    for (const auto& [id, tracked] : w.batches)
        if (tracked.ref.stream == stream && is_acked(tracked.ref)) done.ids.push_back(id);
    if (done.ids.empty()) return;
    w.strikes = 0;
    w.last_ack_at = now_;
    for (const int64_t id : done.ids) forget(id);
    w.unheard_since.reset();
    if (w.live_unacked + w.backlog_unacked > 0) w.unheard_since = now_;
    for (auto message = w.messages.begin(); message != w.messages.end();) {
        std::erase_if(message->second.ids, [&](int64_t id) { return !w.batches.contains(id); });
        if (message->second.ids.empty()) message->second.deadline = {INT64_MAX};
        const bool over = message->second.ids.empty() && !message->second.on_its_way;
        message = over ? w.messages.erase(message) : std::next(message);
    }
    commands.push_back(std::move(done));
}

void Turn::on(const event::Acked& e) {
    if (w.phase != WindowPhase::Open) return;
    if (e.ack.epoch != w.epoch) {
        if (now_ < w.hello_not_before) return;
        w.hello_not_before = now_ + limits_.resend_first;
        return say_hello();
    }
    const auto named = w.acked.find(e.ack.stream);
    if (named == w.acked.end()) return;  // R11: nothing of it was sent
    SeqSet& acked = named->second;
    if (e.ack.mark > 0) acked.insert(SeqRange{1, e.ack.mark});
    for (const SeqRange& r : e.ack.ranges)
        if (r.first >= 1 && r.last >= r.first) acked.insert(r);
    drop_acked(e.ack.stream);
    if (e.ack.definitions_wanted) want_definitions();
}

void Turn::expire() {
    for (auto& [number, message] : w.messages) {
        if (message.deadline > now_) continue;
        if (message.resends >= limits_.resends_max) {
            ++w.strikes;
            const std::string why = message.on_its_way ? "the broker does not answer" : "the coordinator does not acknowledge";
            commands.push_back(command::Reconnect{why});
            leave(why);
            return;
        }
        if (message.on_its_way) {
            ++message.resends;
            message.deadline = now_ + wait_after(message.resends + w.strikes);
        } else {
            message.deadline = {INT64_MAX};
            w.resend.push_back(number);
        }
    }
}

void Turn::on(const event::Tick&) {
    if (w.phase == WindowPhase::Open) expire();
    if ((w.phase == WindowPhase::Greeting || w.phase == WindowPhase::Paused) && now_ >= w.hello_deadline) {
        // A hello that the broker does not even acknowledge means that the connection is dead.
        if (w.hello_message != 0 && w.greetings > limits_.resends_max) {
            ++w.strikes;
            commands.push_back(command::Reconnect{"the broker does not answer"});
            leave("the broker does not answer");
            return;
        }
        greet();
    }
}

void Turn::refill() {
    const int64_t most = std::max<int64_t>(limits_.backlog_bytes_per_second, 2 * static_cast<int64_t>(up_bytes_max));
    const int64_t passed_ms = std::clamp<int64_t>((now_ - w.tokens_at).ms, 0, 10'000);
    const int64_t gained = limits_.backlog_bytes_per_second * passed_ms / 1000;
    if (gained == 0) return;  // a slow rate gains its byte later, not never
    w.tokens = std::min(most, w.tokens + gained);
    w.tokens_at = now_;
}

void Turn::publish(Lane lane, uint64_t stream, std::vector<int64_t> ids, int resends) {
    const uint64_t number = w.next_message++;
    size_t bytes = 0;
    for (const int64_t id : ids) bytes += w.batches.at(id).ref.bytes;
    w.messages[number] = {lane, stream, ids, resends, now_ + wait_after(resends + w.strikes), true, now_, bytes, backlog_on_its_way() == 0};
    ++w.messages_in_flight;
    if (!w.unheard_since) w.unheard_since = now_;
    w.sent_batches_total += ids.size();
    commands.push_back(command::Publish{number, lane, stream, std::move(ids)});
}

size_t Turn::backlog_on_its_way() const {
    size_t bytes = 0;
    for (const auto& [number, message] : w.messages)
        if (message.on_its_way && message.lane == Lane::Backlog) bytes += message.bytes;
    return bytes;
}

// Of the backlog, or of the other lanes.
bool Turn::send_again(bool backlog) {
    for (auto due = w.resend.begin(); due != w.resend.end();) {
        const auto found = w.messages.find(*due);
        if (found == w.messages.end() || found->second.ids.empty()) {
            due = w.resend.erase(due);
            continue;
        }
        if ((found->second.lane == Lane::Backlog) != backlog) {
            ++due;
            continue;
        }
        w.resend.erase(due);
        const Window::Message message = std::move(found->second);
        w.messages.erase(found);
        ++w.resends_total;
        publish(message.lane, message.stream, message.ids, message.resends + 1);
        return true;
    }
    return false;
}

bool Turn::send_from(std::deque<int64_t>& queue, Lane lane) {
    const bool is_backlog = lane == Lane::Backlog;
    size_t& unacked = is_backlog ? w.backlog_unacked : w.live_unacked;
    const size_t unacked_max = is_backlog ? limits_.backlog_batches_max : limits_.live_batches_max;
    std::vector<int64_t> ids;
    std::set<uint32_t> boots;
    uint64_t stream = 0;
    const size_t bytes_max = is_backlog ? std::min(up_bytes_max, w.pace.message_bytes(now_, limits_.pace)) : up_bytes_max;
    size_t bytes = up_overhead_bytes_max;
    while (!queue.empty() && unacked < unacked_max) {
        Window::Tracked& t = w.batches.at(queue.front());
        if (!ids.empty() && t.ref.stream != stream) break;
        const bool new_boot = t.ref.boot_no != 0 && !boots.contains(t.ref.boot_no);
        const size_t more = t.ref.bytes + up_overhead_per_batch_bytes + (new_boot ? up_overhead_per_boot_bytes_max : 0);
        if (!ids.empty() && bytes + more > bytes_max) break;
        // The backlog's share of the memory leaves live batches theirs.
        const size_t bytes_bound = is_backlog ? limits_.flight_bytes_max - limits_.flight_bytes_max / 4 : limits_.flight_bytes_max;
        if (w.flight_bytes > 0 && w.flight_bytes + t.ref.bytes > bytes_bound) break;
        if (new_boot) boots.insert(t.ref.boot_no);
        bytes += more;
        stream = t.ref.stream;
        t.where = Window::Where::Sent;
        w.flight_bytes += t.ref.bytes;
        ++unacked;
        ids.push_back(t.ref.id);
        queue.pop_front();
    }
    if (ids.empty()) return false;
    if (is_backlog) w.tokens -= static_cast<int64_t>(bytes);
    publish(lane, stream, std::move(ids), 0);
    return true;
}

void Turn::fetch() {
    if (w.fetching != 0 || now_ < w.fetch_not_before) return;
    const auto ask = [&](Lane lane, int64_t after) {
        w.fetching = ++w.last_fetch;
        w.fetch_until = w.backlog_until;
        commands.push_back(command::Fetch{lane, after, w.backlog_until, limits_.fetch_bytes, limits_.fetch_batches, w.fetching});
    };
    if (wants_alarms(w, limits_)) {
        ask(Lane::Alarm, w.alarm_cursor);
        return;
    }
    if (!wants_backlog(w, limits_) || now_ < w.backlog_start) return;
    ask(Lane::Backlog, w.backlog_cursor);
}

void Turn::pump() {
    if (w.hello_wanted) say_hello();
    if (w.phase != WindowPhase::Open) return;
    refill();
    // One slot is the hello's, where there is more than one.
    const size_t slots_for_batches = slots() > 1 ? slots() - 1 : 1;
    while (w.messages_in_flight < slots_for_batches) {
        if (send_again(false)) continue;
        if (send_from(w.alarm, Lane::Alarm)) continue;
        if (send_from(w.live, Lane::Live)) continue;
        const size_t left_free = slots_for_batches > 2 * limits_.live_slots ? limits_.live_slots : 0;
        const bool capped = limits_.backlog_bytes_per_second > 0 && w.tokens <= 0;
        if (w.messages_in_flight + left_free >= slots_for_batches) break;
        if (!w.pace.may_send(backlog_on_its_way(), now_, limits_.pace)) break;  // R10
        if (send_again(true)) continue;
        if (now_ < w.backlog_start || capped) break;
        if (!send_from(w.backlog, Lane::Backlog)) break;
    }
    fetch();
}

}  // namespace

WindowStep step(Window window, const WindowEvent& happened, MonoTime now, const WindowLimits& limits) {
    Turn turn(std::move(window), now, limits);
    std::visit([&](const auto& e) { turn.on(e); }, happened);
    turn.pump();
    return {std::move(turn.w), std::move(turn.commands)};
}

}  // namespace basmalin::agent
