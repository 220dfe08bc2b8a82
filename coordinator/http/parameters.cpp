#include "coordinator/http/parameters.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <set>

namespace basmalin::coordinator {
namespace {

constexpr int64_t time_ms_max = 253'402'300'799'999;  // the end of the year 9999
constexpr int64_t span_ms_max = 100ll * 366 * 86'400'000;
constexpr const char* time_hint = "write 2026-11-22T17:35:00Z, milliseconds since 1970, now, or -24h for 24 hours ago";

std::optional<int64_t> whole(std::string_view text) {
    int64_t value = 0;
    const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || read.ec != std::errc() || read.ptr != text.data() + text.size()) return std::nullopt;
    return value;
}

std::optional<Duration> span(std::string_view text) {
    const size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
    const auto count = whole(text.substr(0, digits));
    const std::string_view unit = text.substr(digits);
    const int64_t ms = unit == "ms" ? 1
                       : unit == "s" ? 1000
                       : unit == "m" || unit == "min" ? 60'000
                       : unit == "h" ? 3'600'000
                       : unit == "d" ? 86'400'000
                                     : 0;
    if (!count || ms == 0 || *count > span_ms_max / ms) return std::nullopt;
    return Duration{*count * ms};
}

// Takes exactly `n` digits off the front.
std::optional<int> digits(std::string_view& text, size_t n) {
    if (text.size() < n || text.substr(0, n).find_first_not_of("0123456789") != std::string_view::npos) return std::nullopt;
    const auto value = whole(text.substr(0, n));
    text.remove_prefix(n);
    return static_cast<int>(*value);
}

bool take(std::string_view& text, std::string_view any_of) {
    if (text.empty() || any_of.find(text.front()) == std::string_view::npos) return false;
    text.remove_prefix(1);
    return true;
}

std::optional<int64_t> date_ms(std::string_view& text) {
    const auto year = digits(text, 4);
    const bool dash = take(text, "-");
    const auto month = digits(text, 2);
    const bool dashes = take(text, "-") && dash;
    const auto day = digits(text, 2);
    if (!year || !month || !day || !dashes) return std::nullopt;
    const std::chrono::year_month_day date{std::chrono::year(*year), std::chrono::month(static_cast<unsigned>(*month)),
                                           std::chrono::day(static_cast<unsigned>(*day))};
    if (!date.ok()) return std::nullopt;
    return static_cast<int64_t>(std::chrono::sys_days(date).time_since_epoch().count()) * 86'400'000;
}

// What follows the 'T'. A '+' that came unescaped in a query arrives as a space.
std::optional<int64_t> clock_ms(std::string_view text) {
    const auto hour = digits(text, 2);
    const bool colon = take(text, ":");
    const auto minute = digits(text, 2);
    if (!hour || !colon || !minute || *hour > 23 || *minute > 59) return std::nullopt;
    int64_t ms = *hour * 3'600'000ll + *minute * 60'000ll;
    if (take(text, ":")) {
        const auto second = digits(text, 2);
        if (!second || *second > 60) return std::nullopt;
        ms += *second * 1000ll;
        if (take(text, ".")) {
            int64_t scale = 100;
            if (text.empty() || text.front() < '0' || text.front() > '9') return std::nullopt;
            for (; !text.empty() && text.front() >= '0' && text.front() <= '9'; text.remove_prefix(1), scale /= 10)
                ms += (text.front() - '0') * scale;
        }
    }
    if (text == "Z" || text == "z") return ms;
    const bool west = text.starts_with('-');
    if (!take(text, "+- ")) return std::nullopt;
    const auto hours_off = digits(text, 2);
    const bool zone_colon = take(text, ":");
    const auto minutes_off = digits(text, 2);
    if (!hours_off || !zone_colon || !minutes_off || !text.empty() || *hours_off > 23 || *minutes_off > 59) return std::nullopt;
    const int64_t offset = *hours_off * 3'600'000ll + *minutes_off * 60'000ll;
    return west ? ms + offset : ms - offset;
}

}  // namespace

