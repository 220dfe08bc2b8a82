// A node's document: the fleet's own JSON, kept by the store. Read leniently: a field that is missing or wrong is as if it had
// never been said, so that an older or newer coordinator's document restores what both know.
#include <algorithm>

#include "coordinator/fleet/fleet.h"
#include "shared/base/ids.h"

namespace basmalin::coordinator {

namespace {

constexpr JsonLimits document_limits{.bytes_max = 16 << 20, .depth_max = 16, .values_max = 2'000'000};

Json embedded(const std::string& text) {
    auto json = parse_json(text);
    return json ? std::move(*json) : Json();
}

Json streams_json(const std::vector<Hello::Stream>& streams) {
    Json list = Json::array();
    for (const Hello::Stream& stream : streams) {
        Json row = Json::object();
        row.set("stream", to_hex(stream.stream));
        row.set("next_seq", stream.next_seq);
        row.set("oldest_seq", stream.oldest_seq);
        row.set("acked", stream.acked);
        list.push(std::move(row));
    }
    return list;
}

std::vector<Hello::Stream> streams_from(const Json& list) {
    std::vector<Hello::Stream> streams;
    for (const Json& row : list.as_array()) {
        const auto stream = from_hex(row["stream"].as_string());
        if (!stream) continue;
        streams.push_back({.stream = *stream,
                           .next_seq = static_cast<uint64_t>(row["next_seq"].as_int(1)),
                           .oldest_seq = static_cast<uint64_t>(row["oldest_seq"].as_int()),
                           .acked = static_cast<uint64_t>(row["acked"].as_int())});
    }
    return streams;
}

uint64_t id_from(const Json& text) { return from_hex(text.as_string()).value_or(0); }

}  // namespace

std::string to_document(const Node& node) {
    Json out = Json::object();
    out.set("version", 1);
    out.set("garden", node.garden);
    out.set("presence", to_string(node.presence));
    out.set("presence_since_ms", node.presence_since.ms);
    out.set("first_seen_ms", node.first_seen.ms);
    out.set("last_seen_ms", node.last_seen.ms);
    out.set("agent_version", node.agent_version);
    out.set("boot", to_hex(node.boot));
    out.set("boot_no", int64_t{node.clock.boot_no});
    out.set("clock_synced", node.clock.state == ClockState::Synced);
    out.set("clock_offset_ms", node.clock.offset_ms);
    out.set("clock_error_ms", node.clock.error_ms);
    out.set("gaps_total", node.gaps_total);
    out.set("welcomed_epoch", to_hex(node.welcomed_epoch));
    out.set("streams", streams_json(node.streams));
    Json labels = Json::object();
    for (const auto& [key, value] : node.labels) labels.set(key, value);
    out.set("labels", std::move(labels));
    if (node.health) out.set("health", embedded(encode(*node.health)));
    Json::Array devices;  // an array: Json::set looks at every key, a thousand times a thousand
    for (const auto& [name, device] : node.devices) {
        Json row = Json::object();
        row.set("device", name);
        if (device.last_reading.ms != 0) row.set("last_reading_ms", device.last_reading.ms);
        if (device.health) row.set("health", embedded(encode(*device.health)));
        devices.push_back(std::move(row));
    }
    out.set("devices", Json(std::move(devices)));
    return out.dump();
}

Result<Node> from_document(const NodeRecord& record) {
    auto parsed = parse_json(record.document, document_limits);
    if (!parsed) return pass(parsed, "document of node " + record.node);
    const Json& json = *parsed;
    if (!json.is_object()) return fail(Code::Invalid, "document of node " + record.node + ": not an object");
    Node node;
    node.id = record.node;
    node.garden = is_name(json["garden"].as_string()) ? json["garden"].as_string() : std::string(garden_unassigned);
    for (const Presence presence : {Presence::Offline, Presence::Lost}) {
        if (json["presence"].as_string() == to_string(presence)) node.presence = presence;
    }
    node.presence_since = {json["presence_since_ms"].as_int()};
    node.first_seen = {json["first_seen_ms"].as_int()};
    node.last_seen = {json["last_seen_ms"].as_int()};
    node.agent_version = json["agent_version"].as_string();
    node.boot = id_from(json["boot"]);
    node.clock.boot_no = static_cast<uint32_t>(json["boot_no"].as_int());
    node.clock.state = json["clock_synced"].as_bool() ? ClockState::Synced : ClockState::Unsynced;
    node.clock.offset_ms = json["clock_offset_ms"].as_int();
    node.clock.error_ms = json["clock_error_ms"].as_int();
    node.gaps_total = static_cast<uint64_t>(std::max<int64_t>(0, json["gaps_total"].as_int()));
    node.welcomed_epoch = id_from(json["welcomed_epoch"]);
    node.streams = streams_from(json["streams"]);
    for (const auto& [key, value] : json["labels"].as_object()) {
        if (value.is_string() && node.labels.size() < labels_per_node_max) node.labels[key] = value.as_string();
    }
    if (auto health = decode_node_health(json["health"].dump())) node.health = std::move(*health);
    for (const Json& row : json["devices"].as_array()) {
        const std::string& name = row["device"].as_string();
        if (!is_label(name)) continue;
        Device& device = node.devices[name];
        device.node = node.id;
        device.device = name;
        device.last_reading = {row["last_reading_ms"].as_int()};
        if (!row.has("health")) continue;
        if (auto health = decode_device_health(row["health"].dump())) device.health = std::move(*health);
    }
    return node;
}

Result<void> Fleet::restore_node(const NodeRecord& record) {
    auto read = from_document(record);
    if (!read) {
        known(record.node, {});
        return pass(read);
    }
    if (std::cmp_greater_equal(nodes_.size(), options_.nodes_max) || nodes_.contains(record.node) || !is_name(record.node)) {
        ++refused_total_;
        return fail(Code::Full, "document of node " + record.node + ": refused (nodes_max, a repeated or a wrong name)");
    }
    while (std::cmp_greater(read->devices.size(), options_.devices_per_node_max)) {
        read->devices.erase(std::prev(read->devices.end()));
        ++refused_total_;
    }
    Node& node = nodes_[record.node];
    node = std::move(*read);
    count_in(node);
    return {};
}

std::vector<Error> Fleet::restore(const std::vector<NodeRecord>& nodes, const std::vector<SeriesInfo>& series,
                                  const std::vector<Latest>& latest) {
    std::vector<Error> unreadable;
    for (const NodeRecord& record : nodes) {
        if (auto restored = restore_node(record); !restored) unreadable.push_back(std::move(restored.error()));
    }
    Place place;
    for (const SeriesInfo& info : series) add_series(place, info);
    for (const Latest& last : latest) {
        const auto found = series_.find(last.series);
        if (found == series_.end()) continue;
        found->second.latest = last;
        Node& node = nodes_.at(found->second.info.node);
        Device& device = node.devices.at(found->second.info.device);
        device.last_reading = std::max(device.last_reading, last.time);
        Garden& garden = gardens_[node.garden];
        garden.last_reading = std::max(garden.last_reading, device.last_reading);
    }
    unsaved_.clear();
    ++version_;
    return unreadable;
}

std::vector<NodeRecord> Fleet::unsaved() {
    std::vector<NodeRecord> records;
    for (const auto& [id, soon] : unsaved_) {
        if (const Node* found = node(id)) records.push_back({id, to_document(*found)});
    }
    unsaved_.clear();
    return records;
}

// Goes on behind the last node handed out, so that a busy beginning of the alphabet does not starve its end.
std::vector<NodeRecord> Fleet::unsaved(WallTime now, size_t nodes_max) {
    std::vector<NodeRecord> records;
    auto next = unsaved_.upper_bound(save_cursor_);
    const size_t candidates = unsaved_.size();
    for (size_t looked = 0; looked < candidates && records.size() < nodes_max; ++looked) {
        if (next == unsaved_.end()) next = unsaved_.begin();
        Node& node = nodes_.at(next->first);
        const bool clock_stepped = node.saved > now;
        if (!next->second && !clock_stepped && now - node.saved < options_.save_interval) {
            ++next;
            continue;
        }
        node.saved = now;
        save_cursor_ = node.id;
        records.push_back({node.id, to_document(node)});
        next = unsaved_.erase(next);
    }
    return records;
}

void Fleet::save_again(const std::vector<NodeRecord>& records) {
    for (const NodeRecord& record : records) unsaved_[record.node] = true;
}

}  // namespace basmalin::coordinator
