#include "agent/app/agent.h"

#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <optional>
#include <set>

#include "agent/app/agent_config.h"
#include "agent/app/changes.h"
#include "agent/app/connections.h"
#include "agent/app/gateway_clock.h"
#include "agent/app/health_rounds.h"
#include "agent/app/idle_memory.h"
#include "agent/app/local_page.h"
#include "agent/app/operator_events.h"
#include "agent/app/progress.h"
#include "agent/buffer/buffer_shell.h"
#include "agent/uplink/uplink.h"
#include "shared/base/file.h"
#include "shared/base/ids.h"
#include "shared/base/log.h"
#include "shared/base/systemd_notify.h"

namespace basmalin::agent {
namespace {

constexpr Duration tend_every = seconds(10);
constexpr Duration give_back_every = minutes(1);
constexpr Duration seal_retry = seconds(5);
constexpr Duration describe_again_after = seconds(5);
constexpr size_t seals_under_way_max = 4;
constexpr size_t event_bytes_max = 1024;
constexpr Duration end_within = seconds(4);
constexpr Duration end_at_last = seconds(7);
constexpr unsigned end_whatever_seconds = 9;

//   device ── local_ ──> sources_ ──> batcher_ ──> buffers_ ──> uplink_ ══> coordinator
//                           │ notes                    ▲            │
//                           └──> health_ ── samples ───┘            │ welcome, acks
//                                   └───── retained messages ───────┘
class Agent {
  public:
    Agent(AgentConfig config, std::string dump, std::string config_file, std::vector<std::string> overrides, uint64_t boot)
        : config_(std::move(config)),
          dump_(std::move(dump)),
          config_file_(std::move(config_file)),
          overrides_(std::move(overrides)),
          started_(steady_.wall()),
          events_(loop_, steady_, [this](const std::string& text) { send_event(text); }),
          sources_(config_.sources),
          batcher_(config_.batcher),
          buffers_(loop_, steady_, config_.buffer_file(), config_.buffer, boot, [this] { on_reopened(); }),
          uplink_(loop_, steady_, buffers_, uplink_options(config_, boot),
                  {.connected = [this] { health_.publish_all_devices(); },
                   .welcomed = [this](const Welcome& w) { on_welcomed(w); },
                   .now = [this] { return clock_.now(); }}),
          local_(loop_, local_link(config_),
                 {.connected = [this](uint16_t) { on_local_connected(); },
                  .disconnected = [this](const Error& why) { on_local_disconnected(why); },
                  .message = [this](const LinkMessage& m) { on_local_message(m); },
                  .published = {}}),
          health_(loop_, clock_, config_.node_health, config_.device_health,
                  {.publish = [this](Topic::Kind kind, const std::string& device,
                                     std::string payload) { uplink_.publish_retained({config_.node, kind, device}, std::move(payload)); },
                   .sample = [this](const Sample& sample, bool first) { on_node_sample(sample, first); },
                   .vitals = [this] { return vitals(); }}),
          page_(loop_, [this] { return view(); }) {}

    int run();

  private:
    // The way of a reading.
    void on_local_connected();
    void on_local_disconnected(const Error& why);
    void on_local_message(const LinkMessage& m);
    void on_node_sample(const Sample& sample, bool first);
    void arm_seal();
    void seal_due(bool everything = false);
    void seal(std::vector<Draft> drafts);
    void send_event(const std::string& text);

    // Beginning, going on, ending.
    void on_opened(Result<BufferShell::Ready> ready);
    void on_reopened();
    void on_welcomed(const Welcome& welcome);
    void read_clock();
    void tend();
    void salvage();
    void watch(Duration patience);
    void reload();
    void read_other_sources(const SourcesOptions& options);
    void end(int signal_number);

    std::optional<MonoTime> due_since() const;
    Progress progress();
    AgentVitals vitals();
    AgentView view();

    SystemClock steady_;
    GatewayClock clock_{steady_};
    Loop loop_;
    AgentConfig config_;
    std::string dump_;
    std::string config_file_;
    std::vector<std::string> overrides_;
    WallTime started_;
    int exit_code_ = 0;
    bool ready_ = false;
    bool ending_ = false;
    bool tending_ = false;

