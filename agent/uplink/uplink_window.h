// What is sent when: lanes, the window, resends, pauses. Pure: includes neither Asio nor SQLite nor spdlog; time is a parameter.
//
//        Connected                welcome                    PUBACK 0x10 or >= 0x80
//  Away ───────────> Greeting ─────────────────────> Open ───────────────────────────> Paused
//   ^                   │  ^ no welcome within T: hello again     after a wait, hello: Greeting
//   └── Disconnected, or three resends without an answer: Reconnect ──┘
//
// R1  Alarms go before live batches, live ones before the backlog. The backlog is what was sealed before the welcome and what
//     live batches overflowed; it is read from the buffer in pages, oldest first.
// R2  At most min(Receive Maximum, messages_max) messages without PUBACK, hellos included: one slot is theirs. The backlog
//     leaves live_slots more free.
// R3  At most live_batches_max alarm and live batches, and backlog_batches_max backlog batches, unacknowledged. A backlog batch
//     of 20 readings has 100 bytes: with 64 of them a round trip of 100 ms would mean 13,000 readings/s; 1024 in messages of
//     32 KiB make it 200,000. flight_bytes_max bounds the memory of both.
// R4  A message holds batches of one stream and lane, up_bytes_max at most.
// R5  A message whose batches are not all acked within T (resend_first, doubling to resend_cap) is sent again with what is
//     missing; a message whose PUBACK is missing is only waited for, since TCP still carries it. After resends_max of either:
//     Reconnect. T starts longer after each such reconnect, until an ack comes.
// R6  PUBACK 0x10 (nobody subscribes) or a refusal: everything is put back and the window pauses; the hello is its probe.
// R7  Acks count within the welcome's epoch only, and only forward. Another epoch in an ack: hello again, each resend_first at most.
// R8  After a welcome the backlog starts at a random moment within backlog_delay_max, and takes backlog_bytes_per_second.
// R9  A welcome of a new epoch, or one that lacks what was acked, starts all over: in flight is forgotten, the buffer read anew.
// R10 The backlog's messages without PUBACK hold no more bytes than its pace allows (pace.h): on a narrow link a live batch would
//     wait behind them.
// R11 Of a stream that no welcome has named nothing is sent: the buffer may be another one since (R7 of buffer.h), and the hello that
//     tells of it is still on its way.
// Thread: one.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "agent/uplink/pace.h"
#include "shared/base/clock.h"
#include "shared/wire/batch.h"

namespace basmalin::agent {

struct WindowLimits {
    size_t messages_max = 16;
    size_t live_slots = 2;
    size_t live_batches_max = 64;
    size_t backlog_batches_max = 1024;
    size_t flight_bytes_max = 512 * 1024;
    size_t live_waiting_max = 256;
    Duration resend_first = seconds(2);
    Duration resend_cap = seconds(60);
    int resends_max = 3;
    Duration backlog_delay_max = seconds(30);
    int64_t backlog_bytes_per_second = 4 << 20;  // 0: no cap
    Duration definitions_every = seconds(10);
    size_t fetch_bytes = 64 * 1024;
    size_t fetch_batches = 512;
    PaceLimits pace;
};

// A batch without its bytes.
struct BatchRef {
    int64_t id = 0;
    uint64_t stream = 0;
    uint64_t seq = 0;
    uint32_t bytes = 0;
    uint32_t boot_no = 0;  // when the envelope has to carry this boot's offset, else 0
    Priority priority = Priority::Normal;
    bool operator==(const BatchRef&) const = default;
};

namespace event {
struct Connected {
    uint16_t receive_maximum = 65535;
};
struct Disconnected {};
// `random` is uniform in [0, 1).
struct Welcomed {
    uint64_t epoch = 0;
    std::map<uint64_t, SeqSet> acked;  // by stream
    int64_t last_id = 0;               // of the newest batch in the buffer
    bool definitions_wanted = false;
    double random = 0;
};
struct Sealed {
    std::vector<BatchRef> batches;
};
struct Fetched {
    Lane lane = Lane::Backlog;
    std::vector<BatchRef> batches;
    int64_t last_id = 0;
    bool end = false;     // nothing more up to the bound that was asked
    uint64_t number = 0;  // of the Fetch that this answers
};
struct Published {
    uint64_t message = 0;
    int reason = 0;
};
struct Acked {
    Ack ack;
};
struct Grown {                         // batches came into the buffer below what was read already
    int64_t last_id = 0;               // of the newest batch in the buffer
};
struct GreetAgain {};  // the buffer is another one now, or the boot's clock became known
struct Tick {};
}  // namespace event
using WindowEvent = std::variant<event::Connected, event::Disconnected, event::Welcomed, event::Sealed, event::Fetched, event::Published,
                                 event::Acked, event::GreetAgain, event::Grown, event::Tick>;

namespace command {
struct SendHello {
    uint64_t message = 0;
};
struct Publish {
    uint64_t message = 0;
    Lane lane = Lane::Live;
    uint64_t stream = 0;
    std::vector<int64_t> ids;
};
struct Fetch {
    Lane lane = Lane::Backlog;  // Alarm: only those
    int64_t after_id = 0;
    int64_t until_id = 0;
    size_t bytes_max = 0;
    size_t batches_max = 0;
    uint64_t number = 0;
};
struct Forget {  // the bytes of these are not needed any more
    std::vector<int64_t> ids;
};
struct SealDefinitions {};
struct Reconnect {
    std::string why;
};
}  // namespace command
using WindowCommand =
    std::variant<command::SendHello, command::Publish, command::Fetch, command::Forget, command::SealDefinitions, command::Reconnect>;

enum class WindowPhase : uint8_t { Away, Greeting, Open, Paused };

struct Window {
    WindowPhase phase = WindowPhase::Away;
    std::string reason = "not connected";  // why not Open, for people
    uint16_t receive_maximum = 65535;
    uint64_t epoch = 0;
    uint64_t next_message = 1;
    std::map<uint64_t, SeqSet> acked;  // by stream

