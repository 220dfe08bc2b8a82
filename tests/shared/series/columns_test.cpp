// Columns alone: decimals, numbers and times (R1-R3 of shared/series/codec.h).
#include <gtest/gtest.h>

#include "shared/base/bytes.h"
#include "tests/shared/series/generated.h"

namespace basmalin {
namespace {

using namespace generated;

std::string coded(const Numbers& values, uint8_t hint) {
    std::string out;
    encode_numbers(out, values, hint);
    return out;
}

void expect_back(const Numbers& values, uint8_t hint) {
    const std::string bytes = coded(values, hint);
    Reader in(bytes);
    auto back = decode_numbers(in, values.size());
    ASSERT_TRUE(back) << back.error().message();
    ASSERT_TRUE(same(*back, values));
    ASSERT_TRUE(in.ok() && in.at_end());
}

TEST(Decimals, AreTheLeastThatGiveTheSameBits) {
    EXPECT_EQ(decimals_of(0), 0);
    EXPECT_EQ(decimals_of(21), 0);
    EXPECT_EQ(decimals_of(21.4), 1);
    EXPECT_EQ(decimals_of(-0.01), 2);
    EXPECT_EQ(decimals_of(1e-15), 15);
    EXPECT_EQ(decimals_of(9007199254740991.0), 0);
    EXPECT_EQ(decimals_of(4503599627370497.0), 0);
    EXPECT_EQ(decimals_of(450359962737049.7), 1);
}

TEST(Decimals, ThereAreNoneForWhatIsNoShortDecimal) {
    for (const double v :
         {-0.0, std::nan(""), HUGE_VAL, -HUGE_VAL, 0.1 + 0.2, 1e-16, 9007199254740992.0, 1e300, static_cast<double>(21.4f)})
        EXPECT_EQ(decimals_of(v), -1) << v;
}

TEST(Decimals, OfEveryDecimalOfAtMost15Digits) {
    for_each_seed(20000, [](uint64_t seed) {
        Dice dice(seed);
        const int d = static_cast<int>(dice.below(16));
        const double v = decimal(dice.between(-999'999'999'999'999, 999'999'999'999'999), d);
        const int found = decimals_of(v);
        if (bits_of(v) == bits_of(-0.0)) return;
        ASSERT_GE(found, 0) << v;
        ASSERT_LE(found, d) << v;
    });
}

TEST(Columns, NumbersComeBackBitForBit) {  // R1
    for_each_seed(3000, [](uint64_t seed) {
        Dice dice(seed);
        const auto decimals = static_cast<uint8_t>(dice.below(16));
        expect_back(numbers(dice, dice.below(dice.one_in(10) ? 500 : 20), decimals),
                    static_cast<uint8_t>(dice.one_in(2) ? decimals : dice.below(20)));
    });
}

TEST(Columns, OddNumbersComeBackBitForBit) {
    Dice dice(1);
    for (int i = 0; i < 2000; ++i) {
        const double v = odd_number(dice);
        expect_back({v}, 2);
        expect_back({v, v, v}, 2);
        expect_back({21.4, v, 21.5, 21.5, 21.6, 21.7}, 1);
    }
}

TEST(Columns, TheShortestEncodingIsTaken) {
    EXPECT_EQ(coded({}, 1), std::string("\x00", 1));
    EXPECT_EQ(coded({21.4, 21.5}, 1), std::string("\x01\xac\x03\x02", 4));
    EXPECT_EQ(coded(Numbers(1000, 21.4), 1).size(), 3U);
    EXPECT_EQ(coded(Numbers(1000, std::nan("")), 1).size(), 9U);
    Numbers singles;
    for (int i = 0; i < 100; ++i) singles.push_back(static_cast<double>(21.4f + static_cast<float>(i) / 7));
    EXPECT_EQ(coded(singles, 1).size(), 401U);
    Numbers mostly(100);
    for (size_t i = 0; i < 100; ++i) mostly[i] = decimal(static_cast<int64_t>(200 + i % 5), 1);
    mostly[40] = std::nan("");
    EXPECT_LE(coded(mostly, 1).size(), 115U);
    mostly[41] = 0.123456789;  // one value of nine decimals does not widen the others
    EXPECT_LE(coded(mostly, 1).size(), 125U);
}

TEST(Columns, TimesOfAnyKindComeBack) {
    for_each_seed(2000, [](uint64_t seed) {
        Dice dice(seed);
        std::vector<int64_t> times;
        for (uint64_t i = dice.below(30); i > 0; --i)
            times.push_back(dice.one_in(4) ? static_cast<int64_t>(dice.bits()) : dice.between(0, 1 << 30));
        std::string bytes;
        encode_times(bytes, times);
        Reader in(bytes);
        auto back = decode_times(in, times.size());
        ASSERT_TRUE(back);
        ASSERT_EQ(*back, times);
        ASSERT_TRUE(in.at_end());
    });
}

TEST(Columns, ASteadyIntervalCostsAByteARow) {
    std::vector<int64_t> times;
    for (int i = 0; i < 100; ++i) times.push_back(60'000 * i);
    std::string bytes;
    encode_times(bytes, times);
    EXPECT_EQ(bytes.size(), 1U + 3U + 98U);
}

TEST(Columns, DamageIsAnError) {  // R3
    for_each_seed(2000, [](uint64_t seed) {
        Dice dice(seed);
        const Numbers values = numbers(dice, 1 + dice.below(30), 1);
        std::string bytes = coded(values, 1);
        if (dice.one_in(2))
            bytes.resize(dice.below(bytes.size()));
        else
            bytes[dice.below(bytes.size())] = static_cast<char>(dice.below(256));
        Reader in(bytes);
        auto back = decode_numbers(in, values.size());
        if (back) {
            ASSERT_EQ(back->size(), values.size());
        } else {
            ASSERT_EQ(back.error().code, Code::Corrupt);
        }
    });
    Reader few("\x01\x02");
    EXPECT_FALSE(decode_numbers(few, SIZE_MAX));
    Reader raw("\x30\x02");
    EXPECT_FALSE(decode_numbers(raw, SIZE_MAX / 8 + 1));
    Reader times("\x30\x02");
    EXPECT_FALSE(decode_times(times, SIZE_MAX));
}

}  // namespace
}  // namespace basmalin
