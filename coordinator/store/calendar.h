// UTC days and months of milliseconds since 1970: how history is cut into rows and files. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace basmalin::coordinator {

constexpr int64_t day_ms = 86'400'000;

constexpr int64_t floor_divide(int64_t value, int64_t by) { return value / by - (value % by < 0 ? 1 : 0); }
constexpr int64_t day_of(int64_t time_ms) { return floor_divide(time_ms, day_ms); }

// Months count from year 0: month 24311 is December 2025.
inline int32_t month_of_day(int64_t day) {
    const std::chrono::year_month_day date{std::chrono::sys_days{std::chrono::days{day}}};
    return static_cast<int32_t>(date.year()) * 12 + static_cast<int32_t>(static_cast<unsigned>(date.month())) - 1;
}
inline int64_t first_day_of(int32_t month) {
    const auto year = static_cast<int32_t>(floor_divide(month, 12));
    const auto number = static_cast<unsigned>(month - year * 12 + 1);
    return std::chrono::sys_days{std::chrono::year{year} / std::chrono::month{number} / 1}.time_since_epoch().count();
}
inline int32_t year_of(int32_t month) { return static_cast<int32_t>(floor_divide(month, 12)); }

}  // namespace basmalin::coordinator
