// What wall time a batch's monotonic times mean. Pure. See wire.md "Time": nothing is ordered or deduplicated by these.
// R1  Sealed while Synced: wall = mono + (sealed_wall - sealed_mono), exact, whatever else is known (believed() permitting).
// R2  Sealed Unsynced, and the boot's offset is known (any Synced batch of the boot, a BootOffset that says Synced): that
//     offset. Of several, the one with the least error, and the first heard among equals: times do not jitter between reads.
// R3  Otherwise estimated. Upper bound: a batch was sealed before it was received; a boot ended before the next known one
//     began. Lower bound: it began after the one before it ended. The estimate is the upper bound, which a live batch makes
//     tight; the error is the distance of the two.
// R4  A Synced word is believed only between 1990 and a day after its receipt; later, it is treated as Unsynced.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <optional>

#include "shared/base/clock.h"
#include "shared/wire/batch.h"

namespace basmalin::coordinator {

constexpr int64_t no_bound_ms = std::numeric_limits<int64_t>::max();
constexpr int64_t mono_ms_max = int64_t{1} << 42;  // 139 years of uptime
constexpr size_t boots_per_stream_max = 4096;

struct BootKnowledge {
    bool known = false;
    int64_t offset_ms = 0;  // wall minus mono, when known
    int64_t error_ms = 0;
    int64_t upper_ms = no_bound_ms;  // the least (received - sealed_mono) heard
    int64_t last_mono_ms = 0;        // the highest monotonic time heard
    bool operator==(const BootKnowledge&) const = default;
};

struct Timing {
    int64_t offset_ms = 0;  // wall = mono + offset
    int64_t error_ms = 0;   // no_bound_ms: nobody knows
    bool estimated = false;
    bool operator==(const Timing&) const = default;
};

// R4
bool believed(const BatchHeader& header, WallTime received);
bool believed(const BootOffset& offset, WallTime received);

// All boots of one stream.
class BootClock {
  public:
    // Each returns true when something changed that is worth keeping (last_mono: by the minute).
    bool hear_synced(uint32_t boot_no, int64_t offset_ms, int64_t error_ms);
    bool hear_batch(uint32_t boot_no, MonoTime sealed, WallTime received);

    // For a batch that is not itself exact (R2, R3).
    Timing timing(uint32_t boot_no, MonoTime sealed, WallTime received) const;

    const BootKnowledge* find(uint32_t boot_no) const;
    void restore(uint32_t boot_no, const BootKnowledge& knowledge);
    // Forgets and returns the oldest boot when there are more than boots_per_stream_max.
    std::optional<uint32_t> trim();

  private:
    struct Heard {
        BootKnowledge knowledge;
        int64_t kept_mono_ms = 0;  // last_mono as the caller was last told to keep it
    };
    int64_t end_of_before(uint32_t boot_no) const;   // lower bound of the offset; -no_bound_ms if none
    int64_t start_of_after(uint32_t boot_no) const;  // upper bound of the boot's end; no_bound_ms if none
    std::map<uint32_t, Heard> boots_;
};

}  // namespace basmalin::coordinator
