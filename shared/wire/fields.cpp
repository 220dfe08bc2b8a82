#include "shared/wire/fields.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>

#include "shared/base/ids.h"
#include "shared/wire/messages.h"

namespace basmalin {
namespace {

constexpr int64_t wall_ms_max = 253'402'300'799'999;  // the last of year 9999
constexpr size_t key_bytes_max = 64;

std::optional<int> digits(std::string_view text, size_t from, size_t count) {
    int value = 0;
    for (size_t i = from; i < from + count; ++i) {
        if (text[i] < '0' || text[i] > '9') return std::nullopt;
        value = value * 10 + (text[i] - '0');
    }
    return value;
}

std::optional<int64_t> fraction_ms(std::string_view text) {  // ".123" or ""
    if (text.empty()) return 0;
    if (text.size() < 2 || text.size() > 10 || text[0] != '.') return std::nullopt;
    int64_t ms = 0;
    for (size_t i = 1; i < std::max<size_t>(text.size(), 4); ++i) {
        const char c = i < text.size() ? text[i] : '0';
        if (c < '0' || c > '9') return std::nullopt;
        if (i <= 3) ms = ms * 10 + (c - '0');
    }
    return ms;
}

}  // namespace

std::optional<WallTime> parse_rfc3339(std::string_view text) {
    if (text.size() < 20 || text.back() != 'Z' || text[4] != '-' || text[7] != '-' || text[10] != 'T' || text[13] != ':' || text[16] != ':')
        return std::nullopt;
    const auto year = digits(text, 0, 4), month = digits(text, 5, 2), day = digits(text, 8, 2);
    const auto hour = digits(text, 11, 2), minute = digits(text, 14, 2), second = digits(text, 17, 2);
    const auto ms = fraction_ms(text.substr(19, text.size() - 20));
    if (!year || !month || !day || !hour || !minute || !second || !ms) return std::nullopt;
    using namespace std::chrono;
    const year_month_day date(std::chrono::year(*year), std::chrono::month(static_cast<unsigned>(*month)),
                              std::chrono::day(static_cast<unsigned>(*day)));
    if (*year < 1970 || !date.ok() || *hour > 23 || *minute > 59 || *second > 59) return std::nullopt;
    const int64_t days = sys_days(date).time_since_epoch().count();
    return WallTime{((days * 24 + *hour) * 60 + *minute) * 60'000 + int64_t{*second} * 1000 + *ms};
}

Fields::Fields(const Json& json, std::string path) : json_(json), path_(std::move(path)) {
    if (!json_.is_object()) error_ = Error{Code::Invalid, path_ + ": should be an object", {}};
}

void Fields::wrong(std::string_view key, std::string_view should) {
    if (error_) return;
    error_ = Error{Code::Invalid,
                   path_ + ": \"" + std::string(key) + "\": " + (absent(key) ? "missing, " : "") + "should be " + std::string(should),
                   {}};
}

void Fields::absorb(const Fields& part) {
    if (!error_) error_ = part.error_;
}

bool Fields::absent(std::string_view key) const { return json_[key].is_null(); }

std::string Fields::text(std::string_view key, size_t bytes_max) {
    const Json& value = json_[key];
    if (value.is_string() && value.as_string().size() <= bytes_max) return value.as_string();
    wrong(key, "a text of at most " + std::to_string(bytes_max) + " bytes");
    return {};
}

bool Fields::boolean(std::string_view key) {
    if (!json_[key].is_bool()) wrong(key, "true or false");
    return json_[key].as_bool();
}

int64_t Fields::integer(std::string_view key, int64_t least, int64_t most) {
    const Json& value = json_[key];
    if (value.is_integer() && value.as_int() >= least && value.as_int() <= most) return value.as_int();
    wrong(key, "a whole number from " + std::to_string(least) + " to " + std::to_string(most));
    return least;
}

uint64_t Fields::sequence(std::string_view key) { return static_cast<uint64_t>(integer(key, 0, INT64_MAX)); }

uint64_t Fields::id(std::string_view key) {
    const std::string& value = json_[key].as_string();
    const bool sixteen = value.size() == 16 &&
                         std::all_of(value.begin(), value.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
    uint64_t number = 0;
    if (sixteen)
        std::from_chars(value.data(), value.data() + value.size(), number, 16);
    else
        wrong(key, "16 lower-case hex digits");
    return number;
}

std::optional<WallTime> Fields::time_of(std::string_view key) {
    const auto parsed = parse_rfc3339(json_[key].as_string());
    if (!parsed) wrong(key, "a time like 2026-11-22T17:35:00.123Z");
    return parsed;
}

WallTime Fields::time(std::string_view key) { return time_of(key).value_or(WallTime{}); }

size_t Fields::choice(std::string_view key, std::initializer_list<std::string_view> choices) {
    const std::string& value = json_[key].as_string();
    const auto found = std::find(choices.begin(), choices.end(), value);
    if (found != choices.end()) return static_cast<size_t>(found - choices.begin());
    std::string should = "one of";
    for (const std::string_view c : choices) should += " \"" + std::string(c) + "\"";
    wrong(key, should);
    return 0;
}

const Json::Array& Fields::array(std::string_view key, size_t items_max) {
    static const Json::Array none;
    const Json& value = json_[key];
    if (value.is_array() && value.as_array().size() <= items_max) return value.as_array();
    wrong(key, "an array of at most " + std::to_string(items_max));
    return none;
}

const Json& Fields::object(std::string_view key) {
    if (!json_[key].is_object()) wrong(key, "an object");
    return json_[key];
}

std::string Fields::optional_text(std::string_view key, size_t bytes_max) { return absent(key) ? std::string() : text(key, bytes_max); }

bool Fields::optional_boolean(std::string_view key) { return !absent(key) && boolean(key); }

std::optional<double> Fields::optional_number(std::string_view key) {
    if (absent(key)) return std::nullopt;
    if (json_[key].is_number()) return json_[key].as_double();
    wrong(key, "a number");
    return std::nullopt;
}

std::optional<WallTime> Fields::optional_time(std::string_view key) {
    if (absent(key)) return std::nullopt;
    return time_of(key);
}

const Json::Array& Fields::optional_array(std::string_view key, size_t items_max) {
    return absent(key) ? json_[key].as_array() : array(key, items_max);
}

const Json::Object& Fields::optional_object(std::string_view key, size_t members_max) {
    static const Json::Object none;
    const Json& value = json_[key];
    if (absent(key)) return none;
    if (!value.is_object() || value.as_object().size() > members_max) {
        wrong(key, "an object of at most " + std::to_string(members_max) + " members");
        return none;
    }
    for (const auto& [name, member] : value.as_object()) {
        if (!name.empty() && name.size() <= key_bytes_max) continue;
        wrong(key, "an object whose keys are 1-64 bytes long");
        return none;
    }
    return value.as_object();
}

std::string bounded(std::string_view text, size_t bytes_max) {
    std::string out(text);
    if (!is_utf8(text))
        for (char& c : out)
            if (static_cast<uint8_t>(c) >= 0x80) c = '?';
    if (out.size() <= bytes_max) return out;
    size_t end = bytes_max;
    while (end > 0 && (static_cast<uint8_t>(out[end]) & 0xC0) == 0x80) --end;
    out.resize(end);
    return out;
}

Json json_time(WallTime time) { return to_rfc3339({std::clamp<int64_t>(time.ms, 0, wall_ms_max)}); }

Json json_sequence(uint64_t sequence) { return static_cast<int64_t>(std::min<uint64_t>(sequence, INT64_MAX)); }

Result<Json> parse_message(std::string_view json, std::string_view name) {
    auto parsed = parse_json(json, {.bytes_max = json_message_bytes_max, .depth_max = 8, .values_max = 16'384});
    if (!parsed) return pass(parsed, name);
    return parsed;
}

}  // namespace basmalin
