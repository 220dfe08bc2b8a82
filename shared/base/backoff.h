// Full jitter: a wait is uniform in [0, min(cap, first * 2^attempt)], so that a fleet that lost its broker does not come back
// in step. Pure; the random number is a parameter.
#pragma once

#include <algorithm>
#include <cstdint>

#include "shared/base/clock.h"

namespace basmalin {

struct Backoff {
    Duration first = seconds(1);
    Duration cap = seconds(60);
    int attempt = 0;

    // `random` is uniform in [0, 1).
    Duration next(double random) {
        const int64_t ceiling = std::min(cap.ms, first.ms << std::min(attempt, 20));
        ++attempt;
        return {static_cast<int64_t>(static_cast<double>(ceiling) * random)};
    }
    void reset() { attempt = 0; }
};

}  // namespace basmalin
