// The body codec keeps R1-R6 of shared/series/codec.h.
#include "shared/series/codec.h"

#include <gtest/gtest.h>

#include "shared/base/bytes.h"
#include "tests/shared/series/generated.h"

namespace basmalin {
namespace {

using namespace generated;

const LayoutLookup nothing_known = [](uint32_t) -> const Layout* { return nullptr; };

Layout bed() {
    return {
        1, "bed1", {{"temperature", "Cel", ValueKind::Number, 1}, {"wet", "", ValueKind::Boolean, 0}, {"state", "", ValueKind::Text, 0}}};
}
Layout air(uint32_t id, uint8_t decimals = 1) {
    return {id, "air" + std::to_string(id), {{"temperature", "Cel", ValueKind::Number, decimals}}};
}
Rows air_row(uint32_t id, int64_t ms, double v) { return {id, {ms}, {Numbers{v}}}; }

std::string encoded(const Body& body, const LayoutLookup& known = nothing_known) {
    auto bytes = encode_body(body, known);
    EXPECT_TRUE(bytes) << bytes.error().message();
    return bytes.value_or("");
}

Code code_of(std::string_view bytes, const LayoutLookup& known = nothing_known, const DecodeLimits& limits = {}) {
    auto body = decode_body(bytes, known, limits);
    EXPECT_FALSE(body);
    return body ? Code::Conflict : body.error().code;
}

TEST(Codec, NumbersTextsAndBooleansComeBackBitForBit) {  // R1, R4
    for_each_seed(1500, [](uint64_t seed) {
        const Case made = body(seed);
        auto bytes = encode_body(made.body, made.lookup());
        ASSERT_TRUE(bytes) << bytes.error().message();
        auto back = decode_body(*bytes, made.lookup());
        ASSERT_TRUE(back) << back.error().message();
        ASSERT_TRUE(same(made.body, *back));
        auto definitions = decode_definitions(*bytes);
        ASSERT_TRUE(definitions);
        ASSERT_EQ(*definitions, made.body.definitions);
    });
}

TEST(Codec, TheSameBodyIsAlwaysTheSameBytes) {
    for_each_seed(200, [](uint64_t seed) {
        ASSERT_EQ(encoded(body(seed).body, body(seed).lookup()), encoded(body(seed).body, body(seed).lookup()));
    });
}

TEST(Codec, ARowOfOneDeviceCostsOneByteForItsLayout) {  // a byte for the body, one for the group, two of time, two of value
    const Layout known = air(31);
    const std::string bytes = encoded({{}, {air_row(31, 5000, 21.4)}}, [&](uint32_t) { return &known; });
    EXPECT_EQ(bytes, std::string("\x00\x7d\x90\x4e\xac\x03", 6));
}

TEST(Codec, AFirstValueIsADifferenceToTheNeighbour) {
    const Body garden{{air(1), air(2)}, {air_row(1, 0, 21.4), air_row(2, 0, 21.5)}};
    const std::string bytes = encoded(garden);
    EXPECT_EQ(bytes.substr(bytes.size() - 3), std::string("\x09\x00\x02", 3));  // layout 2 with a single row, no time passed, +0.1
    EXPECT_EQ(*decode_body(bytes, nothing_known), garden);
}

TEST(Codec, NeighboursWithOtherDecimalsAreNotMixed) {
    const Body garden{{air(1, 1), air(2, 2)}, {air_row(1, 0, 21.4), air_row(2, 0, 21.41), air_row(1, 5, 0.1), air_row(2, 5, 1e9)}};
    EXPECT_EQ(*decode_body(encoded(garden), nothing_known), garden);
}

TEST(Codec, AnUnknownLayoutIsNotFoundAndNoDamage) {
    const Layout known = air(7);
    EXPECT_EQ(code_of(encoded({{}, {air_row(7, 0, 1)}}, [&](uint32_t) { return &known; })), Code::NotFound);
}

TEST(Codec, DefinitionsCanBeReadWhenOtherLayoutsAreUnknown) {
    const Layout known = air(7);
    const std::string bytes = encoded({{bed()}, {air_row(7, 0, 1)}}, [&](uint32_t) { return &known; });
    auto definitions = decode_definitions(bytes);
    ASSERT_TRUE(definitions);
    EXPECT_EQ(*definitions, std::vector<Layout>{bed()});
}

TEST(Codec, ABodyWithoutGroupsIsOneByte) {
    EXPECT_EQ(encoded({}), std::string(1, '\0'));
    EXPECT_EQ(*decode_body(std::string(1, '\0'), nothing_known), Body{});
}

TEST(Codec, LongBodiesAreCompressed) {  // R5
    Rows rows{1, {}, {Numbers{}}};
    for (int i = 0; i < 5000; ++i) {
        rows.times_ms.push_back(i * 1000);
        std::get<Numbers>(rows.columns[0]).push_back(decimal(200 + i % 7, 1));
    }
    const Body garden{{air(1)}, {rows}};
    const std::string bytes = encoded(garden);
    EXPECT_LT(bytes.size(), 200U);
    EXPECT_EQ(*decode_body(bytes, nothing_known), garden);
    EXPECT_EQ(code_of(bytes, nothing_known, {.bytes_max = 1000}), Code::Corrupt);
}

TEST(Codec, AConstantColumnCostsAFewBytes) {
    Rows rows{1, {}, {Numbers(1000, 21.4)}};
    for (int i = 0; i < 1000; ++i) rows.times_ms.push_back(i * 977 + i % 13 * 100);
    const std::string constant = encoded({{air(1)}, {rows}});
    std::get<Numbers>(rows.columns[0])[500] = std::nan("");
    const std::string patched = encoded({{air(1)}, {rows}});
    EXPECT_LT(patched.size(), constant.size() + 40);
}

struct Fault {
    const char* what;
    Body body;
};

TEST(Codec, RefusesToEncodeWhatContradictsItself) {  // R6
    Layout twice = air(1);
    twice.columns.push_back(twice.columns[0]);
    Layout wide = air(1);
    for (int i = 0; i < 64; ++i) wide.columns.push_back({"q" + std::to_string(i), "", ValueKind::Number, 0});
    const Rows texts{1, {0}, {Texts{"x"}}};
    const Fault faults[] = {
        {"no definition", {{}, {air_row(1, 0, 1)}}},
        {"id 0", {{air(0)}, {}}},
        {"defined twice", {{air(1), air(1)}, {}}},
        {"no columns", {{{1, "air", {}}}, {}}},
        {"65 columns", {{wide}, {}}},
        {"a quantity twice", {{twice}, {}}},
        {"16 decimals", {{air(1, 16)}, {}}},
        {"device", {{{1, "a/b", {{"t", "", ValueKind::Number, 0}}}}, {}}},
        {"quantity", {{{1, "a", {{"", "", ValueKind::Number, 0}}}}, {}}},
        {"unit", {{{1, "a", {{"t", "\n", ValueKind::Number, 0}}}}, {}}},
        {"decimals of a text", {{{1, "a", {{"t", "", ValueKind::Text, 1}}}}, {}}},
        {"no rows", {{air(1)}, {{1, {}, {Numbers{}}}}}},
        {"short column", {{air(1)}, {{1, {0, 1}, {Numbers{1}}}}}},
        {"missing column", {{air(1)}, {{1, {0}, {}}}}},
        {"another kind", {{air(1)}, {texts}}},
        {"boolean 2", {{{1, "a", {{"t", "", ValueKind::Boolean, 0}}}}, {{1, {0}, {Booleans{2}}}}}},
    };
    for (const Fault& fault : faults) {
        auto bytes = encode_body(fault.body, nothing_known);
        ASSERT_FALSE(bytes) << fault.what;
        EXPECT_EQ(bytes.error().code, Code::Invalid) << fault.what;
    }
}

TEST(Codec, RefusesToEncodeMoreThanADecoderTakes) {  // R6
    const size_t many = DecodeLimits{}.values_max + 1;
    Rows rows{1, std::vector<int64_t>(many), {Numbers(many)}};
    EXPECT_EQ(encode_body({{air(1)}, {rows}}, nothing_known).error().code, Code::Full);
    const Layout state{1, "a", {{"t", "", ValueKind::Text, 0}}};
    EXPECT_EQ(encode_body({{state}, {{1, {0, 1}, {Texts(2, std::string(600'000, 'x'))}}}}, nothing_known).error().code, Code::Full);
}

// ---- damage: R3

std::string defined(const Layout& layout, std::string_view groups) {
    const std::string bytes = encoded({{layout}, {}});
    EXPECT_EQ(bytes[0] & 1, 0) << "meant to be plain";
    return bytes + std::string(groups);
}

TEST(CodecDamage, EveryTruncationIsAnErrorOrAShorterBody) {
    for_each_seed(60, [](uint64_t seed) {
        const Case made = body(seed);
        const std::string bytes = encoded(made.body, made.lookup());
        for (size_t n = 0; n < bytes.size(); ++n) {
            auto back = decode_body(std::string_view(bytes).substr(0, n), made.lookup());
            if (back) {
                ASSERT_LT(back->groups.size(), made.body.groups.size());
            } else {
                ASSERT_EQ(back.error().code, Code::Corrupt);
            }
        }
    });
}

TEST(CodecDamage, FlippedBytesAreAnswered) {
    for_each_seed(300, [](uint64_t seed) {
        const Case made = body(seed);
        const std::string bytes = encoded(made.body, made.lookup());
        Dice dice(seed);
        for (int i = 0; i < 40; ++i) {
            std::string bad = bytes;
            bad[dice.below(bad.size())] = static_cast<char>(dice.below(256));
            auto back = decode_body(bad, made.lookup());
            if (!back) continue;
            auto again = encode_body(*back, made.lookup());
            ASSERT_TRUE(again) << again.error().message();
            auto third = decode_body(*again, made.lookup());
            ASSERT_TRUE(third) << third.error().message();
            ASSERT_TRUE(same(*back, *third));
        }
    });
}

size_t values_of(const Body& made, size_t& text_bytes) {
    size_t values = 0;
    for (const Rows& rows : made.groups) {
        values += rows.times_ms.size() * rows.columns.size();
        for (const ColumnValues& column : rows.columns)
            if (const auto* texts = std::get_if<Texts>(&column))
                for (const std::string& text : *texts) text_bytes += text.size();
    }
    return values;
}

TEST(CodecDamage, NoBodyIsLargerThanTheLimits) {
    size_t within = 0;
    for_each_seed(500, [&](uint64_t seed) {
        const Case made = body(seed);
        std::string bytes = encoded(made.body, made.lookup());
        Dice dice(seed);
        if (dice.one_in(2)) bytes[dice.below(bytes.size())] = static_cast<char>(dice.below(256));
        const DecodeLimits small{.bytes_max = 400, .values_max = 60, .definitions_max = 5};
        auto back = decode_body(bytes, made.lookup(), small);
        if (!back) return;
        size_t text_bytes = 0;
        ASSERT_LE(values_of(*back, text_bytes), small.values_max);
        ASSERT_LE(text_bytes, small.bytes_max);
        ASSERT_LE(back->definitions.size(), small.definitions_max);
        ++within;
    });
    EXPECT_GT(within, 20U);
}

TEST(CodecDamage, NamesWhatIsWrong) {
    const auto text_of = [](const std::string& bytes) { return decode_body(bytes, nothing_known).error().text; };
    EXPECT_EQ(text_of(""), "body: empty");
    EXPECT_EQ(text_of("\x04"), "body: unknown format");
    EXPECT_EQ(text_of(std::string("\x02\x00", 2)), "body: definitions cut short");
    EXPECT_EQ(text_of(defined(air(1), std::string("\x04\x7f\x00", 3))), "body: more rows than bytes");
    EXPECT_EQ(text_of(defined(air(1), std::string("\x05\x00", 2))), "body: numbers cut short");
    EXPECT_EQ(text_of(defined(air(1), std::string("\x07\x00\x7e\x00", 4))), "number column: unknown encoding");
    EXPECT_EQ(text_of(defined(air(1), std::string("\x05\x00\x80\x80\x80\x80\x80\x80\x80\x20", 10))),
              "body: numbers cut short or out of range");  // 2^53
}

TEST(CodecDamage, BitsBeyondTheLastBooleanAreCorrupt) {
    const Layout wet{1, "a", {{"wet", "", ValueKind::Boolean, 0}}};
    EXPECT_TRUE(decode_body(defined(wet, std::string("\x05\x00\x01", 3)), nothing_known));
    EXPECT_EQ(code_of(defined(wet, std::string("\x05\x00\x02", 3))), Code::Corrupt);
}

TEST(CodecDamage, AFewBytesCannotAskForManyValues) {
    Layout wide{1, "a", {}};
    for (int i = 0; i < 64; ++i) wide.columns.push_back({"q" + std::to_string(i), "", ValueKind::Boolean, 0});
    const LayoutLookup known = [&](uint32_t) { return &wide; };
    std::string bytes("\x00\x04", 2);  // plain; layout 1, several rows
    Writer w;
    w.varint(5000 - 2);
    bytes += w.bytes() + std::string(5000 + 64 * 625, '\0');
    EXPECT_EQ(code_of(bytes, known), Code::Corrupt);  // 320,000 values
    EXPECT_TRUE(decode_body(bytes, known, {.values_max = 320'000}));
    EXPECT_EQ(code_of(bytes, known, {.values_max = 319'999}), Code::Corrupt);
}

TEST(CodecDamage, ALongTextCannotBeMultiplied) {
    const Layout state{1, "a", {{"state", "", ValueKind::Text, 0}}};
    Writer w;
    w.varint(1 << 2);
    w.varint(1000 - 2);
    w.raw(std::string(1000, '\0'));  // times
    w.varint(2001);
    w.raw(std::string(2000, 'x'));
    w.raw(std::string(999, '\0'));  // and 999 times the same
    EXPECT_EQ(code_of(defined(state, w.bytes())), Code::Corrupt);
    EXPECT_TRUE(decode_body(defined(state, w.bytes()), nothing_known, {.bytes_max = 2'000'000}));
}

TEST(CodecDamage, TooManyDefinitionsAreRefused) {
    Body garden;
    for (uint32_t id = 1; id <= 9; ++id) garden.definitions.push_back(air(id));
    EXPECT_EQ(code_of(encoded(garden), nothing_known, {.definitions_max = 8}), Code::Corrupt);
}

}  // namespace
}  // namespace basmalin
