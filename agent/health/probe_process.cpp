#include <unistd.h>

#include <filesystem>

#include "agent/health/probe_parts.h"
#include "agent/health/probe_text.h"

namespace basmalin::agent {
namespace {

constexpr size_t open_files_max = 100'000;

void read_shown(const std::string& path, const char* name, NodeHealth& out) {
    const auto text = read_word(path);
    if (text && is_shown_text(*text)) out.texts[name] = *text;
}

}  // namespace

void read_process(const std::string& root, NodeHealth& out) {
    if (const auto text = read_word(root + "/proc/self/statm")) {
        const auto w = words(*text);
        const auto pages = w.size() >= 2 ? whole_number(w[1]) : std::nullopt;
        const long page_bytes = ::sysconf(_SC_PAGESIZE);
        if (pages && page_bytes > 0) out.values["agent_rss_bytes"] = static_cast<double>(*pages) * static_cast<double>(page_bytes);
    }
    std::error_code error;
    std::filesystem::directory_iterator at(root + "/proc/self/fd", error);
    if (!error) {
        size_t files = 0;
        for (; !error && at != std::filesystem::directory_iterator() && files < open_files_max; at.increment(error)) ++files;
        if (!error) out.values["agent_open_files"] = static_cast<double>(files);
    }
    if (const auto text = read_word(root + "/proc/uptime")) {
        const auto w = words(*text);
        const auto uptime = w.empty() ? std::nullopt : decimal_number(w[0]);
        if (uptime && *uptime >= 0) out.values["uptime_seconds"] = *uptime;
    }
    read_shown(root + "/proc/sys/kernel/random/boot_id", "boot_id", out);
    read_shown(root + "/proc/sys/kernel/osrelease", "kernel", out);
    read_shown(root + "/proc/sys/kernel/hostname", "hostname", out);
}

}  // namespace basmalin::agent
