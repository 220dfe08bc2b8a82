// Tasmota: tele/<topic>/SENSOR, STATE, LWT, INFO1; stat/<topic>/POWER*, RESULT; tasmota/discovery/<mac>/config. The other usual
// FullTopic (<topic>/tele/…) as well. Source: tasmota.github.io/docs, MQTT, Zigbee and the sensors' pages, Tasmota 14.
// R1  A quantity is <sensor>_<what>, always: "bme280_temperature" stays so when a second sensor appears or one stops answering.
// R2  Units are TempUnit, PressureUnit and SpeedUnit beside the sensors; the rest is known by its key.
// R3  The device's Time is not believed. Constant texts (ids, addresses, start times) are no readings: of texts only ON and OFF.
// R4  A relay is a boolean "power", "power1" …; RESULT and POWER say the same twice: the same state within 2 s counts once.
// R5  ZbReceived, LwReceived, LwDecoded, and objects with a "Device" of their own are devices: named by Name, else by their key.
// R6  Bounded: depth 4, arrays of 16; the devices' budgets are Sources'.
#include <array>
#include <map>

#include "agent/sources/dialect.h"
#include "agent/sources/names.h"
#include "agent/sources/readings.h"
#include "agent/sources/units.h"
#include "shared/base/ids.h"

namespace basmalin::agent {
namespace {

constexpr size_t array_max = 16;
constexpr int depth_max = 4;
constexpr size_t relays_max = 4096;

using Pair = std::pair<std::string_view, std::string_view>;

// Key (as a slug) -> unit, where Tasmota has only one.
constexpr Pair units[] = {
    {"humidity", "%"},
    {"moisture", "%"},
    {"battery", "%"},
    {"battery_percentage", "%"},
    {"illuminance", "lx"},
    {"voltage", "V"},
    {"current", "A"},
    {"power", "W"},
    {"apparent_power", "V.A"},
    {"reactive_power", "var"},
    {"factor", "1"},
    {"frequency", "Hz"},
    {"total", "kW.h"},
    {"today", "kW.h"},
    {"yesterday", "kW.h"},
    {"period", "W.h"},
    {"export_active", "kW.h"},
    {"carbon_dioxide", "[ppm]"},
    {"co2", "[ppm]"},
    {"eco2", "[ppm]"},
    {"tvoc", "[ppb]"},
    {"pm1", "ug/m3"},
    {"pm2_5", "ug/m3"},
    {"pm10", "ug/m3"},
    {"cf1", "ug/m3"},
    {"cf2_5", "ug/m3"},
    {"cf10", "ug/m3"},
    {"distance", "cm"},
    {"weight", "kg"},
    {"battery_voltage", "V"},
    {"conductivity", "uS/cm"},
    {"uv_index", "{UVI}"},
    {"dimmer", "%"},
    {"position", "%"},
    {"vcc", "V"},
    {"rssi", "dBm"},
    {"snr", "dB"},
};
constexpr std::string_view not_readings[] = {
    "Time",           "TempUnit",      "PressureUnit", "SpeedUnit", "FlowUnit",
    "Unit",           "Epoch",         "Id",           "ID",        "Address",
    "TotalStartTime", "Endpoint",      "Group",        "Device",    "Name",
    "ModelId",        "Manufacturer",  "IEEEAddr",     "ShortAddr", "BatteryLastSeenEpoch",
    "LastSeen",       "LastSeenEpoch", "mac",          "Node",      "SwVersion",
};

template <size_t N>
bool contains(const std::string_view (&list)[N], std::string_view word) {
    for (const std::string_view one : list)
        if (one == word) return true;
    return false;
}

struct Siblings {
    std::string temperature = "Cel";
    std::string pressure = "hPa";
    std::string speed;
};

std::string unit_of(std::string_view quantity, const Siblings& siblings) {
    if (quantity == "temperature" || quantity == "dew_point" || quantity == "object_temperature" || quantity == "target_temperature")
        return siblings.temperature;
    if (quantity == "pressure" || quantity == "sea_pressure") return siblings.pressure;
    if (quantity == "speed" || quantity == "speed_max" || quantity == "speed_avg") return siblings.speed;
    for (const auto& [name, unit] : units)
        if (name == quantity) return std::string(unit);
    return {};
}

class Tasmota final : public Dialect {
  public:
    explicit Tasmota(Shared& shared) : shared_(shared) {}

    std::string_view name() const override { return "tasmota"; }
    std::vector<std::string> filters() const override { return {"tele/#", "stat/#", "+/tele/+", "+/stat/+", "tasmota/discovery/+/config"}; }

