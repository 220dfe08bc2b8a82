#include "agent/buffer/eviction.h"

#include <algorithm>

namespace basmalin::agent {

namespace {

int64_t for_the_reserve(const Space& s) {
    const int64_t short_of = s.disk_reserve_bytes - s.disk_free_bytes - s.reusable_bytes;
    if (short_of <= 0) return 0;
    int64_t wanted = s.reusable_bytes < s.next_seal_bytes ? 2 * s.next_seal_bytes - s.reusable_bytes : 0;
    if (short_of <= s.used_bytes) wanted = std::max(wanted, s.shrink_bytes);
    return std::min(wanted, short_of);
}

}  // namespace

int64_t bytes_to_free(const Space& s) {
    const int64_t over = s.used_bytes - s.bytes_max;
    const int64_t spare = std::min(s.bytes_max / 50, int64_t{1} << 20);
    return std::min(std::max(over > 0 ? over + spare : 0, for_the_reserve(s)), s.used_bytes);
}

Shortage observed(Shortage s, bool is_short, MonoTime now) {
    if (!is_short) return {};
    if (!s.since) s.since = now;
    if (now - *s.since < shortage_patience || now - s.share_at < shrink_every) return s;
    s.share_at = now;
    s.share_left = shrink_share_bytes;
    return s;
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
