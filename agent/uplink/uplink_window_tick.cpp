// When the window wants to be woken, and what it would read then.
#include <algorithm>

#include "agent/uplink/uplink_window.h"

namespace basmalin::agent {

bool wants_alarms(const Window& w, const WindowLimits& limits) { return !w.alarm_end && w.alarm.size() < limits.fetch_batches / 2 + 1; }
bool wants_backlog(const Window& w, const WindowLimits& limits) {
    return !w.backlog_end && w.backlog.size() < limits.fetch_batches / 2 + 1;
}

std::optional<MonoTime> next_tick(const Window& w, const WindowLimits& limits) {
    std::optional<MonoTime> earliest;
    const auto consider = [&](MonoTime t) {
        if (t.ms != INT64_MAX) earliest = earliest ? std::min(*earliest, t) : t;
    };
    if (w.phase == WindowPhase::Away) return earliest;
    if (w.phase != WindowPhase::Open) {
        consider(w.hello_deadline);
        return earliest;
    }
    for (const auto& [number, message] : w.messages) consider(message.deadline);
    if (wants_backlog(w, limits) && w.fetching == 0) consider(std::max(w.backlog_start, w.fetch_not_before));
    if (wants_alarms(w, limits) && w.fetching == 0) consider(w.fetch_not_before);
    if (!w.backlog.empty() && limits.backlog_bytes_per_second > 0 && w.tokens <= 0) {
        const int64_t wait_ms = 1 + (1 - w.tokens) * 1000 / limits.backlog_bytes_per_second;
        consider(std::max(w.backlog_start, w.tokens_at + Duration{wait_ms}));
    }
    return earliest;
}

std::string_view to_string(WindowPhase phase) {
    switch (phase) {
        case WindowPhase::Away: return "away";
        case WindowPhase::Greeting: return "greeting";
        case WindowPhase::Open: return "open";
        case WindowPhase::Paused: return "paused";
    }
    return "away";
}

}  // namespace basmalin::agent
