// Days that were decoded for one page of an answer and wait for its next page. Bounded: by bytes in all, the one used longest ago goes
// first, and a day that nobody came back for goes after a minute. Thread: the reader's.
#pragma once

#include <cstdint>
#include <vector>

#include "coordinator/store/points.h"
#include "shared/base/clock.h"

namespace basmalin::coordinator {

struct HeldDay {
    uint64_t answer = 0;
    int64_t from_ms = 0;  // the columns hold all of [from, to) that was asked for, sorted
    int64_t to_ms = 0;
    PointColumns columns;
    size_t bytes = 0;
    MonoTime used;
};

size_t bytes_of(const PointColumns& columns);

class HeldDays {
  public:
    // The day that a page of `answer` from time_ms on goes on in, or null. Until the next call.
    const HeldDay* find(uint64_t answer, int64_t time_ms, MonoTime now);
    void hold(HeldDay day, MonoTime now);  // instead of what the answer held before; nothing when it is too much alone
    void drop(uint64_t answer);
    size_t bytes() const;

    size_t bytes_max = size_t{48} << 20;
    Duration patience = minutes(1);

  private:
    std::vector<HeldDay> days_;  // a few
};

}  // namespace basmalin::coordinator
