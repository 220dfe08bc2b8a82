#include "agent/app/progress.h"

namespace basmalin::agent {

std::vector<std::string> complaints_of(const Progress& p, MonoTime now) {
    std::vector<std::string> found;
    if (!p.ready) found.emplace_back("the buffer is not open yet");
    if (p.ready && !p.writable) found.emplace_back("the buffer cannot be written");
    if (p.ready && p.opening) found.emplace_back("the buffer's file is being repaired");
    if (p.ready && now - p.buffer_answered > stuck_after) found.emplace_back("the buffer does not answer");
    if (p.seal_due && now - *p.seal_due > stuck_after) found.emplace_back("readings wait to be sealed");
    if (p.local_away_since && now - *p.local_away_since > unconnected_too_long)
        found.emplace_back("the gateway's own broker is away: no device is heard");
    if (p.phase == WindowPhase::Open && p.unheard_since && now - *p.unheard_since > unacked_too_long)
        found.emplace_back("the coordinator does not acknowledge");
    return found;
}

bool buffer_hangs(const Progress& p, MonoTime now, Duration patience) {
    return now - p.buffer_answered > (p.opening ? stuck_opening_after : patience);
}

}  // namespace basmalin::agent
