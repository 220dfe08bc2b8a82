#include "coordinator/app/end_watch.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <memory>
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

// The process that does this with a watch of 50 ms, and is stuck then, ends with `status`.
void expect_end(int status, void (*before)(EndWatch&), bool owner_goes = false) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_EXIT(
        {
            auto watch = std::make_unique<EndWatch>();
            watch->start(milliseconds(50));
            before(*watch);
            if (owner_goes) watch.reset();
            be_stuck();
        },
        ::testing::ExitedWithCode(status), "");
}

}  // namespace

TEST(EndWatch, R1_AProcessThatIsStuckWithUnsavedWorkEndsWithOne) {
    expect_end(1, [](EndWatch&) {});
}

TEST(EndWatch, R1_AProcessThatIsStuckWhenAllIsDurableEndsWithZero) {
    expect_end(0, [](EndWatch& watch) { watch.all_durable(); });
}

TEST(EndWatch, R1_HoldsAfterItsOwnerIsGone) {
    expect_end(0, [](EndWatch& watch) { watch.all_durable(); }, true);
}

}  // namespace basmalin::coordinator
