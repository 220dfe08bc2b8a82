// From what devices publish on the gateway's own broker to Samples and notes about devices. Pure: no I/O, time is a parameter.
// Each dialect is one file that implements Dialect; Sources asks them in order and keeps the budgets.
// R1  A retained message is never a new reading; it may teach (discovery, availability, firmware, descriptions).
// R2  Units are normalised to UCUM-style names (units.h); a quantity keeps its unit.
// R3  Booleans and text states are readings too. A number that does not parse (nan, "unavailable", "") is no reading: counted.
// R4  A payload nobody understands is counted, and sampled into the log at most once a minute. Never fatal.
// R5  A device has at most series_per_device_max quantities and the gateway devices_max devices; what is beyond is refused,
//     counted, and told once per device as an Event. Memory is bounded by these budgets, whatever arrives.
// R6  What Home Assistant discovery describes is read by its description, and not a second time by the dialect's own rules.
// Thread: one (the loop's).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "shared/base/clock.h"
#include "shared/config/config.h"
#include "shared/series/codec.h"
#include "shared/series/reading.h"

namespace basmalin::agent {

// What a message tells about a device beside readings.
struct DeviceNote {
    std::string device;
    bool seen = false;                  // a live (not retained) message came from it
    std::optional<bool> available;      // an availability topic spoke (retained ones count)
    std::optional<bool> sleeping;       // Homie: not a failure
    std::optional<double> battery_percent;
    std::optional<double> battery_volts;
    std::optional<double> link_quality_percent;
    std::optional<double> rssi_dbm;
    std::string firmware_version;
    std::string model;
    std::string name;
    std::string dialect;
};

struct SourceOutput {
    std::vector<Sample> samples;
    std::vector<DeviceNote> notes;
    std::vector<std::string> subscribe;  // filters to add now (a discovered state topic)
    std::vector<std::string> events;     // sentences for the operator: budget hit, discovery refused …
    void clear() {
        samples.clear();
        notes.clear();
        subscribe.clear();
        events.clear();
    }
};

// One line of the rule table for raw JSON or plain payloads: [[sources.rule]].
struct Rule {
    std::string topic;     // filter; '+' may be referred to as {1} {2} … in device and quantity
    std::string device;    // "{1}" or a fixed name
    std::string quantity;  // a name, or empty: every number, boolean and text found below `path` by its own name
    std::string path;      // "a.b.0.c" into the JSON payload; empty: the whole payload (plain text or JSON)
    std::string unit;
    double scale = 1;      // value * scale + offset
    double offset = 0;
};

struct SourcesOptions {
    std::string discovery_prefix = "homeassistant";
    std::string zigbee2mqtt_prefix = "zigbee2mqtt";
    bool home_assistant = true;
    bool tasmota = true;
    bool zigbee2mqtt = true;
    bool esphome = true;
    bool homie = true;
    bool senml = true;
    std::vector<std::string> senml_topics = {"senml/#", "+/senml"};
    std::vector<Rule> rules;
    int64_t series_per_device_max = 200;
    int64_t devices_max = 500;
};
void declare(Schema& schema, SourcesOptions& options);

struct SourceCounts {
    uint64_t messages = 0;
    uint64_t retained = 0;          // seen, not counted as readings
    uint64_t samples = 0;
    uint64_t readings = 0;
    uint64_t unknown = 0;           // nobody understood the payload
    uint64_t not_a_value = 0;       // nan, unavailable …
    uint64_t refused_by_budget = 0;
    size_t devices = 0;
    size_t series = 0;
    size_t discovered = 0;          // topics that discovery added
};

class Dialect;

class Sources {
  public:
    static constexpr size_t message_bytes_max = 2 << 20;  // of a payload; what is larger is not understood
    explicit Sources(SourcesOptions options);
    ~Sources();
    // Layouts of earlier runs, the oldest first: what they hold goes on in its unit (R2). They take no room in the budgets.
    void restore(const std::vector<Layout>& known);
    // Other settings. What is known of devices stays, counters go on, and a dialect that reads as before keeps all it learned;
    // filters() and subscriptions() may have changed.
    void set_options(SourcesOptions options);
    // What to subscribe to at the local broker whatever is discovered.
    std::vector<std::string> filters() const;
    // These, and what discovery asked for since.
    std::vector<std::string> subscriptions() const;
    // Adds to `out`; never throws, whatever the bytes.
    void on_message(std::string_view topic, std::string_view payload, bool retained, MonoTime now, SourceOutput& out);
    const SourceCounts& counts() const;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace basmalin::agent
