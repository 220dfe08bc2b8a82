#include "shared/base/backoff.h"

#include <gtest/gtest.h>

namespace basmalin {
namespace {

TEST(Backoff, DoublesItsCeilingUpToTheCap) {
    Backoff backoff{seconds(1), seconds(60), 0};
    for (const int64_t ceiling : {1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000}) EXPECT_EQ(backoff.next(0.5).ms, ceiling / 2);
}

TEST(Backoff, IsFullJitter) {
    Backoff backoff{seconds(1), seconds(60), 3};
    EXPECT_EQ(Backoff(backoff).next(0.0).ms, 0);
    EXPECT_EQ(Backoff(backoff).next(0.999999).ms, 7999);
}

TEST(Backoff, StaysWithinTheCapForever) {
    Backoff backoff{hours(1), hours(24), 0};
    for (int i = 0; i < 100'000; ++i) {
        const Duration wait = backoff.next(0.9999999);
        ASSERT_GE(wait.ms, 0);
        ASSERT_LT(wait, hours(24));
    }
}

TEST(Backoff, StartsAnewAfterAReset) {
    Backoff backoff{seconds(1), seconds(60), 0};
    for (int i = 0; i < 10; ++i) (void)backoff.next(0.5);
    backoff.reset();
    EXPECT_EQ(backoff.next(0.5).ms, 500);
}

}  // namespace
}  // namespace basmalin
