// The health of the machine the agent runs on, from /proc, /sys and statvfs, and when to report it. NodeProbe reads (its root
// folder is a parameter, so tests give it a made-up /proc and /sys); HealthReporter decides, purely, what is worth a message.
// Names, units and sources of every value are listed in shared/wire/README.md, section "Node health".
// R1  A file that is missing, too long or malformed leaves its values out; a probe never fails as a whole.
// R2  A rate (cpu_ratio) is between two probes; the first has none.
// R3  The first probe and one every report_every make a full report: every value.
// R4  Between full reports, a value that moved by its threshold (threshold_of) since it was last sent as a reading, or that
//     appeared, makes a report. Counters and what only ever grows wait for the full report, except oom_kills_total.
// R5  A flag, a text or a service that changed makes a report at once.
// R6  At most one report each report_spacing, whatever flaps; what changed meanwhile goes with the next probe after it.
// R7  A report's readings come in few shapes, so that the codec's layouts stay few: one moved value alone, all values that have
//     a threshold with all flags, or everything (a full report).
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
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

// Thread: one (a Worker: reads of a sick disk may block, and services are asked for up to 2 s).
class NodeProbe {
  public:
    NodeProbe(NodeHealthOptions options, std::string root = "");
    ~NodeProbe();
    // Rates (cpu_ratio) are since the previous probe; the first has none. Never fails as a whole: what cannot be read is left
    // out.
    NodeHealth probe(MonoTime now, WallTime wall);

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

// The kernel's word on the wall clock (adjtimex). Also used for batches and offsets. A kernel that does not answer (EPERM in a
// container) counts as unsynced.
struct ClockReading {
    ClockState state = ClockState::Unsynced;
    int64_t error_ms = 0;  // the kernel's maximum error estimate; 0 when unsynced
};
ClockReading read_clock_state();

// How far a value must move to be worth a message, or nothing: it waits for the full report.
//   cpu_ratio, psi_*_ratio, wifi_quality_ratio   0.10        temperature_celsius         2
//   load1, load5, load15                         0.5         wifi_signal_dbm             6
//   memory_available_bytes, swap_used_bytes      5 % of the total (without a total: 16 MiB)
//   disk_free_bytes                              1 % of the total (without a total: 64 MiB)
//   clock_offset_error_seconds                   1           oom_kills_total             1
std::optional<double> threshold_of(std::string_view name, const std::map<std::string, double>& values);

// A value's unit by the end of its name: _bytes "By", _celsius "Cel", _seconds "s", _dbm "dB[mW]", all others "1".
// (A total of bytes counts bytes: network_sent_bytes_total is "By".)
std::string_view unit_of(std::string_view name);

class HealthReporter {
  public:
    static constexpr Duration report_spacing = seconds(5);

    explicit HealthReporter(NodeHealthOptions options);
    // The report to publish now, or nothing: no value moved by its threshold and the last full report is recent.
    std::optional<NodeHealth> on_probe(NodeHealth probed, const AgentVitals& vitals, MonoTime now);
    // What the last on_probe() reported, as readings of the device "node"; nothing when it reported nothing, or no number or flag.
    std::optional<Sample> sample() const { return sample_; }

  private:
    void take_sample(const NodeHealth& report, const std::vector<std::string>& moved, bool full, MonoTime now);

    NodeHealthOptions options_;
    std::optional<NodeHealth> last_;      // the report published last
    std::map<std::string, double> sent_;  // each value as it was last sent as a reading
    MonoTime last_at_{};
    MonoTime last_full_at_{};
    std::optional<Sample> sample_;
};

}  // namespace basmalin::agent
