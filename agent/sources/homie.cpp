// Homie 5 under homie/5/: $state, $description, and the values of properties. Source: homieiot.github.io, convention v5.0.
// R1  The quantity is <node>_<property>, or the property alone when both have one name; '-' becomes '_'.
// R2  $description gives datatype and unit. Before it is known, numbers and true/false are told by their looks.
// R3  ready is available, disconnected and lost are not, sleeping is sleeping, init says nothing. A child goes with its root's
//     state while that is not ready: only the root has a will.
// R4  $target, $log, $alert and /set are no readings. A payload of one zero byte is an empty text: no value.
// R5  Bounded: devices_max devices, series_per_device_max properties each. An empty $state removes the device.
#include <map>

#include "agent/sources/dialect.h"
#include "agent/sources/names.h"
#include "agent/sources/readings.h"
#include "agent/sources/units.h"
#include "shared/base/ids.h"

namespace basmalin::agent {
namespace {

enum class DataType { Unknown, Number, Boolean, Text };
enum class State { Unknown, Init, Ready, Disconnected, Sleeping, Lost };

DataType data_type(std::string_view name) {
    if (name == "integer" || name == "float") return DataType::Number;
    if (name == "boolean") return DataType::Boolean;
    return DataType::Text;  // enum, string, color, datetime, duration, json
}

std::optional<State> state_of(std::string_view word) {
    if (word == "init") return State::Init;
    if (word == "ready" || word == "alert") return State::Ready;
    if (word == "disconnected") return State::Disconnected;
    if (word == "sleeping") return State::Sleeping;
    if (word == "lost") return State::Lost;
    return std::nullopt;
}

struct Property {
    DataType type = DataType::Unknown;
    std::string unit;
};

struct HomieDevice {
    State state = State::Unknown;
    std::string root;                                         // empty: it is one
    std::map<std::string, Property, std::less<>> properties;  // "node/property"
};

class Homie final : public Dialect {
  public:
    explicit Homie(Shared& shared) : shared_(shared) {}

    std::string_view name() const override { return "homie"; }
    std::vector<std::string> filters() const override { return {"homie/5/+/$state", "homie/5/+/$description", "homie/5/+/+/+"}; }

    Verdict try_message(const Message& message, SourceOutput& out) override {
        if (message.level(0) != "homie" || message.level(1) != "5" || message.size() < 4) return Verdict::NotMine;
        const std::string id = to_label(message.level(2));
        if (id.empty()) return Verdict::NotUnderstood;
        if (message.size() == 4 && message.level(3) == "$state") return on_state(id, message, out);
        if (message.size() == 4 && message.level(3) == "$description") return on_description(id, message, out);
        if (message.size() != 5 || message.level(3).starts_with('$') || message.level(4).starts_with('$')) return Verdict::Taken;  // R4
        return on_value(id, message, out);
    }

  private:
    HomieDevice* device(const std::string& id, SourceOutput& out) {
        const auto known = devices_.find(id);
        if (known != devices_.end()) return &known->second;
        if (devices_.size() >= static_cast<size_t>(shared_.options.devices_max)) {
            if (shared_.once("homie full"))
                out.events.push_back("Homie device " + id + " and later ones not described: sources.devices_max reached");
            return nullptr;
        }
        return &devices_[id];
    }

    Verdict on_state(const std::string& id, const Message& message, SourceOutput& out) {
        if (message.payload.empty()) {
            devices_.erase(id);
            return Verdict::Taken;
        }
        const auto state = state_of(trimmed(message.payload));
        if (!state) return Verdict::NotUnderstood;
        HomieDevice* own = device(id, out);
        if (own == nullptr) return Verdict::Taken;
        own->state = *state;
        // "lost" is the will's word, the others the device's own.
        tell(id, effective(*own), *state != State::Lost, out);
        for (const auto& [child_id, child] : devices_)
            if (child.root == id && child_id != id && child.state != State::Unknown) tell(child_id, effective(child), false, out);
        return Verdict::Taken;
    }

