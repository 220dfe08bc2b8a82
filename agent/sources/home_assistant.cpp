// Home Assistant discovery: learns which topic carries what (ha_config.h), and reads those topics by their description.
// R1  <prefix>/<component>/[<node>/]<object>/config and <prefix>/device/[<node>/]<id>/config; an empty payload removes.
// R2  A topic that discovery describes is read here and nowhere else. If not one of its templates is understood, it is left to
//     the other dialects.
// R3  Availability is the device's: the modes all, any and latest over every topic that its entities name.
// R4  Entities of a device that want the same quantity are named by ha_names.h, whichever was described first.
// R5  Bounded: devices_max devices, series_per_device_max entities a device, 20,000 entities and 16 MiB of payloads in all, 512
//     channels a topic. What is beyond is refused with an event, once per device.
#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <unordered_map>

#include "agent/sources/dialect.h"
#include "agent/sources/ha_config.h"
#include "agent/sources/ha_names.h"
#include "agent/sources/names.h"
#include "agent/sources/readings.h"
#include "shared/base/ids.h"

namespace basmalin::agent {
namespace {

constexpr size_t entities_max = 20'000;
constexpr size_t config_bytes_max = 16 << 20;  // of all payloads whose description is kept
constexpr size_t channels_per_topic_max = 512;
constexpr size_t availability_per_device_max = 16;

struct Config {  // one discovery topic
    size_t fingerprint = 0;
    bool whole = true;  // nothing of it was refused
    size_t bytes = 0;
    std::string device;
    std::vector<Entity> entities;
};

struct Watched {
    Availability what;
    std::optional<bool> state;
};

struct Known {  // one device
    std::string name;
    std::string model;
    std::string firmware;
    std::set<std::string> configs;  // their topics
    size_t entities = 0;
    AvailabilityMode mode = AvailabilityMode::Latest;
    std::vector<Watched> availability;
    std::optional<bool> latest;
    std::set<std::string> names;  // of its entities
    bool contested = false;       // some are not called by their quantity (R4)
};

struct Reference {
    const std::string* device;  // within configs_, whose nodes do not move
    const Entity* entity;
    const Channel* channel;
};

class HomeAssistant final : public Dialect {
  public:
    HomeAssistant(Shared& shared, OnStateTopic on_state_topic)
        : shared_(shared), on_state_topic_(std::move(on_state_topic)), prefix_(shared.options.discovery_prefix + "/") {}

    std::string_view name() const override { return "home_assistant"; }
    std::vector<std::string> filters() const override { return {prefix_ + "+/+/config", prefix_ + "+/+/+/config"}; }

    Verdict try_message(const Message& message, SourceOutput& out) override {
        if (message.topic.starts_with(prefix_)) {
            const auto verdict = on_prefix(message, out);
            if (verdict != Verdict::NotMine) return verdict;
        }
        const std::string topic(message.topic);
        const auto watched = watching_.find(topic);
        const auto read = by_topic_.find(topic);
        if (watched == watching_.end() && read == by_topic_.end()) return Verdict::NotMine;
        if (watched != watching_.end()) on_availability(message, watched->second, out);
        if (read == by_topic_.end() || message.retained) return Verdict::Taken;
        return on_state(message, read->second, out);
    }

    void ask_again(SourceOutput& out) override {
        for (const auto& [topic, devices] : watching_) out.subscribe.push_back(topic);
        for (const auto& [topic, config] : configs_) {
            for (const Entity& entity : config.entities) {
                for (const Channel& channel : entity.channels) {
                    out.subscribe.push_back(channel.topic);
                    on_state_topic_(channel.topic, config.device);
                }
            }
        }
    }

