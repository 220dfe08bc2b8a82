#include <algorithm>

#include "shared/wire/batch.h"

namespace basmalin {

bool SeqSet::contains(uint64_t seq) const {
    if (seq <= mark_) return true;
    const auto after = std::upper_bound(ranges_.begin(), ranges_.end(), seq, [](uint64_t s, const SeqRange& r) { return s < r.first; });
    return after != ranges_.begin() && seq <= std::prev(after)->last;
}

bool SeqSet::insert(uint64_t seq) {
    if (contains(seq)) return false;
    insert(SeqRange{seq, seq});
    return true;
}

// Invariant: ranges_ ascend, are disjoint, do not touch each other and do not touch the mark.
void SeqSet::insert(SeqRange range) {
    if (range.last < range.first || range.last <= mark_) return;
    range.first = std::max(range.first, mark_ + 1);
    // The ranges that overlap or touch this one: from the first that ends at or after first - 1 to the last that begins at or before last
    // + 1.
    const auto from =
        std::lower_bound(ranges_.begin(), ranges_.end(), range.first - 1, [](const SeqRange& r, uint64_t s) { return r.last < s; });
    auto until = from;
    while (until != ranges_.end() && until->first - 1 <= range.last) {
        range.first = std::min(range.first, until->first);
        range.last = std::max(range.last, until->last);
        ++until;
    }
    if (range.first == mark_ + 1) {
        mark_ = range.last;
        ranges_.erase(from, until);
    } else if (from == until) {
        ranges_.insert(from, range);
    } else {
        *from = range;
        ranges_.erase(from + 1, until);
    }
}

void SeqSet::restore(uint64_t mark, std::vector<SeqRange> ranges) {
    mark_ = mark;
    ranges_.clear();
    std::sort(ranges.begin(), ranges.end(), [](const SeqRange& a, const SeqRange& b) { return a.first < b.first; });
    for (const SeqRange& range : ranges) insert(range);  // each lands at the end: linear
}

}  // namespace basmalin
