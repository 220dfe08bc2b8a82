// Asks the dialects in order, and keeps what must hold whatever they say: retained is no reading, names are labels, a quantity
// keeps its unit, the budgets. The rules R1-R6 are the header's; further:
// R7  Order: the operator's rules, discovery, Zigbee2MQTT, Tasmota, Homie, ESPHome, SenML. The first that takes a message ends it.
// R8  A quantity keeps the unit it began with, also over restarts and other settings: another one of its kind is converted, one
//     of another kind is a series of its own (and counts as one).
// R9  A device that discovery describes has one name: what a dialect says of the same device goes by discovery's name.
// R10 A broker may deliver a message once per matching filter (Mosquitto 2.0.11 does): the same message again, at once, on a
//     topic that several of our filters match, is not read again.
// R11 A note that only describes (name, model, firmware) waits until the device speaks: descriptions outlive devices.
// R12 An alarm (water leak, smoke, tamper …) is the moment it becomes true, not each time it is repeated.
#include "agent/sources/sources.h"

#include <algorithm>
#include <exception>
#include <map>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "agent/sources/dialect.h"
#include "agent/sources/topic_filter.h"
#include "agent/sources/units.h"
#include "shared/base/ids.h"
#include "shared/base/log.h"

namespace basmalin::agent {
namespace {

constexpr size_t subscriptions_max = 20'000;
constexpr size_t aliases_max = 20'000;
constexpr std::string_view alarms[] = {"water_leak", "leak", "smoke", "gas", "carbon_monoxide", "tamper", "sos", "flood"};

struct Series {
    std::string unit;
    uint64_t sample = 0;  // the last one it was in: a quantity comes once per sample
    bool alarming = false;
};

struct Device {
    std::unordered_map<std::string, Series> series;
    size_t series_count = 0;  // with those that a change of unit began (R8)
};

bool describes_only(const DeviceNote& note) {
    return !note.seen && !note.available && !note.sleeping && !note.battery_percent && !note.battery_volts && !note.link_quality_percent &&
           !note.rssi_dbm;
}
bool is_empty(const DeviceNote& note) {
    return describes_only(note) && note.firmware_version.empty() && note.model.empty() && note.name.empty();
}

}  // namespace

struct Sources::Impl {
    explicit Impl(SourcesOptions given) : options(std::move(given)), shared(options) { make_dialects(options); }

    void set_options(SourcesOptions given) {
        const SourcesOptions before = std::exchange(options, std::move(given));
        make_dialects(before);
        // Aliases and topics, as if all that was discovered came now: topics may be heard anyway, or not any more.
        aliases.clear();
        announced.clear();
        counts.discovered = 0;
        SourceOutput asked;
        for (const auto& dialect : dialects) dialect->ask_again(asked);
        SourceOutput granted;
        for (std::string& topic : asked.subscribe) subscribe(std::move(topic), granted);
        shared.told.clear();  // a budget that is met again is told again
    }

    // R7. A dialect that reads as it did `before` is kept. The rules know nothing that is worth keeping.
    void make_dialects(const SourcesOptions& before) {
        std::vector<std::unique_ptr<Dialect>> old = std::exchange(dialects, {});
        const auto add = [&](std::string_view name, bool wanted, bool as_before, const auto& make) {
            if (!wanted) return;
            const auto kept = std::find_if(old.begin(), old.end(), [&](const auto& one) { return one && one->name() == name; });
            dialects.push_back(as_before && kept != old.end() ? std::move(*kept) : make(shared));
        };
        dialects.push_back(make_rules(shared));
        add("home_assistant", options.home_assistant, options.discovery_prefix == before.discovery_prefix, [this](Shared& with) {
            return make_home_assistant(with, [this](std::string_view topic, const std::string& device) { learn_alias(topic, device); });
        });
        add("zigbee2mqtt", options.zigbee2mqtt, options.zigbee2mqtt_prefix == before.zigbee2mqtt_prefix, make_zigbee2mqtt);
        add("tasmota", options.tasmota, true, make_tasmota);
        add("homie", options.homie, true, make_homie);
        add("esphome", options.esphome, true, make_esphome);
        add("senml", options.senml, true, make_senml);
        // Discovery first: its retained descriptions then come before what they describe.
        std::vector<std::string> all;
        for (const auto& dialect : dialects)
            if (dialect->name() == "home_assistant") all = dialect->filters();
        for (const auto& dialect : dialects)
            for (std::string& filter : dialect->filters())
                if (is_filter(filter)) all.push_back(std::move(filter));
        filters = without_contained(all);
    }

    // R8, by the rules that keep() follows with readings.
    void restore(const std::vector<Layout>& known) {
        for (const Layout& layout : known) {
            for (const Column& column : layout.columns) {
                const auto [at, fresh] = earlier_units.try_emplace(layout.device + '\n' + column.quantity, column.unit);
                const bool same_kind = column.kind != ValueKind::Number || column.unit.empty() || convert(1, column.unit, at->second);
                if (!fresh && !same_kind) at->second = column.unit;
            }
        }
    }