    std::string device_of(const Message& message) const override { return split(message).device; }

    Verdict try_message(const Message& message, SourceOutput& out) override {
        if (message.level(0) == "tasmota" && message.level(1) == "discovery") return on_discovery(message, out);
        const Address address = split(message);
        if (address.device.empty()) return Verdict::NotMine;
        Readings readings(message, shared_);
        const bool understood = address.tele ? on_tele(message, address, readings) : on_stat(message, address, readings);
        if (!understood) return Verdict::NotUnderstood;
        readings.deliver(out);
        return Verdict::Taken;
    }

  private:
    struct Address {
        std::string device;
        std::string_view what;  // "SENSOR"
        bool tele = false;
    };

    static Address split(const Message& message) {
        const size_t n = message.size();
        if (n < 3) return {};
        Address out;
        std::string_view device;
        const auto is_prefix = [](std::string_view level) { return level == "tele" || level == "stat"; };
        if (is_prefix(message.level(0))) {
            out.tele = message.level(0) == "tele";
            device = message.topic.substr(5, message.topic.size() - 5 - message.level(n - 1).size() - 1);
        } else if (n == 3 && is_prefix(message.level(1))) {
            out.tele = message.level(1) == "tele";
            device = message.level(0);
        } else {
            return {};
        }
        out.what = message.level(n - 1);
        out.device = to_label(device);
        return out;
    }

    bool on_tele(const Message& message, const Address& address, Readings& out) {
        if (address.what == "LWT") {
            const auto present = parse_presence(message.payload);
            if (!present) return false;
            DeviceNote& note = out.note(address.device);
            note.available = *present;
            note.seen = *present;
            return true;
        }
        const bool sensor = address.what == "SENSOR";
        if (!sensor && address.what != "STATE" && address.what != "INFO1")
            return true;  // INFO2, MARGINS, RESULT, UPTIME …: nothing to read
        const Json* json = message.json();
        if (json == nullptr || !json->is_object()) return false;
        if (sensor)
            on_sensor(*json, address, out);
        else if (address.what == "STATE")
            on_state(*json, address, out);
        else
            on_info(*json, address, out);
        return true;
    }

    static void on_info(const Json& json, const Address& address, Readings& out) {
        const Json& info = json.has("Info1") ? json["Info1"] : json;
        DeviceNote& note = out.note(address.device);
        note.seen = true;
        note.firmware_version = to_label(info["Version"].as_string());
        note.model = to_label(info["Module"].as_string());
    }

    void on_state(const Json& json, const Address& address, Readings& out) {
        const std::string& device = address.device;
        out.note(device).seen = true;
        for (const auto& [key, value] : json.as_object()) {
            if (key.starts_with("POWER"))
                relay(key, to_plain_text(value), device, out);
            else if (key == "Vcc" && value.is_number())
                out.add(device, "vcc", "V", value.as_double());
            else if (key == "Dimmer" && value.is_number())
                out.add(device, "dimmer", "%", value.as_double());
        }
        const Json& wifi = json["Wifi"];
        if (wifi["Signal"].is_number()) out.add(device, "wifi_signal", "dBm", wifi["Signal"].as_double());
        if (wifi["RSSI"].is_number()) out.note(device).link_quality_percent = wifi["RSSI"].as_double();
    }

    void on_sensor(const Json& json, const Address& address, Readings& out) {
        Siblings siblings;
        if (json["TempUnit"].is_string()) siblings.temperature = normal_unit(json["TempUnit"].as_string());
        if (json["PressureUnit"].is_string()) siblings.pressure = normal_unit(json["PressureUnit"].as_string());
        if (json["SpeedUnit"].is_string()) siblings.speed = normal_unit(json["SpeedUnit"].as_string());
        out.note(address.device).seen = true;
        for (const auto& [key, value] : json.as_object()) {
            if (key == "ZbReceived" || key == "LwReceived" || key == "LwDecoded") {
                for (const auto& [id, child] : value.as_object())
                    if (child.is_object()) on_child(id, child, siblings, out);
            } else if (value.is_object() && value.has("Device")) {
                on_child(key, value, siblings, out);
            } else {
                walk(address.device, {}, key, value, siblings, 0, out);
            }
        }
    }

