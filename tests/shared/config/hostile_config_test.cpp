#include <gtest/gtest.h>

#include <random>

#include "shared/base/ids.h"
#include "shared/config/config.h"

namespace basmalin {
namespace {

struct Fields {
    std::string node = "x";
    int64_t count = 1;
    int64_t bytes = 1;
    Duration wait = seconds(1);
    std::vector<std::string> topics;
    std::vector<Fields> rows;
};

void declare(Schema& s, Fields& f) {
    s.text("node", f.node, "Text.");
    s.section("a", "A.");
    s.integer("count", f.count, INT64_MIN, INT64_MAX, "Whole.");
    s.bytes("bytes", f.bytes, 0, INT64_MAX, "Size.");
    s.duration("wait", f.wait, seconds(0), hours(1000), "Time.");
    s.texts("topics", f.topics, "Texts.");
    s.table<Fields>("row", f.rows, "Rows.", [](Schema& row, Fields& one) { row.text("node", one.node, "Text."); });
}

// The result does not matter; that there is one does, and that an error is valid UTF-8 without control characters but line ends.
void load(std::string_view text) {
    Fields fields;
    Schema schema;
    declare(schema, fields);
    auto loaded = schema.load_text(text, "f");
    auto overridden = schema.load_text("", "f", {std::string(text), "node=" + std::string(text), "a.topics=" + std::string(text)});
    if (!overridden) loaded = std::move(overridden);
    if (loaded) return;
    EXPECT_FALSE(loaded.error().text.empty());
    EXPECT_TRUE(is_utf8(loaded.error().text)) << testing::PrintToString(loaded.error().text);
    for (const char c : loaded.error().text) ASSERT_TRUE(c == '\n' || static_cast<unsigned char>(c) >= 0x20);
    EXPECT_LT(loaded.error().text.size(), 60'000u);
}

std::string repeated(std::string_view piece, size_t n) {
    std::string out;
    for (size_t i = 0; i < n; ++i) out += piece;
    return out;
}

TEST(HostileConfig, DeepNestingIsRefused) {  // R5
    load("x = " + repeated("[", 100'000));
    load("x = " + repeated("{a=", 100'000));
    load("[" + repeated("a.", 300'000) + "a]\n");
    load(repeated("a.", 300'000) + "a = 1\n");
    load(repeated("\"a\".", 200'000) + "a = 1\n");
    load("x = [ { b = \"\"\"\na\"\"\", " + repeated("c.", 300'000) + "c = 1 } ]");
    load(repeated("x = [ {\n", 10'000));
    Fields fields;
    Schema schema;
    declare(schema, fields);
    auto loaded = schema.load_text("[" + repeated("a.", 300'000) + "a]\n", "f");
    ASSERT_FALSE(loaded);
    EXPECT_EQ(loaded.error().text, "f:1: too many dots in one line");
}

TEST(HostileConfig, TextsHoldAnyCharacter) {  // R5
    const auto loads = [](const std::string& text) {
        Fields fields;
        Schema schema;
        declare(schema, fields);
        auto loaded = schema.load_text(text, "f");
        return loaded ? fields.node : loaded.error().text;
    };
    EXPECT_EQ(loads("# Süd\nnode = \"a\\\"ü\" # ü\n"), "a\"ü");
    EXPECT_EQ(loads("node = 'ü\\' # ü\n"), "ü\\");
    EXPECT_EQ(loads("node = \"\"\"\nü \"\"x\"\"\"\"\" # ü"), "ü \"\"x\"\"");
    EXPECT_EQ(loads("node = '''ü ''x'''\n# '\n"), "ü ''x");
    EXPECT_EQ(loads("node = \"\\u00fc\\U0001f331 ~7e ~~ ~ ~c3 🌱\""), "ü🌱 ~7e ~~ ~ ~c3 🌱");
    EXPECT_EQ(loads("\xEF\xBB\xBFnode = '~'"), "~");
    EXPECT_EQ(loads("'ü~' = 1"), "f:1: \"ü~\": no such setting; known here: node");
    EXPECT_NE(loads("node = 'x'\nü = 1\n").find("f:2: "), std::string::npos);
    EXPECT_NE(loads("node = 79-a\"\"\"ü").find("f:1: "), std::string::npos);
    EXPECT_EQ(loads("node = \"\\u007e\""), "f:1: write ~ as it is, not as an escape");
    EXPECT_EQ(loads("node = 'x'\n# \xff\n"), "f:2: no valid UTF-8; save the file as UTF-8");
    EXPECT_EQ(loads("node = \"" + repeated(".", 100) + "\""), repeated(".", 100));
}

TEST(HostileConfig, TooLongAFileIsRefused) {  // R5
    load(std::string(2 << 20, ' '));
    load(repeated("unknown_key_" + std::string(50, 'k') + " = 1\n", 1));
    std::string many;
    for (int i = 0; i < 30'000; ++i) many += "key" + std::to_string(i) + " = 1\n";
    Fields fields;
    Schema schema;
    declare(schema, fields);
    auto loaded = schema.load_text(many, "f");
    ASSERT_FALSE(loaded);
    EXPECT_TRUE(loaded.error().text.ends_with("and 29950 more")) << loaded.error().text.substr(loaded.error().text.size() - 100);
}

TEST(HostileConfig, OddValuesAreErrors) {
    for (const char* text :
         {"a.count = 9223372036854775808", "a.bytes = 9223372036854775807", "a.bytes = '1e300 TiB'", "a.bytes = '99999999999999999999999 TiB'",
          "a.bytes = nan", "a.wait = inf", "a.wait = 9223372036854775807", "a.wait = '-1 s'", "a.wait = -inf", "a.count = 1979-05-27", "node = '\x01'",
          "node = \"\\u0000\"", "\"\\u0000\\n\" = 1", "\xff\xfe", "node = \"\xc3\"", "= 1", "[]", "[ =]", "[[[", "[[row", "row = [1, {node=1}]", "[[row]]\n[row.node]\n",
          "a = []", "node = {}", "'' = 1", "a.'' = 1", "\xEF\xBB\xBFnode = 'bom'", "node = '\xE2\x80\xA8'", "a.topics = [[[]]]", "a.b.c = 1"})
        load(text);
}

TEST(HostileConfig, AnyBytesGiveAResultOrAnError) {  // R5
    const std::string seeds = "[a]\ncount = 12\nbytes='1 MiB'\n[[row]]\nnode = \"x\\u00e9\"\n'''\"\"\"#.,{}=[]truefalse1979-05-27T07:32:00Z0x1fe3_nan\r\n\t";
    const uint64_t seed = random_u64();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    for (int round = 0; round < 3000; ++round) {
        std::string text;
        const size_t pieces = random() % 12;
        for (size_t i = 0; i < pieces; ++i) {
            const size_t at = random() % seeds.size();
            text += seeds.substr(at, random() % 12);
            if (random() % 8 == 0) text += static_cast<char>(random());
        }
        load(text);
        if (testing::Test::HasFailure()) FAIL() << testing::PrintToString(text);
    }
}

}  // namespace
}  // namespace basmalin
