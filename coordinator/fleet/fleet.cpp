#include "coordinator/fleet/fleet.h"

#include <algorithm>

#include "shared/base/ids.h"

namespace basmalin::coordinator {

std::string_view to_string(Presence presence) {
    switch (presence) {
        case Presence::Online: return "online";
        case Presence::Offline: return "offline";
        case Presence::Lost: return "lost";
        case Presence::Unknown: return "unknown";
    }
    return "unknown";
}

void declare(Schema& schema, FleetOptions& options) {
    schema.section("fleet", "What the coordinator knows of gardens, nodes and devices.");
    schema.duration("heartbeat_missed", options.heartbeat_missed, seconds(10), hours(24),
                    "A node that is silent for so long is lost. Nodes report their health at least every 60 s.");
    schema.duration("save_interval", options.save_interval, seconds(5), hours(24),
                    "A node's health and last sign of life are saved at most so often; other changes at once.");
    schema.integer("nodes_max", options.nodes_max, 1, 1'000'000, "Nodes known at most; further ones are refused and counted.");
    schema.integer("devices_per_node_max", options.devices_per_node_max, 1, 100'000,
                   "Devices of one node at most; further ones are refused and counted.");
}

namespace {

std::string_view state_of(const Device& device) { return device.health ? to_string(device.health->state) : "unknown"; }

constexpr Duration clock_step_least = seconds(5);

void move_on(WallTime& newest, WallTime time) { newest = std::max(newest, time); }

}  // namespace

Fleet::Fleet(FleetOptions options) : options_(options) {
    for (const Presence p : {Presence::Online, Presence::Offline, Presence::Lost, Presence::Unknown}) presence_counts_[p] = 0;
}

const Node* Fleet::node(const std::string& id) const {
    const auto found = nodes_.find(id);
    return found == nodes_.end() ? nullptr : &found->second;
}

const Series* Fleet::series(SeriesId id) const {
    const auto found = series_.find(id);
    return found == series_.end() ? nullptr : &found->second;
}

void Fleet::changed(const Node& node, bool soon) {
    ++version_;
    bool& due_soon = unsaved_[node.id];
    due_soon = due_soon || soon;
}

void Fleet::count_in(const Node& node) {
    ++presence_counts_[node.presence];
    Garden& garden = gardens_[node.garden];
    garden.id = node.garden;
    ++garden.nodes;
    if (node.presence == Presence::Online) ++garden.nodes_online;
    garden.devices += node.devices.size();
    for (const auto& [name, device] : node.devices) {
        ++garden.devices_by_state[std::string(state_of(device))];
        move_on(garden.last_reading, device.last_reading);
    }
}

void Fleet::count_out(const Node& node) {
    --presence_counts_[node.presence];
    const auto found = gardens_.find(node.garden);
    Garden& garden = found->second;
    if (node.presence == Presence::Online) --garden.nodes_online;
    garden.devices -= node.devices.size();
    for (const auto& [name, device] : node.devices) --garden.devices_by_state[std::string(state_of(device))];
    if (--garden.nodes == 0) gardens_.erase(found);
}

Node* Fleet::known(const std::string& id, WallTime now) {
    const auto found = nodes_.find(id);
    if (found != nodes_.end()) return &found->second;
    if (std::cmp_greater_equal(nodes_.size(), options_.nodes_max) || !is_name(id)) {
        ++refused_total_;
        return nullptr;
    }
    Node& node = nodes_[id];
    node.id = id;
    node.garden = garden_unassigned;
    node.first_seen = now;
    node.presence_since = now;
    count_in(node);
    changed(node, true);
    return &node;
}

// R1, R5: a live message is a sign of life.
Node* Fleet::heard(const std::string& id, bool retained, WallTime now) {
    Node* node = known(id, now);
    if (node == nullptr || retained) return node;
    node->last_seen = now;
    set_presence(*node, Presence::Online, now);
    changed(*node, false);
    return node;
}

Device* Fleet::device_of(Node& node, const std::string& name) {
    const auto found = node.devices.find(name);
    if (found != node.devices.end()) return &found->second;
    if (std::cmp_greater_equal(node.devices.size(), options_.devices_per_node_max)) {
        ++refused_total_;
        return nullptr;
    }
    Device& device = node.devices[name];
    device.node = node.id;
    device.device = name;
    Garden& garden = gardens_[node.garden];
    ++garden.devices;
    ++garden.devices_by_state["unknown"];
    changed(node, true);
    return &device;
}

void Fleet::set_presence(Node& node, Presence presence, WallTime now) {
    if (node.presence == presence) return;
    Garden& garden = gardens_[node.garden];
    if (node.presence == Presence::Online) --garden.nodes_online;
    if (presence == Presence::Online) ++garden.nodes_online;
    --presence_counts_[node.presence];
    ++presence_counts_[presence];
    node.presence = presence;
    node.presence_since = now;
    changed(node, true);
}

void Fleet::set_garden(Node& node, const std::string& garden) {
    const std::string name = is_name(garden) ? garden : std::string(garden_unassigned);
    if (garden.empty() || name == node.garden) return;
    count_out(node);
    node.garden = name;
    count_in(node);
    changed(node, true);
}

void Fleet::set_health(Node& node, Device& device, const DeviceHealth& health) {
    std::map<std::string, size_t>& states = gardens_[node.garden].devices_by_state;
    const bool state_changed = !device.health || device.health->state != health.state;
    if (state_changed) --states[std::string(state_of(device))];
    device.health = health;
    if (state_changed) ++states[std::string(state_of(device))];
    changed(node, state_changed);
}

void Fleet::on_hearing(bool hearing, WallTime now) {
    if (hearing && !hearing_) hearing_since_ = now;
    hearing_ = hearing;
}

void Fleet::on_hello(const std::string& id, const Hello& hello, WallTime now) {
    Node* node = heard(id, false, now);
    if (node == nullptr) return;
    set_garden(*node, hello.garden);
    node->agent_version = hello.agent_version;
    node->boot = hello.boot;
    node->clock = hello.clock;
    node->streams = hello.streams;
    node->labels.clear();
    for (const auto& label : hello.labels) {
        if (node->labels.size() < labels_per_node_max) node->labels.insert(label);
    }
    changed(*node, true);
}

void Fleet::on_status(const std::string& id, const Status& status, bool retained, WallTime now) {
    // A will is published by the broker: it is live, and yet no sign of life.
    Node* node = heard(id, retained || !status.online, now);
    if (node == nullptr) return;
    set_garden(*node, status.garden);
    const Presence presence = status.online ? Presence::Online : status.reason == "shutdown" ? Presence::Offline : Presence::Lost;
    // A broker that came back with an old copy says "online" of a node that is known to be gone.
    const bool old_news = retained && status.online && (node->presence == Presence::Lost || node->presence == Presence::Offline);
    if (!old_news) set_presence(*node, presence, now);
    const bool another =
        (!status.agent_version.empty() && node->agent_version != status.agent_version) || (status.boot != 0 && node->boot != status.boot);
    if (!status.agent_version.empty()) node->agent_version = status.agent_version;
    if (status.boot != 0) node->boot = status.boot;
    changed(*node, another);
}

void Fleet::on_health(const std::string& id, const NodeHealth& health, bool retained, WallTime now) {
    Node* node = heard(id, retained, now);
    if (node == nullptr) return;
    node->health = health;
    changed(*node, false);
}

void Fleet::on_device_health(const std::string& id, const DeviceHealth& health, bool retained, WallTime now) {
    Node* node = heard(id, retained, now);
    if (node == nullptr || health.device.empty()) return;
    if (Device* device = device_of(*node, health.device)) set_health(*node, *device, health);
}

Device* Fleet::move_to(Place& place, const SeriesInfo& info, WallTime now) {
    if (place.node == nullptr || place.node->id != info.node) place = {known(info.node, now), nullptr};
    if (place.node == nullptr) return nullptr;
    if (place.device == nullptr || place.device->device != info.device) place.device = device_of(*place.node, info.device);
    return place.device;
}

void Fleet::add_series(Place& place, const SeriesInfo& info) {
    Device* device = move_to(place, info, {});
    if (device == nullptr) return;
    const size_t before = series_.size();
    series_.try_emplace(series_.end(), info.id)->second.info = info;  // new ones have the greatest numbers
    if (series_.size() > before) device->series.push_back(info.id);
    ++version_;
}

// R3. Estimated or not: what came as newest is shown, marked as it came.
void Fleet::read_on(Node& node, Device& device, std::optional<Latest>& last, const Latest& latest, WallTime now) {
    node.readings_total += latest.readings;
    device.readings_total += latest.readings;
    const bool pinned_ahead = last && last->time > now + future_tolerance;
    if (!last || latest.time >= last->time || (pinned_ahead && latest.time <= now + future_tolerance)) last = latest;
    if (latest.time > now + future_tolerance) return;
    if (latest.time > device.last_reading) {
        device.last_reading = latest.time;
        move_on(gardens_[node.garden].last_reading, latest.time);
    }
}

// Of each node's last live batch among these.
void Fleet::note_lag(const std::vector<IncomingBatch>& batches, const CommitResult& committed) {
    std::map<std::string_view, const IncomingBatch*> newest;
    for (size_t i = 0; i < batches.size() && i < committed.outcomes.size(); ++i) {
        if (batches[i].lane != Lane::Backlog && committed.outcomes[i] == Outcome::Stored) newest[batches[i].node] = &batches[i];
    }
    for (const auto& [id, batch] : newest) {
        const auto node = nodes_.find(std::string(id));
        const auto view = open_batch(batch->stream, batch->bytes);
        if (node == nodes_.end() || !view) continue;
        std::optional<WallTime> sealed;
        if (view->header.clock == ClockState::Synced) sealed = view->header.sealed_wall;
        for (const BootOffset& boot : batch->boots ? *batch->boots : std::vector<BootOffset>{}) {
            if (boot.boot_no == view->header.boot_no && boot.state == ClockState::Synced) {
                sealed = WallTime{view->header.sealed_mono.ms + boot.offset_ms};
            }
        }
        if (sealed) node->second.lag_seconds = std::max(0.0, static_cast<double>((batch->received - *sealed).ms) / 1000.0);
    }
}

void Fleet::on_commit(const CommitResult& committed, const std::vector<IncomingBatch>& batches, WallTime now) {
    Node* node = nullptr;
    for (size_t i = 0; i < batches.size(); ++i) {
        if (node == nullptr || node->id != batches[i].node) node = heard(batches[i].node, false, now);
        if (node != nullptr && i < committed.outcomes.size() && committed.outcomes[i] == Outcome::Stored) ++node->batches_total;
    }
    Place place;
    for (const SeriesInfo& info : committed.new_series) add_series(place, info);
    for (const Latest& latest : committed.latest) {
        const auto found = series_.find(latest.series);
        if (found == series_.end()) continue;
        Device* device = move_to(place, found->second.info, now);
        if (device != nullptr) read_on(*place.node, *device, found->second.latest, latest, now);
    }
    for (const GapRecord& gap : committed.gaps) {
        node = gap.gap.reason == GapReason::Released ? nullptr : known(gap.node, now);
        if (node == nullptr) continue;
        node->gaps_total += gap.gap.readings;
        changed(*node, true);
    }
    note_lag(batches, committed);
    ++version_;
}

void Fleet::on_welcomed(const std::string& id, uint64_t epoch) {
    const auto found = nodes_.find(id);
    if (found == nodes_.end() || found->second.welcomed_epoch == epoch) return;
    found->second.welcomed_epoch = epoch;
    changed(found->second, true);
}

// R8
void Fleet::follow_clock(WallTime now, MonoTime mono) {
    const int64_t offset_ms = now.ms - mono.ms;
    const Duration step{offset_ms - clock_offset_ms_.value_or(offset_ms)};
    const Duration since_last = mono - ticked_at_;
    clock_offset_ms_ = offset_ms;
    ticked_at_ = mono;
    if (step < clock_step_least && step > Duration{-clock_step_least.ms}) return;
    // What came since the step has its time by the new clock already: it lies within the time since the last tick.
    const auto moved = [&](WallTime& time) {
        if (time < now - since_last || time > now) time = time + step;
    };
    moved(hearing_since_);
    for (auto& [id, node] : nodes_) {
        if (node.presence != Presence::Online) continue;
        moved(node.last_seen);
        moved(node.presence_since);
        changed(node, false);
    }
}

void Fleet::tick(WallTime now, MonoTime mono) {
    follow_clock(now, mono);
    if (!hearing_) return;
    for (auto& [id, node] : nodes_) {
        if (node.presence != Presence::Online && node.presence != Presence::Unknown) continue;
        WallTime alive = std::max(node.last_seen, hearing_since_);
        if (node.presence == Presence::Online) move_on(alive, node.presence_since);
        if (now - alive > options_.heartbeat_missed) set_presence(node, Presence::Lost, now);
    }
}

}  // namespace basmalin::coordinator
