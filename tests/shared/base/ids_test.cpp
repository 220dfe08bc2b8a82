#include "shared/base/ids.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace basmalin {
namespace {

TEST(Ids, HexComesBack) {
    for (const uint64_t id : {uint64_t{0}, uint64_t{1}, uint64_t{0xdeadbeef}, UINT64_MAX}) {
        EXPECT_EQ(to_hex(id).size(), 16u);
        EXPECT_EQ(from_hex(to_hex(id)).value(), id);
    }
    EXPECT_EQ(to_hex(0xab), "00000000000000ab");
}

TEST(Ids, AnythingButSixteenHexDigitsIsRefused) {
    for (const char* text : {"", "0", "00000000000000a", "000000000000000ab", "000000000000000g", "-00000000000000a", " 00000000000000a", "0x000000000000ab"})
        EXPECT_FALSE(from_hex(text)) << text;
}

TEST(Ids, RandomIdsDiffer) {
    std::set<uint64_t> seen;
    for (int i = 0; i < 1000; ++i) seen.insert(random_u64());
    EXPECT_EQ(seen.size(), 1000u);
    for (int i = 0; i < 1000; ++i) {
        const double unit = random_unit();
        ASSERT_GE(unit, 0.0);
        ASSERT_LT(unit, 1.0);
    }
}

TEST(Ids, NamesAreSafeInTopicsPathsAndUrls) {
    for (const std::string& good : {std::string("gw1"), std::string("Garden-North_2.local"), std::string(64, 'x'), std::string("...")}) EXPECT_TRUE(is_name(good)) << good;
    for (const std::string& bad : {std::string(), std::string(65, 'x'), std::string("."), std::string(".."), std::string("a/b"), std::string("a b"),
                                   std::string("a+"), std::string("#"), std::string("b\xc3\xa4r"), std::string("a\0b", 3), std::string("a\n")})
        EXPECT_FALSE(is_name(bad)) << testing::PrintToString(bad);
}

TEST(Ids, LabelsAreTextWithoutWhatTopicsNeed) {
    for (const std::string& good : {std::string("Bodenfeuchte Süd"), std::string(128, 'x'), std::string("🌱"), std::string("a.b:c=1")}) EXPECT_TRUE(is_label(good)) << good;
    for (const std::string& bad : {std::string(), std::string(129, 'x'), std::string("a/b"), std::string("a+b"), std::string("#"), std::string("a\tb"),
                                   std::string("\x7f"), std::string("\xff"), std::string("a\0b", 3)})
        EXPECT_FALSE(is_label(bad)) << testing::PrintToString(bad);
}

TEST(Ids, AnyTextBecomesALabel) {
    EXPECT_EQ(to_label("a/b+c#d"), "a_b_c_d");
    EXPECT_EQ(to_label("good already"), "good already");
    EXPECT_EQ(to_label("bad\xff\xc3"), "bad__");
    EXPECT_EQ(to_label(""), "");
    EXPECT_EQ(to_label(std::string(200, 'x')), std::string(128, 'x'));
    EXPECT_EQ(to_label(std::string(127, 'x') + "ü"), std::string(127, 'x')) << "no half characters";
    const uint64_t seed = random_u64();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    for (int i = 0; i < 5000; ++i) {
        std::string text;
        for (size_t n = 1 + random() % 150; n > 0; --n) text += static_cast<char>(random());
        const std::string label = to_label(text);
        ASSERT_TRUE(is_label(label)) << testing::PrintToString(text);
        ASSERT_EQ(to_label(label), label);
    }
}

TEST(Ids, Utf8IsThatOfRfc3629) {
    for (const char* good : {"", "a", "ä", "€", "🌱", "\xed\x9f\xbf", "\xee\x80\x80", "\xf4\x8f\xbf\xbf"}) EXPECT_TRUE(is_utf8(good)) << good;
    for (const char* bad : {"\x80", "\xc0\x80", "\xc1\xbf", "\xc3", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
                            "\xe2\x82", "a\xffz"})
        EXPECT_FALSE(is_utf8(bad)) << testing::PrintToString(std::string(bad));
}

TEST(Ids, TheBootHasAnId) {
    ASSERT_TRUE(boot_id());
    EXPECT_EQ(boot_id().value(), boot_id().value());
}

}  // namespace
}  // namespace basmalin
