#include "agent/health/probe_parts.h"
#include "agent/health/probe_text.h"

namespace basmalin::agent {
namespace {

std::optional<double> kibibytes(const std::vector<std::string_view>& line) {
    if (line.size() != 3 || line[2] != "kB") return std::nullopt;
    const auto n = whole_number(line[1]);
    if (!n || *n > (uint64_t{1} << 53)) return std::nullopt;
    return static_cast<double>(*n) * 1024;
}

}  // namespace

void read_memory(const std::string& root, NodeHealth& out) {
    if (const auto text = read_text(root + "/proc/meminfo", 65536)) {
        std::optional<double> swap_total;
        std::optional<double> swap_free;
        each_line(*text, [&](std::string_view line) {
            const auto w = words(line);
            if (w.empty()) return;
            const auto bytes = kibibytes(w);
            if (!bytes) return;
            if (w[0] == "MemTotal:") out.values["memory_total_bytes"] = *bytes;
            if (w[0] == "MemAvailable:") out.values["memory_available_bytes"] = *bytes;
            if (w[0] == "SwapTotal:") swap_total = bytes;
            if (w[0] == "SwapFree:") swap_free = bytes;
        });
        if (swap_total) out.values["swap_total_bytes"] = *swap_total;
        if (swap_total && swap_free && *swap_free <= *swap_total) out.values["swap_used_bytes"] = *swap_total - *swap_free;
    }
    if (const auto text = read_text(root + "/proc/vmstat", 65536)) {
        each_line(*text, [&](std::string_view line) {
            const auto w = words(line);
            if (w.size() != 2 || w[0] != "oom_kill") return;
            if (const auto n = whole_number(w[1])) out.values["oom_kills_total"] = static_cast<double>(*n);
        });
    }
}

}  // namespace basmalin::agent
