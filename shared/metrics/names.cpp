#include "shared/metrics/names.h"

#include <algorithm>
#include <array>

#include "shared/base/ids.h"

namespace basmalin::metric_names {
namespace {

bool is_word(std::string_view text) {
    if (text.empty() || text.front() < 'a' || text.front() > 'z') return false;
    return std::all_of(text.begin(), text.end(), [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; });
}

std::vector<std::string_view> words_of(std::string_view name) {
    std::vector<std::string_view> words;
    for (size_t from = 0; from <= name.size();) {
        const size_t to = std::min(name.find('_', from), name.size());
        words.push_back(name.substr(from, to - from));
        from = to + 1;
    }
    return words;
}

// promtool asks for base units ("use base unit seconds instead of milliseconds") and refuses abbreviations.
constexpr std::array not_base_units = {"milliseconds", "microseconds", "nanoseconds", "minutes",   "hours",      "days",  "weeks",
                                       "kilobytes",    "megabytes",    "gigabytes",   "bits",      "kelvin",     "fahrenheit",
                                       "millivolts",   "percent",      "kilometers",  "centimeters", "millimeters", "ms",  "ns",
                                       "sec",          "secs",         "min",         "kb",        "mb",         "gb"};
constexpr std::array type_words = {"counter", "gauge", "histogram", "summary"};
constexpr std::array units = {"seconds", "bytes", "celsius", "ratio", "volts", "amperes", "joules", "meters", "grams"};

}  // namespace

std::string wrong_with(const FamilyOptions& options, std::string_view type) {
    const std::string& name = options.name;
    if (!is_word(name)) return "a name is a-z, 0-9 and _";
    if (options.help.empty()) return "help is missing";
    if (!is_utf8(options.help)) return "help is not UTF-8";
    if ((type == "counter") != name.ends_with("_total")) return "counters, and only they, end in _total";
    for (const char* suffix : {"_bucket", "_count", "_sum", "_created"}) {
        if (name.ends_with(suffix)) return std::string(suffix) + " is kept for histograms";
    }
    for (const std::string_view word : words_of(name)) {
        if (std::find(type_words.begin(), type_words.end(), word) != type_words.end()) return "a name does not say its type";
        if (std::find(not_base_units.begin(), not_base_units.end(), word) != not_base_units.end()) {
            return "use the base unit instead of " + std::string(word);
        }
    }
    for (const std::string& label : options.label_names) {
        if (!is_word(label) || label == "le" || label == "quantile") return "label " + label + " is not allowed";
        if (std::count(options.label_names.begin(), options.label_names.end(), label) > 1) return "label " + label + " comes twice";
    }
    const bool known = std::count(options.label_names.begin(), options.label_names.end(), options.overflow_label) == 1;
    if (options.children_max > 0 && !known) return "a budget needs an overflow_label among the labels";
    return {};
}

std::vector<std::string> samples_of(const std::string& name, std::string_view type) {
    if (type == "counter") {
        const std::string family = family_in_openmetrics(name, type);
        return {name, family, family + "_created"};
    }
    if (type == "histogram") return {name, name + "_bucket", name + "_count", name + "_sum", name + "_created"};
    return {name};
}

std::string family_in_openmetrics(const std::string& name, std::string_view type) {
    constexpr size_t suffix = std::string_view("_total").size();
    return type == "counter" ? name.substr(0, name.size() - suffix) : name;
}

std::string_view unit_of(std::string_view family) {
    for (const std::string_view unit : units) {
        if (family.size() > unit.size() && family.ends_with(unit) && family[family.size() - unit.size() - 1] == '_') return unit;
    }
    return {};
}

}  // namespace basmalin::metric_names