    enum class Where : uint8_t { Waiting, Sent };
    struct Tracked {
        BatchRef ref;
        Lane lane = Lane::Live;
        Where where = Where::Waiting;
    };
    std::map<int64_t, Tracked> batches;
    std::deque<int64_t> alarm, live, backlog;  // waiting, in order
    size_t live_unacked = 0;                   // sent: alarm and live
    size_t backlog_unacked = 0;
    size_t flight_bytes = 0;

    struct Message {
        Lane lane = Lane::Live;
        uint64_t stream = 0;
        std::vector<int64_t> ids;
        int resends = 0;
        MonoTime deadline;
        bool on_its_way = true;  // no PUBACK yet
        MonoTime sent;
        size_t bytes = 0;
        bool alone = false;  // nothing of the backlog was on its way when it was sent
    };
    std::map<uint64_t, Message> messages;
    size_t messages_in_flight = 0;  // on their way, the hello included
    std::deque<uint64_t> resend;    // messages that are due again and wait for a slot

    uint64_t hello_message = 0;  // 0: none on its way
    bool hello_wanted = false;   // as soon as there is a slot
    MonoTime hello_not_before{INT64_MIN / 2};
    MonoTime hello_deadline;  // Greeting: the next hello; Paused: the probe
    int greetings = 0;        // hellos without a welcome
    int strikes = 0;          // reconnects that no ack followed

    uint64_t fetching = 0;  // number of the Fetch that is out, 0: none
    uint64_t last_fetch = 0;
    int64_t fetch_until = 0;
    int64_t alarm_cursor = 0;
    bool alarm_end = true;
    int64_t backlog_cursor = 0;
    int64_t backlog_until = 0;
    bool backlog_end = true;
    MonoTime backlog_start;
    MonoTime fetch_not_before;
    int64_t tokens = 0;  // bytes the backlog may send now
    MonoTime tokens_at;
    Pace pace;  // R10, of this connection
    MonoTime definitions_not_before{INT64_MIN / 2};

    MonoTime last_ack_at{INT64_MIN / 2};
    std::optional<MonoTime> unheard_since;  // batches are sent and no ack has come since; outlives the reconnects of R5
    uint64_t resends_total = 0;
    uint64_t sent_batches_total = 0;
};

struct [[nodiscard]] WindowStep {
    Window next;
    std::vector<WindowCommand> commands;
};

// Total: every event is answered in every phase.
WindowStep step(Window window, const WindowEvent& happened, MonoTime now, const WindowLimits& limits);
// The next page is to be read.
bool wants_alarms(const Window& window, const WindowLimits& limits);
bool wants_backlog(const Window& window, const WindowLimits& limits);
// When the next Tick is due.
std::optional<MonoTime> next_tick(const Window& window, const WindowLimits& limits);
std::string_view to_string(WindowPhase phase);

}  // namespace basmalin::agent
