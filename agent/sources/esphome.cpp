// ESPHome without discovery: <node>/<component>/<object_id>/state, <node>/status. Source: esphome.io, MQTT Client Component.
// R1  The quantity is the object id. Without discovery there is no unit: only the usual ones of well-known names are assumed.
// R2  Sensors and numbers are numbers ("nan" is no value); binary sensors and switches are booleans; text and select are text.
// R3  Valves and covers: true is "not closed"; the position is a quantity of its own, 0-100 %.
// R4  States are retained by default, and a live one comes to an existing subscriber without the mark: Sources' R1 suffices.
// R5  <node>/status is believed when it is exactly online or offline, and the node is not a platform's own prefix.
#include <algorithm>

#include "agent/sources/dialect.h"
#include "agent/sources/names.h"
#include "agent/sources/readings.h"
#include "agent/sources/units.h"
#include "shared/base/ids.h"

namespace basmalin::agent {
namespace {

constexpr std::string_view components[] = {"sensor", "binary_sensor", "switch", "text_sensor", "number",
                                           "select", "text",          "valve",  "cover",       "fan"};

class EspHome final : public Dialect {
  public:
    explicit EspHome(Shared& shared) : shared_(shared) {}

    std::string_view name() const override { return "esphome"; }
    std::vector<std::string> filters() const override {
        std::vector<std::string> all;
        for (const std::string_view component : components) all.push_back("+/" + std::string(component) + "/+/state");
        for (const std::string_view moving : {"valve", "cover"}) all.push_back("+/" + std::string(moving) + "/+/position/state");
        all.push_back("+/status");
        return all;
    }

    std::string device_of(const Message& message) const override { return is_state(message) ? to_label(message.level(0)) : std::string{}; }

    Verdict try_message(const Message& message, SourceOutput& out) override {
        if (message.size() == 2 && message.level(1) == "status") return on_status(message, out);
        if (!is_state(message)) return Verdict::NotMine;
        const std::string device = to_label(message.level(0));
        std::string quantity = slug(message.level(2));
        if (device.empty() || quantity.empty()) return Verdict::NotUnderstood;
        if (message.payload.empty()) return Verdict::Taken;
        Readings readings(message, shared_);
        readings.note(device).seen = true;
        if (message.size() == 5)
            readings.add_number(device, join_names(quantity, "position"), "%", message.payload);
        else
            read(message.level(1), device, quantity, message.payload, readings);
        readings.deliver(out);
        return Verdict::Taken;
    }

  private:
    static bool is_state(const Message& message) {
        const bool known = std::find(std::begin(components), std::end(components), message.level(1)) != std::end(components);
        if (message.size() == 4) return known && message.level(3) == "state";
        return message.size() == 5 && known && message.level(3) == "position" && message.level(4) == "state";
    }

    void read(std::string_view component, const std::string& device, const std::string& quantity, std::string_view payload, Readings& out) {
        const std::string_view text = trimmed(payload);
        if (component == "sensor" || component == "number") return out.add_number(device, quantity, usual_unit(quantity), text);
        if (component == "binary_sensor" || component == "switch" || component == "fan") {
            const auto state = parse_switch(text);
            return state ? out.add(device, quantity, "", *state) : out.not_a_value();
        }
        if (component == "valve" || component == "cover") {
            if (equal_ignoring_case(text, "closed")) return out.add(device, quantity, "", false);
            for (const std::string_view word : {"open", "opening", "closing", "stopped"})
                if (equal_ignoring_case(text, word)) return out.add(device, quantity, "", true);
            return out.not_a_value();
        }
        if (is_no_value(text)) return out.not_a_value();
        out.add(device, quantity, "", std::string(text));
        if (quantity == "esphome_version" || quantity == "version") out.note(device).firmware_version = to_label(text);
    }

    Verdict on_status(const Message& message, SourceOutput& out) {
        const std::string_view node = message.level(0);
        if (node == shared_.options.discovery_prefix || node == shared_.options.zigbee2mqtt_prefix) return Verdict::NotMine;
        if (message.payload != "online" && message.payload != "offline") return Verdict::NotUnderstood;
        DeviceNote note;
        note.device = to_label(node);
        note.available = message.payload == "online";
        note.seen = *note.available;
        out.notes.push_back(std::move(note));
        return Verdict::Taken;
    }

    Shared& shared_;
};

}  // namespace

std::unique_ptr<Dialect> make_esphome(Shared& shared) { return std::make_unique<EspHome>(shared); }

}  // namespace basmalin::agent
