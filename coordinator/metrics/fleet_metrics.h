// What the coordinator shows to Prometheus: its requests, its ingest, its store, its process, and every node's health.
// R1  Bounded whatever a fleet sends: devices beyond devices_max share device_id="_other", nodes beyond nodes_max have no
//     health gauges of their own (they are counted), quantities beyond the budget share sensor_type="_other". One node takes at
//     most a quarter of either budget.
// R2  basmalin_batches_received_total is the sum of basmalin_batches_total over its outcomes (stored, duplicate, dead, refused,
//     given_up), at every scrape.
// R3  Gauges are set from the fleet at each exposition; counters are told as things happen.
// Names are a promise to dashboards: tests/golden/http/metric_names.txt lists them.
// Thread: the loop's.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "coordinator/fleet/fleet.h"
#include "coordinator/store/store.h"
#include "shared/base/clock.h"
#include "shared/http/server.h"
#include "shared/metrics/registry.h"

namespace basmalin::coordinator {

struct FleetMetricsOptions {
    int64_t devices_max = 1000;  // with a device_id of their own in iot_sensor_readings_total
    int64_t nodes_max = 2000;    // with health gauges of their own
    std::string version = BASMALIN_VERSION;
};
void declare(Schema& schema, FleetMetricsOptions& options);

class FleetMetrics {
  public:
    // All references outlive this; the registry's expositions call back into it.
    FleetMetrics(Registry& registry, const Fleet& fleet, const Clock& clock, FleetMetricsOptions options = {});
    ~FleetMetrics();
    FleetMetrics(const FleetMetrics&) = delete;
    FleetMetrics& operator=(const FleetMetrics&) = delete;

    void on_request(const HttpObservation& seen);
    // One `up` message from the broker, and its size.
    void on_message(size_t bytes);
    // After Fleet::on_commit (a new series has to be known by then).
    void on_commit(const std::vector<IncomingBatch>& batches, const CommitResult& committed);
    // A batch that is neither stored nor acked, as the store failed on it.
    void on_given_up();
    // What a node did wrong beside what on_commit() tells.
    void on_fault(const std::string& node, const char* fault, uint64_t times);
    void on_acks_sent(uint64_t acks);
    // Messages that wait between the broker's thread and the loop (or the writer), now.
    void set_ring_messages(size_t messages);
    // Connections to the database that a statement may run on now: the writer and the open readers.
    void set_database_connections(size_t active);
    void set_store(const StoreStats& stats);

  private:
    struct Families;
    void refresh();
    void refresh_nodes();
    void declare_node_gauges(Registry& registry);
    const Fleet& fleet_;
    const Clock& clock_;
    FleetMetricsOptions options_;
    std::unique_ptr<Families> families_;
    std::vector<std::pair<std::string, const Node*>> shown_;  // labels, for one exposition
};

}  // namespace basmalin::coordinator