    void on_message(const Message& message, SourceOutput& out) {
        if (message.levels.empty() || message.topic.size() > topic_bytes_max || message.payload.size() > message_bytes_max)
            return unknown(message);
        for (const auto& dialect : dialects) {
            scratch.clear();
            const Verdict verdict = dialect->try_message(message, scratch);
            for (std::string& event : scratch.events) out.events.push_back(std::move(event));
            if (verdict != Verdict::Taken) continue;
            accept(*dialect, message, out);
            return;
        }
        if (!message.retained) unknown(message);
    }

    // R4
    void unknown(const Message& message) {
        ++counts.unknown;
        if (!unknown_gate.open(message.now)) return;
        log::info("payload not understood", {{"topic", to_label(message.topic.substr(0, 100))},
                                             {"bytes", static_cast<uint64_t>(message.payload.size())},
                                             {"suppressed", unknown_gate.suppressed()}});
    }

    // R10
    bool is_repeat(const Message& message) {
        const bool same = message.topic == last_topic && message.retained == last_retained && message.payload == last_payload &&
                          message.now - last_at < seconds(2);
        if (same && repeats_left > 0) {
            --repeats_left;
            return true;
        }
        last_topic = message.topic;
        last_payload = message.payload.substr(0, std::min<size_t>(message.payload.size(), message_bytes_max));
        last_retained = message.retained;
        last_at = message.now;
        const auto matching =
            std::count_if(filters.begin(), filters.end(), [&](const std::string& filter) { return filter_matches(filter, message.topic); });
        repeats_left = matching > 1 ? static_cast<size_t>(matching) - 1 : 0;
        return false;
    }

    void learn_alias(std::string_view topic, const std::string& device) {
        const Message probe(topic, {}, false, {});
        for (const auto& dialect : dialects) {
            if (dialect->name() == "home_assistant") continue;
            const std::string own = dialect->device_of(probe);
            if (own.empty() || aliases.size() >= aliases_max) continue;
            const auto [at, fresh] = aliases.try_emplace(std::string(dialect->name()) + '\n' + own, device);
            if (!fresh && at->second != device) at->second.clear();  // two described devices behind one name: neither is it
        }
    }

    void rename(const Dialect& dialect, std::string& device) const {
        const auto at = aliases.find(std::string(dialect.name()) + '\n' + device);
        if (at != aliases.end() && !at->second.empty()) device = at->second;
    }

    void accept(const Dialect& dialect, const Message& message, SourceOutput& out) {
        for (std::string& topic : scratch.subscribe) subscribe(std::move(topic), out);
        if (message.retained) {  // R1
            scratch.samples.clear();
            for (DeviceNote& note : scratch.notes) {
                note.seen = false;
                note.battery_percent = note.battery_volts = note.link_quality_percent = note.rssi_dbm = std::nullopt;
            }
        }
        std::set<std::string> spoke;
        for (Sample& sample : scratch.samples) {
            rename(dialect, sample.device);
            spoke.insert(sample.device);
            keep(std::move(sample), message, out);
        }
        for (DeviceNote& note : scratch.notes) {
            rename(dialect, note.device);
            if (spoke.erase(note.device) > 0) note.seen = true;
            note.dialect = dialect.name();
            keep(std::move(note), message, out);
        }
        for (const std::string& device : spoke) {
            DeviceNote note;
            note.device = device;
            note.seen = true;
            note.dialect = dialect.name();
            keep(std::move(note), message, out);
        }
    }

    void subscribe(std::string topic, SourceOutput& out) {
        if (!is_filter(topic) || announced.contains(topic)) return;
        for (const std::string& filter : filters)
            if (filter_matches(filter, topic)) return;
        if (announced.size() >= subscriptions_max) {
            if (shared.once("subscriptions full"))
                out.events.push_back("no more than 20,000 discovered topics are subscribed; restart the agent to forget old ones");
            return;
        }
        announced.insert(topic);
        counts.discovered = announced.size();
        out.subscribe.push_back(std::move(topic));
    }

    // The device, if it is known or there is room for it (R5).
    Device* device(const std::string& name, const Message& message, SourceOutput& out) {
        if (const auto known = devices.find(name); known != devices.end()) return &known->second;
        if (!is_label(name)) return nullptr;
        if (devices.size() >= static_cast<size_t>(options.devices_max)) {
            if (devices_gate.open(message.now))
                out.events.push_back("device " + name + " refused: sources.devices_max (" + std::to_string(options.devices_max) +
                                     ") reached; raise it");
            return nullptr;
        }
        counts.devices = devices.size() + 1;
        if (const auto waiting = descriptions.find(name); waiting != descriptions.end()) {
            out.notes.push_back(std::move(waiting->second));
            descriptions.erase(waiting);
        }
        return &devices[name];
    }

    void keep(Sample sample, const Message& message, SourceOutput& out) {
        Device* own = device(sample.device, message, out);
        if (own == nullptr) {
            counts.refused_by_budget += sample.measurements.size();
            return;
        }
        ++sample_number;
        std::erase_if(sample.measurements, [&](Measurement& m) { return !keep(*own, sample, m, out); });
        if (sample.measurements.empty()) return;
        ++counts.samples;
        counts.readings += sample.measurements.size();
        out.samples.push_back(std::move(sample));
    }

