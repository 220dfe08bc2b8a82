#include <algorithm>

#include "agent/health/probe_parts.h"
#include "agent/health/probe_text.h"

namespace basmalin::agent {
namespace {

constexpr double wifi_link_full = 70;  // the scale of cfg80211's wireless extensions: Linux, net/wireless/wext-compat.c

}  // namespace

void read_network(const std::string& root, NodeHealth& out) {
    // proc(5), /proc/net/dev: "name: bytes packets errs drop fifo frame compressed multicast" received, the same of sent.
    if (const auto text = read_text(root + "/proc/net/dev", 1 << 18)) {
        bool any = false;
        double received = 0;
        double sent = 0;
        double errors = 0;
        each_line(*text, [&](std::string_view line) {
            const size_t colon = line.find(':');
            if (colon == std::string_view::npos) return;
            const auto name = words(line.substr(0, colon));
            const auto w = words(line.substr(colon + 1));
            if (name.size() != 1 || name[0] == "lo" || w.size() < 16) return;
            const auto in = whole_number(w[0]);
            const auto in_errors = whole_number(w[2]);
            const auto sent_bytes = whole_number(w[8]);
            const auto sent_errors = whole_number(w[10]);
            if (!in || !in_errors || !sent_bytes || !sent_errors) return;
            any = true;
            received += static_cast<double>(*in);
            sent += static_cast<double>(*sent_bytes);
            errors += static_cast<double>(*in_errors) + static_cast<double>(*sent_errors);
        });
        if (any) {
            out.values["network_received_bytes_total"] = received;
            out.values["network_sent_bytes_total"] = sent;
            out.values["network_errors_total"] = errors;
        }
    }
    // Two lines of headings, then "wlan0: 0000   54.  -56.  -256 …": status, link, level, noise. The first interface counts.
    if (const auto text = read_text(root + "/proc/net/wireless", 65536)) {
        bool taken = false;
        each_line(*text, [&](std::string_view line) {
            const auto w = words(line);
            if (taken || w.size() < 4 || !w[0].ends_with(":")) return;
            const auto link = decimal_number(w[2]);
            const auto level = decimal_number(w[3]);
            if (!link || !level) return;
            taken = true;
            if (*link >= 0 && *link <= 255) out.values["wifi_quality_ratio"] = std::clamp(*link / wifi_link_full, 0.0, 1.0);
            const double signal = *level > 63 ? *level - 256 : *level;  // older drivers write the byte unsigned
            if (signal > -200 && signal < 64) out.values["wifi_signal_dbm"] = signal;
        });
    }
}

}  // namespace basmalin::agent
