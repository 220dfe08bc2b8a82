#include "agent/app/agent.h"

#include <malloc.h>
#include <unistd.h>

#include <csignal>
#include <deque>
#include <optional>

#include "agent/app/agent_config.h"
#include "agent/app/changes.h"
#include "agent/app/connections.h"
#include "agent/app/local_page.h"
#include "agent/buffer/buffer_shell.h"
#include "agent/health/device_health.h"
#include "agent/health/node_health.h"
#include "agent/uplink/uplink.h"
#include "shared/base/file.h"
#include "shared/base/ids.h"
#include "shared/base/log.h"
#include "shared/base/systemd_notify.h"
#include "shared/loop/worker.h"

namespace basmalin::agent {
namespace {

constexpr Duration tend_every = seconds(10);
constexpr Duration seal_retry = seconds(5);
constexpr Duration end_within = seconds(4);
constexpr Duration end_at_last = seconds(7);
constexpr unsigned end_whatever_seconds = 9;
constexpr Duration stuck_after = seconds(60);
constexpr Duration stuck_opening_after = minutes(15);  // a large file is checked and repaired
constexpr Duration event_every = seconds(10);
constexpr size_t events_waiting_max = 64;
constexpr Duration unacked_too_long = minutes(5);
constexpr size_t seals_under_way_max = 4;
constexpr size_t event_bytes_max = 1024;

class Agent {
  public:
    Agent(AgentConfig config, std::string dump, std::string config_file, std::vector<std::string> overrides, uint64_t boot)
        : config_(std::move(config)),
          dump_(std::move(dump)),
          config_file_(std::move(config_file)),
          overrides_(std::move(overrides)),
          started_(clock_.wall()),
          batcher_(config_.batcher),
          sources_(std::make_unique<Sources>(config_.sources)),
          devices_(std::make_unique<DeviceHealthTracker>(config_.device_health)),
          reporter_(std::make_unique<HealthReporter>(config_.node_health)),
          probe_(std::make_shared<NodeProbe>(config_.node_health)),
          buffers_(loop_, clock_, config_.buffer_file(), config_.buffer, boot, [this] { on_reopened(); }),
          uplink_(loop_, clock_, buffers_, uplink_options(config_, boot),
                  {.connected = [this] { publish_all_devices(); },
                   .welcomed = [this](const Welcome& w) { on_welcome(w); },
                   .now = [this] { return now(); }}),
          local_(loop_, local_link(config_),
                 {.connected = [this](uint16_t) { on_local(true); },
                  .disconnected = [this](const Error& why) { on_local(false, why); },
                  .message = [this](const LinkMessage& m) { on_local_message(m); },
                  .published = {}}),
          page_(loop_, [this] { return view(); }),
          prober_("probe", 4) {}

    int run();

  private:
    // The wall clock as far as it can be believed: never before what a welcome said.
    Moment now() const {
        Moment m{clock_.mono(), clock_.wall(), clock_state_};
        if (clock_state_ == ClockState::Unsynced && floor_ && m.wall < floor_->first + (m.mono - floor_->second)) m.wall = floor_->first + (m.mono - floor_->second);
        return m;
    }
    void on_opened(Result<BufferShell::Ready> ready);
    void on_reopened();
    void on_welcome(const Welcome& w) { floor_ = {w.time, clock_.mono()}; }
    void on_local(bool connected, std::optional<Error> why = {});
    void on_local_message(const LinkMessage& m);
    void read_clock();
    void seal_due(bool everything = false);
    void seal(std::vector<Draft> drafts);
    void arm_seal();
    void tell(const std::string& text);
    void tell_next();
    void probe();
    void on_probed(NodeHealth probed);
    void publish_devices(const std::vector<DeviceHealth>& devices);
    void publish_all_devices() { publish_devices(devices_->all(clock_.mono(), now().wall)); }
    void tend();
    void watch();
    void reload();
    void end(int signal_number);
    std::vector<std::string> complaints();
    AgentView view();

    SystemClock clock_;
    Loop loop_;
    AgentConfig config_;
    std::string dump_;
    std::string config_file_;
    std::vector<std::string> overrides_;
    WallTime started_;
    int exit_code_ = 0;

    ClockState clock_state_ = ClockState::Unsynced;
    BootOffset offset_;                                 // as last told to the buffer and the uplink
    std::optional<std::pair<WallTime, MonoTime>> floor_;
    uint32_t boot_no_ = 0;

