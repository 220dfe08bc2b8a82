// Zigbee2MQTT: <prefix>/<friendly name> {…}, …/availability, bridge/state, bridge/devices, bridge/groups.
// Source: zigbee2mqtt.io, "MQTT topics and messages" and "Exposes", Zigbee2MQTT 1.x and 2.x.
// R1  A friendly name may hold '/': the device's label has '_' for it. Two names that would become one label are told apart by
//     the end of the address of the one with '/', once bridge/devices has been seen.
// R2  bridge/devices gives units, which texts mean on and off, model and firmware. Without it the usual units of the well-known
//     keys are assumed; voltage has none then.
// R3  Null, "" and empty actions say nothing. last_seen, elapsed, update and device are no readings.
// R4  Groups are not devices: their messages repeat what their members say. /set and /get are for others.
// R5  Availability and the bridge's state come as text or as {"state": …}. A bridge that goes offline says nothing of a device.
// R6  Bounded: bridge/devices of 2 MiB, devices_max devices, series_per_device_max properties each, 1,000 groups.
#include <algorithm>
#include <map>
#include <set>

#include "agent/sources/dialect.h"
#include "agent/sources/names.h"
#include "agent/sources/readings.h"
#include "agent/sources/units.h"
#include "shared/base/ids.h"

namespace basmalin::agent {
namespace {

constexpr size_t groups_max = 1000;
constexpr JsonLimits bridge_limits{.bytes_max = 2 << 20, .depth_max = 24, .values_max = 200'000};
constexpr int depth_max = 3;

struct Property {
    std::string unit;
    std::string on;  // of a binary whose values are texts
    std::string off;
};

struct Described {
    std::string label;
    std::map<std::string, Property, std::less<>> properties;
};

class Zigbee2Mqtt final : public Dialect {
  public:
    explicit Zigbee2Mqtt(Shared& shared) : shared_(shared), prefix_(shared.options.zigbee2mqtt_prefix + "/") {}

    std::string_view name() const override { return "zigbee2mqtt"; }
    std::vector<std::string> filters() const override { return {prefix_ + "#"}; }

    std::string device_of(const Message& message) const override {
        if (!message.topic.starts_with(prefix_)) return {};
        const std::string_view name = message.topic.substr(prefix_.size());
        return name.starts_with("bridge/") || name.ends_with("/availability") ? std::string{} : label_of(name);
    }

    Verdict try_message(const Message& message, SourceOutput& out) override {
        if (!message.topic.starts_with(prefix_)) return Verdict::NotMine;
        const std::string_view rest = message.topic.substr(prefix_.size());
        if (rest.empty()) return Verdict::NotMine;
        if (rest.starts_with("bridge/")) return on_bridge(rest.substr(7), message, out);
        if (is_command(rest)) return Verdict::Taken;
        if (groups_.contains(rest)) return Verdict::Taken;
        constexpr std::string_view availability = "/availability";
        if (rest.size() > availability.size() && rest.ends_with(availability))
            return on_availability(rest.substr(0, rest.size() - availability.size()), message, out);
        if (message.payload.empty()) return Verdict::Taken;  // a retained state that is cleared
        return on_device(rest, message, out);
    }

  private:
    static bool is_command(std::string_view rest) {
        for (const std::string_view word : {"/set", "/get"})
            if (rest.ends_with(word) || rest.find(std::string(word) + "/") != std::string_view::npos) return true;
        return false;
    }

    std::string label_of(std::string_view name) const {
        const auto known = devices_.find(name);
        return known != devices_.end() ? known->second.label : to_label(name);
    }

    static std::optional<bool> presence(const Message& message) {
        const Json* json = message.json();
        return parse_presence(json != nullptr ? std::string_view((*json)["state"].as_string()) : message.payload);
    }

    Verdict on_bridge(std::string_view what, const Message& message, SourceOutput& out) {
        if (what == "state") return presence(message) ? Verdict::Taken : Verdict::NotUnderstood;
        if (what != "devices" && what != "groups") return Verdict::Taken;
        const auto list = parse_json(message.payload, bridge_limits);
        if (!list || !list->is_array()) {
            if (shared_.once("zigbee2mqtt bridge"))
                out.events.push_back("zigbee2mqtt bridge/" + std::string(what) + " not understood" +
                                     (list ? std::string{} : ": " + list.error().text));
            return Verdict::NotUnderstood;
        }
        if (what == "groups") {
            groups_.clear();
            for (const Json& group : list->as_array())
                if (groups_.size() < groups_max) groups_.insert(group["friendly_name"].as_string().substr(0, topic_bytes_max));
        } else {
            on_devices(*list, out);
        }
        return Verdict::Taken;
    }

    void on_devices(const Json& list, SourceOutput& out) {
        devices_.clear();
        std::map<std::string, int> wanted;
        for (const Json& device : list.as_array()) ++wanted[to_label(device["friendly_name"].as_string())];
        for (const Json& device : list.as_array()) {
            const std::string& name = device["friendly_name"].as_string();
            if (name.empty() || name.size() > topic_bytes_max || device["type"].as_string() == "Coordinator") continue;
            if (devices_.size() >= static_cast<size_t>(shared_.options.devices_max)) break;
            Described& described = devices_[name];
            described.label = to_label(name);
            const std::string& address = device["ieee_address"].as_string();
            if (described.label != name && wanted[described.label] > 1 && address.size() >= 4)  // R1
                described.label = to_label(described.label + '_' + address.substr(address.size() - 4));
            const Json& definition = device["definition"];
            for (const Json& exposed : definition["exposes"].as_array()) learn(exposed, described, 0);
            DeviceNote note;
            note.device = described.label;
            note.name = to_label(name);
            note.model = to_label(definition["model"].as_string());
            if (note.model.empty()) note.model = to_label(device["model_id"].as_string());
            note.firmware_version = to_label(device["software_build_id"].as_string());
            out.notes.push_back(std::move(note));
        }
    }

    void learn(const Json& exposed, Described& out, int depth) {
        if (depth > depth_max) return;
        for (const Json& feature : exposed["features"].as_array()) learn(feature, out, depth + 1);
        const std::string& key = exposed["property"].as_string();
        if (key.empty() || key.size() > 128 || out.properties.size() >= static_cast<size_t>(shared_.options.series_per_device_max)) return;
        Property& property = out.properties[key];
        property.unit = normal_unit(exposed["unit"].as_string());
        if (exposed["value_on"].is_string()) property.on = exposed["value_on"].as_string().substr(0, text_bytes_max);
        if (exposed["value_off"].is_string()) property.off = exposed["value_off"].as_string().substr(0, text_bytes_max);
    }

    Verdict on_availability(std::string_view name, const Message& message, SourceOutput& out) {
        const auto present = presence(message);
        if (!present) return Verdict::NotUnderstood;
        if (groups_.contains(name)) return Verdict::Taken;
        DeviceNote note;
        note.device = label_of(name);
        note.available = *present;
        out.notes.push_back(std::move(note));
        return Verdict::Taken;
    }

    Verdict on_device(std::string_view name, const Message& message, SourceOutput& out) {
        const Json* json = message.json();
        Readings readings(message, shared_);
        if (json == nullptr) {
            // The "attribute" output: <name>/<key> with a bare value, for devices we know.
            const size_t slash = name.rfind('/');
            const auto known = slash == std::string_view::npos ? devices_.end() : devices_.find(name.substr(0, slash));
            if (known == devices_.end()) return Verdict::NotUnderstood;
            attribute(readings, known->second.label, &known->second, std::string(name.substr(slash + 1)), Json(message.payload), 0, true);
        } else if (!json->is_object()) {
            return Verdict::NotUnderstood;
        } else {
            const auto known = devices_.find(name);
            const Described* described = known == devices_.end() ? nullptr : &known->second;
            const std::string label = described != nullptr ? described->label : to_label(name);
            readings.note(label).seen = true;
            for (const auto& [key, value] : json->as_object()) attribute(readings, label, described, key, value, 0, false);
            about(readings.note(label), *json);
        }
        readings.deliver(out);
        return Verdict::Taken;
    }

    static void about(DeviceNote& note, const Json& json) {
        const std::string version = to_plain_text(json["update"]["installed_version"]);
        if (!version.empty()) note.firmware_version = to_label(version);
        const std::string& build = json["device"]["softwareBuildID"].as_string();
        if (!build.empty()) note.firmware_version = to_label(build);
        const std::string& model = json["device"]["model"].as_string();
        if (!model.empty()) note.model = to_label(model);
        if (const Json& battery = json["battery"]; battery.is_string())  // old converters wrote "100.00"
            if (const auto percent = parse_number(battery.as_string())) observe(note, "battery", "%", *percent);
    }

    void attribute(Readings& out, const std::string& device, const Described* described, const std::string& key, const Json& value,
                   int depth, bool plain) {
        if (depth == 0 && (key == "last_seen" || key == "elapsed" || key == "update" || key == "device")) return;
        if (value.is_null() || value.is_array() || (value.is_string() && value.as_string().empty())) return;  // R3
        const std::string quantity = slug(key);
        if (quantity.empty()) return;
        if (value.is_object()) {
            if (depth >= depth_max) return;
            for (const auto& [inner, one] : value.as_object())
                attribute(out, device, nullptr, quantity + '_' + inner, one, depth + 1, plain);
            return;
        }
        const Property* property = nullptr;
        if (described != nullptr)
            if (const auto at = described->properties.find(key); at != described->properties.end()) property = &at->second;
        if (property != nullptr && value.is_string()) {
            if (!property->on.empty() && value.as_string() == property->on) return out.add(device, quantity, "", true);
            if (!property->off.empty() && value.as_string() == property->off) return out.add(device, quantity, "", false);
        }
        const std::string unit = property != nullptr && !property->unit.empty() ? property->unit : std::string(usual_unit(quantity));
        const bool number_in_text = plain || key == "battery" || (property != nullptr && !property->unit.empty());
        out.add_json(device, quantity, unit, value, number_in_text);
        if (quantity == "voltage" && value.is_number() &&
            (unit == "mV" || (unit.empty() && value.as_double() > 1000 && value.as_double() < 5000)))
            out.note(device).battery_volts = value.as_double() / 1000;
    }

    Shared& shared_;
    std::string prefix_;
    std::map<std::string, Described, std::less<>> devices_;  // by friendly name
    std::set<std::string, std::less<>> groups_;
};

}  // namespace

std::unique_ptr<Dialect> make_zigbee2mqtt(Shared& shared) { return std::make_unique<Zigbee2Mqtt>(shared); }

}  // namespace basmalin::agent
