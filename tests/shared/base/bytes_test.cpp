#include "shared/base/bytes.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "shared/base/ids.h"

namespace basmalin {
namespace {

TEST(Bytes, WhatIsWrittenIsRead) {
    Writer w;
    w.u8(0xfe);
    w.u32(0x89abcdef);
    w.u64(0x0123456789abcdefULL);
    w.varint(300);
    w.svarint(-300);
    w.f64(-0.0);
    w.text(std::string_view("a\0b", 3));
    Reader r(w.bytes());
    EXPECT_EQ(r.u8(), 0xfe);
    EXPECT_EQ(r.u32(), 0x89abcdefu);
    EXPECT_EQ(r.u64(), 0x0123456789abcdefULL);
    EXPECT_EQ(r.varint(), 300u);
    EXPECT_EQ(r.svarint(), -300);
    EXPECT_TRUE(std::signbit(r.f64()));
    EXPECT_EQ(r.text(), std::string_view("a\0b", 3));
    EXPECT_TRUE(r.ok());
    EXPECT_TRUE(r.at_end());
}

TEST(Bytes, IntegersAreLittleEndian) {
    Writer w;
    w.u32(0x01020304);
    EXPECT_EQ(w.bytes(), std::string("\x04\x03\x02\x01"));
}

TEST(Bytes, EveryVarintComesBack) {
    const uint64_t seed = random_u64();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    for (int i = 0; i < 20'000; ++i) {
        const uint64_t v = random() >> (random() % 64);
        const auto s = static_cast<int64_t>(v);
        Writer w;
        w.varint(v);
        EXPECT_LE(w.size(), 10u);
        w.svarint(s);
        w.svarint(-(s / 2));
        Reader r(w.bytes());
        ASSERT_EQ(r.varint(), v);
        ASSERT_EQ(r.svarint(), s);
        ASSERT_EQ(r.svarint(), -(s / 2));
        ASSERT_TRUE(r.at_end() && r.ok());
    }
}

TEST(Bytes, TheLimitsOfVarintsHold) {
    for (const uint64_t v : {uint64_t{0}, uint64_t{127}, uint64_t{128}, uint64_t{16383}, uint64_t{16384}, UINT64_MAX}) {
        Writer w;
        w.varint(v);
        EXPECT_EQ(Reader(w.bytes()).varint(), v);
    }
    for (const int64_t v : {INT64_MIN, INT64_MIN + 1, int64_t{-1}, int64_t{0}, int64_t{1}, INT64_MAX}) EXPECT_EQ(unzigzag(zigzag(v)), v);
    EXPECT_EQ(zigzag(-1), 1u);
    EXPECT_EQ(zigzag(1), 2u);
}

TEST(Bytes, AVarintBeyond64BitsIsRefused) {
    Reader too_large("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02");
    EXPECT_EQ(too_large.varint(), 0u);
    EXPECT_FALSE(too_large.ok());
    Reader too_long("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01");
    EXPECT_EQ(too_long.varint(), 0u);
    EXPECT_FALSE(too_long.ok());
    Reader unfinished("\x80\x80");
    EXPECT_EQ(unfinished.varint(), 0u);
    EXPECT_FALSE(unfinished.ok());
}

TEST(Bytes, AfterAFailureEverythingIsZeroForGood) {
    Reader r(std::string_view("\x01\x02\x03", 3));
    EXPECT_EQ(r.u32(), 0u);
    EXPECT_FALSE(r.ok());
    EXPECT_EQ(r.u8(), 0);
    EXPECT_EQ(r.text(), "");
    EXPECT_EQ(r.f64(), 0.0);
    EXPECT_FALSE(r.ok());
    EXPECT_EQ(r.left(), 0u);
}

TEST(Bytes, ACountTheMessageCannotHoldIsRefused) {
    Writer w;
    w.varint(1'000'000'000'000ULL);
    w.raw("abc");
    Reader r(w.bytes());
    EXPECT_EQ(r.count(1), 0u);
    EXPECT_FALSE(r.ok());
    Writer fits;
    fits.varint(3);
    fits.raw("abcdef");
    Reader good(fits.bytes());
    EXPECT_EQ(good.count(2), 3u);
    EXPECT_TRUE(good.ok());
    Reader tight(fits.bytes());
    EXPECT_EQ(tight.count(3), 0u);
    EXPECT_FALSE(tight.ok());
}

TEST(Bytes, ATextLongerThanTheMessageIsRefused) {
    Writer w;
    w.varint(4);
    w.raw("abc");
    Reader r(w.bytes());
    EXPECT_EQ(r.text(), "");
    EXPECT_FALSE(r.ok());
}

}  // namespace
}  // namespace basmalin
