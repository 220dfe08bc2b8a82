// Where in a list each series stands. Open addressing: a commit of thousands of series allocates nothing for each of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "coordinator/store/store.h"

namespace basmalin::coordinator {

class SeriesPlaces {
  public:
    // The place of a series (never 0), and whether it is new: then it stands at `next` from now on.
    std::pair<size_t, bool> place_of(SeriesId series, size_t next) {
        if (2 * used_ >= slots_.size()) grow();
        Slot& slot = slot_of(series);
        const bool is_new = slot.series == 0;
        if (is_new) {
            slot = {series, next};
            ++used_;
        }
        return {slot.place, is_new};
    }

  private:
    struct Slot {
        SeriesId series = 0;  // 0: free
        size_t place = 0;
    };

    // The slot that has it, or else the free one where it belongs. At least half of them are free.
    Slot& slot_of(SeriesId series) {
        size_t at = static_cast<size_t>((static_cast<uint64_t>(series) * 0x9e3779b97f4a7c15ULL) >> 32);
        for (;; ++at) {
            Slot& slot = slots_[at & (slots_.size() - 1)];
            if (slot.series == series || slot.series == 0) return slot;
        }
    }
    void grow() {
        const std::vector<Slot> old = std::exchange(slots_, std::vector<Slot>(slots_.empty() ? 64 : 4 * slots_.size()));
        for (const Slot& slot : old)
            if (slot.series != 0) slot_of(slot.series) = slot;
    }

    std::vector<Slot> slots_;  // a power of two
    size_t used_ = 0;
};

}  // namespace basmalin::coordinator