Result<WallTime> parse_time(std::string_view text, WallTime now) {
    const auto wrong = fail(Code::Invalid, "'" + std::string(text.substr(0, 64)) + "' is no time", time_hint);
    if (text == "now") return now;
    if (text.starts_with('-')) {
        const auto back = span(text.substr(1));
        if (!back) return wrong;
        return WallTime{std::max<int64_t>(0, now.ms - back->ms)};
    }
    if (const auto ms = whole(text)) {
        if (*ms > time_ms_max) return wrong;
        return WallTime{*ms};
    }
    const auto date = date_ms(text);
    if (!date) return wrong;
    int64_t ms = *date;
    if (!text.empty()) {
        if (!take(text, "Tt ")) return wrong;
        const auto rest = clock_ms(text);
        if (!rest) return wrong;
        ms += *rest;
    }
    if (ms < 0 || ms > time_ms_max) return wrong;
    return WallTime{ms};
}

Result<Duration> parse_step(std::string_view text) {
    const auto step = span(text);
    if (!step || *step < seconds(1) || *step > hours(24 * 366)) {
        return fail(Code::Invalid, "'" + std::string(text.substr(0, 64)) + "' is no step",
                    "write 30s, 5m, 1h or 1d: from a second to a year");
    }
    return *step;
}

const std::string* Parameters::find(const std::string& name) {
    known_.push_back(name);
    const auto found = request_.query.find(name);
    return found == request_.query.end() ? nullptr : &found->second;
}

void Parameters::refuse(const std::string& name, const std::string& what, const std::string& hint) {
    if (!wrong_) wrong_ = Error{Code::Invalid, "parameter " + name + ": " + what, hint};
}

std::string Parameters::text(const std::string& name, std::string otherwise) {
    const std::string* value = find(name);
    if (value != nullptr) return *value;
    return otherwise;
}

std::string Parameters::choice(const std::string& name, const std::vector<std::string>& allowed, std::string otherwise) {
    const std::string* value = find(name);
    if (value == nullptr) return otherwise;
    if (std::find(allowed.begin(), allowed.end(), *value) != allowed.end()) return *value;
    std::string list;
    for (const std::string& one : allowed) list += (list.empty() ? "" : ", ") + one;
    refuse(name, "'" + value->substr(0, 64) + "' is not possible", "one of " + list);
    return otherwise;
}

int64_t Parameters::integer(const std::string& name, int64_t least, int64_t most, int64_t otherwise) {
    const std::string* value = find(name);
    if (value == nullptr) return otherwise;
    const auto number = whole(*value);
    if (number && *number >= least && *number <= most) return *number;
    refuse(name, "'" + value->substr(0, 64) + "' is not possible",
           "a whole number from " + std::to_string(least) + " to " + std::to_string(most));
    return otherwise;
}

WallTime Parameters::time(const std::string& name, WallTime otherwise) {
    const std::string* value = find(name);
    if (value == nullptr) return otherwise;
    const auto read = parse_time(*value, now_);
    if (read) return *read;
    refuse(name, read.error().text, read.error().hint);
    return otherwise;
}

std::optional<Duration> Parameters::step(const std::string& name) {
    const std::string* value = find(name);
    if (value == nullptr) return std::nullopt;
    const auto read = parse_step(*value);
    if (read) return *read;
    refuse(name, read.error().text, read.error().hint);
    return std::nullopt;
}

std::vector<int64_t> Parameters::ids(const std::string& name, size_t most) {
    const std::string* value = find(name);
    if (value == nullptr) return {};
    std::set<int64_t> found;
    for (std::string_view rest = *value;;) {
        const size_t comma = rest.find(',');
        const auto id = whole(rest.substr(0, comma));
        if (id) found.insert(*id);
        if (!id || *id < 1 || found.size() > most) {
            refuse(name, "'" + value->substr(0, 64) + "' is no list of ids",
                   "up to " + std::to_string(most) + " ids of /api/series, like 1,2,3");
            return {};
        }
        if (comma == std::string_view::npos) return {found.begin(), found.end()};
        rest.remove_prefix(comma + 1);
    }
}

Result<void> Parameters::done() {
    for (const auto& [name, value] : request_.query) {
        if (std::find(known_.begin(), known_.end(), name) != known_.end()) continue;
        std::string list;
        for (const std::string& one : known_) list += (list.empty() ? "" : ", ") + one;
        return fail(Code::Invalid, "parameter " + name.substr(0, 64) + " is unknown",
                    known_.empty() ? "nothing is taken here" : "known here: " + list);
    }
    if (wrong_) return std::unexpected(*wrong_);
    return {};
}

}  // namespace basmalin::coordinator
