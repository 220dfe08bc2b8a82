// Sealed batches and the gaps they may hold.
#include "shared/wire/batch.h"

#include <gtest/gtest.h>

#include "tests/shared/series/generated.h"

namespace basmalin {
namespace {

using namespace generated;

constexpr uint64_t stream = 0x0123456789abcdef;

BatchHeader header(Dice& dice) {
    const bool wild = dice.one_in(5);
    BatchHeader made;
    made.seq = wild ? std::max<uint64_t>(1, dice.bits()) : 1 + dice.below(1'000'000);
    made.kind = static_cast<BatchKind>(dice.below(4));
    made.priority = static_cast<Priority>(dice.below(3));
    made.clock = static_cast<ClockState>(dice.below(2));
    made.boot_no = static_cast<uint32_t>(wild ? dice.bits() : dice.below(100));
    made.sealed_mono.ms = wild ? static_cast<int64_t>(dice.bits()) : dice.between(0, 1'000'000'000);
    made.sealed_wall.ms = wild ? static_cast<int64_t>(dice.bits()) : dice.between(0, 1'800'000'000'000);
    made.readings = static_cast<uint32_t>(wild ? dice.bits() : dice.below(300));
    made.first.ms = wild ? static_cast<int64_t>(dice.bits()) : made.sealed_mono.ms - dice.between(0, 10'000);
    return made;
}

TEST(Batch, HeaderAndBodyComeBack) {
    for_each_seed(2000, [](uint64_t seed) {
        Dice dice(seed);
        const BatchHeader sealed = header(dice);
        const std::string body = dice.one_in(10) ? "" : word(dice, 300);
        const std::string bytes = seal_batch(stream, sealed, body);
        auto opened = open_batch(stream, bytes);
        ASSERT_TRUE(opened) << opened.error().message();
        ASSERT_EQ(opened->header, sealed);
        ASSERT_EQ(opened->body, body);
    });
}

TEST(Batch, AUsualHeaderCostsAtMost25Bytes) {
    const BatchHeader usual{.seq = 120'000,
                            .clock = ClockState::Synced,
                            .boot_no = 12,
                            .sealed_mono = {700'000'000},
                            .sealed_wall = {1'790'000'000'000},
                            .readings = 60,
                            .first = {699'992'000}};
    EXPECT_LE(seal_batch(stream, usual, "").size(), 25U);
}

TEST(Batch, AnotherStreamsBatchIsCorrupt) {
    const std::string bytes = seal_batch(stream, {.seq = 1}, "body");
    for (int bit = 0; bit < 64; ++bit) EXPECT_EQ(open_batch(stream ^ (uint64_t{1} << bit), bytes).error().code, Code::Corrupt);
}

TEST(Batch, EveryFlippedBitAndTruncationIsCorrupt) {
    Dice dice(7);
    const std::string bytes = seal_batch(stream, header(dice), "a body of some bytes");
    for (size_t n = 0; n < bytes.size(); ++n)
        EXPECT_EQ(open_batch(stream, std::string_view(bytes).substr(0, n)).error().code, Code::Corrupt) << n;
    for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
        std::string bad = bytes;
        bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ 1 << (bit % 8));
        EXPECT_EQ(open_batch(stream, bad).error().code, Code::Corrupt) << bit;
    }
}

// A batch as `bytes` with a right checksum: seal_batch() of nothing gives it for an empty start.
std::string resealed(std::string bytes) {
    bytes.resize(bytes.size() - 4);
    uint32_t crc = 0xffffffff;  // a second implementation, bit by bit
    const auto feed = [&](uint8_t byte) {
        crc ^= byte;
        for (int i = 0; i < 8; ++i) crc = crc >> 1 ^ ((crc & 1) != 0 ? 0xedb88320 : 0);
    };
    for (int i = 0; i < 8; ++i) feed(static_cast<uint8_t>(stream >> (8 * i)));
    for (const char c : bytes) feed(static_cast<uint8_t>(c));
    for (int i = 0; i < 4; ++i) bytes += static_cast<char>(static_cast<uint8_t>(~crc >> (8 * i)));
    return bytes;
}

TEST(Batch, TheChecksumIsCrc32OfTheStreamsIdAndTheBytes) {
    Dice dice(9);
    const std::string bytes = seal_batch(stream, header(dice), "body");
    EXPECT_EQ(resealed(bytes), bytes);
}

TEST(Batch, ALaterVersionIsInvalidAndSaysSo) {
    std::string bytes = seal_batch(stream, {.seq = 1}, "body");
    bytes[0] = 0x20;
    auto opened = open_batch(stream, resealed(bytes));
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, Code::Invalid);
    EXPECT_EQ(opened.error().text, "batch: version 2, this program knows version 1");
}

TEST(Batch, ValuesOutOfRangeAreCorrupt) {
    const std::string good = seal_batch(stream, {.seq = 1}, "body");
    const auto with = [&](size_t at, char value) {
        std::string bad = good;
        bad[at] = value;
        return open_batch(stream, resealed(bad));
    };
    EXPECT_TRUE(with(1, 0x06));                            // low priority, synced
    EXPECT_EQ(with(0, 0x14).error().code, Code::Corrupt);  // kind 4
    EXPECT_EQ(with(1, 0x03).error().code, Code::Corrupt);  // priority 3
    EXPECT_EQ(with(1, 0x08).error().code, Code::Corrupt);  // an unknown flag
    EXPECT_EQ(with(2, 0x00).error().code, Code::Corrupt);  // seq 0
}

Gap gap(Dice& dice) {
    const bool wild = dice.one_in(5);
    Gap made;
    made.stream = dice.one_in(3) ? dice.bits() : stream;
    made.first_seq = wild ? dice.bits() : 1 + dice.below(100'000);
    made.last_seq = made.first_seq + (wild ? dice.below(UINT64_MAX - made.first_seq) : dice.below(50));
    made.readings = wild ? dice.bits() : dice.below(100'000);
    made.exact = dice.one_in(2);
    made.from.ms = wild ? static_cast<int64_t>(dice.bits()) : dice.between(0, 1'800'000'000'000);
    made.to.ms = wild ? static_cast<int64_t>(dice.bits()) : made.from.ms + dice.between(0, 1000);
    made.reason = static_cast<GapReason>(dice.below(3));
    return made;
}

TEST(Gaps, ComeBack) {
    for_each_seed(1000, [](uint64_t seed) {
        Dice dice(seed);
        std::vector<Gap> gaps;
        for (uint64_t i = dice.below(20); i > 0; --i) gaps.push_back(gap(dice));
        auto back = decode_gaps(encode_gaps(gaps));
        ASSERT_TRUE(back) << back.error().message();
        ASSERT_EQ(*back, gaps);
    });
}

TEST(Gaps, DamageIsCorruptOrOtherGaps) {
    for_each_seed(500, [](uint64_t seed) {
        Dice dice(seed);
        const std::string bytes = encode_gaps({gap(dice), gap(dice), gap(dice)});
        for (size_t n = 0; n < bytes.size(); ++n) ASSERT_EQ(decode_gaps(std::string_view(bytes).substr(0, n)).error().code, Code::Corrupt);
        ASSERT_EQ(decode_gaps(bytes + "x").error().code, Code::Corrupt);
        std::string bad = bytes;
        bad[dice.below(bad.size())] = static_cast<char>(dice.below(256));
        auto back = decode_gaps(bad);
        if (!back) return;
        ASSERT_EQ(*decode_gaps(encode_gaps(*back)), *back);
    });
    EXPECT_EQ(decode_gaps("\xff\xff\xff\xff\x0f").error().code, Code::Corrupt);
}

TEST(Gaps, ReasonsHaveNames) {
    EXPECT_EQ(to_string(GapReason::Evicted), "evicted");
    EXPECT_EQ(to_string(GapReason::Damaged), "damaged");
    EXPECT_EQ(to_string(GapReason::Released), "released");
}

}  // namespace
}  // namespace basmalin