    OperatorEvents events_;
    bool layouts_full_told_ = false;
    log::Gate grown_gate_{seconds(10)};
    Sources sources_;
    SourceOutput output_;
    uint64_t local_connections_ = 0;
    std::optional<MonoTime> local_away_since_;
    Batcher batcher_;
    MonoTime seal_timer_at_{INT64_MAX};
    log::Gate seal_gate_{minutes(1)};
    BufferShell buffers_;
    Uplink uplink_;
    Link local_;
    HealthRounds health_;
    LocalPage page_;
    Timer seal_timer_;
    Timer tend_timer_;
    Timer give_back_timer_;
    Timer watch_timer_;
    Timer opening_timer_;
    Timer reopened_timer_;
    Timer end_timer_;
};

void Agent::on_local_connected() {
    ++local_connections_;
    local_away_since_.reset();
    log::info("local_connected", {{"host", config_.local.host}, {"port", config_.local.port}});
}

void Agent::on_local_disconnected(const Error& why) {
    if (!local_away_since_) local_away_since_ = steady_.mono();
    log::warn("local_disconnected", {{"why", why.message()}});
}

void Agent::on_local_message(const LinkMessage& m) {
    const MonoTime at = steady_.mono();
    output_.clear();
    sources_.on_message(m.topic, m.payload, m.retained, at, output_);
    for (const Sample& sample : output_.samples) batcher_.add(sample, Priority::Normal, at);
    for (const std::string& filter : output_.subscribe) local_.subscribe(filter);
    for (const std::string& event : output_.events) events_.tell(event);
    health_.on_notes(output_.notes);
    arm_seal();
}

// The first word on this machine goes home at once; later ones wait for company, and give way to the garden's readings.
void Agent::on_node_sample(const Sample& sample, bool first) {
    batcher_.add(sample, first ? Priority::Normal : Priority::Low, steady_.mono());
    if (first) seal_due(true);
    arm_seal();
}

// Asks for the earliest moment something is due; at once for what is due now.
void Agent::arm_seal() {
    const auto due = batcher_.due();
    if (!due || !ready_) return;
    if (seal_timer_at_ <= *due) return;
    seal_timer_at_ = *due;
    const MonoTime at = steady_.mono();
    seal_timer_ = loop_.after(*due <= at ? Duration{} : *due - at, [this] {
        seal_timer_at_ = MonoTime{INT64_MAX};
        seal_due();
    });
}

void Agent::seal_due(bool everything) {
    // A slow disk: what is due waits in the batcher, which is bounded; the answer of a seal comes back here.
    if (buffers_.seals_under_way() >= seals_under_way_max && !everything) return;
    std::vector<Draft> drafts = batcher_.take(steady_.mono(), everything);
    if (!drafts.empty()) seal(std::move(drafts));
    arm_seal();
}

void Agent::seal(std::vector<Draft> drafts) {
    read_clock();  // somebody may have set it since: a batch is timed for ever by what is believed at its sealing
    buffers_.seal(std::move(drafts), clock_.now(), [this](BufferShell::Sealing sealing) {
        if (sealing.why) {
            if (seal_gate_.open(steady_.mono()))
                log::error("seal_failed", {{"why", sealing.why->message()}, {"suppressed", seal_gate_.suppressed()}});
            for (Draft& draft : sealing.failed) batcher_.put_back(std::move(draft), steady_.mono() + seal_retry);
        }
        uplink_.on_sealed(sealing.sealed);
        if (!ending_) seal_due();
    });
}

void Agent::send_event(const std::string& text) {
    if (!ready_) return;
    const Json body(Json::Object{{"time", to_rfc3339(clock_.now().wall)}, {"text", text.substr(0, event_bytes_max)}});
    seal({Draft{.kind = BatchKind::Events, .priority = Priority::Low, .body = body.dump()}});
}

int Agent::run() {
    loop_.on_signal({SIGTERM, SIGINT}, [this](int number) { end(number); });
    loop_.on_signal({SIGHUP}, [this](int) { reload(); });
    page_.start(config_.http);
    read_clock();
    // A sick disk may take longer than systemd waits for a start.
    opening_timer_ = loop_.every(seconds(10), [this] {
        if (!buffer_hangs(progress(), steady_.mono(), stuck_opening_after)) systemd::notify("EXTEND_TIMEOUT_USEC=30000000");
    });
    buffers_.open([this](Result<BufferShell::Ready> ready) { on_opened(std::move(ready)); });
    loop_.run();
    health_.finish();
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
    batcher_.restore(ready->layouts, ready->last_layout_id);
    sources_.restore(ready->layouts);
    clock_.begin(ready->boot_no, ready->boots);
    read_clock();
    uplink_.start(ready->boot_no, ready->boots);
    for (const std::string& filter : sources_.filters()) local_.subscribe(filter);
    local_.start();
    local_away_since_ = steady_.mono();
    tend_timer_ = loop_.every(tend_every, [this] { tend(); });
    give_back_timer_ = loop_.every(give_back_every, [] { give_back_memory(); });
    std::vector<std::string> devices;
    for (const Layout& layout : ready->layouts) devices.push_back(layout.device);
    health_.start(devices);
    if (const auto interval = systemd::watchdog_interval())
        watch_timer_ = loop_.every(Duration{interval->ms / 3}, [this, patience = std::min(*interval, stuck_after)] { watch(patience); });
    systemd::notify("READY=1");
    log::info("agent_started",
              {{"version", BASMALIN_VERSION}, {"node", config_.node}, {"garden", config_.garden}, {"boot_no", ready->boot_no}});
    if (!ready->report.set_aside.empty())
        events_.tell("the buffer's file was damaged: " + ready->report.complaint + "; " + std::to_string(ready->report.salvaged_batches) +
                     " batches were saved" + (ready->report.salvaging ? " so far, the rest follows while readings go on" : ""));
    salvage();
}

// What a damaged file held comes back a little at a time, and goes home as it comes.
void Agent::salvage() {
    buffers_.salvage([this] { return clock_.now(); },
                     [this](const SalvageStep& step) {
                         if (step.finished || grown_gate_.open(steady_.mono())) uplink_.on_grown(step.last_id);
                         if (!step.finished) return;
                         events_.tell("the damaged buffer is salvaged: " + std::to_string(step.salvaged_batches) + " batches came back, " +
                                      std::to_string(step.missing_batches) + " known ones did not");
                         uplink_.tell_gaps();
                     });
}

// The buffer was damaged while it ran, and is another one now.
void Agent::on_reopened() {
    buffers_.describe([this](Result<BufferShell::Ready> ready) {
        if (!ready) {
            log::warn("buffer_not_described", {{"error", ready.error().message()}});
            reopened_timer_ = loop_.after(describe_again_after, [this] { on_reopened(); });
            return;
        }
        clock_.begin(ready->boot_no, {});
        uplink_.on_reopened(ready->boot_no, ready->boots);
        read_clock();
        events_.tell("the buffer's file was damaged: a new one is in use");
        salvage();
    });
}

void Agent::read_clock() {
    const ClockState before = clock_.state();
    const auto news = clock_.read(read_clock_state());
    if (clock_.state() != before) log::info("clock", {{"state", to_string(clock_.state())}});
    if (!news) return;
    if (news->state == ClockState::Synced) buffers_.set_boot_offset(*news);
    uplink_.set_clock(*news);
}

// All that only a start needs is done now.
void Agent::on_welcomed(const Welcome& welcome) {
    clock_.not_before(welcome.time);
    give_back_memory();
}

void Agent::tend() {
    read_clock();
    if (batcher_.counts().layouts_full && !std::exchange(layouts_full_told_, true))
        events_.tell(
            "no more kinds of readings fit this buffer: readings of new devices and quantities are refused (topics that name ever new "
            "devices "
            "are best left out of the subscriptions; a new buffer file begins anew)");
    if (tending_) return;
    tending_ = true;
    buffers_.tend(clock_.now(), [this] {
        tending_ = false;
        if (buffers_.stats().gaps_pending > 0) uplink_.tell_gaps();
    });
}

// Progress, not mere life: systemd restarts an agent whose loop or buffer hangs for as long as its watchdog waits.
void Agent::watch(Duration patience) {
    if (!buffer_hangs(progress(), steady_.mono(), patience)) systemd::notify("WATCHDOG=1");
    buffers_.refresh();  // an idle buffer is asked, too
}

// Since when the oldest draft is due. A full one is due since ever, which says nothing of how long it waits.
std::optional<MonoTime> Agent::due_since() const {
    const auto due = batcher_.due();
    return due && due->ms != INT64_MIN ? due : std::nullopt;
}

Progress Agent::progress() {
    const UplinkState up = uplink_.state();
    return {.ready = ready_,
            .writable = buffers_.stats().writable,
            .opening = buffers_.opening(),
            .buffer_answered = buffers_.answered_at(),
            .seal_due = due_since(),
            .local_away_since = local_away_since_,
            .phase = up.phase,
            .unheard_since = up.unheard_since};
}

AgentVitals Agent::vitals() {
    const BufferStats& b = buffers_.stats();
    const double oldest =
        b.oldest_wall_ms > 0 ? static_cast<double>(std::max<int64_t>(0, clock_.now().wall.ms - b.oldest_wall_ms)) / 1000 : 0;
    return {.buffer_readings = b.readings,
            .buffer_batches = b.batches,
            .buffer_bytes = b.file_bytes,
            .buffer_oldest_seconds = oldest,
            .evicted_readings_total = static_cast<int64_t>(b.evicted_readings_total),
            .sealed_seq = b.sealed_seq,
            .acked_seq = b.acked_mark,
            .reconnects = uplink_.state().reconnects,
            .last_update_result = {}};
}

AgentView Agent::view() {
    buffers_.refresh();
    const MonoTime at = steady_.mono();
    const auto due = due_since();
    return {.started = started_,
            .now = at,
            .local_connected = local_.connected(),
            .local_away = local_away_since_ ? at - *local_away_since_ : Duration{},
            .local_connections = local_connections_,
            .sources = sources_.counts(),
            .batcher = batcher_.counts(),
            .pending_readings = batcher_.pending_readings(),
            .oldest_pending = due && *due < at ? at - *due : Duration{},
            .buffer = buffers_.stats(),
            .uplink = uplink_.state(),
            .clock = clock_.state(),
            .devices = health_.devices(),
            .events_total = events_.told_total(),
            .events_suppressed = events_.suppressed_total(),
            .buffer_answered = buffers_.answered_at(),
            .complaints = complaints_of(progress(), at)};
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
    if (changes.in("sources")) read_other_sources(fresh.sources);
    if (changes.in("health")) health_.set_options(fresh.node_health);
    if (changes.in("device_health")) health_.set_options(fresh.device_health);
    if (changes.in("buffer")) {
        batcher_.set_limits(fresh.batcher);
        buffers_.set_options(fresh.buffer);
    }
    uplink_.set_window_limits(window_limits(fresh));
    for (const std::string& key : changes.needing_restart()) log::warn("needs_a_restart", {{"setting", key}});
    log::info("reloaded", {{"changed", changes.keys.size()}});
    systemd::notify("READY=1");
}

// New first, then away with what nobody reads any more: what both read is never missed. A filter subscribed again brings its
// retained messages again, from which a dialect that reads anew learns.
void Agent::read_other_sources(const SourcesOptions& options) {
    const std::vector<std::string> before = sources_.subscriptions();
    sources_.set_options(options);
    const std::vector<std::string> now = sources_.subscriptions();
    for (const std::string& filter : now) local_.subscribe(filter);
    const std::set<std::string_view> still(now.begin(), now.end());
    for (const std::string& filter : before)
        if (!still.contains(filter)) local_.unsubscribe(filter);
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
    give_back_timer_.cancel();
    health_.stop();
    seal_due(true);
    // In the worker's order: after the seals above.
    buffers_.tend(clock_.now(), [this] { uplink_.end(end_within, [this] { buffers_.close([this] { loop_.stop(); }); }); });
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
