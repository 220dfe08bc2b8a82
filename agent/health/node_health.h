// The health of the machine the agent runs on, from /proc, /sys and statvfs, and when to report it. NodeProbe reads (its root
// folder is a parameter, so tests give it a made-up /proc and /sys); HealthReporter decides, purely, what is worth a message.
// Names, units and sources of every value are listed in shared/wire/README.md, section "Node health".
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "shared/base/clock.h"
#include "shared/base/result.h"
#include "shared/config/config.h"
#include "shared/series/reading.h"
#include "shared/wire/messages.h"

namespace basmalin::agent {

struct NodeHealthOptions {
    Duration probe_every = seconds(10);
    Duration report_every = seconds(60);   // a full report, changed or not
    std::vector<std::string> services = {};  // systemd units to watch
    std::string disk_path = "/";
};
void declare(Schema& schema, NodeHealthOptions& options);

// What the agent adds of itself.
struct AgentVitals {
    int64_t buffer_readings = 0;
    int64_t buffer_batches = 0;
    int64_t buffer_bytes = 0;
    double buffer_oldest_seconds = 0;
    int64_t evicted_readings_total = 0;
    uint64_t sealed_seq = 0;
    uint64_t acked_seq = 0;
    uint64_t reconnects = 0;
    std::string last_update_result;
};

// Thread: one (a Worker: reads of a sick disk may block).
class NodeProbe {
  public:
    NodeProbe(NodeHealthOptions options, std::string root = "");
    ~NodeProbe();
    // Rates (cpu_ratio, network bytes/s …) are since the previous probe; the first has none. Never fails as a whole: what
    // cannot be read is left out.
    NodeHealth probe(MonoTime now, WallTime wall);

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

// The kernel's word on the wall clock (adjtimex). Also used for batches and offsets.
struct ClockReading {
    ClockState state = ClockState::Unsynced;
    int64_t error_ms = 0;  // the kernel's maximum error estimate
};
ClockReading read_clock_state();

class HealthReporter {
  public:
    explicit HealthReporter(NodeHealthOptions options);
    // The report to publish now, or nothing: no value moved by its threshold and the last full report is recent.
    std::optional<NodeHealth> on_probe(NodeHealth probed, const AgentVitals& vitals, MonoTime now);
    // The numbers as readings of the device "node": those that moved by their threshold since last sent, all at a full report.
    std::optional<Sample> sample() const;

  private:
    NodeHealthOptions options_;
    std::optional<NodeHealth> last_;
    MonoTime last_at_{};
    std::optional<Sample> sample_;
};

}  // namespace basmalin::agent
