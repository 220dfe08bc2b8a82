// What the buffer gives up when a bound is reached. Pure.
// R1  Acknowledged batches go first: that loses nothing. Oldest first.
// R2  Then by priority, the least important (Low) first, and within a priority oldest first.
// R3  Gaps batches are never chosen: they are the record of what was lost.
// R4  It chooses no more than needed, and a whole batch at a time.
// R5  Below the disk's reserve the file stops to grow: as much is given up as is sealed, and no more. Others fill the disk for a while
//     (an upgrade) and leave again; what was given up for them is gone.
// R6  A shortage that has lasted shortage_patience is given back, shrink_share_bytes each shrink_every, never more than the shortage, and
//     only where it can be ended so: giving up all of 50 MB does not end one of 200 MB.
#pragma once

#include <cstdint>
#include <optional>
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
    int64_t next_seal_bytes = 64 << 10;  // R5: what is about to be written
    int64_t shrink_bytes = 0;            // R6: what may be given back now
};

// R6: a disk that is short of its reserve.
constexpr Duration shortage_patience = minutes(10);
constexpr Duration shrink_every = seconds(10);
constexpr int64_t shrink_share_bytes = int64_t{1} << 20;
struct Shortage {
    std::optional<MonoTime> since = {};
    MonoTime share_at{INT64_MIN / 2};  // when the share below began
    int64_t share_left = 0;            // of what may be given back, bytes
};
Shortage observed(Shortage shortage, bool is_short, MonoTime now);

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
