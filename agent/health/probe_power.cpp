#include <filesystem>

#include "agent/health/probe_parts.h"
#include "agent/health/probe_text.h"

namespace basmalin::agent {
namespace {

constexpr size_t entries_max = 64;
constexpr double celsius_least = -60;
constexpr double celsius_most = 200;

std::vector<std::string> entries(const std::string& folder, std::string_view prefix) {
    std::vector<std::string> out;
    std::error_code error;
    std::filesystem::directory_iterator at(folder, error);
    for (; !error && at != std::filesystem::directory_iterator() && out.size() < entries_max; at.increment(error))
        if (at->path().filename().string().starts_with(prefix)) out.push_back(at->path().string());
    return out;
}

// The processor's own zone where there is one, else the hottest.
void read_temperature(const std::string& root, NodeHealth& out) {
    std::optional<double> hottest;
    std::optional<double> processor;
    for (const auto& zone : entries(root + "/sys/class/thermal", "thermal_zone")) {
        const auto word = read_word(zone + "/temp");
        const auto thousandths = word ? decimal_number(*word) : std::nullopt;
        if (!thousandths) continue;
        const double celsius = *thousandths / 1000;
        if (celsius < celsius_least || celsius > celsius_most) continue;
        if (!hottest || celsius > *hottest) hottest = celsius;
        const auto type = read_word(zone + "/type");
        const bool is_processor = type && (type->starts_with("cpu") || *type == "x86_pkg_temp" || *type == "soc_thermal");
        if (is_processor && (!processor || celsius > *processor)) processor = celsius;
    }
    if (processor)
        out.values["temperature_celsius"] = *processor;
    else if (hottest)
        out.values["temperature_celsius"] = *hottest;
}

// The kernel's driver "rpi_volt" (raspberrypi-hwmon): an alarm file of 0 or 1.
std::optional<bool> voltage_alarm(const std::string& root) {
    for (const auto& monitor : entries(root + "/sys/class/hwmon", "hwmon")) {
        const auto name = read_word(monitor + "/name");
        if (!name || *name != "rpi_volt") continue;
        const auto alarm = read_word(monitor + "/in0_lcrit_alarm");
        if (alarm && (*alarm == "0" || *alarm == "1")) return *alarm == "1";
    }
    return std::nullopt;
}

}  // namespace

void PowerProbe::read(const std::string& root, NodeHealth& out) {
    read_temperature(root, out);
    // The bits of `vcgencmd get_throttled` (Raspberry Pi documentation, "vcgencmd"), as the firmware driver writes them: hex.
    const auto word = read_word(root + "/sys/devices/platform/soc/soc:firmware/get_throttled");
    if (const auto bits = word ? hex_number(*word) : std::nullopt) {
        const auto bit = [&](int n) { return ((*bits >> n) & 1) != 0; };
        under_voltage_seen_ = under_voltage_seen_ || bit(0) || bit(16);
        throttled_seen_ = throttled_seen_ || bit(2) || bit(18);
        out.flags["under_voltage_now"] = bit(0);
        out.flags["under_voltage_since_boot"] = under_voltage_seen_;
        out.flags["frequency_capped"] = bit(1);
        out.flags["throttled_now"] = bit(2);
        out.flags["throttled_since_boot"] = throttled_seen_;
        out.flags["soft_temperature_limit"] = bit(3);
        return;
    }
    if (const auto alarm = voltage_alarm(root)) {
        under_voltage_seen_ = under_voltage_seen_ || *alarm;
        out.flags["under_voltage_now"] = *alarm;
        out.flags["under_voltage_since_boot"] = under_voltage_seen_;
    }
}

}  // namespace basmalin::agent
