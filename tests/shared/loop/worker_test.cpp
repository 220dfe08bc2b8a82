#include "shared/loop/worker.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <future>
#include <vector>

namespace basmalin {
namespace {

TEST(WorkerThread, RunsInTheOrderGiven) {
    std::vector<int> seen;
    {
        Worker worker("order");
        for (int i = 0; i < 1000; ++i) worker.post([&seen, i] { seen.push_back(i); });
    }
    ASSERT_EQ(seen.size(), 1000u);
    for (int i = 0; i < 1000; ++i) ASSERT_EQ(seen[static_cast<size_t>(i)], i);
}

TEST(WorkerThread, RefusesBeyondItsBound) {
    Worker worker("bound", 3);
    std::promise<void> started;
    std::promise<void> release;
    worker.post([&] {
        started.set_value();
        release.get_future().wait();
    });
    started.get_future().wait();
    int ran = 0;
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(worker.try_post([&] { ++ran; }));
    EXPECT_FALSE(worker.try_post([&] { ran += 100; }));
    EXPECT_EQ(worker.queued(), 3u);
    worker.post([&] { ran += 10; });  // does not ask
    EXPECT_EQ(worker.queued(), 4u);
    release.set_value();
    worker.finish();
    EXPECT_EQ(ran, 13);
}

TEST(WorkerThread, FinishRunsWhatIsQueuedAndRefusesTheRest) {
    Worker worker("finish");
    int ran = 0;
    for (int i = 0; i < 100; ++i) worker.post([&] { ++ran; });
    worker.finish();
    EXPECT_EQ(ran, 100);
    EXPECT_FALSE(worker.try_post([&] { ++ran; }));
    worker.post([&] { ++ran; });
    worker.finish();
    EXPECT_EQ(ran, 100);
    EXPECT_EQ(worker.queued(), 0u);
}

TEST(WorkerThread, WorkMayPostMoreWork) {
    Worker worker("more");
    std::promise<int> done;
    worker.post([&] { worker.post([&] { worker.post([&] { done.set_value(3); }); }); });
    EXPECT_EQ(done.get_future().get(), 3);
}

TEST(WorkerThread, ManyThreadsMayPost) {
    std::atomic<int> ran = 0;
    Worker worker("many", 100'000);
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
        threads.emplace_back([&] {
            for (int i = 0; i < 1000; ++i) EXPECT_TRUE(worker.try_post([&] { ++ran; }));
        });
    for (std::thread& thread : threads) thread.join();
    worker.finish();
    EXPECT_EQ(ran, 4000);
}

TEST(WorkerThread, HasANameAndNoSignals) {
    Worker worker("a-name-that-is-too-long");  // the constructor has named the thread when it returns
    std::string name;
    sigset_t blocked;
    worker.post([&] {
        char text[16] = {};
        pthread_getname_np(pthread_self(), text, sizeof text);
        name = text;
        pthread_sigmask(SIG_BLOCK, nullptr, &blocked);
    });
    worker.finish();
    EXPECT_EQ(name, "a-name-that-is-");
    EXPECT_EQ(sigismember(&blocked, SIGTERM), 1);
    EXPECT_EQ(sigismember(&blocked, SIGINT), 1);
}

TEST(Worker, WhatIsPostedAheadGoesFirstAndLeavesTheRestATurn) {
    std::string order;
    std::promise<void> all_there;
    auto there = all_there.get_future();
    std::promise<void> begun;
    {
        Worker worker("test");
        ASSERT_TRUE(worker.try_post([&] {
            begun.set_value();
            there.wait();
        }));
        begun.get_future().wait();
        for (int i = 0; i < 3; ++i) ASSERT_TRUE(worker.try_post([&] { order += 'r'; }));
        for (int i = 0; i < 7; ++i) ASSERT_TRUE(worker.try_post([&] { order += 'a'; }, true));
        all_there.set_value();
    }
    EXPECT_EQ(order, "aaaraaarar");
}

}  // namespace
}  // namespace basmalin
