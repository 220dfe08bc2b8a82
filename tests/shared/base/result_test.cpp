#include "shared/base/result.h"

#include <gtest/gtest.h>

namespace basmalin {
namespace {

Result<int> inner() { return fail(Code::Full, "disk full", "free space"); }
Result<void> middle() {
    auto r = inner();
    if (!r) return pass(r, "write row");
    return {};
}

TEST(ResultOf, AnErrorIsBuiltInsideOut) {
    auto r = middle();
    ASSERT_FALSE(r);
    const Error error = std::move(r.error()).context("open buffer");
    EXPECT_EQ(error.code, Code::Full);
    EXPECT_EQ(error.text, "open buffer: write row: disk full");
    EXPECT_EQ(error.message(), "open buffer: write row: disk full (free space)");
    EXPECT_EQ((Error{Code::Invalid, "x", ""}).message(), "x");
}

TEST(ResultOf, EveryCodeHasAName) {
    EXPECT_EQ(to_string(Code::NotFound), "not_found");
    EXPECT_EQ(to_string(Code::Denied), "denied");
    EXPECT_EQ(to_string(Code::Corrupt), "corrupt");
}

TEST(ResultOf, ABrokenInvariantSaysItsSentenceAndAborts) { EXPECT_DEATH(broken_invariant("two is one"), "broken invariant: two is one"); }

}  // namespace
}  // namespace basmalin
