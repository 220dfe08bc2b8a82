// The settings of [sources].
#include "agent/sources/dialect.h"
#include "agent/sources/topic_filter.h"

namespace basmalin::agent {
namespace {

std::string prefix_fault(const std::string& prefix) {
    if (prefix.empty() || prefix.size() > 128 || prefix.find_first_of("+#") != std::string::npos || prefix.front() == '/' ||
        prefix.back() == '/')
        return "must be a topic without + and #, not beginning or ending with /";
    return {};
}

std::string filter_fault(const std::string& text) {
    return is_filter(text) ? std::string{} : "must be an MQTT filter such as garden/+/soil";
}
std::string device_fault(const std::string& text) {
    Rule probe{.topic = "+/+/+/+/+/+/+/+/+", .device = text, .quantity = {}, .path = {}, .unit = {}};
    return fault_of(probe);
}
std::string quantity_fault(const std::string& text) {
    Rule probe{.topic = "+/+/+/+/+/+/+/+/+", .device = "d", .quantity = text, .path = {}, .unit = {}};
    return fault_of(probe);
}

}  // namespace

void declare(Schema& schema, SourcesOptions& options) {
    schema.section("sources", "What is read from the gateway's own broker.");
    schema.flag("home_assistant", options.home_assistant, "Read Home Assistant discovery and what it describes.");
    schema.text("discovery_prefix", options.discovery_prefix, "Topic prefix of Home Assistant discovery.", prefix_fault);
    schema.flag("zigbee2mqtt", options.zigbee2mqtt, "Read Zigbee2MQTT.");
    schema.text("zigbee2mqtt_prefix", options.zigbee2mqtt_prefix, "Base topic of Zigbee2MQTT.", prefix_fault);
    schema.flag("tasmota", options.tasmota, "Read Tasmota.");
    schema.flag("esphome", options.esphome, "Read ESPHome devices that do not use discovery.");
    schema.flag("homie", options.homie, "Read Homie 5 under homie/5.");
    schema.flag("senml", options.senml, "Read SenML packs (RFC 8428).");
    schema.texts("senml_topics", options.senml_topics, "Filters of the topics that carry SenML.");
    schema.integer("series_per_device_max", options.series_per_device_max, 1, 10'000,
                   "Quantities a device may have; more are refused and told once.");
    schema.integer("devices_max", options.devices_max, 1, 10'000, "Devices this gateway may have; more are refused and told.");
    schema.table<Rule>("sources.rule", options.rules, "Own topics: which part of which payload is which quantity of which device.",
                       [](Schema& row, Rule& rule) {
                           row.text("topic", rule.topic, "MQTT filter; + and # are {1} {2} … below.", filter_fault);
                           row.text("device", rule.device, "The device's name, or {1}.", device_fault);
                           row.text("quantity", rule.quantity, "The quantity's name; empty: everything below path by its own name.",
                                    quantity_fault);
                           row.text("path", rule.path, "Where in a JSON payload: \"sensors.0.temp\"; empty: the whole payload.");
                           row.text("unit", rule.unit, "The unit, such as \"°C\" or \"%\"; of all numbers the rule reads.");
                           row.number("scale", rule.scale, -1e12, 1e12, "value * scale + offset.");
                           row.number("offset", rule.offset, -1e12, 1e12, "value * scale + offset.");
                       });
}

}  // namespace basmalin::agent
