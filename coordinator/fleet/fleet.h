// What the centre knows of the fleet right now: gardens, nodes, devices, series and their last values. In memory, on the loop's
// thread; the store keeps what must outlive a restart (NodeRecord documents). Pure: no I/O, time is a parameter.
// R1  Presence: online by a retained status or any live message; lost by the will, or by silence for heartbeat_missed.
// R2  A node is known from its first message on and never forgotten by itself.
// R3  A series' last value only moves forward in time (backlog does not turn a live value back).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/store/store.h"
#include "shared/base/clock.h"
#include "shared/base/json.h"
#include "shared/wire/messages.h"

namespace basmalin::coordinator {

enum class Presence { Online, Offline, Lost, Unknown };  // Offline: a clean end; Unknown: known from the store, not heard since start
std::string_view to_string(Presence presence);

struct Device {
    std::string node;
    std::string device;
    std::optional<DeviceHealth> health;
    WallTime last_reading;              // time of its newest reading; 0 if none
    uint64_t readings_total = 0;        // since this coordinator started
    std::vector<SeriesId> series;
};

struct Series {
    SeriesInfo info;
    std::optional<Latest> latest;
};

struct Node {
    std::string id;
    std::string garden;                 // "unassigned" until a hello or status says
    Presence presence = Presence::Unknown;
    WallTime first_seen;
    WallTime last_seen;                 // any message
    WallTime presence_since;
    std::string agent_version;
    uint64_t boot = 0;
    BootOffset clock;
    std::optional<NodeHealth> health;
    std::vector<Hello::Stream> streams; // as of the last hello
    std::map<std::string, std::string> labels;
    uint64_t readings_total = 0;        // since this coordinator started
    uint64_t batches_total = 0;
    uint64_t gaps_total = 0;            // readings lost as reported, since first seen
    std::optional<double> lag_seconds;  // of the newest live batch: received minus sealed
    std::map<std::string, Device> devices;
};

struct Garden {
    std::string id;
    size_t nodes = 0;
    size_t nodes_online = 0;
    size_t devices = 0;
    std::map<std::string, size_t> devices_by_state;  // "ok" "late" "silent" "fault" "unknown"
    WallTime last_reading;
};

struct FleetOptions {
    Duration heartbeat_missed = seconds(180);  // node health comes at least every 60 s
    int64_t nodes_max = 100'000;
    int64_t devices_per_node_max = 1000;
};
void declare(Schema& schema, FleetOptions& options);

class Fleet {
  public:
    explicit Fleet(FleetOptions options);

    // From the store, at start.
    void restore(const std::vector<NodeRecord>& nodes, const std::vector<SeriesInfo>& series, const std::vector<Latest>& latest);
    // Nodes changed since the last call, as documents to save.
    std::vector<NodeRecord> unsaved();

    void on_hello(const std::string& node, const Hello& hello, WallTime now);
    void on_status(const std::string& node, const Status& status, bool retained, WallTime now);
    void on_health(const std::string& node, const NodeHealth& health, bool retained, WallTime now);
    void on_device_health(const std::string& node, const DeviceHealth& health, bool retained, WallTime now);
    void on_commit(const CommitResult& committed, const std::vector<IncomingBatch>& batches, WallTime now);
    void tick(WallTime now);  // silence becomes Lost

    const std::map<std::string, Node>& nodes() const { return nodes_; }
    const Node* node(const std::string& id) const;
    std::map<std::string, Garden> gardens() const;
    const std::map<SeriesId, Series>& series() const { return series_; }
    const Series* series(SeriesId id) const;
    // Counts up with every visible change: ETags and live views compare it.
    uint64_t version() const { return version_; }
    std::map<Presence, size_t> presence_counts() const;

  private:
    Node& touch(const std::string& id, WallTime now);
    FleetOptions options_;
    std::map<std::string, Node> nodes_;
    std::map<SeriesId, Series> series_;
    std::map<std::string, bool> unsaved_;
    uint64_t version_ = 0;
};

}  // namespace basmalin::coordinator
