#include "shared/base/json.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "shared/base/ids.h"

namespace basmalin {
namespace {

std::string repeated(std::string_view piece, size_t n) {
    std::string out;
    for (size_t i = 0; i < n; ++i) out += piece;
    return out;
}

TEST(JsonText, ComesBackAsWritten) {
    for (const char* text : {"null", "true", "false", "0", "-1", "9223372036854775807", "-9223372036854775808", "0.5", "1e+300", "\"\"", "\"a\\\"b\\\\c\\nd\"", "[]",
                             "{}", "[1,[2,[3]],{}]", "{\"b\":1,\"a\":[true,null],\"\":\"x\"}", "\"ü🌱\"", "-0.0"})
        EXPECT_EQ(parse_json(text).value().dump(), text);
}

TEST(JsonText, IsPrettyWithTwoSpaces) {
    EXPECT_EQ(parse_json("{\"a\":[1,{}],\"b\":[]}").value().dump(true), "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": []\n}");
}

TEST(JsonText, WhatIsNoJsonIsInvalid) {
    for (const std::string& text :
         {std::string(), std::string("  "), std::string("{"), std::string("[1,]"), std::string("{\"a\":1,}"), std::string("{a:1}"), std::string("'a'"), std::string("01"),
          std::string("+1"), std::string(".5"), std::string("1."), std::string("NaN"), std::string("Infinity"), std::string("1 2"), std::string("[1] x"), std::string("\"\t\""),
          std::string("\"\\x\""), std::string("\"\\ud800\""), std::string("\"\xff\""), std::string("\"\xed\xa0\x80\""), std::string("nul"), std::string("1e999"),
          std::string("[1\0]", 4), std::string("\"a"), std::string("// c\n1"), std::string("{\"a\"}")}) {
        auto parsed = parse_json(text);
        ASSERT_FALSE(parsed) << text;
        EXPECT_EQ(parsed.error().code, Code::Invalid);
    }
    EXPECT_EQ(parse_json("[1,,2]").error().text, "JSON: not valid at byte 4");
}

TEST(JsonText, DepthIsBounded) {
    JsonLimits limits;
    limits.depth_max = 5;
    EXPECT_TRUE(parse_json("[[[[[1]]]]]", limits));
    EXPECT_EQ(parse_json("[[[[[[1]]]]]]", limits).error().text, "JSON: nested too deeply");
    EXPECT_EQ(parse_json("{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{}}}}}}", limits).error().text, "JSON: nested too deeply");
    EXPECT_FALSE(parse_json(repeated("[", 500'000)));
    EXPECT_FALSE(parse_json(repeated("{\"a\":", 100'000)));
}

TEST(JsonText, SizeAndNumberOfValuesAreBounded) {
    JsonLimits limits;
    limits.values_max = 10;
    EXPECT_TRUE(parse_json("[1,2,3,4,5,6,7,8,9]", limits));
    EXPECT_EQ(parse_json("[1,2,3,4,5,6,7,8,9,10]", limits).error().text, "JSON: too many values");
    limits.bytes_max = 5;
    EXPECT_TRUE(parse_json("12345", limits));
    EXPECT_EQ(parse_json("123456", limits).error().text, "JSON: 6 bytes, at most 5");
    EXPECT_TRUE(parse_json("[" + repeated("[],", 50'000) + "[]]"));
    EXPECT_FALSE(parse_json("[" + repeated("[],", 100'001) + "[]]"));
}

TEST(JsonText, TheFirstOfADuplicateKeyWins) {
    const Json json = parse_json("{\"a\":1,\"a\":2}").value();
    EXPECT_EQ(json["a"].as_int(), 1);
    EXPECT_EQ(json.as_object().size(), 2u);
}

TEST(JsonText, BytesThatAreNoUtf8BecomeReplacementCharacters) {
    std::string out;
    append_json_string(out, "a\xff\xed\xa0\x80z\x01\x7f");
    EXPECT_EQ(out, "\"a\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBDz\\u0001\\u007f\"");
    EXPECT_TRUE(parse_json(out));
}

TEST(JsonText, EveryTextComesBackOrIsRepaired) {
    const uint64_t seed = random_u64();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    for (int i = 0; i < 5000; ++i) {
        std::string text;
        for (size_t n = random() % 40; n > 0; --n) text += static_cast<char>(random() % 3 == 0 ? random() : 0x20 + random() % 0x60);
        std::string quoted;
        append_json_string(quoted, text);
        auto back = parse_json(quoted);
        ASSERT_TRUE(back) << testing::PrintToString(text);
        ASSERT_TRUE(is_utf8(quoted));
        if (is_utf8(text)) {
            ASSERT_EQ(back->as_string(), text);
        }
    }
}

TEST(JsonNumber, EveryDoubleComesBackBitForBit) {
    const uint64_t seed = random_u64();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    for (int i = 0; i < 20'000; ++i) {
        uint64_t bits = random();
        double v = 0;
        std::memcpy(&v, &bits, 8);
        if (i < 5) v = std::array{0.0, -0.0, 0.1, std::numeric_limits<double>::denorm_min(), std::numeric_limits<double>::max()}[static_cast<size_t>(i)];
        if (!std::isfinite(v)) continue;
        std::string text;
        append_json_number(text, v);
        const double back = parse_json(text).value().as_double();
        ASSERT_EQ(std::memcmp(&back, &v, 8), 0) << text;
    }
}

TEST(JsonNumber, NanAndInfinitiesAreNull) {
    EXPECT_EQ(Json(std::nan("")).dump(), "null");
    EXPECT_EQ(Json(-std::numeric_limits<double>::infinity()).dump(), "null");
}

TEST(JsonNumber, IntegersKeepAll64Bits) {
    EXPECT_EQ(parse_json("9223372036854775807").value().as_int(), INT64_MAX);
    EXPECT_TRUE(parse_json("9223372036854775808").value().is_number());
    EXPECT_FALSE(parse_json("9223372036854775808").value().is_integer());
    EXPECT_EQ(parse_json("9223372036854775808").value().as_int(7), 7) << "does not fit";
    EXPECT_TRUE(Json(uint64_t{1}).is_integer());
    EXPECT_EQ(Json(UINT64_MAX).as_double(), 18446744073709551615.0);
    EXPECT_EQ(Json(3.0).as_int(), 3);
    EXPECT_EQ(Json(3.5).as_int(-1), -1);
    EXPECT_EQ(Json(std::nan("")).as_int(-1), -1);
}

TEST(JsonValue, LookingIntoTheWrongTypeNeverFails) {
    const Json json = parse_json("{\"a\":{\"b\":[1]}}").value();
    EXPECT_TRUE(json["x"]["y"]["z"].is_null());
    EXPECT_TRUE(json["a"]["b"]["c"].is_null());
    EXPECT_EQ(json["a"].as_string(), "");
    EXPECT_EQ(json["a"]["b"].as_object().size(), 0u);
    EXPECT_EQ(json["a"]["b"].as_array().size(), 1u);
    EXPECT_EQ(json["a"].as_int(5), 5);
    EXPECT_TRUE(json["a"].as_bool(true));
    EXPECT_FALSE(json.has("b"));
    EXPECT_TRUE(json["a"].has("b"));
}

TEST(JsonValue, SetReplacesAndPushAppends) {
    Json json;
    json.set("a", 1).set("b", Json::array()).set("a", "two");
    EXPECT_EQ(json.dump(), "{\"a\":\"two\",\"b\":[]}");
    Json list;
    list.push(1).push(nullptr).push(true);
    EXPECT_EQ(list.dump(), "[1,null,true]");
    EXPECT_EQ(Json::object().dump(), "{}");
    EXPECT_DEATH(Json(1).set("a", 2), "broken invariant");
    EXPECT_DEATH(Json("x").push(2), "broken invariant");
}

TEST(JsonText, AnyBytesGiveAResultOrAnError) {
    const std::string seeds = "{\"a\":[1,-2.5e3,true,false,null,\"\\u00e9\\ud83c\\udf31\"]}  \n";
    const uint64_t seed = random_u64();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    for (int i = 0; i < 20'000; ++i) {
        std::string text = seeds.substr(random() % seeds.size());
        for (size_t n = random() % 4; n > 0 && !text.empty(); --n) text[random() % text.size()] = static_cast<char>(random());
        auto parsed = parse_json(text);
        if (parsed) {
            auto again = parse_json(parsed->dump());
            ASSERT_TRUE(again) << testing::PrintToString(text);
            ASSERT_EQ(again->dump(), parsed->dump());
        }
    }
}

}  // namespace
}  // namespace basmalin
