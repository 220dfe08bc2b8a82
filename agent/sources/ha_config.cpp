#include "agent/sources/ha_config.h"

#include <algorithm>

#include "agent/sources/dialect.h"
#include "agent/sources/names.h"
#include "agent/sources/readings.h"
#include "agent/sources/topic_filter.h"
#include "agent/sources/units.h"
#include "shared/base/ids.h"

namespace basmalin::agent {
namespace {

constexpr size_t components_max = 500;
constexpr size_t availability_max = 16;

std::string with_base(std::string_view topic, std::string_view base) {
    if (base.empty()) return std::string(topic);
    if (topic.starts_with('~')) return std::string(base) + std::string(topic.substr(1));
    if (topic.ends_with('~')) return std::string(topic.substr(0, topic.size() - 1)) + std::string(base);
    return std::string(topic);
}

Json expand_device(const Json& device) {
    Json out = Json::object();
    for (const bool full : {true, false})
        for (const auto& [key, value] : device.as_object())
            if (const auto name = full_device_key(key); (name == key) == full && !out.has(name)) out.set(name, value);
    return out;
}

// R1. `base` is the enclosing object's, used when this one has none.
Json expand(const Json& object, std::string_view outer_base) {
    const std::string& own = object["~"].as_string();
    const std::string base = own.empty() ? std::string(outer_base) : own;
    Json out = Json::object();
    for (const bool full : {true, false}) {
        for (const auto& [key, value] : object.as_object()) {
            const auto name = full_key(key);
            if ((name == key) != full || out.has(name)) continue;
            if (name == "device") {
                out.set(name, expand_device(value));
            } else if (name == "availability" && value.is_array()) {
                Json list = Json::array();
                for (const Json& one : value.as_array())
                    if (one.is_object() && list.as_array().size() < availability_max) list.push(expand(one, base));
                out.set(name, std::move(list));
            } else if (name.ends_with("topic") && value.is_string()) {
                out.set(name, Json(with_base(value.as_string(), base)));
            } else {
                out.set(name, value);
            }
        }
    }
    return out;
}

// As Python's str() shows it, since that is what Home Assistant compares payloads with.
std::string payload_text(const Json& value, std::string_view otherwise) {
    if (value.is_bool()) return value.as_bool() ? "True" : "False";
    std::string text = to_plain_text(value);
    if (text.size() > text_bytes_max) text.resize(text_bytes_max);
    return text.empty() ? std::string(otherwise) : text;
}

Channel channel(ChannelKind kind, std::string suffix = {}, std::string unit = {}) {
    Channel out;
    out.kind = kind;
    out.suffix = std::move(suffix);
    out.unit = std::move(unit);
    return out;
}

class Reader {
  public:
    Reader(const Json& config, std::string_view component, std::string_view node_id, std::string_view key, Discovery& out)
        : config_(config), node_id_(node_id), out_(out) {
        entity_.component = to_label(component).substr(0, 32);
        entity_.key = to_label(key);
    }

    void read(std::string_view readable_id) {
        name(readable_id);
        channels();
        if (!entity_.channels.empty()) out_.entities.push_back(std::move(entity_));
    }

  private:
    const std::string& text(std::string_view key) const { return config_[key].as_string(); }

    void name(std::string_view id) {
        const std::string& given = text("device_class");
        const std::string cls = slug(given);
        std::string own = slug(id);
        own = without_prefix(own, slug(out_.device));
        own = without_prefix(own, slug(node_id_));
        if (!is_readable(own)) own = without_prefix(slug(text("name")), slug(out_.name));
        if (!is_readable(own)) own = cls;
        if (own.empty()) own = slug(entity_.component);
        // "temp" or "moist" at the end, of a class that says more.
        const size_t last = own.rfind('_');
        const std::string word = last == std::string::npos ? own : own.substr(last + 1);
        if (word.size() >= 3 && cls.size() > word.size() && cls.starts_with(word)) own = own.substr(0, own.size() - word.size()) + cls;
        entity_.quantity = own;
    }

