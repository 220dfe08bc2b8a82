// What the centre knows of the fleet right now: gardens, nodes, devices, series and their last values. In memory, on the loop's
// thread; the store keeps what must outlive a restart (NodeRecord documents). Pure: no I/O, time is a parameter.
// R1  Presence: online by a status or any live message; lost by the will, or by silence for heartbeat_missed. Silence counts
//     only while the centre itself hears (its own connection to the broker is up): a broker that is away loses no node.
// R2  A node is known from its first message on and never forgotten by itself.
// R3  A series' last value only moves forward in time (backlog does not turn a live value back). A value from more than
//     future_tolerance ahead of now holds its place only until the next value that is not: a wrong clock pins nothing.
// R4  Every list is bounded: nodes, devices of a node, labels of a node. What does not fit is refused and counted.
// R5  What the broker replays (retained) is no sign of life: it changes what is known, never last_seen.
// R6  Counts of gardens and presence are kept with each change: asking for them costs nothing.
// R7  A change of what a node is (garden, version, boot, presence, gaps, devices) is saved soon; what repeats by itself
//     (health, last_seen) at most every save_interval of a node.
// R8  A step of the wall clock is no silence: what was heard stays as long ago as it was.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "coordinator/store/store.h"
#include "shared/base/clock.h"
#include "shared/base/json.h"
#include "shared/wire/messages.h"

namespace basmalin::coordinator {

enum class Presence { Online, Offline, Lost, Unknown };  // Offline: a clean end; Unknown: known from the store, not heard since start
std::string_view to_string(Presence presence);           // "online" "offline" "lost" "unknown"

struct Device {
    std::string node;
    std::string device;
    std::optional<DeviceHealth> health;
    WallTime last_reading;        // time of its newest reading; 0 if none
    uint64_t readings_total = 0;  // since this coordinator started
    std::vector<SeriesId> series;
};

struct Series {
    SeriesInfo info;
    std::optional<Latest> latest;
};

struct Node {
    std::string id;
    std::string garden;  // "unassigned" until a hello or status says
    Presence presence = Presence::Unknown;
    WallTime first_seen;
    WallTime last_seen;  // any live message
    WallTime presence_since;
    std::string agent_version;
    uint64_t boot = 0;
    BootOffset clock;
    std::optional<NodeHealth> health;
    std::vector<Hello::Stream> streams;  // as of the last hello
    std::map<std::string, std::string> labels;
    uint64_t readings_total = 0;  // since this coordinator started
    uint64_t batches_total = 0;
    uint64_t gaps_total = 0;            // readings lost as reported, since first seen
    std::optional<double> lag_seconds;  // of the newest live batch: received minus sealed
    std::map<std::string, Device> devices;
    uint64_t welcomed_epoch = 0;  // of the store at the last welcome; another one: welcome it again
    WallTime saved;               // when its document was last handed out
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
    Duration save_interval = minutes(5);
    int64_t nodes_max = 100'000;
    int64_t devices_per_node_max = 1000;
};
void declare(Schema& schema, FleetOptions& options);

constexpr Duration future_tolerance = minutes(5);
constexpr size_t labels_per_node_max = 32;
constexpr std::string_view garden_unassigned = "unassigned";

class Fleet {
  public:
    explicit Fleet(FleetOptions options);

    // From the store, at start. Returns what could not be read: such a node is known by its id only.
    std::vector<Error> restore(const std::vector<NodeRecord>& nodes, const std::vector<SeriesInfo>& series,
                               const std::vector<Latest>& latest);
    // Nodes changed since the last call, as documents to save: all of them (at the end of a run) …
    std::vector<NodeRecord> unsaved();
    // … or those that are due (R7), nodes_max at most.
    std::vector<NodeRecord> unsaved(WallTime now, size_t nodes_max);
    // A save failed: they are due again.
    void save_again(const std::vector<NodeRecord>& records);

    // The centre's own connection to the broker (R1).
    void on_hearing(bool hearing, WallTime now);
    void on_hello(const std::string& node, const Hello& hello, WallTime now);
    void on_status(const std::string& node, const Status& status, bool retained, WallTime now);
    void on_health(const std::string& node, const NodeHealth& health, bool retained, WallTime now);
    void on_device_health(const std::string& node, const DeviceHealth& health, bool retained, WallTime now);
    void on_commit(const CommitResult& committed, const std::vector<IncomingBatch>& batches, WallTime now);
    // The node was told of the store's epoch.
    void on_welcomed(const std::string& node, uint64_t epoch);
    void tick(WallTime now, MonoTime mono);  // silence becomes Lost

    const std::map<std::string, Node>& nodes() const { return nodes_; }
    const Node* node(const std::string& id) const;
    const std::map<std::string, Garden>& gardens() const { return gardens_; }
    const std::map<SeriesId, Series>& series() const { return series_; }
    const Series* series(SeriesId id) const;
    // Counts up with every visible change: ETags and live views compare it.
    uint64_t version() const { return version_; }
    const std::map<Presence, size_t>& presence_counts() const { return presence_counts_; }
    // Messages and batches about a node or device that did not fit (R4), since start.
    uint64_t refused_total() const { return refused_total_; }

  private:
    void follow_clock(WallTime now, MonoTime mono);
    Node* known(const std::string& id, WallTime now);  // null: refused
    Node* heard(const std::string& id, bool retained, WallTime now);
    Device* device_of(Node& node, const std::string& name);  // null: refused
    void set_presence(Node& node, Presence presence, WallTime now);
    void set_garden(Node& node, const std::string& garden);
    void set_health(Node& node, Device& device, const DeviceHealth& health);
    void count_in(const Node& node);
    void count_out(const Node& node);
    // Of what comes sorted by device: the names are looked up once for all that follow each other. Null: refused.
    struct Place {
        Node* node = nullptr;
        Device* device = nullptr;
    };
    Device* move_to(Place& place, const SeriesInfo& info, WallTime now);
    void read_on(Node& node, Device& device, std::optional<Latest>& last, const Latest& latest, WallTime now);
    void note_lag(const std::vector<IncomingBatch>& batches, const CommitResult& committed);
    void add_series(Place& place, const SeriesInfo& info);
    Result<void> restore_node(const NodeRecord& record);
    void changed(const Node& node, bool soon);

    FleetOptions options_;
    std::map<std::string, Node> nodes_;
    std::map<SeriesId, Series> series_;
    std::map<std::string, Garden> gardens_;
    std::map<Presence, size_t> presence_counts_;
    std::map<std::string, bool> unsaved_;  // true: soon
    std::string save_cursor_;              // the node after which the next look for due ones begins
    bool hearing_ = false;
    WallTime hearing_since_;
    std::optional<int64_t> clock_offset_ms_;  // wall minus monotonic, at the last tick
    MonoTime ticked_at_;
    uint64_t refused_total_ = 0;
    uint64_t version_ = 0;
};

// A node's document, and back into a node without series (Invalid: not a document). In fleet_document.cpp.
std::string to_document(const Node& node);
Result<Node> from_document(const NodeRecord& record);

}  // namespace basmalin::coordinator
