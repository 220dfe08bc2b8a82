// SeqSet against a naive set of numbers.
#include <gtest/gtest.h>

#include <set>

#include "shared/wire/batch.h"
#include "tests/shared/series/generated.h"

namespace basmalin {
namespace {

using namespace generated;

constexpr uint64_t highest = 60;

struct Naive {
    std::set<uint64_t> seqs;
    uint64_t mark() const {
        uint64_t m = 0;
        while (seqs.contains(m + 1)) ++m;
        return m;
    }
    std::vector<SeqRange> ranges() const {
        std::vector<SeqRange> found;
        for (const uint64_t s : seqs) {
            if (s <= mark()) continue;
            if (!found.empty() && found.back().last + 1 == s)
                found.back().last = s;
            else
                found.push_back({s, s});
        }
        return found;
    }
};

void expect_same(const SeqSet& set, const Naive& naive) {
    ASSERT_EQ(set.mark(), naive.mark());
    ASSERT_EQ(set.ranges(), naive.ranges());
    ASSERT_EQ(set.highest(), naive.seqs.empty() ? 0 : *naive.seqs.rbegin());
    for (uint64_t s = 1; s <= highest + 2; ++s) ASSERT_EQ(set.contains(s), naive.seqs.contains(s)) << s;
}

TEST(SeqSet, IsTheSetOfWhatWasInserted) {
    for_each_seed(3000, [](uint64_t seed) {
        Dice dice(seed);
        SeqSet set;
        Naive naive;
        for (uint64_t steps = dice.below(40); steps > 0; --steps) {
            const uint64_t first = 1 + dice.below(highest);
            if (dice.one_in(3)) {
                const uint64_t last = std::min(highest, first + dice.below(8));
                set.insert({first, last});
                for (uint64_t s = first; s <= last; ++s) naive.seqs.insert(s);
            } else {
                ASSERT_EQ(set.insert(first), naive.seqs.insert(first).second);
            }
            expect_same(set, naive);
            if (::testing::Test::HasFatalFailure()) return;
        }
    });
}

TEST(SeqSet, RestoresFromAnyRanges) {
    for_each_seed(2000, [](uint64_t seed) {
        Dice dice(seed);
        Naive naive;
        std::vector<SeqRange> ranges;
        const uint64_t mark = dice.below(10);
        for (uint64_t s = 1; s <= mark; ++s) naive.seqs.insert(s);
        for (uint64_t i = dice.below(10); i > 0; --i) {
            const uint64_t first = 1 + dice.below(highest);
            const uint64_t last = std::min(highest, first + dice.below(8));
            ranges.push_back({first, last});
            for (uint64_t s = first; s <= last; ++s) naive.seqs.insert(s);
        }
        ranges.push_back({9, 3});  // upside down: ignored
        SeqSet set;
        set.insert(50);
        set.restore(mark, ranges);
        expect_same(set, naive);
        SeqSet again;
        again.restore(set.mark(), set.ranges());
        ASSERT_EQ(again, set);
    });
}

TEST(SeqSet, ReachesTheLastNumberWithoutOverflow) {
    SeqSet set;
    EXPECT_TRUE(set.insert(UINT64_MAX));
    EXPECT_FALSE(set.insert(UINT64_MAX));
    set.insert({UINT64_MAX - 3, UINT64_MAX - 1});
    EXPECT_EQ(set.ranges(), (std::vector<SeqRange>{{UINT64_MAX - 3, UINT64_MAX}}));
    set.insert({1, UINT64_MAX});
    EXPECT_EQ(set.mark(), UINT64_MAX);
    EXPECT_TRUE(set.ranges().empty());
    EXPECT_FALSE(set.insert(5));
}

TEST(SeqSet, ZeroIsNoSequenceNumber) {
    SeqSet set;
    EXPECT_FALSE(set.insert(uint64_t{0}));
    set.insert({0, 2});
    EXPECT_EQ(set.mark(), 2U);
}

}  // namespace
}  // namespace basmalin
