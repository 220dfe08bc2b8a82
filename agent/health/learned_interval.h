// How often a device speaks, learned from when it spoke. Pure. Rule R3 of device_health.h.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>

#include "shared/base/clock.h"

namespace basmalin::agent {

class LearnedInterval {
  public:
    static constexpr size_t gaps_kept = 16;
    static constexpr size_t gaps_needed = 3;
    static constexpr size_t outages_many = 4;

    // `least`: messages closer together are one burst; `outage_factor`: gaps longer than this many medians are outages.
    LearnedInterval(Duration least, double outage_factor) : least_(least), outage_factor_(outage_factor) {}

    // For what is heard from now on.
    void set_limits(Duration least, double outage_factor) {
        least_ = least;
        outage_factor_ = outage_factor;
    }

    void heard(MonoTime at) {
        if (!burst_began_) {
            burst_began_ = at;
            return;
        }
        const Duration gap = at - *burst_began_;
        if (gap < least_) return;
        burst_began_ = at;
        gaps_[next_] = gap.ms;
        next_ = (next_ + 1) % gaps_kept;
        count_ = std::min(count_ + 1, gaps_kept);
        known_ = learn();
    }

    // Nothing while it is not known, or when the device keeps no interval.
    std::optional<Duration> interval() const { return known_; }

  private:
    std::optional<Duration> learn() const {
        if (count_ < gaps_needed) return std::nullopt;
        std::array<int64_t, gaps_kept> sorted = gaps_;
        const auto end = sorted.begin() + static_cast<std::ptrdiff_t>(count_);
        std::sort(sorted.begin(), end);
        const double outage = static_cast<double>(sorted[count_ / 2]) * outage_factor_;
        const auto steady = static_cast<size_t>(std::upper_bound(sorted.begin(), end, outage, [](double limit, int64_t gap) {
                                                    return limit < static_cast<double>(gap);
                                                }) - sorted.begin());
        const size_t outages = count_ - steady;
        if (outages >= outages_many && outages * 4 >= count_) return std::nullopt;
        return Duration{sorted[steady / 2]};
    }

    Duration least_;
    double outage_factor_;
    std::optional<MonoTime> burst_began_;
    std::array<int64_t, gaps_kept> gaps_{};
    size_t next_ = 0;
    size_t count_ = 0;
    std::optional<Duration> known_;
};

}  // namespace basmalin::agent
