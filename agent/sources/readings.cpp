#include "agent/sources/readings.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "agent/sources/names.h"
#include "agent/sources/units.h"
#include "shared/base/ids.h"

namespace basmalin::agent {

Message::Message(std::string_view topic_, std::string_view payload_, bool retained_, MonoTime now_)
    : topic(topic_), payload(payload_), retained(retained_), now(now_) {
    std::string_view rest = topic;
    for (;;) {
        const size_t slash = rest.find('/');
        levels.push_back(rest.substr(0, slash));
        if (slash == std::string_view::npos) return;
        rest.remove_prefix(slash + 1);
        if (levels.size() == topic_levels_max) {
            levels.clear();
            return;
        }
    }
}

const Json* Message::json() const {
    if (!parsed_) {
        parsed_ = true;
        const std::string_view text = trimmed(payload);
        if (!text.empty() && (text.front() == '{' || text.front() == '[')) {
            auto read = parse_json(text, {.bytes_max = 64 << 10, .depth_max = 16, .values_max = 2000});
            if (read) json_ = std::move(*read);
        }
    }
    return json_ ? &*json_ : nullptr;
}

std::optional<double> parse_number(std::string_view text) {
    text = trimmed(text);
    if (text.size() > 64) return std::nullopt;
    if (!text.empty() && text.front() == '+') {
        text.remove_prefix(1);
        if (!text.empty() && text.front() == '-') return std::nullopt;
    }
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
    return value;
}

std::optional<bool> parse_switch(std::string_view text) {
    text = trimmed(text);
    for (const std::string_view word : {"on", "true", "yes"})
        if (equal_ignoring_case(text, word)) return true;
    for (const std::string_view word : {"off", "false", "no"})
        if (equal_ignoring_case(text, word)) return false;
    return std::nullopt;
}

std::optional<bool> parse_presence(std::string_view text) {
    text = trimmed(text);
    if (equal_ignoring_case(text, "online")) return true;
    if (equal_ignoring_case(text, "offline")) return false;
    return std::nullopt;
}

bool is_no_value(std::string_view text) {
    text = trimmed(text);
    if (text.empty()) return true;
    for (const std::string_view word : {"nan", "unavailable", "unknown", "none", "null", "n/a", "undefined", "inf", "-inf", "-nan"})
        if (equal_ignoring_case(text, word)) return true;
    return false;
}

bool is_text_state(std::string_view text) {
    if (text.empty() || text.size() > text_bytes_max || !is_utf8(text)) return false;
    for (const char c : text)
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return false;
    return true;
}

std::string to_plain_text(const Json& json) {
    if (json.is_string()) return json.as_string();
    if (json.is_null() || json.is_array() || json.is_object()) return {};
    return json.dump();
}

void observe(DeviceNote& note, std::string_view quantity, std::string_view unit, double value) {
    const bool percent = (unit == "%" || unit.empty()) && value >= 0 && value <= 100;
    if (percent &&
        (quantity == "battery" || quantity == "battery_level" || quantity == "battery_percent" || quantity == "battery_percentage"))
        note.battery_percent = value;
    else if (quantity == "battery_voltage" || (unit == "V" && quantity == "battery"))
        note.battery_volts = unit == "mV" ? value / 1000 : value;
    else if ((unit == "dBm" || unit.empty()) && value < 0 &&
             (quantity == "rssi" || quantity == "wifi_signal" || quantity == "signal_strength" || quantity == "wifi_rssi"))
        note.rssi_dbm = value;
    else if ((quantity == "linkquality" || quantity == "link_quality") && value >= 0 && value <= 255)
        note.link_quality_percent = unit == "%" ? std::min(value, 100.0) : value * 100 / 255;
}

void Readings::add_at(MonoTime time, std::string_view device, std::string_view quantity, std::string_view unit, Value value) {
    if (const auto* number = std::get_if<double>(&value)) {
        if (!std::isfinite(*number)) return not_a_value();
        observe(note(device), quantity, unit, *number);
    } else if (const auto* text = std::get_if<std::string>(&value); text != nullptr && !is_text_state(*text)) {
        return not_a_value();
    }
    const auto [at, fresh] = sample_of_.try_emplace({time.ms, std::string(device)}, samples_.size());
    if (fresh) samples_.push_back({std::string(device), time, {}, false});
    samples_[at->second].measurements.push_back({std::string(quantity), std::string(unit), std::move(value)});
}

void Readings::add_text(std::string_view device, std::string_view quantity, std::string_view unit, std::string_view text, bool switches) {
    text = trimmed(text);
    if (is_no_value(text)) return not_a_value();
    if (const auto number = parse_number(text)) return add(device, quantity, unit, *number);
    if (switches) {
        if (const auto state = parse_switch(text)) return add(device, quantity, unit, *state);
    }
    add(device, quantity, unit, std::string(text));
}

void Readings::add_number(std::string_view device, std::string_view quantity, std::string_view unit, std::string_view text) {
    const auto number = parse_number(text);
    if (!number) return not_a_value();
    add(device, quantity, unit, *number);
}

void Readings::add_json(std::string_view device, std::string_view quantity, std::string_view unit, const Json& value, bool text_numbers) {
    if (value.is_bool()) return add(device, quantity, "", value.as_bool());
    if (value.is_number()) return add(device, quantity, unit, value.as_double());
    if (!value.is_string()) return not_a_value();
    const std::string_view text = trimmed(value.as_string());
    if (is_no_value(text)) return not_a_value();
    if (text_numbers) {
        if (const auto number = parse_number(text)) return add(device, quantity, unit, *number);
    }
    if (const auto state = parse_switch(text)) return add(device, quantity, "", *state);
    add(device, quantity, unit, std::string(text));
}

DeviceNote& Readings::note(std::string_view device) {
    if (const auto known = note_of_.find(device); known != note_of_.end()) return notes_[known->second];
    note_of_.emplace(device, notes_.size());
    notes_.emplace_back().device = std::string(device);
    return notes_.back();
}

void Readings::deliver(SourceOutput& out) {
    for (Sample& sample : samples_) out.samples.push_back(std::move(sample));
    for (DeviceNote& note : notes_) out.notes.push_back(std::move(note));
    samples_.clear();
    notes_.clear();
    sample_of_.clear();
    note_of_.clear();
}

}  // namespace basmalin::agent
