// What a Home Assistant discovery payload describes, as data: which topics carry what of which device.
// Source: home-assistant.io, "MQTT discovery" (single component and device-based), checked against Home Assistant 2024.12.
// R1  Keys may be abbreviated, at every level; the full key wins. '~' at the start or end of any topic is the base topic.
// R2  The device is its first identifier, else its first connection, else the topic's node id, else the object id.
// R3  A quantity is the entity's own id without the device's identifier or the node id before it, an abbreviated word completed
//     by the device class ("site1_bed1_moist" of the device site1 is bed1_moisture). An id no person can read gives way to the
//     name, then to the class. It depends neither on what else the device has nor on its name: it does not change when firmware
//     adds a sensor or a person renames the device.
// R4  Valves and covers: true is "not closed" (open, opening, closing, stopped); a position is a quantity of its own in %.
// R5  Components without readings (button, event, update, camera, tag …) are no error and describe nothing.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/sources/ha_template.h"
#include "shared/base/json.h"
#include "shared/base/result.h"

namespace basmalin::agent {

enum class ChannelKind {
    Number,    // anything else is no value
    Any,       // a number, else a text state
    Text,      // always text
    Switch,    // on or off
    OpenShut,  // R4: on = any of open words, off = closed
    Position,  // between low and high, given as 0-100 %
    Valve,     // a position, an open/shut word, or JSON with both
};

struct Channel {
    std::string topic;
    Template value;
    ChannelKind kind = ChannelKind::Any;
    std::string suffix;  // of the entity's quantity: "position"
    std::string unit;
    std::vector<std::string> on;
    std::vector<std::string> off;
    double low = 0;
    double high = 100;
};

struct Entity {
    std::string key;        // object id or component key: unique within the config topic
    std::string component;  // "sensor"
    std::string quantity;   // R3
    std::string name;       // the quantity as it is called among its device's entities (ha_names.h)
    std::vector<Channel> channels;
};

struct Availability {
    std::string topic;
    Template value;
    std::string online = "online";
    std::string offline = "offline";
    bool operator==(const Availability& other) const { return topic == other.topic && online == other.online && offline == other.offline; }
};

enum class AvailabilityMode { Latest, All, Any };

struct Discovery {
    std::string device;  // a label
    std::string name;
    std::string model;
    std::string firmware;
    AvailabilityMode mode = AvailabilityMode::Latest;
    std::vector<Availability> availability;
    std::vector<Entity> entities;
    std::vector<std::string> faults;  // per entity: a template we do not know, a topic that is none
};

// The levels of the topic between the prefix and "config". `component` is "device" for the device-based form.
Result<Discovery> read_discovery(std::string_view component, std::string_view node_id, std::string_view object_id,
                                 std::string_view payload);

// abbreviations.cpp: the full key, or the key itself.
std::string_view full_key(std::string_view key);         // of an entity, the origin, availability
std::string_view full_device_key(std::string_view key);  // within "device"

}  // namespace basmalin::agent