    Batcher batcher_;
    std::unique_ptr<Sources> sources_;
    std::unique_ptr<DeviceHealthTracker> devices_;
    std::unique_ptr<HealthReporter> reporter_;
    std::shared_ptr<NodeProbe> probe_;
    bool probing_ = false;
    bool probed_ = false;
    SourceOutput output_;
    size_t discovered_ = 0;
    uint64_t local_connections_ = 0;
    log::Gate seal_gate_{minutes(1)};
    log::Gate event_gate_{event_every};
    uint64_t events_ = 0;
    uint64_t events_suppressed_ = 0;
    std::deque<std::string> events_waiting_;
    bool ready_ = false;
    bool ending_ = false;
    bool tending_ = false;
    bool devices_armed_ = false;

    BufferShell buffers_;
    Uplink uplink_;
    Link local_;
    LocalPage page_;
    Timer seal_timer_;
    MonoTime seal_timer_at_{INT64_MAX};
    Timer tend_timer_;
    Timer probe_timer_;
    Timer watch_timer_;
    Timer opening_timer_;
    Timer events_timer_;
    Timer devices_timer_;
    Timer end_timer_;
    Worker prober_;
};

int Agent::run() {
    loop_.on_signal({SIGTERM, SIGINT}, [this](int number) { end(number); });
    loop_.on_signal({SIGHUP}, [this](int) { reload(); });
    if (config_.http.enabled && config_.http.port != 0) {
        auto port = page_.listen(config_.http);
        if (!port) {
            log::error("http_not_listening", {{"why", port.error().message()}});
            return 1;
        }
    }
    read_clock();
    // A repair may take longer than systemd waits for a start.
    opening_timer_ = loop_.every(seconds(10), [this] {
        if (clock_.mono() - buffers_.answered_at() < stuck_opening_after) systemd::notify("EXTEND_TIMEOUT_USEC=30000000");
    });
    buffers_.open([this](Result<BufferShell::Ready> ready) { on_opened(std::move(ready)); });
    loop_.run();
    prober_.finish();
    return exit_code_;
}

void Agent::on_opened(Result<BufferShell::Ready> ready) {
    opening_timer_.cancel();
    if (!ready) {
        log::error("buffer_not_opened", {{"why", ready.error().message()}});
        exit_code_ = 1;
        loop_.stop();
        return;
    }
    ready_ = true;
    boot_no_ = ready->boot_no;
    batcher_.restore(ready->layouts);
    // What died while the agent was away shall not stay "ok" for ever: devices of earlier runs are known from the start.
    for (const Layout& layout : ready->layouts) {
        DeviceNote known;
        known.device = layout.device;
        devices_->on_note(known, clock_.mono());
    }
    offset_ = {};
    for (const BootOffset& b : ready->boots)
        if (b.boot_no == boot_no_) offset_ = b;
    read_clock();
    uplink_.start(boot_no_, ready->boots);
    for (const std::string& filter : sources_->filters()) local_.subscribe(filter);
    local_.start();
    tend_timer_ = loop_.every(tend_every, [this] { tend(); });
    probe_timer_ = loop_.every(config_.node_health.probe_every, [this] { probe(); });
    probe();
    if (const auto interval = systemd::watchdog_interval()) watch_timer_ = loop_.every(Duration{interval->ms / 3}, [this] { watch(); });
    systemd::notify("READY=1");
    log::info("agent_started", {{"version", BASMALIN_VERSION}, {"node", config_.node}, {"garden", config_.garden}, {"boot_no", boot_no_}});
    if (!ready->report.set_aside.empty()) tell("the buffer's file was damaged: " + ready->report.complaint + "; " + std::to_string(ready->report.salvaged_batches) + " batches were saved");
}

// The buffer was damaged while it ran, and is another one now.
void Agent::on_reopened() {
    buffers_.describe([this](Result<BufferShell::Ready> ready) {
        if (!ready) return;
        boot_no_ = ready->boot_no;
        offset_ = {};
        uplink_.on_reopened(boot_no_, ready->boots);
        read_clock();
        tell("the buffer's file was damaged and has been repaired");
    });
}

void Agent::read_clock() {
    const ClockReading reading = read_clock_state();
    clock_state_ = reading.state;
    if (boot_no_ == 0) return;
    const BootOffset fresh{.boot_no = boot_no_, .state = reading.state, .offset_ms = clock_.wall().ms - clock_.mono().ms, .error_ms = reading.error_ms};
    // A clock that was set right once and lost its server still runs: its last word on this boot stands.
    if (fresh.state == ClockState::Unsynced && offset_.state == ClockState::Synced) return;
    const bool changed = fresh.state != offset_.state || std::abs(fresh.offset_ms - offset_.offset_ms) > 500 || offset_.boot_no == 0;
    if (!changed) return;
    if (fresh.state != offset_.state) log::info("clock", {{"state", to_string(fresh.state)}, {"error_ms", fresh.error_ms}});
    offset_ = fresh;
    if (fresh.state == ClockState::Synced) buffers_.set_boot_offset(fresh);
    uplink_.set_clock(fresh);
}

void Agent::on_local(bool connected, std::optional<Error> why) {
    if (connected) {
        ++local_connections_;
        log::info("local_connected", {{"host", config_.local.host}, {"port", config_.local.port}});
    } else {
        log::warn("local_disconnected", {{"why", why ? why->message() : ""}});
    }
}

void Agent::on_local_message(const LinkMessage& m) {
    const MonoTime at = clock_.mono();
    output_.clear();
    sources_->on_message(m.topic, m.payload, m.retained, at, output_);
    for (const Sample& sample : output_.samples) batcher_.add(sample, Priority::Normal, at);
    for (const DeviceNote& note : output_.notes) devices_->on_note(note, at);
    for (const std::string& filter : output_.subscribe) {
        ++discovered_;
        local_.subscribe(filter);
    }
    for (const std::string& event : output_.events) tell(event);
    arm_seal();
    // A device that is new or changed shows within a second, not at the next probe.
    if (output_.notes.empty() || devices_armed_) return;
    devices_armed_ = true;
    devices_timer_ = loop_.after(seconds(1), [this] {
        devices_armed_ = false;
        publish_devices(devices_->changed(clock_.mono(), now().wall));
    });
}

// Asks for the earliest moment something is due; at once for what is due now.
void Agent::arm_seal() {
    const auto due = batcher_.due();
    if (!due || !ready_) return;
    if (seal_timer_at_ <= *due) return;
    seal_timer_at_ = *due;
    const int64_t wait_ms = due->ms <= clock_.mono().ms ? 0 : due->ms - clock_.mono().ms;
    seal_timer_ = loop_.after(Duration{wait_ms}, [this] {
        seal_timer_at_ = MonoTime{INT64_MAX};
        seal_due();
    });
}

void Agent::seal_due(bool everything) {
    // A slow disk: what is due waits in the batcher, which is bounded; the answer of a seal comes back here.
    if (buffers_.seals_under_way() >= seals_under_way_max && !everything) return;
    std::vector<Draft> drafts = batcher_.take(clock_.mono(), everything);
    if (!drafts.empty()) seal(std::move(drafts));
    arm_seal();
}

void Agent::seal(std::vector<Draft> drafts) {
    buffers_.seal(std::move(drafts), now(), [this](BufferShell::Sealing sealing) {
        if (sealing.why) {
            if (seal_gate_.open(clock_.mono())) log::error("seal_failed", {{"why", sealing.why->message()}, {"suppressed", seal_gate_.suppressed()}});
            for (Draft& draft : sealing.failed) batcher_.put_back(std::move(draft), clock_.mono() + seal_retry);
        }
        uplink_.on_sealed(sealing.sealed);
        if (!ending_) seal_due();
    });
}

// An event for the operator: to the log, and home as a batch, not more often than the gate lets.
void Agent::tell(const std::string& text) {
    ++events_;
    if (!event_gate_.open(clock_.mono())) {
        log::debug("event", {{"text", text}});
        // Most are told only once: they wait for their turn.
        if (events_waiting_.size() >= events_waiting_max) {
            ++events_suppressed_;
            return;
        }
        events_waiting_.push_back(text);
        if (events_waiting_.size() == 1) events_timer_ = loop_.every(event_every, [this] { tell_next(); });
        return;
    }
    log::warn("event", {{"text", text}, {"suppressed", event_gate_.suppressed()}});
    if (!ready_) return;
    const Json body(Json::Object{{"time", to_rfc3339(now().wall)}, {"text", text.substr(0, event_bytes_max)}});
    seal({Draft{.kind = BatchKind::Events, .priority = Priority::Low, .body = body.dump()}});
}

void Agent::tell_next() {
    if (!events_waiting_.empty()) {
        const std::string text = std::move(events_waiting_.front());
        events_waiting_.pop_front();
        --events_;  // counted when it came
        tell(text);
    }
    if (events_waiting_.empty()) events_timer_.cancel();
}

void Agent::probe() {
    read_clock();
    if (probing_ || !ready_) return;  // a sick disk: the last look has not come back
    probing_ = prober_.try_post([this, probe = probe_, at = clock_.mono(), wall = now().wall] {
        auto probed = std::make_shared<NodeHealth>(probe->probe(at, wall));
        loop_.post([this, probed] { on_probed(std::move(*probed)); });
    });
}

void Agent::on_probed(NodeHealth probed) {
    probing_ = false;
    if (ending_) return;
    const MonoTime at = clock_.mono();
    const BufferStats& b = buffers_.stats();
    const double oldest = b.oldest_wall_ms > 0 ? static_cast<double>(std::max<int64_t>(0, now().wall.ms - b.oldest_wall_ms)) / 1000 : 0;
    const AgentVitals vitals{.buffer_readings = b.readings, .buffer_batches = b.batches, .buffer_bytes = b.file_bytes, .buffer_oldest_seconds = oldest,
                             .evicted_readings_total = static_cast<int64_t>(b.evicted_readings_total), .sealed_seq = b.sealed_seq, .acked_seq = b.acked_mark,
                             .reconnects = uplink_.state().reconnects, .last_update_result = {}};
    probed.time_trusted = clock_state_ == ClockState::Synced;
    if (auto report = reporter_->on_probe(std::move(probed), vitals, at)) uplink_.publish_retained({config_.node, Topic::Kind::Health, {}}, encode(*report));
    // The first word on this machine goes home at once; later ones wait for company, and give way to the garden's readings.
    const bool first = !probed_;
    probed_ = true;
    DeviceNote self;
    self.device = "node";
    self.seen = true;
    self.firmware_version = BASMALIN_VERSION;
    self.dialect = "agent";
    devices_->on_note(self, at);
    if (const auto sample = reporter_->sample()) batcher_.add(*sample, first ? Priority::Normal : Priority::Low, at);
    if (first) seal_due(true);
    publish_devices(devices_->changed(at, now().wall));
    arm_seal();
}

void Agent::publish_devices(const std::vector<DeviceHealth>& devices) {
    for (const DeviceHealth& d : devices) uplink_.publish_retained({config_.node, Topic::Kind::DeviceHealth, d.device}, encode(d));
}

void Agent::tend() {
    read_clock();
    if (tending_) return;
    tending_ = true;
    buffers_.tend(now(), [this] {
        tending_ = false;
        if (buffers_.stats().gaps_pending > 0) uplink_.tell_gaps();
    });
}

std::vector<std::string> Agent::complaints() {
    std::vector<std::string> found;
    const MonoTime at = clock_.mono();
    if (!ready_) found.push_back("the buffer is not open yet");
    if (ready_ && !buffers_.stats().writable) found.push_back("the buffer cannot be written");
    if (ready_ && buffers_.opening()) found.push_back("the buffer's file is being repaired");
    if (ready_ && at - buffers_.answered_at() > stuck_after) found.push_back("the buffer does not answer");
    const auto due = batcher_.due();
    if (due && at - *due > stuck_after) found.push_back("readings wait to be sealed");
    // Away is a reason, not a failure; open and unheard is one.
    const UplinkState up = uplink_.state();
    if (up.phase == WindowPhase::Open && up.unheard_since && at - *up.unheard_since > unacked_too_long)
        found.push_back("the coordinator does not acknowledge");
    return found;
}

// Progress, not mere life: systemd restarts an agent whose buffer hangs.
void Agent::watch() {
    const bool hangs = clock_.mono() - buffers_.answered_at() > (buffers_.opening() ? stuck_opening_after : stuck_after);
    if (!hangs) systemd::notify("WATCHDOG=1");
}

AgentView Agent::view() {
    buffers_.refresh();
    const MonoTime at = clock_.mono();
    const auto due = batcher_.due();
    return {.started = started_, .now = at, .local_connected = local_.connected(), .local_connections = local_connections_, .sources = sources_->counts(),
            .discovered = discovered_, .batcher = batcher_.counts(), .pending_readings = batcher_.pending_readings(),
            .oldest_pending = due && *due < at ? at - *due : Duration{}, .buffer = buffers_.stats(), .uplink = uplink_.state(), .clock = clock_state_,
            .devices = devices_->devices(), .events_total = events_, .events_suppressed = events_suppressed_, .buffer_answered = buffers_.answered_at(),
            .complaints = complaints()};
}

void Agent::reload() {
    systemd::notify("RELOADING=1");
    AgentConfig fresh;
    Schema schema;
    declare(schema, fresh);
    if (auto loaded = schema.load(config_file_, overrides_); !loaded) {
        log::error("reload_failed", {{"why", loaded.error().message()}});
        systemd::notify("READY=1");
        return;
    }
    const std::string dump = schema.dump();
    const Changes changes = changes_between(dump_, dump);
    dump_ = dump;
    log::set_level(log::level_from(fresh.log_level, log::Level::Info));
    if (changes.in("sources")) {
        for (const std::string& filter : sources_->filters()) local_.unsubscribe(filter);
        sources_ = std::make_unique<Sources>(fresh.sources);
        for (const std::string& filter : sources_->filters()) local_.subscribe(filter);
    }
    if (changes.in("health")) {
        reporter_ = std::make_unique<HealthReporter>(fresh.node_health);
        probe_ = std::make_shared<NodeProbe>(fresh.node_health);
        probe_timer_ = loop_.every(fresh.node_health.probe_every, [this] { probe(); });
    }
    if (changes.in("device_health")) {
        auto tracker = std::make_unique<DeviceHealthTracker>(fresh.device_health);
        for (const DeviceHealth& d : devices_->all(clock_.mono(), now().wall)) {
            DeviceNote known;
            known.device = d.device;
            tracker->on_note(known, clock_.mono());
        }
        devices_ = std::move(tracker);
    }
    if (changes.in("buffer")) {
        batcher_.set_limits(fresh.batcher);
        buffers_.set_options(fresh.buffer);
    }
    uplink_.set_window_limits(window_limits(fresh));
    for (const std::string& key : changes.needing_restart()) log::warn("needs_a_restart", {{"setting", key}});
    log::info("reloaded", {{"changed", changes.keys.size()}});
    systemd::notify("READY=1");
}

void Agent::end(int signal_number) {
    if (ending_) {
        loop_.stop();  // asked twice: at once
        return;
    }
    ending_ = true;
    log::info("agent_ending", {{"signal", signal_number}});
    systemd::notify("STOPPING=1");
    end_timer_ = loop_.after(end_at_last, [this] { loop_.stop(); });
    // A worker that hangs on a sick disk holds nobody: what is sealed is on it, what is not cannot be.
    std::signal(SIGALRM, [](int) { ::_exit(1); });
    ::alarm(end_whatever_seconds);
    if (!ready_) {
        loop_.stop();
        return;
    }
    local_.stop();
    tend_timer_.cancel();
    probe_timer_.cancel();
    seal_due(true);
    // In the worker's order: after the seals above.
    buffers_.tend(now(), [this] {
        uplink_.end(end_within, [this] { buffers_.close([this] { loop_.stop(); }); });
    });
}

}  // namespace

int run_agent(const std::string& config_file, const std::vector<std::string>& overrides) {
    // Small allocations of two or three threads: one arena keeps the resident set small.
    ::mallopt(M_ARENA_MAX, 1);
    std::signal(SIGPIPE, SIG_IGN);
    std::signal(SIGXFSZ, SIG_IGN);
    AgentConfig config;
    Schema schema;
    declare(schema, config);
    if (auto loaded = schema.load(config_file, overrides); !loaded) {
        log::start(log::Level::Info);
        log::error("settings_refused", {{"why", loaded.error().message()}});
        return 2;
    }
    log::start(log::level_from(config.log_level, log::Level::Info));
    if (auto made = make_folders(config.state_folder); !made) {
        log::error("state_folder", {{"why", made.error().message()}});
        return 1;
    }
    auto boot = boot_id();
    if (!boot) {
        log::error("boot_id", {{"why", boot.error().message()}});
        return 1;
    }
    Agent agent(std::move(config), schema.dump(), config_file, overrides, *boot);
    return agent.run();
}

}  // namespace basmalin::agent