    // R5
    static void on_child(const std::string& id, const Json& child, const Siblings& siblings, Readings& out) {
        const std::string& given = child["Name"].as_string();
        const std::string device = to_label(trimmed(given.empty() ? id : given));
        if (device.empty()) return;
        DeviceNote& note = out.note(device);
        note.seen = true;
        note.model = to_label(child["ModelId"].as_string());
        const Json& quality = child["LinkQuality"];
        const Json& rssi = child["RSSI"];
        for (const auto& [key, value] : child.as_object()) {
            if (contains(not_readings, key) || key.find_first_of("!/<&") != std::string::npos) continue;  // raw cluster attributes
            if (key == "Power" && value.is_integer()) {
                if (value.as_int() == 0 || value.as_int() == 1)
                    out.add(device, "power", "", value.as_int() == 1);  // 2 is a toggle, no state
                continue;
            }
            walk(device, {}, key, value, siblings, 0, out);
        }
        if (quality.is_number()) observe(out.note(device), "link_quality", "", quality.as_double());
        if (rssi.is_number()) observe(out.note(device), "rssi", "dBm", rssi.as_double());
        if (child["BatteryPercentage"].is_number()) observe(out.note(device), "battery", "%", child["BatteryPercentage"].as_double());
    }

    static void walk(const std::string& device, const std::string& prefix, const std::string& key, const Json& value,
                     const Siblings& siblings, int depth, Readings& out) {
        if (contains(not_readings, key)) return;
        const std::string own = slug(key);
        const std::string quantity = join_names(prefix, own);
        if (quantity.empty()) return;
        if (value.is_object()) {
            if (depth >= depth_max) return;
            for (const auto& [inner, one] : value.as_object()) walk(device, quantity, inner, one, siblings, depth + 1, out);
        } else if (value.is_array()) {
            for (size_t i = 0; i < value.as_array().size() && i < array_max; ++i)
                if (value.as_array()[i].is_number())
                    out.add(device, quantity + '_' + std::to_string(i + 1), unit_of(own, siblings), value.as_array()[i].as_double());
        } else if (value.is_number()) {
            out.add(device, quantity, unit_of(own, siblings), value.as_double());
        } else if (value.is_bool()) {
            out.add(device, quantity, "", value.as_bool());
        } else if (value.is_null()) {
            out.not_a_value();
        } else if (const auto state = parse_switch(value.as_string())) {
            out.add(device, quantity, "", *state);
        }
    }

    bool on_stat(const Message& message, const Address& address, Readings& out) {
        if (address.what.starts_with("POWER")) {
            if (!is_relay(address.what) || !parse_switch(message.payload)) return false;
            relay(address.what, message.payload, address.device, out);
            return true;
        }
        if (address.what != "RESULT") return true;  // STATUS*, LOGGING …
        const Json* json = message.json();
        if (json == nullptr || !json->is_object()) return false;
        out.note(address.device).seen = true;
        for (const auto& [key, value] : json->as_object())
            if (value.is_string()) relay(key, value.as_string(), address.device, out);
        return true;
    }

    static bool is_relay(std::string_view key) {
        if (!key.starts_with("POWER") || key.size() > 7) return false;
        for (const char c : key.substr(5))
            if (c < '0' || c > '9') return false;
        return true;
    }

    // R4
    void relay(std::string_view key, std::string_view text, const std::string& device, Readings& out) {
        const auto state = parse_switch(text);
        if (!is_relay(key) || !state) return;
        const std::string quantity = slug(key);
        out.note(device).seen = true;
        if (last_.size() > relays_max) last_.clear();
        Last& last = last_[device + '/' + quantity];
        const bool again = last.known && last.state == *state && out.now() - last.at < seconds(2) && last.at <= out.now();
        if (!out.live()) return;
        last = {true, *state, out.now()};
        if (!again) out.add(device, quantity, "", *state);
    }

    Verdict on_discovery(const Message& message, SourceOutput& out) {
        if (message.size() != 4 || message.level(3) != "config") return Verdict::Taken;
        if (message.payload.empty()) return Verdict::Taken;
        const Json* json = message.json();
        if (json == nullptr || !json->is_object()) return Verdict::NotUnderstood;
        DeviceNote note;
        note.device = to_label((*json)["t"].as_string());
        if (note.device.empty()) return Verdict::NotUnderstood;
        note.name = to_label((*json)["dn"].as_string());
        if (note.name.empty() && !(*json)["fn"].as_array().empty()) note.name = to_label((*json)["fn"].as_array().front().as_string());
        note.model = to_label((*json)["md"].as_string());
        note.firmware_version = to_label((*json)["sw"].as_string());
        out.notes.push_back(std::move(note));
        return Verdict::Taken;
    }

    struct Last {
        bool known = false;
        bool state = false;
        MonoTime at;
    };
    Shared& shared_;
    std::map<std::string, Last> last_;
};

}  // namespace

std::unique_ptr<Dialect> make_tasmota(Shared& shared) { return std::make_unique<Tasmota>(shared); }

}  // namespace basmalin::agent
