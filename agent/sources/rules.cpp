// The operator's own table: [[sources.rule]]. It is asked first, so a rule also overrides a dialect for its topics.
// R1  Every rule whose filter matches reads; what several read from one payload is one Sample per device.
// R2  {1} {2} … in device and quantity are what the '+' (and last the '#') matched.
// R3  path walks objects by key and arrays by index: "sensors.0.temp". Empty: the whole payload, plain text or JSON.
// R4  With a quantity: the one value found. Without: every number, boolean and text below the path, by its own name; at a bare
//     value the path's last word, else the topic's last level.
// R5  scale and offset apply to numbers only. A number within quotes counts as a number.
#include <charconv>
#include <cmath>

#include "agent/sources/dialect.h"
#include "agent/sources/names.h"
#include "agent/sources/readings.h"
#include "agent/sources/topic_filter.h"
#include "agent/sources/units.h"
#include "shared/base/ids.h"
#include "shared/base/log.h"

namespace basmalin::agent {
namespace {

constexpr int depth_max = 8;

// The highest {n} in `text`, or -1 if a brace is not closed around a number of 1-9.
int highest_capture(std::string_view text) {
    int highest = 0;
    for (size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '{') continue;
        if (i + 2 >= text.size() || text[i + 2] != '}' || text[i + 1] < '1' || text[i + 1] > '9') return -1;
        highest = std::max(highest, text[i + 1] - '0');
    }
    return highest;
}

int wildcards(std::string_view filter) {
    int n = 0;
    for (const char c : filter) n += (c == '+' || c == '#') ? 1 : 0;
    return n;
}

std::string filled(std::string_view pattern, const std::vector<std::string>& captures) {
    std::string out;
    for (size_t i = 0; i < pattern.size(); ++i) {
        if (pattern[i] == '{' && i + 2 < pattern.size()) {
            const auto n = static_cast<size_t>(pattern[i + 1] - '1');
            if (n < captures.size()) out += captures[n];
            i += 2;
        } else {
            out += pattern[i];
        }
    }
    return out;
}

// R3; null if there is nothing.
const Json* walk(const Json& root, std::string_view path) {
    const Json* at = &root;
    while (!path.empty()) {
        const size_t dot = path.find('.');
        const std::string_view step = path.substr(0, dot);
        path = dot == std::string_view::npos ? std::string_view{} : path.substr(dot + 1);
        if (at->is_array()) {
            size_t index = 0;
            const auto [end, error] = std::from_chars(step.data(), step.data() + step.size(), index);
            if (error != std::errc() || end != step.data() + step.size() || index >= at->as_array().size()) return nullptr;
            at = &at->as_array()[index];
        } else if (at->has(step)) {
            at = &(*at)[step];
        } else {
            return nullptr;
        }
    }
    return at;
}

class Rules final : public Dialect {
  public:
    explicit Rules(Shared& shared) : shared_(shared) {
        for (const Rule& rule : shared_.options.rules) {
            const std::string fault = fault_of(rule);
            if (fault.empty())
                rules_.push_back({rule, normal_unit(rule.unit)});
            else
                log::error("rule ignored", {{"topic", to_label(rule.topic)}, {"fault", fault}});
        }
    }

    std::string_view name() const override { return "rules"; }
    std::vector<std::string> filters() const override {
        std::vector<std::string> all;
        for (const Compiled& one : rules_) all.push_back(one.rule.topic);
        return all;
    }

    Verdict try_message(const Message& message, SourceOutput& out) override {
        Readings readings(message, shared_);
        bool mine = false;
        bool read_one = false;
        for (const Compiled& one : rules_) {
            std::vector<std::string> captures;
            if (!filter_matches(one.rule.topic, message.topic, &captures)) continue;
            mine = true;
            const bool nothing_new = message.payload.empty() || message.retained;
            read_one = nothing_new || apply(one, message, captures, readings) || read_one;
        }
        if (!mine) return Verdict::NotMine;
        if (!read_one) return Verdict::NotUnderstood;
        readings.deliver(out);
        return Verdict::Taken;
    }

  private:
    struct Compiled {
        Rule rule;
        std::string unit;
    };

    static bool apply(const Compiled& one, const Message& message, const std::vector<std::string>& captures, Readings& out) {
        const std::string device = to_label(filled(one.rule.device, captures));
        if (device.empty()) return false;
        std::string quantity = to_label(filled(one.rule.quantity, captures));
        if (message.json() == nullptr) {
            if (!one.rule.path.empty()) return false;
            if (quantity.empty()) quantity = slug(message.level(message.size() - 1));
            if (quantity.empty()) return false;
            scalar(one, device, quantity, Json(message.payload), out);
            return true;
        }
        const Json* found = walk(*message.json(), one.rule.path);
        if (found == nullptr) return false;
        if (found->is_object() || found->is_array()) {
            if (!quantity.empty()) return false;
            everything(one, device, {}, *found, 0, out);
            return true;
        }
        if (quantity.empty()) quantity = slug(one.rule.path.substr(one.rule.path.rfind('.') + 1));
        if (quantity.empty()) return false;
        scalar(one, device, quantity, *found, out);
        return true;
    }

    static void everything(const Compiled& one, const std::string& device, const std::string& prefix, const Json& json, int depth,
                           Readings& out) {
        if (depth > depth_max) return;
        const auto below = [&](const std::string& name, const Json& value) {
            const std::string quantity = slug(prefix.empty() ? name : prefix + '_' + name);
            if (quantity.empty() || value.is_null()) return;
            if (value.is_object() || value.is_array())
                everything(one, device, quantity, value, depth + 1, out);
            else
                scalar(one, device, quantity, value, out);
        };
        for (const auto& [key, value] : json.as_object()) below(key, value);
        for (size_t i = 0; i < json.as_array().size(); ++i) below(std::to_string(i), json.as_array()[i]);
    }

    static void scalar(const Compiled& one, const std::string& device, const std::string& quantity, const Json& value, Readings& out) {
        std::optional<double> number;
        if (value.is_number()) number = value.as_double();
        if (value.is_string()) number = parse_number(value.as_string());
        if (number) {
            const bool as_is = one.rule.scale == 1 && one.rule.offset == 0;
            return out.add(device, quantity, one.unit, as_is ? *number : *number * one.rule.scale + one.rule.offset);
        }
        out.add_json(device, quantity, one.unit, value);
    }

    Shared& shared_;
    std::vector<Compiled> rules_;
};

}  // namespace

std::string fault_of(const Rule& rule) {
    if (!is_filter(rule.topic)) return "topic must be an MQTT filter such as \"garden/+/soil\"";
    if (rule.device.empty()) return "device must be a name, or {1} for what the first + matched";
    const int most = std::max(highest_capture(rule.device), highest_capture(rule.quantity));
    if (highest_capture(rule.device) < 0 || highest_capture(rule.quantity) < 0 || most > wildcards(rule.topic))
        return "{1} to {9} must each have a + or # in topic";
    if (!std::isfinite(rule.scale) || !std::isfinite(rule.offset) || rule.scale == 0) return "scale must be a number other than 0";
    if (rule.unit.size() > 64) return "unit must be at most 64 bytes";
    return {};
}

std::unique_ptr<Dialect> make_rules(Shared& shared) { return std::make_unique<Rules>(shared); }

}  // namespace basmalin::agent
