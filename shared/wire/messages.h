// The JSON messages of fleet/1: hello, welcome, status, health, device health. The public face for MQTT dashboards is status,
// health and device health; documented with examples in shared/wire/README.md, stable within fleet/1. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "shared/base/clock.h"
#include "shared/base/json.h"
#include "shared/base/result.h"
#include "shared/wire/batch.h"

namespace basmalin {

constexpr size_t json_message_bytes_max = 64 * 1024;

// Node -> coordinator, on every connect, not retained.
struct Hello {
    struct Stream {
        uint64_t stream = 0;
        uint64_t next_seq = 1;    // the next that will be sealed; for an older stream: one past its last
        uint64_t oldest_seq = 0;  // the oldest still held; 0 if none
        uint64_t acked = 0;       // contiguous mark as the node knows it
        bool operator==(const Stream&) const = default;
    };
    std::string garden{};
    std::string agent_version{};
    uint64_t boot = 0;
    uint32_t boot_no = 0;
    BootOffset clock{};             // of this boot
    std::vector<Stream> streams{};  // the current one first; 8 at most
    int64_t gaps_pending = 0;       // gap records not yet sealed
    std::map<std::string, std::string> labels{};
    bool operator==(const Hello&) const = default;
};

// Coordinator -> node, in answer to hello (and to all on a new epoch).
struct Welcome {
    struct Stream {
        uint64_t stream = 0;
        uint64_t mark = 0;
        std::vector<SeqRange> ranges{};
        bool operator==(const Stream&) const = default;
    };
    uint64_t epoch = 0;
    WallTime time{};                // the coordinator's clock: a floor for a gateway that never synced
    std::vector<Stream> streams{};  // those of the hello that are known here
    bool definitions_wanted = false;
    bool operator==(const Welcome&) const = default;
};

// Retained; also the will (online false, reason "lost").
struct Status {
    bool online = false;
    std::string reason{};  // "" online, "shutdown" a clean end, "lost" the will
    WallTime since{};
    std::string agent_version{};
    uint64_t boot = 0;
    std::string garden{};
    bool operator==(const Status&) const = default;
};

// Retained, per device.
enum class DeviceState { Ok, Late, Silent, Fault };
std::string_view to_string(DeviceState state);  // "ok" "late" "silent" "fault"
struct DeviceHealth {
    std::string device{};
    DeviceState state = DeviceState::Ok;
    std::string reason{};  // why not ok, for a person
    std::optional<WallTime> last_seen{};
    std::optional<double> interval_seconds{};  // learned; empty while unknown
    std::optional<double> battery_percent{};
    std::optional<double> battery_volts{};
    std::optional<double> link_quality_percent{};
    std::optional<double> rssi_dbm{};
    std::string firmware_version{};
    std::string model{};
    std::string name{};     // for people; may be empty
    std::string dialect{};  // "esphome" "tasmota" …
    bool operator==(const DeviceHealth&) const = default;
};

// Retained. `values` and `texts` are keyed by the names in shared/wire/README.md ("memory_available_bytes", …).
struct NodeHealth {
    WallTime time{};
    bool time_trusted = false;
    std::map<std::string, double> values{};
    std::map<std::string, bool> flags{};
    std::map<std::string, std::string> texts{};
    struct Service {
        std::string unit{};
        std::string state{};  // "active" "failed" …
        int64_t restarts = 0;
        bool operator==(const Service&) const = default;
    };
    std::vector<Service> services{};
    bool operator==(const NodeHealth&) const = default;
};

std::string encode(const Hello&);
std::string encode(const Welcome&);
std::string encode(const Status&);
std::string encode(const DeviceHealth&);
std::string encode(const NodeHealth&);
Result<Hello> decode_hello(std::string_view json);
Result<Welcome> decode_welcome(std::string_view json);
Result<Status> decode_status(std::string_view json);
Result<DeviceHealth> decode_device_health(std::string_view json);
Result<NodeHealth> decode_node_health(std::string_view json);

}  // namespace basmalin
