#include "coordinator/http/documents.h"

#include "shared/base/ids.h"

namespace basmalin::coordinator {
namespace {

template <class T>
Json or_null(const std::optional<T>& value) {
    return value ? Json(*value) : Json();
}

Json or_null(const std::optional<WallTime>& value) { return value ? time_json(*value) : Json(); }

template <class T>
Json map_json(const std::map<std::string, T>& map) {
    Json out = Json::object();
    for (const auto& [key, value] : map) out.set(key, Json(value));
    return out;
}

Json count_json(uint64_t n) { return Json(n); }

Json health_json(const NodeHealth& health) {
    Json services = Json::array();
    for (const NodeHealth::Service& service : health.services) {
        services.push(Json::object().set("unit", service.unit).set("state", service.state).set("restarts", service.restarts));
    }
    Json out = Json::object();
    out.set("time", time_json(health.time)).set("time_trusted", health.time_trusted);
    out.set("values", map_json(health.values)).set("flags", map_json(health.flags)).set("texts", map_json(health.texts));
    out.set("services", std::move(services));
    return out;
}

Json device_health_json(const DeviceHealth& health) {
    Json out = Json::object();
    out.set("state", to_string(health.state)).set("reason", health.reason).set("last_seen", or_null(health.last_seen));
    out.set("interval_seconds", or_null(health.interval_seconds)).set("battery_percent", or_null(health.battery_percent));
    out.set("battery_volts", or_null(health.battery_volts)).set("link_quality_percent", or_null(health.link_quality_percent));
    out.set("rssi_dbm", or_null(health.rssi_dbm)).set("firmware_version", health.firmware_version).set("model", health.model);
    out.set("name", health.name).set("dialect", health.dialect);
    return out;
}

}  // namespace

Json time_json(WallTime time) { return time.ms == 0 ? Json() : Json(to_rfc3339(time)); }

Json value_json(const Value& value) {
    return std::visit([](const auto& v) { return Json(v); }, value);
}

std::string_view to_string(ValueKind kind) {
    switch (kind) {
        case ValueKind::Number: return "number";
        case ValueKind::Boolean: return "boolean";
        case ValueKind::Text: return "text";
    }
    return "number";
}

Json garden_json(const Garden& garden) {
    Json states = Json::object();
    for (const char* state : {"ok", "late", "silent", "fault", "unknown"}) {
        const auto found = garden.devices_by_state.find(state);
        states.set(state, count_json(found == garden.devices_by_state.end() ? 0 : found->second));
    }
    Json out = Json::object();
    out.set("id", garden.id).set("nodes", count_json(garden.nodes)).set("nodes_online", count_json(garden.nodes_online));
    out.set("devices", count_json(garden.devices)).set("devices_by_state", std::move(states));
    out.set("last_reading", time_json(garden.last_reading));
    return out;
}

Json node_json(const Node& node) {
    Json clock = Json::object();
    clock.set("state", to_string(node.clock.state)).set("offset_ms", node.clock.offset_ms).set("error_ms", node.clock.error_ms);
    Json out = Json::object();
    out.set("id", node.id).set("garden", node.garden).set("presence", to_string(node.presence));
    out.set("presence_since", time_json(node.presence_since)).set("first_seen", time_json(node.first_seen));
    out.set("last_seen", time_json(node.last_seen)).set("agent_version", node.agent_version).set("boot", to_hex(node.boot));
    out.set("clock", std::move(clock)).set("labels", map_json(node.labels)).set("devices", count_json(node.devices.size()));
    out.set("readings_total", count_json(node.readings_total)).set("batches_total", count_json(node.batches_total));
    out.set("gaps_total", count_json(node.gaps_total)).set("lag_seconds", or_null(node.lag_seconds));
    out.set("health", node.health ? health_json(*node.health) : Json());
    return out;
}

Json node_detail_json(const Node& node) {
    Json out = node_json(node);
    Json streams = Json::array();
    for (const Hello::Stream& stream : node.streams) {
        Json one = Json::object();
        one.set("stream", to_hex(stream.stream)).set("next_seq", count_json(stream.next_seq));
        one.set("oldest_seq", count_json(stream.oldest_seq)).set("acked", count_json(stream.acked));
        streams.push(std::move(one));
    }
    Json devices = Json::array();
    for (const auto& [id, device] : node.devices) devices.push(device_json(node, device));
    out.set("streams", std::move(streams)).set("device_list", std::move(devices));
    return out;
}

std::string_view device_state(const Device& device) { return device.health ? to_string(device.health->state) : "unknown"; }

Json device_json(const Node& node, const Device& device) {
    Json series = Json::array();
    for (const SeriesId id : device.series) series.push(Json(id));
    Json out = Json::object();
    out.set("node", node.id).set("garden", node.garden).set("device", device.device).set("state", device_state(device));
    out.set("last_reading", time_json(device.last_reading)).set("readings_total", count_json(device.readings_total));
    out.set("series", std::move(series)).set("health", device.health ? device_health_json(*device.health) : Json());
    return out;
}

Json series_json(const Series& series) {
    Json latest;
    if (series.latest) {
        latest.set("time", time_json(series.latest->time)).set("value", value_json(series.latest->value));
        latest.set("estimated", series.latest->estimated);
    }
    Json out = Json::object();
    out.set("id", series.info.id).set("node", series.info.node).set("device", series.info.device).set("quantity", series.info.quantity);
    out.set("unit", series.info.unit).set("kind", to_string(series.info.kind)).set("latest", std::move(latest));
    return out;
}

Json gap_json(const GapRecord& record) {
    const Gap& gap = record.gap;
    Json out = Json::object();
    out.set("node", record.node).set("stream", to_hex(gap.stream)).set("first_seq", count_json(gap.first_seq));
    out.set("last_seq", count_json(gap.last_seq)).set("readings", count_json(gap.readings)).set("exact", gap.exact);
    out.set("reason", to_string(gap.reason)).set("from", time_json(gap.from)).set("to", time_json(gap.to));
    out.set("received", time_json(record.received));
    return out;
}

Json dead_letter_json(const StoreReader::DeadLetter& letter) {
    Json out = Json::object();
    out.set("id", letter.id).set("node", letter.node).set("received", time_json(letter.received)).set("reason", letter.reason);
    out.set("bytes", count_json(letter.bytes));
    return out;
}

Json event_json(const StoreReader::Event& event) {
    Json out = Json::object();
    out.set("id", event.id).set("node", event.node).set("received", time_json(event.received)).set("time", event.time);
    out.set("text", event.text);
    return out;
}

}  // namespace basmalin::coordinator
