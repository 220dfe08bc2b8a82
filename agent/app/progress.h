// Whether readings get on, which is more than being alive: what /healthz complains of, and when the watchdog is left unfed. Pure.
// R1  A buffer that leaves a question unanswered hangs. While its file is checked and repaired it is given a quarter of an hour.
// R2  An away coordinator is a reason to buffer, no failure; one that is there and never acknowledges is one.
// R3  Without the gateway's own broker nothing of the garden is heard. It may restart; away for minutes it is a failure, though none
//     that a restart of the agent would mend.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/uplink/uplink_window.h"
#include "shared/base/clock.h"

namespace basmalin::agent {

inline constexpr Duration stuck_after = seconds(60);
inline constexpr Duration stuck_opening_after = minutes(15);
inline constexpr Duration unacked_too_long = minutes(5);
inline constexpr Duration unconnected_too_long = minutes(3);

struct Progress {
    bool ready = false;     // the buffer was opened
    bool writable = false;  // and can be written
    bool opening = false;   // its file is checked, perhaps repaired
    MonoTime buffer_answered;
    std::optional<MonoTime> seal_due;               // the oldest reading that waits to be sealed
    std::optional<MonoTime> local_away_since = {};  // no connection to the gateway's own broker
    WindowPhase phase = WindowPhase::Away;
    std::optional<MonoTime> unheard_since;  // sent, and no ack since
};

std::vector<std::string> complaints_of(const Progress& progress, MonoTime now);
// Whether the buffer hangs for one who waits `patience` for its answers (R1).
bool buffer_hangs(const Progress& progress, MonoTime now, Duration patience = stuck_after);

}  // namespace basmalin::agent