  private:
    Verdict on_prefix(const Message& message, SourceOutput& out) {
        const Message rest(message.topic.substr(prefix_.size()), message.payload, message.retained, message.now);
        const size_t n = rest.size();
        if (n == 1 && rest.level(0) == "status") return Verdict::Taken;  // Home Assistant's own birth and will
        if ((n != 3 && n != 4) || rest.level(n - 1) != "config") return Verdict::NotMine;
        const std::string topic(message.topic);
        if (trimmed(message.payload).empty()) {
            forget(topic);
            return Verdict::Taken;
        }
        const size_t fingerprint = std::hash<std::string_view>{}(message.payload);
        if (const auto known = configs_.find(topic);
            known != configs_.end() && known->second.fingerprint == fingerprint && known->second.whole)
            return Verdict::Taken;
        auto discovery = read_discovery(rest.level(0), n == 4 ? rest.level(1) : std::string_view{}, rest.level(n - 2), message.payload);
        if (!discovery) {
            if (shared_.once("discovery " + topic))
                out.events.push_back("discovery on " + to_label(message.topic) + " refused: " + discovery.error().message());
            return Verdict::NotUnderstood;
        }
        forget(topic);
        learn(message, fingerprint, std::move(*discovery), out);
        return Verdict::Taken;
    }

    bool is_full(const Discovery& discovery, size_t bytes) const {
        const auto devices_max = static_cast<size_t>(shared_.options.devices_max);
        return (devices_.size() >= devices_max && !devices_.contains(discovery.device)) || configs_.size() >= entities_max ||
               entities_ + discovery.entities.size() > entities_max || bytes_ + bytes > config_bytes_max;
    }

    void learn(const Message& message, size_t fingerprint, Discovery discovery, SourceOutput& out) {
        const std::string topic(message.topic);
        for (const std::string& fault : discovery.faults) {
            ++shared_.templates_refused;
            if (shared_.once("fault " + topic + fault))
                out.events.push_back("discovery of " + discovery.device + ", " + fault + "; not read");
        }
        if (discovery.entities.empty() && discovery.availability.empty()) return;
        if (is_full(discovery, message.payload.size())) {
            if (shared_.once("discovery full"))
                out.events.push_back("discovery of " + discovery.device + " and later devices refused: sources.devices_max reached");
            return;
        }
        Known& device = devices_[discovery.device];
        const auto series_max = static_cast<size_t>(shared_.options.series_per_device_max);
        const bool whole = device.entities + discovery.entities.size() <= series_max;
        if (!whole) {
            if (shared_.once("discovery full " + discovery.device))
                out.events.push_back("discovery of " + discovery.device +
                                     ": more than sources.series_per_device_max entities, the rest refused");
            discovery.entities.resize(series_max - std::min(series_max, device.entities));
        }
        Config& config = configs_[topic];
        config = {fingerprint, whole, message.payload.size(), discovery.device, std::move(discovery.entities)};
        bytes_ += config.bytes;
        device.configs.insert(topic);
        device.entities += config.entities.size();
        entities_ += config.entities.size();
        remember_device(device, discovery, out);
        name_new(device, config);
        for (Entity& entity : config.entities) {
            for (const Channel& channel : entity.channels) {
                auto& references = by_topic_[channel.topic];
                if (references.size() >= channels_per_topic_max) continue;
                references.push_back({&config.device, &entity, &channel});
                out.subscribe.push_back(channel.topic);
                on_state_topic_(channel.topic, config.device);
            }
        }
    }

    void remember_device(Known& device, Discovery& discovery, SourceOutput& out) {
        if (!discovery.name.empty()) device.name = discovery.name;
        if (!discovery.model.empty()) device.model = discovery.model;
        if (!discovery.firmware.empty()) device.firmware = discovery.firmware;
        if (!discovery.availability.empty()) device.mode = discovery.mode;
        for (Availability& one : discovery.availability) {
            const bool there =
                std::any_of(device.availability.begin(), device.availability.end(), [&](const Watched& w) { return w.what == one; });
            if (there || device.availability.size() >= availability_per_device_max) continue;
            watching_[one.topic].insert(discovery.device);
            out.subscribe.push_back(one.topic);
            device.availability.push_back({std::move(one), std::nullopt});
        }
        DeviceNote note;
        note.device = discovery.device;
        note.name = device.name;
        note.model = device.model;
        note.firmware_version = device.firmware;
        out.notes.push_back(std::move(note));
    }

