#include "coordinator/app/end_watch.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>

namespace basmalin::coordinator {

namespace {

// A thread that waits for what never comes, as a destructor may.
[[noreturn]] void be_stuck() {
    std::mutex mutex;
    std::unique_lock lock(mutex);
    std::condition_variable never;
    for (;;) never.wait(lock);
}

}  // namespace

TEST(EndWatch, R1_AProcessThatIsStuckWithUnsavedWorkEndsWithOne) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_EXIT(
        {
            EndWatch watch;
            watch.start(milliseconds(50));
            be_stuck();
        },
        ::testing::ExitedWithCode(1), "");
}

TEST(EndWatch, R1_AProcessThatIsStuckWhenAllIsDurableEndsWithZero) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_EXIT(
        {
            EndWatch watch;
            watch.start(milliseconds(50));
            watch.all_durable();
            be_stuck();
        },
        ::testing::ExitedWithCode(0), "");
}

TEST(EndWatch, R1_HoldsAfterItsOwnerIsGone) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_EXIT(
        {
            {
                EndWatch watch;
                watch.start(milliseconds(50));
                watch.all_durable();
            }
            be_stuck();
        },
        ::testing::ExitedWithCode(0), "");
}

}  // namespace basmalin::coordinator
