#include "agent/app/gateway_clock.h"

#include <algorithm>
#include <cstdlib>

namespace basmalin::agent {
namespace {

constexpr int64_t news_ms = 500;

}  // namespace

Moment GatewayClock::now() const {
    Moment m{clock_.mono(), clock_.wall(), state_};
    if (state_ == ClockState::Unsynced && floor_) m.wall = std::max(m.wall, floor_->first + (m.mono - floor_->second));
    return m;
}

void GatewayClock::begin(uint32_t boot_no, const std::vector<BootOffset>& boots) {
    boot_no_ = boot_no;
    offset_ = {};
    for (const BootOffset& b : boots)
        if (b.boot_no == boot_no) offset_ = b;
}

std::optional<BootOffset> GatewayClock::read(const ClockReading& reading) {
    state_ = reading.state;
    if (boot_no_ == 0) return std::nullopt;
    const BootOffset fresh{
        .boot_no = boot_no_, .state = reading.state, .offset_ms = clock_.wall().ms - clock_.mono().ms, .error_ms = reading.error_ms};
    if (fresh.state == ClockState::Unsynced && offset_.state == ClockState::Synced) return std::nullopt;
    const bool news = fresh.state != offset_.state || std::abs(fresh.offset_ms - offset_.offset_ms) > news_ms || offset_.boot_no == 0;
    if (!news) return std::nullopt;
    offset_ = fresh;
    return fresh;
}

}  // namespace basmalin::agent