    State effective(const HomieDevice& own) const {
        if (own.root.empty()) return own.state;
        const auto root = devices_.find(own.root);
        if (root == devices_.end() || root->second.state == State::Unknown || root->second.state == State::Ready) return own.state;
        return root->second.state;
    }

    static void tell(const std::string& id, State state, bool seen, SourceOutput& out) {
        DeviceNote note;
        note.device = id;
        note.seen = seen;
        if (state == State::Ready) note.available = true;
        if (state == State::Disconnected || state == State::Lost) note.available = false;
        if (state == State::Sleeping) note.sleeping = true;
        if (state == State::Ready || state == State::Disconnected || state == State::Lost) note.sleeping = false;
        out.notes.push_back(std::move(note));
    }

    Verdict on_description(const std::string& id, const Message& message, SourceOutput& out) {
        if (message.payload.empty()) return Verdict::Taken;
        const auto json = parse_json(message.payload, {.bytes_max = 256 << 10, .depth_max = 16, .values_max = 20'000});
        if (!json || !json->is_object()) {
            if (shared_.once("homie description " + id))
                out.events.push_back("Homie description of " + id + " not understood" + (json ? std::string{} : ": " + json.error().text));
            return Verdict::NotUnderstood;
        }
        HomieDevice* own = device(id, out);
        if (own == nullptr) return Verdict::Taken;
        own->root = to_label((*json)["root"].as_string());
        own->properties.clear();
        for (const auto& [node, description] : (*json)["nodes"].as_object())
            for (const auto& [property, details] : description["properties"].as_object()) {
                if (own->properties.size() >= static_cast<size_t>(shared_.options.series_per_device_max)) break;
                if (node.size() + property.size() > text_bytes_max) continue;
                own->properties[node + '/' + property] = {data_type(details["datatype"].as_string()),
                                                          normal_unit(details["unit"].as_string())};
            }
        DeviceNote note;
        note.device = id;
        note.name = to_label((*json)["name"].as_string());
        note.model = to_label((*json)["type"].as_string());
        out.notes.push_back(std::move(note));
        return Verdict::Taken;
    }

    Verdict on_value(const std::string& id, const Message& message, SourceOutput& out) {
        const std::string node = slug(message.level(3));
        const std::string property = slug(message.level(4));
        if (node.empty() || property.empty()) return Verdict::NotUnderstood;
        if (message.payload.empty()) return Verdict::Taken;
        Property described;
        if (const auto known = devices_.find(id); known != devices_.end()) {
            const auto at = known->second.properties.find(std::string(message.level(3)) + '/' + std::string(message.level(4)));
            if (at != known->second.properties.end()) described = at->second;
        }
        Readings readings(message, shared_);
        readings.note(id).seen = true;
        read(id, join_names(node, property), described, message.payload, readings);
        if (property == "battery" || property == "battery_level")
            if (const auto level = parse_number(message.payload)) observe(readings.note(id), "battery", described.unit, *level);
        readings.deliver(out);
        return Verdict::Taken;
    }

    static void read(const std::string& id, const std::string& quantity, const Property& described, std::string_view payload,
                     Readings& out) {
        if (payload.size() == 1 && payload.front() == '\0') return out.not_a_value();
        switch (described.type) {
            case DataType::Number: return out.add_number(id, quantity, described.unit, payload);
            case DataType::Boolean:
                if (payload == "true" || payload == "false") return out.add(id, quantity, "", payload == "true");
                return out.not_a_value();
            case DataType::Text: return out.add(id, quantity, described.unit, std::string(payload));
            case DataType::Unknown: break;
        }
        if (payload == "true" || payload == "false") return out.add(id, quantity, "", payload == "true");
        out.add_text(id, quantity, "", payload, false);
    }

    Shared& shared_;
    std::map<std::string, HomieDevice> devices_;
};

}  // namespace

std::unique_ptr<Dialect> make_homie(Shared& shared) { return std::make_unique<Homie>(shared); }

}  // namespace basmalin::agent