    // Adds the channel if the config has such a topic; false if it has none, or one that cannot be read.
    bool add(std::string_view topic_key, std::string_view template_key, Channel made) {
        const std::string& topic = text(topic_key);
        if (topic.empty()) return false;
        if (!is_filter(topic) || topic.find_first_of("+#") != std::string::npos || topic.size() > topic_bytes_max) {
            fault(std::string(topic_key) + " is no topic that can be read");
            return false;
        }
        auto compiled = Template::compile(text(template_key));
        if (!compiled) {
            fault(compiled.error().text);
            return false;
        }
        made.topic = topic;
        made.value = std::move(*compiled);
        entity_.channels.push_back(std::move(made));
        return true;
    }

    void fault(const std::string& what) {
        out_.faults.push_back(entity_.component + " " + to_label(entity_.key).substr(0, 64) + ": " + what);
    }

    Channel on_off(std::string_view on_key, std::string_view off_key) const {
        Channel c = channel(ChannelKind::Switch);
        c.on = {payload_text(config_[on_key], payload_text(config_["payload_on"], "ON"))};
        c.off = {payload_text(config_[off_key], payload_text(config_["payload_off"], "OFF"))};
        return c;
    }

    Channel open_shut() const {
        Channel c = channel(ChannelKind::OpenShut);
        for (const auto& [key, word] :
             {std::pair{"state_open", "open"}, {"state_opening", "opening"}, {"state_closing", "closing"}, {"state_stopped", "stopped"}})
            c.on.push_back(payload_text(config_[key], word));
        c.off = {payload_text(config_["state_closed"], "closed")};
        return c;
    }

    Channel position() const {
        Channel c = channel(ChannelKind::Position, "position", "%");
        c.low = config_["position_closed"].as_double(0);
        c.high = config_["position_open"].as_double(100);
        return c;
    }

    void sensor() {
        Channel c;
        c.unit = normal_unit(text("unit_of_measurement"));
        const std::string& cls = text("device_class");
        if (!c.unit.empty() || config_.has("state_class"))
            c.kind = ChannelKind::Number;
        else if (cls == "enum" || cls == "timestamp" || cls == "date" || cls == "uptime")
            c.kind = ChannelKind::Text;
        add("state_topic", "value_template", std::move(c));
    }

    void climate() {
        const std::string unit = text("temperature_unit") == "F" ? "[degF]" : "Cel";
        add("current_temperature_topic", "current_temperature_template", channel(ChannelKind::Number, "temperature", unit));
        add("temperature_state_topic", "temperature_state_template", channel(ChannelKind::Number, "target_temperature", unit));
        add("mode_state_topic", "mode_state_template", channel(ChannelKind::Text, "mode"));
    }

    void light() {
        Channel state = on_off("state_on", "state_off");
        const std::string schema = text("schema");
        if (schema == "json") {
            const std::string& topic = text("state_topic");
            auto value = Template::compile("{{ value_json.state }}");
            if (topic.empty() || !is_filter(topic) || topic.find_first_of("+#") != std::string::npos || !value) return;
            state.topic = topic;
            state.value = std::move(*value);
            entity_.channels.push_back(std::move(state));
            return;
        }
        if (schema == "template") {
            fault("a light with template schema");
            return;
        }
        add("state_topic", "state_value_template", std::move(state));
        const double scale = config_["brightness_scale"].as_double(255);
        Channel brightness = channel(ChannelKind::Position, "brightness", "%");
        brightness.high = scale > 0 ? scale : 255;
        add("brightness_state_topic", "brightness_value_template", std::move(brightness));
    }

    void channels() {
        const std::string& kind = entity_.component;
        if (kind == "sensor") {
            sensor();
        } else if (kind == "binary_sensor") {
            add("state_topic", "value_template", on_off("payload_on", "payload_off"));
        } else if (kind == "switch" || kind == "siren") {
            add("state_topic", kind == "siren" ? "state_value_template" : "value_template", on_off("state_on", "state_off"));
        } else if (kind == "number") {
            add("state_topic", "value_template", channel(ChannelKind::Number, {}, normal_unit(text("unit_of_measurement"))));
        } else if (kind == "select" || kind == "text" || kind == "lock") {
            add("state_topic", "value_template", channel(ChannelKind::Text));
        } else if (kind == "valve") {
            Channel c = config_["reports_position"].as_bool() ? position() : open_shut();
            const Channel words = open_shut();
            c.kind = ChannelKind::Valve;
            c.suffix.clear();
            c.unit.clear();
            c.on = words.on;
            c.off = words.off;
            add("state_topic", "value_template", std::move(c));
        } else if (kind == "cover") {
            add("state_topic", "value_template", open_shut());
            add("position_topic", "position_template", position());
        } else if (kind == "fan" || kind == "humidifier") {
            add("state_topic", "state_value_template", on_off("state_on", "state_off"));
            Channel percent = channel(ChannelKind::Position, "percentage", "%");
            percent.high = config_["speed_range_max"].as_double(100);
            add("percentage_state_topic", "percentage_value_template", std::move(percent));
        } else if (kind == "light") {
            light();
        } else if (kind == "climate") {
            climate();
        }
    }

