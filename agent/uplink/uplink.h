// The way to the coordinator: runs the window (uplink_window.h) on a Link, with the batches of a BufferShell. Says hello, hears
// welcome and ack, sends what the window wants sent, and publishes retained messages (status, health) when connected.
// Thread: the loop's.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>

#include "agent/buffer/buffer_shell.h"
#include "agent/uplink/retained.h"
#include "agent/uplink/uplink_window.h"
#include "shared/mqtt/link.h"
#include "shared/wire/messages.h"
#include "shared/wire/topics.h"

namespace basmalin::agent {

struct UplinkOptions {
    std::string node;
    std::string garden;
    uint64_t boot = 0;
    LinkOptions link;
    WindowLimits window;
};

struct UplinkState {
    WindowPhase phase = WindowPhase::Away;
    std::string reason;          // why not open
    bool connected = false;
    uint64_t reconnects = 0;
    uint64_t bytes_sent = 0;
    uint64_t bytes_received = 0;
    uint64_t sent_batches_total = 0;
    uint64_t resends_total = 0;
    uint64_t acks_total = 0;
    uint64_t bad_messages_total = 0;
    size_t in_flight_messages = 0;
    size_t unacked_batches = 0;  // sent
    std::optional<MonoTime> unheard_since;  // sent, and no ack since
};

class Uplink {
  public:
    struct Callbacks {
        std::function<void()> connected;                 // publish again what is retained
        std::function<void(const Welcome&)> welcomed;    // its time is a floor for a clock that never synced
        std::function<Moment()> now;
    };
    Uplink(Loop& loop, const Clock& clock, BufferShell& buffers, UplinkOptions options, Callbacks callbacks);
    ~Uplink();
    Uplink(const Uplink&) = delete;
    Uplink& operator=(const Uplink&) = delete;

    // `boots`: the offsets known so far; `boot_no`: this boot's.
    void start(uint32_t boot_no, const std::vector<BootOffset>& boots);
    void on_sealed(const std::vector<Held>& sealed);
    void on_reopened(uint32_t boot_no, const std::vector<BootOffset>& boots);
    // Older batches came into the buffer, up to this id: they are sent like any backlog.
    void on_grown(int64_t last_id);
    // This boot's clock. The first time it is synced the coordinator is told at once.
    void set_clock(const BootOffset& offset);
    // Gap rows wait in the buffer: seals and sends them when the coordinator listens.
    void tell_gaps();
    // The latest payload of a topic is sent, retained, as soon as there is a connection.
    void publish_retained(const Topic& topic, std::string payload);
    // Sends what is sealed and fits into `within`, then a last status, and disconnects; calls `done`.
    void end(Duration within, std::function<void()> done);

    bool idle() const { return window_.batches.empty(); }
    UplinkState state() const;
    void set_window_limits(const WindowLimits& limits) { limits_ = limits; }

  private:
    void happened(const WindowEvent& e);
    void run(const command::SendHello& c);
    void run(const command::Publish& c);
    void run(const command::Fetch& c);
    void run(const command::Forget& c);
    void run(const command::SealDefinitions& c);
    void run(const command::Reconnect& c);
    void arm();
    void on_connected(uint16_t receive_maximum);
    void on_disconnected(const Error& why);
    void on_message(const LinkMessage& message);
    void on_ack(const Ack& ack);
    void on_welcome(Welcome welcome);
    void on_published(int id, int reason);
    void refused(uint64_t message, const Error& why);
    void flush_retained();
    void note_phase();
    BatchRef keep(const Held& held);
    Status status(bool online, std::string reason) const;

    Loop& loop_;
    const Clock& clock_;
    BufferShell& buffers_;
    UplinkOptions options_;
    Callbacks callbacks_;
    WindowLimits limits_;
    Window window_;
    std::deque<WindowEvent> events_;  // of a turn that runs
    bool turning_ = false;
    Link link_;
    Timer timer_;
    MonoTime timer_at_{INT64_MAX};
    std::unordered_map<int64_t, Held> held_;          // bytes of what the window tracks
    std::unordered_map<int, uint64_t> messages_;      // the link's id -> the window's number
    std::map<uint32_t, BootOffset> boots_;
    uint32_t boot_no_ = 0;
    BootOffset clock_offset_;
    Retained retained_;
    std::set<int> retained_on_their_way_;
    WallTime connected_since_;
    uint64_t acks_ = 0;
    uint64_t bad_messages_ = 0;
    bool welcome_under_way_ = false;
    bool gaps_under_way_ = false;
    bool ending_ = false;
    std::function<void()> when_ended_;
    Timer end_timer_;
    Timer end_poll_;
    WindowPhase told_phase_ = WindowPhase::Away;
    std::string told_reason_;
    std::string told_pause_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace basmalin::agent