    // R4. Names that nobody wants yet move no others, so that many configs do not name all their device's entities again each.
    void name_new(Known& device, Config& config) {
        bool wanted_twice = false;
        for (Entity& entity : config.entities) {
            entity.name = entity.quantity;
            wanted_twice = !device.names.insert(entity.name).second || wanted_twice;
        }
        if (wanted_twice) name_all(device);
    }

    void name_all(Known& device) {
        std::vector<Described> described;
        for (const std::string& topic : device.configs)
            for (Entity& entity : configs_[topic].entities) described.push_back({topic, &entity});
        name_entities(described);
        device.names.clear();
        device.contested = false;
        for (const Described& one : described) {
            device.names.insert(one.entity->name);
            device.contested = device.contested || one.entity->name != one.entity->quantity;
        }
    }

    void forget(const std::string& topic) {
        const auto at = configs_.find(topic);
        if (at == configs_.end()) return;
        Config& config = at->second;
        for (const Entity& entity : config.entities) {
            for (const Channel& channel : entity.channels) {
                const auto read = by_topic_.find(channel.topic);
                if (read == by_topic_.end()) continue;
                std::erase_if(read->second, [&](const Reference& r) { return r.entity == &entity; });
                if (read->second.empty()) by_topic_.erase(read);
            }
        }
        const auto known = devices_.find(config.device);
        if (known != devices_.end()) {
            Known& device = known->second;
            for (const Entity& entity : config.entities) device.names.erase(entity.name);
            device.entities -= config.entities.size();
            device.configs.erase(topic);
            if (device.configs.empty()) {
                for (const Watched& watched : device.availability) {
                    const auto set = watching_.find(watched.what.topic);
                    if (set == watching_.end()) continue;
                    set->second.erase(config.device);
                    if (set->second.empty()) watching_.erase(set);
                }
                devices_.erase(known);
            } else if (device.contested) {
                name_all(device);
            }
        }
        entities_ -= config.entities.size();
        bytes_ -= config.bytes;
        configs_.erase(at);
    }

    void on_availability(const Message& message, const std::set<std::string>& devices, SourceOutput& out) {
        for (const std::string& id : devices) {
            Known& device = devices_[id];
            bool spoke = false;
            for (Watched& watched : device.availability) {
                if (watched.what.topic != message.topic) continue;
                const auto said = watched.what.value.render(message.payload, message.json());
                if (!said) continue;
                const std::string raw = to_plain_text(*said);
                const std::string_view word = trimmed(raw);
                if (word != watched.what.online && word != watched.what.offline) continue;
                watched.state = word == watched.what.online;
                device.latest = watched.state;
                spoke = true;
            }
            if (!spoke) continue;
            DeviceNote note;
            note.device = id;
            note.available = verdict(device);
            // Alone on its topic, a live "online" is the device's own word; "offline" may be its will.
            note.seen = !message.retained && devices.size() == 1 && device.latest == true;
            if (note.available || note.seen) out.notes.push_back(std::move(note));
        }
    }

    // R3
    static std::optional<bool> verdict(const Known& device) {
        if (device.mode == AvailabilityMode::Latest) return device.latest;
        const bool all = device.mode == AvailabilityMode::All;
        bool unknown = false;
        for (const Watched& watched : device.availability) {
            if (!watched.state)
                unknown = true;
            else if (*watched.state != all)
                return !all;  // one offline decides "all", one online decides "any"
        }
        if (unknown) return std::nullopt;
        return all;
    }

