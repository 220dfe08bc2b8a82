// What time it is on this gateway, as far as that can be believed. Pure: the kernel's word is a parameter.
// R1  While the kernel's clock is not synchronised, the time is never before what a welcome said, plus what has passed since.
// R2  A clock that was set right once and lost its server still runs: its last word on this boot stands.
// R3  An offset is news when its state changed, or when it moved by more than half a second.
// Thread: one (the loop's).
#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "agent/buffer/buffer.h"
#include "agent/health/node_health.h"
#include "shared/base/clock.h"

namespace basmalin::agent {

class GatewayClock {
  public:
    explicit GatewayClock(const Clock& clock) : clock_(clock) {}

    Moment now() const;
    ClockState state() const { return state_; }
    void not_before(WallTime wall) { floor_ = {wall, clock_.mono()}; }  // R1
    // The buffer's number of this boot, and what it knows of boots. A repaired buffer begins anew.
    void begin(uint32_t boot_no, const std::vector<BootOffset>& boots);
    // The offset of this boot if it is news (R2, R3).
    std::optional<BootOffset> read(const ClockReading& reading);

  private:
    const Clock& clock_;
    ClockState state_ = ClockState::Unsynced;
    uint32_t boot_no_ = 0;
    BootOffset offset_;  // as last told
    std::optional<std::pair<WallTime, MonoTime>> floor_;
};

}  // namespace basmalin::agent
