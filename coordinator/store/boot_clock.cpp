#include "coordinator/store/boot_clock.h"

#include <algorithm>

namespace basmalin::coordinator {
namespace {

constexpr int64_t year_1990_ms = 631'152'000'000;
constexpr int64_t future_ms_max = 86'400'000;
constexpr int64_t mono_step_ms = 60'000;
constexpr int neighbours_max = 64;  // boots looked at on each side; the bound on the work of one timing()

}  // namespace

bool believed(const BatchHeader& header, WallTime received) {
    return header.clock == ClockState::Synced && header.sealed_wall.ms >= year_1990_ms &&
           header.sealed_wall.ms <= received.ms + future_ms_max;
}

bool believed(const BootOffset& offset, WallTime received) {
    return offset.state == ClockState::Synced && offset.boot_no > 0 && offset.error_ms >= 0 &&
           offset.offset_ms >= year_1990_ms - mono_ms_max && offset.offset_ms <= received.ms + future_ms_max;
}

bool BootClock::hear_synced(uint32_t boot_no, int64_t offset_ms, int64_t error_ms) {
    BootKnowledge& boot = boots_[boot_no].knowledge;
    if (boot.known && boot.error_ms <= error_ms) return false;
    boot.known = true;
    boot.offset_ms = offset_ms;
    boot.error_ms = error_ms;
    return true;
}

bool BootClock::hear_batch(uint32_t boot_no, MonoTime sealed, WallTime received) {
    Heard& heard = boots_[boot_no];
    BootKnowledge& boot = heard.knowledge;
    bool changed = false;
    if (!boot.known && received.ms - sealed.ms < boot.upper_ms) {
        boot.upper_ms = received.ms - sealed.ms;
        changed = true;
    }
    boot.last_mono_ms = std::max(boot.last_mono_ms, sealed.ms);
    if (boot.last_mono_ms >= heard.kept_mono_ms + mono_step_ms) changed = true;
    if (changed) heard.kept_mono_ms = boot.last_mono_ms;
    return changed;
}

// The known boot before ended at its offset + last_mono; each unknown one in between lasted at least its last_mono.
int64_t BootClock::end_of_before(uint32_t boot_no) const {
    int64_t lasted_ms = 0;
    int looked_at = 0;
    for (auto at = boots_.lower_bound(boot_no); at != boots_.begin() && looked_at < neighbours_max; ++looked_at) {
        --at;
        const BootKnowledge& boot = at->second.knowledge;
        lasted_ms += boot.last_mono_ms;
        if (boot.known) return boot.offset_ms + lasted_ms;
    }
    return -no_bound_ms;
}

int64_t BootClock::start_of_after(uint32_t boot_no) const {
    int64_t lasted_ms = 0;
    int looked_at = 0;
    for (auto at = boots_.upper_bound(boot_no); at != boots_.end() && looked_at < neighbours_max; ++at, ++looked_at) {
        const BootKnowledge& boot = at->second.knowledge;
        if (boot.known) return boot.offset_ms - lasted_ms;
        lasted_ms += boot.last_mono_ms;
    }
    return no_bound_ms;
}

Timing BootClock::timing(uint32_t boot_no, MonoTime sealed, WallTime received) const {
    BootKnowledge boot;
    if (const BootKnowledge* heard = find(boot_no)) boot = *heard;
    if (boot.known) return {boot.offset_ms, boot.error_ms, false};
    int64_t upper = std::min(boot.upper_ms, received.ms - sealed.ms);
    const int64_t after = start_of_after(boot_no);
    if (after != no_bound_ms) upper = std::min(upper, after - std::max(boot.last_mono_ms, sealed.ms));
    const int64_t lower = end_of_before(boot_no);
    const int64_t error = lower == -no_bound_ms ? no_bound_ms : upper > lower ? upper - lower : lower - upper;
    return {upper, error, true};
}

const BootKnowledge* BootClock::find(uint32_t boot_no) const {
    const auto at = boots_.find(boot_no);
    return at == boots_.end() ? nullptr : &at->second.knowledge;
}

void BootClock::restore(uint32_t boot_no, const BootKnowledge& knowledge) { boots_[boot_no] = {knowledge, knowledge.last_mono_ms}; }

std::optional<uint32_t> BootClock::trim() {
    if (boots_.size() <= boots_per_stream_max) return std::nullopt;
    const uint32_t oldest = boots_.begin()->first;
    boots_.erase(boots_.begin());
    return oldest;
}

}  // namespace basmalin::coordinator