    Verdict on_state(const Message& message, const std::vector<Reference>& references, SourceOutput& out) {
        Readings readings(message, shared_);
        bool said = false;
        for (const Reference& r : references) {
            if (r.channel->kind == ChannelKind::Valve && r.channel->value.whole() && message.json() != nullptr) {
                said = true;
                valve(readings, r, (*message.json())["state"]);
                valve(readings, r, (*message.json())["position"]);
                continue;
            }
            const auto value = r.channel->value.render(message.payload, message.json());
            if (!value) continue;
            said = true;
            if (r.channel->value.whole() && message.json() != nullptr)
                readings.not_a_value();  // a whole JSON payload is no state
            else
                read(readings, r, *value);
        }
        if (!said && message.json() == nullptr) return Verdict::NotUnderstood;
        readings.deliver(out);
        return Verdict::Taken;
    }

    static bool is_one_of(const std::vector<std::string>& words, std::string_view text) {
        return std::any_of(words.begin(), words.end(), [&](const std::string& word) { return equal_ignoring_case(word, text); });
    }

    void read(Readings& out, const Reference& r, const Json& value) {
        const Channel& c = *r.channel;
        const std::string quantity = join_names(r.entity->name, c.suffix);
        const std::string plain = value.is_bool() ? (value.as_bool() ? "True" : "False") : to_plain_text(value);
        const std::string_view text = trimmed(plain);
        switch (c.kind) {
            case ChannelKind::Number: return value.is_bool() ? out.not_a_value() : out.add_number(*r.device, quantity, c.unit, text);
            case ChannelKind::Any:
                if (value.is_bool()) return out.add(*r.device, quantity, "", value.as_bool());
                return out.add_text(*r.device, quantity, c.unit, text, false);
            case ChannelKind::Text:
                if (is_no_value(text)) return out.not_a_value();
                return out.add(*r.device, quantity, c.unit, std::string(text));
            case ChannelKind::Switch:
            case ChannelKind::OpenShut:
                if (is_one_of(c.on, text)) return out.add(*r.device, quantity, "", true);
                if (is_one_of(c.off, text)) return out.add(*r.device, quantity, "", false);
                return out.not_a_value();
            case ChannelKind::Position: return percent(out, r, quantity, text);
            case ChannelKind::Valve: return valve(out, r, value);
        }
    }

    static void percent(Readings& out, const Reference& r, const std::string& quantity, std::string_view text) {
        const auto number = parse_number(text);
        const double range = r.channel->high - r.channel->low;
        if (!number || range == 0) return out.not_a_value();
        out.add(*r.device, quantity, r.channel->unit,
                r.channel->low == 0 && r.channel->high == 100 ? *number : (*number - r.channel->low) * 100 / range);
    }

    static void valve(Readings& out, const Reference& r, const Json& value) {
        if (value.is_null()) return;
        const Channel& c = *r.channel;
        const std::string plain = to_plain_text(value);
        const std::string_view text = trimmed(plain);
        if (is_one_of(c.on, text)) return out.add(*r.device, r.entity->name, "", true);
        if (is_one_of(c.off, text)) return out.add(*r.device, r.entity->name, "", false);
        const auto number = parse_number(text);
        if (!number || c.high == c.low) return out.not_a_value();
        out.add(*r.device, r.entity->name, "", *number != c.low);
        out.add(*r.device, join_names(r.entity->name, "position"), "%", (*number - c.low) * 100 / (c.high - c.low));
    }

    Shared& shared_;
    OnStateTopic on_state_topic_;
    std::string prefix_;
    size_t entities_ = 0;
    size_t bytes_ = 0;
    std::map<std::string, Config> configs_;
    std::map<std::string, Known, std::less<>> devices_;
    std::unordered_map<std::string, std::vector<Reference>> by_topic_;
    std::unordered_map<std::string, std::set<std::string>> watching_;
};

}  // namespace

std::unique_ptr<Dialect> make_home_assistant(Shared& shared, OnStateTopic on_state_topic) {
    return std::make_unique<HomeAssistant>(shared, std::move(on_state_topic));
}

}  // namespace basmalin::agent
