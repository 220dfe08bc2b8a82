// The messages around batches: `up` and `ack`.
#include <gtest/gtest.h>

#include "shared/base/bytes.h"
#include "shared/wire/batch.h"
#include "tests/shared/series/generated.h"

namespace basmalin {
namespace {

using namespace generated;

constexpr uint64_t stream = 0x0123456789abcdef;

struct Made {
    std::vector<std::string> batches;
    std::vector<BootOffset> boots;
    Lane lane;
    std::string bytes() const { return encode_up({stream, lane, boots, {batches.begin(), batches.end()}}); }
};

Made made(Dice& dice) {
    Made up;
    up.lane = static_cast<Lane>(dice.below(3));
    for (uint64_t i = dice.below(4); i > 0; --i)
        up.boots.push_back({static_cast<uint32_t>(dice.bits()), static_cast<ClockState>(dice.below(2)), static_cast<int64_t>(dice.bits()),
                            static_cast<int64_t>(dice.bits() >> 1)});
    for (uint64_t i = dice.below(6); i > 0; --i) up.batches.push_back(word(dice, 400));
    return up;
}

TEST(Up, ComesBackAndKeepsItsOverheadWithinWhatIsPromised) {
    for_each_seed(1000, [](uint64_t seed) {
        Dice dice(seed);
        const Made up = made(dice);
        const std::string bytes = up.bytes();
        auto back = decode_up(bytes);
        ASSERT_TRUE(back) << back.error().message();
        ASSERT_EQ(back->stream, stream);
        ASSERT_EQ(back->lane, up.lane);
        ASSERT_EQ(back->boots, up.boots);
        ASSERT_TRUE(std::equal(back->batches.begin(), back->batches.end(), up.batches.begin(), up.batches.end()));
        size_t inside = 0;
        for (const std::string& batch : up.batches) inside += batch.size();
        ASSERT_LE(bytes.size(), inside + up_overhead_bytes_max + up.batches.size() * up_overhead_per_batch_bytes +
                                    up.boots.size() * up_overhead_per_boot_bytes_max);
    });
}

TEST(Up, ALongBatchAloneFits) {
    const std::string batch(batch_bytes_max, 'x');
    const std::string bytes = encode_up({stream, Lane::Live, {}, {batch}});
    EXPECT_LE(bytes.size(), batch.size() + up_overhead_bytes_max + up_overhead_per_batch_bytes);
    EXPECT_TRUE(decode_up(bytes));
}

TEST(Up, WhatIsTooLargeIsCorrupt) {
    EXPECT_EQ(decode_up(encode_up({stream, Lane::Live, {}, {std::string(up_bytes_hard_max, 'x')}})).error().text, "up: longer than 64 KiB");
    EXPECT_TRUE(decode_up(encode_up({stream, Lane::Live, {}, std::vector<std::string_view>(up_batches_max, "x")})));
    EXPECT_EQ(decode_up(encode_up({stream, Lane::Live, {}, std::vector<std::string_view>(up_batches_max + 1, "x")})).error().text,
              "up: too many batches");
    EXPECT_TRUE(decode_up(encode_up({stream, Lane::Live, std::vector<BootOffset>(up_boots_max), {}})));
    EXPECT_EQ(decode_up(encode_up({stream, Lane::Live, std::vector<BootOffset>(up_boots_max + 1), {}})).error().text, "up: too many boots");
    EXPECT_EQ(decode_up(encode_up({stream, Lane::Live, {}, {""}})).error().text, "up: an empty batch");
}

TEST(Up, DamageIsAnsweredAndWhatDecodesEncodesAgain) {
    for_each_seed(500, [](uint64_t seed) {
        Dice dice(seed);
        const Made up = made(dice);
        const std::string bytes = up.bytes();
        for (size_t n = 0; n < bytes.size(); ++n) {
            auto part = decode_up(std::string_view(bytes).substr(0, n));
            ASSERT_TRUE(!part || part->batches.size() < up.batches.size());
        }
        std::string bad = bytes;
        bad[dice.below(bad.size())] = static_cast<char>(dice.below(256));
        auto back = decode_up(bad);
        if (!back) return;
        const std::string again = encode_up(*back);
        auto third = decode_up(again);
        ASSERT_TRUE(third);
        ASSERT_EQ(third->boots, back->boots);
        ASSERT_EQ(third->batches, back->batches);
    });
}

TEST(Up, ALaterVersionIsInvalidAndSaysSo) {
    std::string bytes = encode_up({stream, Lane::Live, {}, {}});
    bytes[0] = '\xB2';
    EXPECT_EQ(decode_up(bytes).error().code, Code::Invalid);
    EXPECT_EQ(decode_up(bytes).error().text, "up: version 2, this program knows version 1");
    bytes[0] = '\xA1';
    EXPECT_EQ(decode_up(bytes).error().code, Code::Corrupt);
}

Ack ack(Dice& dice) {
    Ack one{.epoch = dice.bits(), .stream = stream, .mark = dice.below(1'000'000), .ranges = {}, .definitions_wanted = dice.one_in(2)};
    uint64_t last = one.mark;
    for (uint64_t i = dice.below(30); i > 0; --i) {
        const uint64_t first = last + 2 + dice.below(100);
        last = first + dice.below(100);
        one.ranges.push_back({first, last});
    }
    return one;
}

TEST(Acks, ComeBack) {
    for_each_seed(1000, [](uint64_t seed) {
        Dice dice(seed);
        const Ack sent = ack(dice);
        auto back = decode_ack(encode_ack(sent));
        ASSERT_TRUE(back) << back.error().message();
        ASSERT_EQ(*back, sent);
    });
    const Ack last{.epoch = 1, .stream = 2, .mark = UINT64_MAX - 2, .ranges = {{UINT64_MAX, UINT64_MAX}}};
    EXPECT_EQ(*decode_ack(encode_ack(last)), last);
}

TEST(Acks, SendTheLowestRangesWhenThereAreTooMany) {
    Ack many{.epoch = 1, .stream = 2, .mark = 0, .ranges = {}};
    for (uint64_t i = 0; i < 1000; ++i) many.ranges.push_back({2 + i * 2, 2 + i * 2});
    auto back = decode_ack(encode_ack(many));
    ASSERT_TRUE(back);
    many.ranges.resize(ack_ranges_max);
    EXPECT_EQ(*back, many);
}

TEST(Acks, AreOrderedAndMergedBeforeTheyAreSent) {
    const Ack loose{.epoch = 1, .stream = 2, .mark = 3, .ranges = {{9, 9}, {4, 5}, {8, 8}}};
    auto back = decode_ack(encode_ack(loose));
    ASSERT_TRUE(back);
    EXPECT_EQ(back->mark, 5U);
    EXPECT_EQ(back->ranges, (std::vector<SeqRange>{{8, 9}}));
}

TEST(Acks, DamageIsAnswered) {
    for_each_seed(500, [](uint64_t seed) {
        Dice dice(seed);
        const std::string bytes = encode_ack(ack(dice));
        for (size_t n = 0; n < bytes.size(); ++n) ASSERT_FALSE(decode_ack(std::string_view(bytes).substr(0, n)));
        ASSERT_FALSE(decode_ack(bytes + "x"));
        std::string bad = bytes;
        bad[dice.below(bad.size())] = static_cast<char>(dice.below(256));
        auto back = decode_ack(bad);
        if (!back) return;
        ASSERT_EQ(*decode_ack(encode_ack(*back)), *back);
    });
}

TEST(Acks, ARangeThatOverflowsIsCorrupt) {
    Writer w;
    w.u8(0xA1);
    w.u8(0);
    w.u64(1);
    w.u64(2);
    w.varint(UINT64_MAX - 5);
    w.varint(1);
    w.varint(2);
    w.varint(2);
    EXPECT_EQ(decode_ack(w.bytes()).error().text, "ack: a range that overflows");
}

}  // namespace
}  // namespace basmalin