    bool keep(Device& own, Sample& sample, Measurement& m, SourceOutput& out) {
        if (!is_label(m.quantity)) m.quantity = to_label(m.quantity);
        if (m.quantity.empty()) return false;
        auto at = own.series.find(m.quantity);
        const bool fresh = at == own.series.end();
        bool unit_changed = false;
        if (!fresh) {
            Series& series = at->second;
            if (series.sample == sample_number) return false;
            unit_changed = !adapt(series, m);
        }
        if (fresh || unit_changed) {
            if (own.series_count >= static_cast<size_t>(options.series_per_device_max)) {
                ++counts.refused_by_budget;
                if (shared.once("series full " + sample.device))
                    out.events.push_back("device " + sample.device + " has more than " + std::to_string(options.series_per_device_max) +
                                         " quantities, " + m.quantity + " and later ones refused; raise sources.series_per_device_max");
                return false;
            }
            ++own.series_count;
            ++counts.series;
            if (fresh) {
                at = own.series.try_emplace(m.quantity).first;
                at->second.unit = earlier_unit(sample.device, m);
                unit_changed = !adapt(at->second, m);
            }
            if (unit_changed) at->second.unit = m.unit;
        }
        at->second.sample = sample_number;
        const auto* state = std::get_if<bool>(&m.value);
        const bool alarming = state != nullptr && *state && std::find(std::begin(alarms), std::end(alarms), m.quantity) != std::end(alarms);
        if (alarming && !at->second.alarming) sample.alarm = true;
        at->second.alarming = alarming;
        return true;
    }

    // Of a series of an earlier run: the one it began with. Asked once; from then on the series knows.
    std::string earlier_unit(const std::string& device, const Measurement& m) {
        const auto earlier = earlier_units.extract(device + '\n' + m.quantity);
        return earlier.empty() ? m.unit : earlier.mapped();
    }

    // R8: brings the measurement to the series' unit; false if that cannot be.
    static bool adapt(Series& series, Measurement& m) {
        if (m.unit == series.unit) return true;
        auto* number = std::get_if<double>(&m.value);
        if (m.unit.empty() || number == nullptr) {
            m.unit = series.unit;
            return true;
        }
        const auto converted = convert(*number, m.unit, series.unit);
        if (!converted) return false;
        *number = *converted;
        m.unit = series.unit;
        return true;
    }

    void keep(DeviceNote note, const Message& message, SourceOutput& out) {
        if (is_empty(note)) return;
        if (describes_only(note) && !devices.contains(note.device)) {  // R11
            if (!is_label(note.device) ||
                (descriptions.size() >= static_cast<size_t>(options.devices_max) && !descriptions.contains(note.device)))
                return;
            descriptions[note.device] = std::move(note);
            return;
        }
        if (device(note.device, message, out) != nullptr) out.notes.push_back(std::move(note));
    }

    SourcesOptions options;
    Shared shared;
    std::vector<std::unique_ptr<Dialect>> dialects;
    std::vector<std::string> filters;
    std::unordered_set<std::string> announced;
    std::unordered_map<std::string, Device> devices;
    std::unordered_map<std::string, std::string> earlier_units;  // "device\nquantity" of earlier runs, not heard yet
    std::unordered_map<std::string, DeviceNote> descriptions;
    std::unordered_map<std::string, std::string> aliases;  // "dialect\nits name" -> discovery's name; empty: ambiguous
    SourceOutput scratch;
    SourceCounts counts;
    uint64_t sample_number = 0;
    log::Gate unknown_gate{minutes(1)};
    log::Gate devices_gate{hours(1)};
    std::string last_topic;
    std::string last_payload;
    bool last_retained = false;
    MonoTime last_at;
    size_t repeats_left = 0;
};

Sources::Sources(SourcesOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}
Sources::~Sources() = default;

void Sources::restore(const std::vector<Layout>& known) { impl_->restore(known); }
void Sources::set_options(SourcesOptions options) { impl_->set_options(std::move(options)); }

std::vector<std::string> Sources::filters() const { return impl_->filters; }

std::vector<std::string> Sources::subscriptions() const {
    std::vector<std::string> all = impl_->filters;
    all.insert(all.end(), impl_->announced.begin(), impl_->announced.end());
    return all;
}

const SourceCounts& Sources::counts() const { return impl_->counts; }

void Sources::on_message(std::string_view topic, std::string_view payload, bool retained, MonoTime now, SourceOutput& out) {
    ++impl_->counts.messages;
    if (retained) ++impl_->counts.retained;
    // No dialect throws by design; memory can still run out, and a message is not worth the agent.
    try {
        const Message message(topic, payload, retained, now);
        if (!impl_->is_repeat(message)) impl_->on_message(message, out);
    } catch (const std::exception&) {
        ++impl_->counts.unknown;
    }
    impl_->counts.not_a_value = impl_->shared.not_a_value;
}

}  // namespace basmalin::agent
