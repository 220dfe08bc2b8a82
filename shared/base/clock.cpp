#include "shared/base/clock.h"

#include <cstdio>
#include <ctime>

namespace basmalin {
namespace {

int64_t read_ms(clockid_t id) {
    timespec t{};
    clock_gettime(id, &t);
    return static_cast<int64_t>(t.tv_sec) * 1000 + t.tv_nsec / 1'000'000;
}

}  // namespace

std::string to_string(ClockState state) { return state == ClockState::Synced ? "synced" : "unsynced"; }

MonoTime SystemClock::mono() const { return {read_ms(CLOCK_BOOTTIME)}; }
WallTime SystemClock::wall() const { return {read_ms(CLOCK_REALTIME)}; }

std::string to_rfc3339(WallTime time) {
    int64_t whole = time.ms / 1000;
    int64_t rest = time.ms % 1000;
    if (rest < 0) {
        rest += 1000;
        --whole;
    }
    const std::time_t t = static_cast<std::time_t>(whole);
    std::tm parts{};
    if (gmtime_r(&t, &parts) == nullptr || parts.tm_year < -1900 || parts.tm_year > 8099) return "out of range";
    char date[40];  // not strftime: its %Y of the year 7 is "7"
    const int n = std::snprintf(date, sizeof date, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
                                parts.tm_hour, parts.tm_min, parts.tm_sec, static_cast<int>(rest));
    return std::string(date, static_cast<size_t>(n));
}

}  // namespace basmalin
