#include "agent/uplink/pace.h"

#include <algorithm>

namespace basmalin::agent {

namespace {

bool is_measuring(const Pace& pace, MonoTime now, const PaceLimits& limits) { return now > pace.measured_at + limits.measure_every; }

}  // namespace

size_t Pace::message_bytes(MonoTime now, const PaceLimits& limits) const {
    return is_measuring(*this, now, limits) ? limits.message_bytes_min : std::max(allowance / 4, limits.message_bytes_min);
}

bool Pace::may_send(size_t backlog_on_its_way, MonoTime now, const PaceLimits& limits) const {
    if (backlog_on_its_way == 0) return true;
    return !is_measuring(*this, now, limits) && backlog_on_its_way + message_bytes(now, limits) <= allowance;
}

Pace heard(Pace pace, const Heard& message, MonoTime now, const PaceLimits& limits) {
    const Duration took = now - message.sent;
    const bool known = pace.path.ms != INT64_MAX;
    if (took <= pace.path || message.alone) pace.measured_at = now;
    if (took < pace.path) pace.path = took;
    if (message.alone && known) pace.path.ms += (took.ms - pace.path.ms) / 2;
    if (!message.backlog) return pace;
    const Duration queued = took - pace.path;
    if (queued > limits.queue_high && message.sent >= pace.shrunk_at) {
        const auto fitting = static_cast<size_t>(static_cast<int64_t>(pace.allowance) * (pace.path + limits.queue_low).ms / took.ms);
        pace.allowance = std::max({fitting, pace.allowance / 4, limits.allowance_min});
        pace.shrunk = true;
        pace.shrunk_at = now;
    } else if (queued < limits.queue_low && message.backlog_on_its_way >= pace.allowance / 2) {
        // A whole allowance of messages is confirmed in a round trip.
        const size_t more = pace.shrunk ? message.bytes / 8 : message.bytes;
        pace.allowance = std::min(pace.allowance + more, limits.allowance_max);
    }
    return pace;
}

}  // namespace basmalin::agent
