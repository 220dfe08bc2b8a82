#include "coordinator/metrics/fleet_metrics.h"

#include <algorithm>
#include <array>
#include <set>

#include "coordinator/metrics/process_stats.h"

namespace basmalin::coordinator {
namespace {

constexpr size_t quantities_max = 200;
constexpr size_t reading_children_max = 10'000;
constexpr size_t request_children_max = 1000;
constexpr size_t fault_children_max = 4000;
constexpr std::string_view other = "_other";
constexpr std::array device_states = {"ok", "late", "silent", "fault", "unknown"};

// A node's health value and the gauge it is shown as: 15 of them; up, lag, last seen and clock come on top.
struct Shown {
    const char* value;
    const char* metric;
    const char* help;
};
constexpr std::array shown_values = {
    Shown{"cpu_ratio", "basmalin_node_cpu_ratio", "Share of all processors in use (0-1)."},
    Shown{"load1", "basmalin_node_load1", "Load average of one minute."},
    Shown{"memory_available_bytes", "basmalin_node_memory_available_bytes", "Memory that programs may still get."},
    Shown{"memory_total_bytes", "basmalin_node_memory_total_bytes", "Memory in all."},
    Shown{"swap_used_bytes", "basmalin_node_swap_used_bytes", "Swap in use."},
    Shown{"disk_free_bytes", "basmalin_node_disk_free_bytes", "Free space of the disk with the buffer."},
    Shown{"disk_total_bytes", "basmalin_node_disk_size_bytes", "Size of the disk with the buffer."},
    Shown{"disk_written_today_bytes", "basmalin_node_disk_written_today_bytes", "Written to the disk since midnight UTC."},
    Shown{"temperature_celsius", "basmalin_node_temperature_celsius", "Temperature of the processor."},
    Shown{"uptime_seconds", "basmalin_node_uptime_seconds", "Time since the node's start."},
    Shown{"wifi_signal_dbm", "basmalin_node_wifi_signal_dbm", "Strength of the wireless link in dBm."},
    Shown{"buffer_readings", "basmalin_node_buffer_readings", "Readings in the node's buffer, delivered ones of its grace included."},
    Shown{"buffer_bytes", "basmalin_node_buffer_bytes", "Size of the node's buffer."},
    Shown{"buffer_oldest_seconds", "basmalin_node_buffer_oldest_seconds", "Age of the oldest reading that waits."},
    Shown{"agent_rss_bytes", "basmalin_node_agent_resident_memory_bytes", "Memory of the agent."},
};

std::string method_label(const std::string& method) {
    static const std::set<std::string> known = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
    return known.contains(method) ? method : "other";
}

}  // namespace

void declare(Schema& schema, FleetMetricsOptions& options) {
    schema.section("metrics", "What Prometheus gets at /metrics.");
    schema.integer("devices_max", options.devices_max, 0, 100'000,
                   "Devices with a label of their own in iot_sensor_readings_total; the rest share \"_other\".");
    schema.integer("nodes_max", options.nodes_max, 0, 100'000, "Nodes with health gauges of their own, up to 19 series each.");
}

struct FleetMetrics::Families {
    Families(Registry& r)
        : requests(r.histogram({.name = "http_request_duration_seconds",
                                .help = "Time from a request's header to the end of its answer.",
                                .label_names = {"method", "route", "status_code"},
                                .children_max = request_children_max,
                                .overflow_label = "route"},
                               {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10})),
          readings(r.counter({.name = "iot_sensor_readings_total",
                              .help = "Readings stored since start, by quantity and device (\"<node>/<device>\").",
                              .label_names = {"sensor_type", "device_id", "status"},
                              .children_max = reading_children_max,
                              .overflow_label = "device_id"})),
          connections(r.gauge({.name = "database_connections_active", .help = "Connections to the store: its writer and open readers."})),
          nodes(r.gauge({.name = "basmalin_nodes", .help = "Nodes by presence.", .label_names = {"presence"}})),
          devices(r.gauge({.name = "basmalin_devices", .help = "Devices by state.", .label_names = {"state"}})),
          series(r.gauge({.name = "basmalin_series", .help = "Series known."})),
          lag(r.histogram({.name = "basmalin_ingest_lag_seconds",
                           .help = "From sealing on the node to arrival, of live batches sealed under a synced clock."},
                          {0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200})),
          ring(r.gauge({.name = "basmalin_ingest_ring_messages", .help = "Messages that wait for the store."})),
          messages(r.counter({.name = "basmalin_ingest_messages_total", .help = "Messages with batches taken from the broker."})),
          bytes(r.counter({.name = "basmalin_ingest_bytes_total", .help = "Bytes of these messages."})),
          batches(r.counter({.name = "basmalin_batches_total", .help = "Batches by what became of them; refused and given_up come again.", .label_names = {"outcome"}})),
          received(r.counter({.name = "basmalin_batches_received_total", .help = "Batches in all: the sum of basmalin_batches_total."})),
          readings_stored(r.counter({.name = "basmalin_readings_stored_total", .help = "Readings stored."})),
          faults(r.counter({.name = "basmalin_node_faults_total",
                            .help = "What nodes did wrong: garbage and flood are messages, dead and refused are batches.",
                            .label_names = {"node", "fault"},
                            .children_max = fault_children_max,
                            .overflow_label = "node"})),
          acks(r.counter({.name = "basmalin_acks_total", .help = "Acknowledgements sent to nodes."})),
          gap_readings(r.counter({.name = "basmalin_gap_readings_total", .help = "Readings that nodes reported as lost, since start."})),
          store_bytes(r.gauge({.name = "basmalin_store_bytes", .help = "Size of the store on disk.", .label_names = {"part"}})),
          store_items(r.gauge({.name = "basmalin_store_items", .help = "What the store holds, by kind.", .label_names = {"kind"}})),
          oldest_hot(r.gauge({.name = "basmalin_store_oldest_hot_seconds", .help = "Age of the oldest batch that is not compacted."})),
          nodes_hidden(r.gauge({.name = "basmalin_nodes_without_gauges", .help = "Nodes beyond metrics.nodes_max."})),
          build(r.gauge({.name = "basmalin_build_info", .help = "The running build.", .label_names = {"version"}})),
          memory(r.gauge({.name = "process_resident_memory_bytes", .help = "Resident memory of the coordinator."})),
          virtual_memory(r.gauge({.name = "process_virtual_memory_bytes", .help = "Virtual memory of the coordinator."})),
          processor(r.counter({.name = "process_cpu_seconds_total", .help = "Processor time of the coordinator, user and system."})),
          descriptors(r.gauge({.name = "process_open_fds", .help = "Open file descriptors."})),
          descriptors_max(r.gauge({.name = "process_max_fds", .help = "Limit of open file descriptors."})),
          threads(r.gauge({.name = "process_threads", .help = "Threads of the coordinator."})),
          started(r.gauge({.name = "process_start_time_seconds", .help = "Start of the coordinator since 1970 UTC."})) {
        for (const char* outcome : {"stored", "duplicate", "dead", "refused", "given_up"}) batches.with({outcome});
        for (auto* family : {&messages, &bytes, &received, &readings_stored, &acks, &gap_readings}) family->get();
        for (auto* family : {&connections, &ring}) family->get();
        lag.get();
    }
    template <class T>
    using Family = Registry::Family<T>;
    Family<Histogram>& requests;
    Family<Counter>& readings;
    Family<Gauge>&connections, &nodes, &devices, &series;
    Family<Histogram>& lag;
    Family<Gauge>& ring;
    Family<Counter>&messages, &bytes, &batches, &received, &readings_stored, &faults, &acks, &gap_readings;
    Family<Gauge>&store_bytes, &store_items, &oldest_hot, &nodes_hidden, &build, &memory, &virtual_memory;
    Family<Counter>& processor;
    Family<Gauge>&descriptors, &descriptors_max, &threads, &started;

    // With a label of their own; a node takes at most a quarter of the places.
    struct Places {
        std::set<std::string> taken;
        std::map<std::string, size_t> by_node;
        std::string label(const std::string& node, std::string name, size_t most) {
            if (taken.contains(name)) return name;
            if (taken.size() >= most || by_node[node] >= std::max<size_t>(most / 4, 1)) return std::string(other);
            ++by_node[node];
            taken.insert(name);
            return name;
        }
    };
    Places devices_own;
    Places quantities_own;
    WallTime hot_since;                    // received, of the oldest hot batch; 0 if none
    WallTime start;
};

FleetMetrics::FleetMetrics(Registry& registry, const Fleet& fleet, const Clock& clock, FleetMetricsOptions options)
    : fleet_(fleet), clock_(clock), options_(std::move(options)), families_(std::make_unique<Families>(registry)) {
    families_->start = clock.wall();
    families_->build.with({options_.version}).set(1);
    registry.before_exposition([this] { refresh(); });
    declare_node_gauges(registry);
}

FleetMetrics::~FleetMetrics() = default;

void FleetMetrics::on_request(const HttpObservation& seen) {
    families_->requests.with({method_label(seen.method), seen.route, std::to_string(seen.status)}).observe(seen.seconds);
}

void FleetMetrics::on_message(size_t bytes) {
    families_->messages.get().add();
    families_->bytes.get().add(static_cast<double>(bytes));
}

void FleetMetrics::on_commit(const std::vector<IncomingBatch>& batches, const CommitResult& committed) {
    static constexpr std::array outcomes = {"stored", "duplicate", "dead", "refused"};
    for (size_t i = 0; i < committed.outcomes.size(); ++i) {
        const Outcome outcome = committed.outcomes[i];
        families_->batches.with({outcomes[static_cast<size_t>(outcome)]}).add();
        families_->received.get().add();
        if (i < batches.size() && (outcome == Outcome::Dead || outcome == Outcome::Refused))
            families_->faults.with({batches[i].node, outcomes[static_cast<size_t>(outcome)]}).add();
        if (outcome != Outcome::Stored || i >= batches.size() || batches[i].lane == Lane::Backlog) continue;
        const auto opened = open_batch(batches[i].stream, batches[i].bytes);
        if (!opened || opened->header.clock != ClockState::Synced) continue;
        const Duration behind = batches[i].received - opened->header.sealed_wall;
        families_->lag.get().observe(static_cast<double>(std::max<int64_t>(behind.ms, 0)) / 1000);
    }
    families_->readings_stored.get().add(static_cast<double>(committed.readings_stored));
    for (const GapRecord& gap : committed.gaps) {
        if (gap.gap.reason != GapReason::Released) families_->gap_readings.get().add(static_cast<double>(gap.gap.readings));
    }
    for (const Latest& latest : committed.latest) {
        const Series* series = fleet_.series(latest.series);
        if (series == nullptr || latest.readings == 0) continue;
        const std::string& node = series->info.node;
        families_->readings
            .with({families_->quantities_own.label(node, series->info.quantity, quantities_max),
                   families_->devices_own.label(node, node + '/' + series->info.device, static_cast<size_t>(options_.devices_max)),
                   "stored"})
            .add(static_cast<double>(latest.readings));
    }
}

// R2
void FleetMetrics::on_given_up() {
    families_->batches.with({"given_up"}).add();
    families_->received.get().add();
}

void FleetMetrics::on_fault(const std::string& node, const char* fault, uint64_t times) {
    families_->faults.with({node, fault}).add(static_cast<double>(times));
}

void FleetMetrics::on_acks_sent(uint64_t acks) { families_->acks.get().add(static_cast<double>(acks)); }
void FleetMetrics::set_ring_messages(size_t messages) { families_->ring.get().set(static_cast<double>(messages)); }
void FleetMetrics::set_database_connections(size_t active) { families_->connections.get().set(static_cast<double>(active)); }

void FleetMetrics::set_store(const StoreStats& stats) {
    const auto bytes = [&](const char* part, int64_t n) { families_->store_bytes.with({part}).set(static_cast<double>(n)); };
    bytes("fleet", stats.fleet_bytes - stats.wal_bytes);
    bytes("wal", stats.wal_bytes);
    bytes("history", stats.history_bytes);
    const auto items = [&](const char* kind, int64_t n) { families_->store_items.with({kind}).set(static_cast<double>(n)); };
    items("hot_batches", stats.hot_batches);
    items("dead_letters", stats.dead_letters);
    items("chunks", stats.chunks);
    items("series", stats.series);
    items("dirty_days", stats.dirty_days);
    families_->hot_since = stats.oldest_hot;
}

void FleetMetrics::refresh() {
    Families& f = *families_;
    for (const auto& [presence, count] : fleet_.presence_counts())
        f.nodes.with({std::string(to_string(presence))}).set(static_cast<double>(count));
    std::map<std::string, size_t> by_state;
    for (const char* state : device_states) by_state[state] = 0;
    for (const auto& [id, garden] : fleet_.gardens()) {
        for (const auto& [state, count] : garden.devices_by_state) by_state[state] += count;
    }
    for (const auto& [state, count] : by_state) f.devices.with({state}).set(static_cast<double>(count));
    f.series.get().set(static_cast<double>(fleet_.series().size()));
    const double hot = f.hot_since.ms == 0 ? 0 : static_cast<double>((clock_.wall() - f.hot_since).ms) / 1000;
    f.oldest_hot.get().set(std::max(hot, 0.0));
    const ProcessStats process = read_process_stats();
    f.memory.get().set(process.resident_bytes);
    f.virtual_memory.get().set(process.virtual_bytes);
    f.processor.get().set_at_least(process.cpu_seconds);
    f.descriptors.get().set(process.open_descriptors);
    f.descriptors_max.get().set(process.descriptors_max);
    f.threads.get().set(process.threads);
    f.started.get().set(static_cast<double>(f.start.ms) / 1000);
    refresh_nodes();
}

void FleetMetrics::refresh_nodes() {
    shown_.clear();
    for (const auto& [id, node] : fleet_.nodes()) {
        if (shown_.size() >= static_cast<size_t>(options_.nodes_max)) break;
        shown_.emplace_back(Registry::labels_of({"garden", "node"}, {node.garden, id}), &node);
    }
    families_->nodes_hidden.get().set(static_cast<double>(fleet_.nodes().size() - shown_.size()));
}

// What there is one of for each node: read from the fleet as it is, not kept a second time.
void FleetMetrics::declare_node_gauges(Registry& registry) {
    const auto declare = [&](const char* name, const char* help, std::function<std::optional<double>(const Node&)> value_of) {
        registry.gauge({.name = name, .help = help, .label_names = {"garden", "node"}},
                       [this, value_of = std::move(value_of)](const Registry::Sample& sample) {
                           for (const auto& [labels, node] : shown_)
                               if (const auto value = value_of(*node)) sample(labels, *value);
                       });
    };
    using Found = std::optional<double>;
    declare("basmalin_node_up", "1 while the node is online.", [](const Node& node) -> Found { return node.presence == Presence::Online; });
    declare("basmalin_node_lag_seconds", "From sealing to arrival of the node's newest live batch.",
            [](const Node& node) -> Found { return node.lag_seconds; });
    declare("basmalin_node_last_seen_timestamp_seconds", "When the node was last heard.", [](const Node& node) -> Found {
        return node.last_seen.ms > 0 ? Found(static_cast<double>(node.last_seen.ms) / 1000) : std::nullopt;
    });
    declare("basmalin_node_clock_synced", "1 while the node's clock is disciplined.",
            [flag = std::string("clock_synced")](const Node& node) -> Found {
                if (!node.health) return std::nullopt;
                const auto found = node.health->flags.find(flag);
                return found == node.health->flags.end() ? std::nullopt : Found(found->second ? 1 : 0);
            });
    for (const Shown& shown : shown_values) {
        declare(shown.metric, shown.help, [name = std::string(shown.value)](const Node& node) -> Found {
            if (!node.health) return std::nullopt;
            const auto found = node.health->values.find(name);
            return found == node.health->values.end() ? std::nullopt : Found(found->second);
        });
    }
}

}  // namespace basmalin::coordinator
