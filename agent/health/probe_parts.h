// The parts of NodeProbe, one file each. A part reads its files below `root` and adds what it understood to `out`; it keeps
// only what a rate or a "today" needs. Nothing here fails: what cannot be read is left out. Thread: the probe's.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/health/bounded_command.h"
#include "shared/base/clock.h"
#include "shared/wire/messages.h"

namespace basmalin::agent {

// cpu_ratio, load1, load5, load15, psi_*_ratio. The ratio is between two readings, so the first has none.
class CpuProbe {
  public:
    void read(const std::string& root, NodeHealth& out);

  private:
    struct Ticks {
        uint64_t total = 0;
        uint64_t idle = 0;
    };
    std::optional<Ticks> previous_;
};

// memory_*, swap_*, oom_kills_total.
void read_memory(const std::string& root, NodeHealth& out);

// disk_total_bytes, disk_free_bytes, inodes_free, disk_read_only, disk_written_today_bytes.
// "Today" begins at midnight UTC by the wall clock. A boot of today: all that the kernel counted since boot (what an earlier boot
// of the same day wrote is not known). An older boot: what was written since midnight or since this probe's first reading,
// whichever is later - a lower bound on the day the agent is restarted. A step of the wall clock changes the day and nothing else.
class DiskProbe {
  public:
    void read(const std::string& root, const std::string& disk_path, MonoTime now, WallTime wall, NodeHealth& out);

  private:
    struct Counted {
        std::string device;
        int64_t day = 0;
        uint64_t bytes = 0;     // written since boot, at the last reading
        uint64_t baseline = 0;  // written since boot, when the day began for us
    };
    std::optional<Counted> counted_;
};

// network_*_total, wifi_*.
void read_network(const std::string& root, NodeHealth& out);

// temperature_celsius and the flags of the Raspberry Pi's firmware. "Since boot" also remembers what this probe saw itself: a
// kernel driver may clear the firmware's own memory.
class PowerProbe {
  public:
    void read(const std::string& root, NodeHealth& out);

  private:
    bool under_voltage_seen_ = false;
    bool throttled_seen_ = false;
};

// agent_rss_bytes, agent_open_files, uptime_seconds, boot_id, kernel, hostname.
void read_process(const std::string& root, NodeHealth& out);

// The state of systemd units, asked of systemctl in one run. A name that is no unit's name has the state "invalid", a unit that does
// not exist "not-found"; all are "unknown" when systemctl is missing, fails or is too slow.
class ServiceProbe {
  public:
    explicit ServiceProbe(std::vector<std::string> units);  // 32 at most are watched
    void read(const std::string& root, NodeHealth& out);

  private:
    std::vector<std::string> units_;
    BoundedCommand command_;
};

bool is_unit_name(std::string_view text);
// What `systemctl show -p Id,LoadState,ActiveState,NRestarts` printed, in the order of `units`. Pure.
std::vector<NodeHealth::Service> parse_services(std::string_view printed, const std::vector<std::string>& units);

}  // namespace basmalin::agent
