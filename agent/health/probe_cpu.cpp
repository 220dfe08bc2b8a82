#include <algorithm>

#include "agent/health/probe_parts.h"
#include "agent/health/probe_text.h"

namespace basmalin::agent {
namespace {

constexpr size_t stat_bytes_max = 1 << 20;  // the interrupt line of a large machine is long

// Linux, Documentation/accounting/psi.rst: "some avg10=0.12 avg60=… avg300=… total=…", percent.
std::optional<double> pressure_ratio(const std::string& path) {
    const auto text = read_text(path, 4096);
    if (!text) return std::nullopt;
    std::optional<double> ratio;
    each_line(*text, [&](std::string_view line) {
        const auto w = words(line);
        if (w.size() < 2 || w[0] != "some" || !w[1].starts_with("avg10=")) return;
        const auto percent = decimal_number(w[1].substr(6));
        if (percent && *percent >= 0 && *percent <= 100) ratio = *percent / 100;
    });
    return ratio;
}

void read_load(const std::string& root, NodeHealth& out) {
    const auto text = read_word(root + "/proc/loadavg");
    if (!text) return;
    const auto w = words(*text);
    constexpr const char* names[] = {"load1", "load5", "load15"};
    for (size_t i = 0; i < 3 && i < w.size(); ++i) {
        const auto load = decimal_number(w[i]);
        if (load && *load >= 0) out.values[names[i]] = *load;
    }
}

}  // namespace

void CpuProbe::read(const std::string& root, NodeHealth& out) {
    read_load(root, out);
    for (const char* resource : {"cpu", "io", "memory"})
        if (const auto ratio = pressure_ratio(root + "/proc/pressure/" + resource))
            out.values[std::string("psi_") + resource + "_ratio"] = *ratio;

    // proc(5): cpu user nice system idle iowait irq softirq steal guest guest_nice; guests are counted in user and nice already.
    std::optional<Ticks> ticks;
    if (const auto text = read_text(root + "/proc/stat", stat_bytes_max)) {
        const auto w = words(std::string_view(*text).substr(0, text->find('\n')));
        if (w.size() >= 5 && w[0] == "cpu") {
            Ticks sum;
            bool whole = true;
            for (size_t i = 1; i < std::min<size_t>(w.size(), 9); ++i) {
                const auto n = whole_number(w[i]);
                if (!n || *n > (uint64_t{1} << 59)) {
                    whole = false;
                    break;
                }
                sum.total += *n;
                if (i == 4 || i == 5) sum.idle += *n;
            }
            if (whole) ticks = sum;
        }
    }
    if (ticks && previous_ && ticks->total > previous_->total && ticks->idle >= previous_->idle) {
        const auto total = static_cast<double>(ticks->total - previous_->total);
        const auto idle = static_cast<double>(ticks->idle - previous_->idle);
        out.values["cpu_ratio"] = std::clamp(1 - idle / total, 0.0, 1.0);
    }
    previous_ = ticks;
}

}  // namespace basmalin::agent
