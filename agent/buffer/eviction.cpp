#include "agent/buffer/eviction.h"

#include <algorithm>

namespace basmalin::agent {

int64_t bytes_to_free(const Space& s) {
    const int64_t over = s.used_bytes - s.bytes_max;
    // The reserve only matters where the file would have to grow.
    const int64_t short_of = s.disk_reserve_bytes - s.disk_free_bytes - s.reusable_bytes;
    const int64_t needed = std::max(over, short_of);
    if (needed <= 0) return 0;
    const int64_t spare = std::min(s.bytes_max / 50, int64_t{1} << 20);
    return std::min(needed + spare, s.used_bytes);
}

std::vector<int64_t> choose(const std::vector<Candidate>& candidates, int64_t bytes_wanted) {
    std::vector<int64_t> chosen;
    const auto rank = [](const Candidate& c) { return c.acked ? 0 : 3 - static_cast<int>(c.priority); };
    for (int round = 0; round <= 3 && bytes_wanted > 0; ++round) {
        for (const Candidate& c : candidates) {
            if (bytes_wanted <= 0) break;
            if (rank(c) != round || (!c.acked && c.kind == BatchKind::Gaps)) continue;
            chosen.push_back(c.id);
            bytes_wanted -= c.bytes;
        }
    }
    return chosen;
}

bool joins(const Gap& gap, const Gap& next) {
    return gap.stream == next.stream && gap.reason == next.reason && (gap.last_seq + 1 == next.first_seq || next.last_seq + 1 == gap.first_seq);
}

Gap joined(const Gap& a, const Gap& b) {
    Gap g = a;
    g.first_seq = std::min(a.first_seq, b.first_seq);
    g.last_seq = std::max(a.last_seq, b.last_seq);
    g.readings += b.readings;
    g.exact = a.exact && b.exact;
    if (g.from.ms == 0 || (b.from.ms != 0 && b.from < g.from)) g.from = b.from;
    g.to = std::max(a.to, b.to);
    return g;
}

void add_gap(std::vector<Gap>& gaps, const Gap& gap) {
    Gap grown = gap;
    for (size_t i = 0; i < gaps.size();) {
        if (!joins(gaps[i], grown)) {
            ++i;
            continue;
        }
        grown = joined(gaps[i], grown);
        gaps.erase(gaps.begin() + static_cast<std::ptrdiff_t>(i));
        i = 0;
    }
    gaps.push_back(grown);
}

}  // namespace basmalin::agent
