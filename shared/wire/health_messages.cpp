// status, health and device health: the public face for dashboards.
#include <array>
#include <cmath>

#include "shared/base/ids.h"
#include "shared/wire/fields.h"
#include "shared/wire/messages.h"

namespace basmalin {
namespace {

constexpr size_t name_bytes_max = 64;
constexpr size_t version_bytes_max = 64;
constexpr size_t label_bytes_max = 128;
constexpr size_t sentence_bytes_max = 256;
constexpr size_t health_values_max = 128;
constexpr size_t services_max = 64;

void set_number(Json& json, std::string_view key, const std::optional<double>& value) {
    if (value && std::isfinite(*value)) json.set(key, *value);
}

void set_text(Json& json, std::string_view key, std::string_view value, size_t bytes_max) {
    if (!value.empty()) json.set(key, bounded(value, bytes_max));
}

bool may_be_key(const std::string& key) { return !key.empty() && key.size() <= name_bytes_max && is_utf8(key); }

}  // namespace

std::string encode(const Status& status) {
    Json json = Json::object();
    json.set("online", status.online).set("since", json_time(status.since)).set("reason", bounded(status.reason, sentence_bytes_max));
    json.set("agent_version", bounded(status.agent_version, version_bytes_max)).set("boot", to_hex(status.boot));
    return json.set("garden", bounded(status.garden, name_bytes_max)).dump();
}

Result<Status> decode_status(std::string_view text) {
    auto json = parse_message(text, "status");
    if (!json) return pass(json);
    Fields in(*json, "status");
    Status status;
    status.online = in.boolean("online");
    status.since = in.time("since");
    status.reason = in.optional_text("reason", sentence_bytes_max);
    status.agent_version = in.text("agent_version", version_bytes_max);
    status.boot = in.id("boot");
    status.garden = in.optional_text("garden", name_bytes_max);
    if (!status.garden.empty() && !is_name(status.garden)) in.wrong("garden", "1-64 of a-z A-Z 0-9 . _ -");
    if (!in.good()) return in.error();
    return status;
}

std::string_view to_string(DeviceState state) {
    switch (state) {
        case DeviceState::Ok: return "ok";
        case DeviceState::Late: return "late";
        case DeviceState::Silent: return "silent";
        case DeviceState::Fault: return "fault";
    }
    return "unknown";
}

std::string encode(const DeviceHealth& health) {
    Json json = Json::object();
    json.set("device", health.device).set("state", to_string(health.state));
    set_text(json, "reason", health.reason, sentence_bytes_max);
    if (health.last_seen) json.set("last_seen", json_time(*health.last_seen));
    set_number(json, "interval_seconds", health.interval_seconds);
    set_number(json, "battery_percent", health.battery_percent);
    set_number(json, "battery_volts", health.battery_volts);
    set_number(json, "link_quality_percent", health.link_quality_percent);
    set_number(json, "rssi_dbm", health.rssi_dbm);
    set_text(json, "firmware_version", health.firmware_version, label_bytes_max);
    set_text(json, "model", health.model, label_bytes_max);
    set_text(json, "name", health.name, label_bytes_max);
    set_text(json, "dialect", health.dialect, label_bytes_max);
    return json.dump();
}

Result<DeviceHealth> decode_device_health(std::string_view text) {
    auto json = parse_message(text, "device health");
    if (!json) return pass(json);
    Fields in(*json, "device health");
    DeviceHealth health;
    health.device = in.text("device", label_bytes_max);
    if (!is_label(health.device)) in.wrong("device", "1-128 bytes without control characters, '/', '+' and '#'");
    health.state = std::array{DeviceState::Ok, DeviceState::Late, DeviceState::Silent,
                              DeviceState::Fault}[in.choice("state", {"ok", "late", "silent", "fault"})];
    health.reason = in.optional_text("reason", sentence_bytes_max);
    health.last_seen = in.optional_time("last_seen");
    health.interval_seconds = in.optional_number("interval_seconds");
    health.battery_percent = in.optional_number("battery_percent");
    health.battery_volts = in.optional_number("battery_volts");
    health.link_quality_percent = in.optional_number("link_quality_percent");
    health.rssi_dbm = in.optional_number("rssi_dbm");
    health.firmware_version = in.optional_text("firmware_version", label_bytes_max);
    health.model = in.optional_text("model", label_bytes_max);
    health.name = in.optional_text("name", label_bytes_max);
    health.dialect = in.optional_text("dialect", label_bytes_max);
    if (!in.good()) return in.error();
    return health;
}

std::string encode(const NodeHealth& health) {
    Json values = Json::object(), flags = Json::object(), texts = Json::object(), services = Json::array();
    for (const auto& [name, value] : health.values)
        if (may_be_key(name) && values.as_object().size() < health_values_max) set_number(values, name, value);
    for (const auto& [name, value] : health.flags)
        if (may_be_key(name) && flags.as_object().size() < health_values_max) flags.set(name, value);
    for (const auto& [name, value] : health.texts)
        if (may_be_key(name) && texts.as_object().size() < health_values_max) texts.set(name, bounded(value, sentence_bytes_max));
    for (const NodeHealth::Service& service : health.services) {
        if (services.as_array().size() == services_max) break;
        Json one = Json::object();
        one.set("unit", bounded(service.unit, label_bytes_max)).set("state", bounded(service.state, name_bytes_max));
        services.push(std::move(one.set("restarts", service.restarts)));
    }
    Json json = Json::object();
    json.set("time", json_time(health.time)).set("time_trusted", health.time_trusted).set("values", std::move(values));
    json.set("flags", std::move(flags)).set("texts", std::move(texts)).set("services", std::move(services));
    return json.dump();
}

Result<NodeHealth> decode_node_health(std::string_view text) {
    auto json = parse_message(text, "health");
    if (!json) return pass(json);
    Fields in(*json, "health");
    NodeHealth health;
    health.time = in.time("time");
    health.time_trusted = in.boolean("time_trusted");
    for (const auto& [name, value] : in.optional_object("values", health_values_max)) {
        if (!value.is_number()) in.wrong("values", "an object of numbers");
        health.values.emplace(name, value.as_double());
    }
    for (const auto& [name, value] : in.optional_object("flags", health_values_max)) {
        if (!value.is_bool()) in.wrong("flags", "an object of true and false");
        health.flags.emplace(name, value.as_bool());
    }
    for (const auto& [name, value] : in.optional_object("texts", health_values_max)) {
        if (!value.is_string() || value.as_string().size() > sentence_bytes_max)
            in.wrong("texts", "an object of texts of at most 256 bytes");
        health.texts.emplace(name, value.as_string());
    }
    for (const Json& item : in.optional_array("services", services_max)) {
        Fields part(item, "health: \"services\"");
        NodeHealth::Service service;
        service.unit = part.text("unit", label_bytes_max);
        service.state = part.text("state", name_bytes_max);
        service.restarts = part.integer("restarts", 0, INT64_MAX);
        in.absorb(part);
        health.services.push_back(std::move(service));
    }
    if (!in.good()) return in.error();
    return health;
}

}  // namespace basmalin