    const Json& config_;
    std::string_view node_id_;
    Discovery& out_;
    Entity entity_;
};

void read_availability(const Json& config, Discovery& out) {
    const auto add = [&](const Json& from, std::string_view topic_key, std::string_view template_key) {
        Availability one;
        one.topic = from[topic_key].as_string();
        if (out.availability.size() >= availability_max || !is_filter(one.topic) || one.topic.find_first_of("+#") != std::string::npos)
            return;
        auto compiled = Template::compile(from[template_key].as_string());
        if (!compiled) {
            out.faults.push_back("availability: " + compiled.error().text);
            return;
        }
        one.value = std::move(*compiled);
        one.online = payload_text(from["payload_available"], "online");
        one.offline = payload_text(from["payload_not_available"], "offline");
        if (std::find(out.availability.begin(), out.availability.end(), one) == out.availability.end())
            out.availability.push_back(std::move(one));
    };
    if (config.has("availability_topic")) add(config, "availability_topic", "availability_template");
    for (const Json& one : config["availability"].as_array()) add(one, "topic", "value_template");
    const std::string& mode = config["availability_mode"].as_string();
    if (mode == "all") out.mode = AvailabilityMode::All;
    if (mode == "any") out.mode = AvailabilityMode::Any;
}

void read_device(const Json& device, std::string_view fallback, Discovery& out) {
    const Json& ids = device["identifiers"];
    std::string id = to_plain_text(ids);
    if (id.empty() && !ids.as_array().empty()) id = to_plain_text(ids.as_array().front());
    if (id.empty() && !device["connections"].as_array().empty()) {
        const Json& first = device["connections"].as_array().front();
        if (first.as_array().size() == 2) id = to_plain_text(first.as_array()[1]);
    }
    if (id.empty()) id = fallback;
    out.device = to_label(trimmed(id));
    out.name = to_label(device["name"].as_string());
    out.model = to_label(device["model"].as_string());
    out.firmware = to_label(to_plain_text(device["sw_version"]));
}

}  // namespace

Result<Discovery> read_discovery(std::string_view component, std::string_view node_id, std::string_view object_id,
                                 std::string_view payload) {
    auto parsed = parse_json(payload, {.bytes_max = 64 << 10, .depth_max = 16, .values_max = 20'000});
    if (!parsed) return pass(parsed);
    if (!parsed->is_object()) return fail(Code::Invalid, "not an object");
    const std::string& base = (*parsed)["~"].as_string();
    Json config = expand(*parsed, {});
    Discovery out;
    read_device(config["device"], node_id.empty() ? object_id : node_id, out);
    if (out.device.empty()) return fail(Code::Invalid, "no name for its device", "give device.identifiers");
    read_availability(config, out);
    if (component != "device") {
        Reader(config, component, node_id, object_id, out).read(object_id);
        return out;
    }
    const Json& components = config["components"];
    if (components.as_object().size() > components_max) return fail(Code::Full, "more than 500 components");
    for (const auto& [key, described] : components.as_object()) {
        Json one = expand(described, base);
        const std::string platform = one["platform"].as_string();
        if (platform.empty() || one.as_object().size() == 1) continue;  // the platform alone removes the component
        // What the device says once holds for every component that does not say it itself.
        if (!one.has("state_topic") && config.has("state_topic")) one.set("state_topic", config["state_topic"]);
        if (one.has("availability") || one.has("availability_topic")) read_availability(one, out);
        Reader(one, platform, object_id, key, out).read(key);
    }
    return out;
}

}  // namespace basmalin::agent
