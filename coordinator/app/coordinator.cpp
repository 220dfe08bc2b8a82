#include "coordinator/app/coordinator.h"

#include <algorithm>
#include <csignal>
#include <cstdlib>

#include "coordinator/app/http_metrics.h"
#include "coordinator/app/ingest_metrics.h"
#include "shared/base/file.h"
#include "shared/base/log.h"
#include "shared/base/systemd_notify.h"

namespace basmalin::coordinator {

namespace {

constexpr Duration ingest_ends_within = milliseconds(7500);
constexpr Duration http_drains_within = seconds(6);
constexpr Duration ends_within = milliseconds(9500);
constexpr Duration stats_every = seconds(5);
constexpr Duration machine_every = seconds(2);

}  // namespace

Coordinator::Coordinator(Settings settings, std::function<Result<Settings>()> reload)
    : settings_(std::move(settings)), reload_(std::move(reload)), fleet_(settings_.fleet) {}

Coordinator::~Coordinator() {
    server_.reset();  // before what its handlers use
    ingest_.reset();
}

Result<void> Coordinator::start() {
    if (auto opened = open_store(); !opened) return opened;
    metrics_ = std::make_unique<FleetMetrics>(registry_, fleet_, clock_, settings_.metrics);
    expose_ingest(registry_, ingest_, fleet_);
    expose_http(registry_, server_);
    make_ingest();
    look_at_machine();
    if (auto opened = open_http(); !opened) return opened;
    ingest_->start();
    loop_.on_signal({SIGTERM, SIGINT}, [this](int signal) { end(signal); });
    loop_.on_signal({SIGHUP}, [this](int) { reload_settings(); });
    stats_timer_ = loop_.every(stats_every, [this] { refresh_store_stats(); });
    machine_timer_ = loop_.every(machine_every, [this] { look_at_machine(); });
    refresh_store_stats();
    if (const auto interval = systemd::watchdog_interval()) {
        watchdog_timer_ = loop_.every({std::max<int64_t>(interval->ms / 3, 1)}, [this] { feed_watchdog(); });
    }
    ready_ = true;
    return {};
}

Result<void> Coordinator::open_store() {
    auto store = open_sqlite_store(settings_.store);
    if (!store) return pass(store, "open store");
    store_ = std::move(*store);
    auto nodes = store_->load_nodes();
    if (!nodes) return pass(nodes, "read nodes");
    auto series = store_->series();
    if (!series) return pass(series, "read series");
    auto latest = store_->latest();
    if (!latest) return pass(latest, "read last values");
    for (const Error& unreadable : fleet_.restore(*nodes, *series, *latest)) {
        log::warn("node_not_restored", {{"error", unreadable.message()}});
    }
    log::info("fleet_restored", {{"nodes", fleet_.nodes().size()}, {"series", fleet_.series().size()}});
    return {};
}

void Coordinator::make_ingest() {
    IngestObserver observer{
        .message = [this](size_t bytes) { metrics_->on_message(bytes); },
        .committed = [this](const Committed& done) { metrics_->on_commit(done.batches, done.result); },
        .acked = [this](size_t acks) { metrics_->on_acks_sent(acks); },
        .fault = [this](const std::string& node, const char* fault,
                        uint64_t times) { metrics_->on_fault(node, fault, times); },
        .given_up = [this] { metrics_->on_given_up(); },
    };
    registry_.before_exposition([this] {
        metrics_->set_ring_messages(ingest_->stats().queue_messages);
        metrics_->set_database_connections(1 + readers_);
    });
    ingest_ = std::make_unique<Ingest>(loop_, clock_, *store_, fleet_, make_paho_subscriber(loop_, settings_.broker), settings_.ingest,
                                       std::move(observer));
}

Result<void> Coordinator::open_http() {
    auto token = api_token(settings_.token_path());
    if (!token) return pass(token);
    server_ = std::make_unique<HttpServer>(loop_, settings_.http.limits());
    const auto open_reader = [this] {
        auto reader = store_->reader();
        if (reader) ++readers_;
        return reader;
    };
    api_ = std::make_unique<Api>(*server_,
                                 ApiSources{.fleet = fleet_,
                                            .registry = registry_,
                                            .clock = clock_,
                                            .open_reader = open_reader,
                                            .health_checks = [this] { return health_checks(ingest_->stats(), machine_, settings_.health); },
                                            .ready = [this] { return ready_ && !ending_; },
                                            .token = std::move(*token)});
    server_->observe([this](const HttpObservation& seen) { metrics_->on_request(seen); });
    auto port = server_->listen(settings_.http.address, static_cast<uint16_t>(settings_.http.port));
    if (!port) return pass(port, "listen for HTTP");
    http_port_ = *port;
    log::info("http_listening", {{"address", settings_.http.address}, {"port", http_port_}});
    return {};
}

int Coordinator::run() {
    systemd::notify("READY=1");
    loop_.run();
    return clean_ ? 0 : 1;
}

void Coordinator::reload_settings() {
    auto fresh = reload_();
    if (!fresh) {
        log::error("configuration_not_reloaded", {{"error", fresh.error().message()}});
        return;
    }
    settings_.log_level = fresh->log_level;
    settings_.health = fresh->health;
    log::set_level(log::level_from(settings_.log_level, log::Level::Info));
    log::info("configuration_reloaded", {{"log_level", settings_.log_level}});
}

void Coordinator::refresh_store_stats() {
    if (stats_asked_) return;
    stats_asked_ = ingest_->with_store([this](Store& store) {
        loop_.post([this, stats = store.stats()] {
            stats_asked_ = false;
            if (stats) metrics_->set_store(*stats);
        });
    });
}

void Coordinator::look_at_machine() { machine_ = machine_state(settings_.store.folder); }

// R4. Called on the loop: that it runs is the loop's half.
void Coordinator::feed_watchdog() {
    const auto interval = systemd::watchdog_interval();
    if (interval && ingest_->stats().writer_silence < *interval) systemd::notify("WATCHDOG=1");
}

// R3
void Coordinator::end(int signal) {
    if (ending_) return;
    ending_ = true;
    systemd::notify("STOPPING=1");
    log::info("ending", {{"signal", signal}});
    end_watch_.start(ends_within);  // beyond the loop: destructors join threads and close the store
    ingest_->stop(ingest_ends_within, [this](bool clean) {
        clean_ = clean;
        one_ended();
    });
    server_->drain(http_drains_within, [this] { one_ended(); });
}

void Coordinator::one_ended() {
    if (--endings_left_ > 0) return;
    if (!clean_) {
        log::error("ended_uncleanly", {{"lost", "nothing that was acknowledged"}});
        std::_Exit(1);
    }
    end_watch_.all_durable();
    log::info("ended");
    loop_.stop();
}

}  // namespace basmalin::coordinator
