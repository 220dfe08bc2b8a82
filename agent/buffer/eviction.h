// What the buffer gives up when a bound is reached. Pure.
// R1  Acknowledged batches go first: that loses nothing. Oldest first.
// R2  Then by priority, the least important (Low) first, and within a priority oldest first.
// R3  Gaps batches are never chosen: they are the record of what was lost.
// R4  It chooses no more than needed, and a whole batch at a time.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "shared/base/clock.h"
#include "shared/wire/batch.h"

namespace basmalin::agent {

struct Space {
    int64_t used_bytes = 0;        // of the buffer: pages in use
    int64_t bytes_max = 0;
    int64_t disk_free_bytes = 0;   // of the file system
    int64_t disk_reserve_bytes = 0;
    int64_t reusable_bytes = 0;    // free pages inside the file: growth takes these before the disk
};

// Bytes to free now; 0 when all bounds hold. A little more than needed, so that it is not asked at every seal.
int64_t bytes_to_free(const Space& space);

struct Candidate {
    int64_t id = 0;
    int64_t bytes = 0;
    int64_t readings = 0;
    Priority priority = Priority::Normal;
    BatchKind kind = BatchKind::Readings;
    bool acked = false;
};

// Ids to remove, R1 - R4. `candidates` in the order of their ids, oldest first.
std::vector<int64_t> choose(const std::vector<Candidate>& candidates, int64_t bytes_wanted);

// Adds a gap to a list, joining it with one it touches of the same stream and reason.
void add_gap(std::vector<Gap>& gaps, const Gap& gap);
// True when `next` begins where `gap` ends (or the other way round) and both can be told as one.
bool joins(const Gap& gap, const Gap& next);
Gap joined(const Gap& a, const Gap& b);

}  // namespace basmalin::agent
