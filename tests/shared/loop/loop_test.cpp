#include "shared/loop/loop.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <thread>
#include <vector>

namespace basmalin {
namespace {

class LoopTest : public testing::Test {
  protected:
    bool until(const std::function<bool()>& condition) {
        const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
        while (!condition()) {
            if (std::chrono::steady_clock::now() > end) return false;
            loop.run_for(milliseconds(2));
        }
        return true;
    }
    // Everything that is ready has run.
    void turn() {
        bool done = false;
        loop.post([&] { loop.post([&] { done = true; }); });
        ASSERT_TRUE(until([&] { return done; }));
    }
    Loop loop;
};
using LoopOfADaemon = LoopTest;
using LoopTimer = LoopTest;
using LoopWatch = LoopTest;

TEST_F(LoopOfADaemon, RunsWhatIsPostedInItsOrder) {
    std::vector<int> seen;
    for (int i = 0; i < 100; ++i) loop.post([&seen, i] { seen.push_back(i); });
    EXPECT_TRUE(seen.empty()) << "later, not now";
    ASSERT_TRUE(until([&] { return seen.size() == 100; }));
    for (int i = 0; i < 100; ++i) EXPECT_EQ(seen[static_cast<size_t>(i)], i);
}

TEST_F(LoopOfADaemon, PostsFromManyThreadsAllRunOnItsThread) {
    std::vector<std::vector<int>> seen(4);
    std::thread::id runner;
    bool elsewhere = false;
    std::thread runs([&] {
        runner = std::this_thread::get_id();
        loop.run();
    });
    std::vector<std::thread> threads;
    for (size_t t = 0; t < 4; ++t)
        threads.emplace_back([&, t] {
            for (int i = 0; i < 2000; ++i)
                loop.post([&, t, i] {
                    elsewhere = elsewhere || std::this_thread::get_id() != runner;
                    seen[t].push_back(i);
                });
        });
    for (std::thread& thread : threads) thread.join();
    loop.post([&] { loop.stop(); });
    runs.join();
    EXPECT_TRUE(loop.stopping());
    EXPECT_FALSE(elsewhere);
    for (const auto& one : seen) {
        ASSERT_EQ(one.size(), 2000u);
        for (int i = 0; i < 2000; ++i) ASSERT_EQ(one[static_cast<size_t>(i)], i);
    }
}

TEST_F(LoopOfADaemon, StopsFromAnyThreadAlsoBeforeItRuns) {
    std::thread([&] { loop.stop(); }).join();
    loop.run();  // returns
    EXPECT_TRUE(loop.stopping());
}

TEST_F(LoopOfADaemon, SignalsComeOnItsThreadAgainAndAgain) {
    std::vector<int> seen;
    loop.on_signal({SIGUSR1, SIGUSR2}, [&](int number) { seen.push_back(number); });
    ::kill(::getpid(), SIGUSR1);
    ASSERT_TRUE(until([&] { return seen.size() == 1; }));
    ::kill(::getpid(), SIGUSR2);
    ASSERT_TRUE(until([&] { return seen.size() == 2; }));
    EXPECT_EQ(seen, (std::vector<int>{SIGUSR1, SIGUSR2}));
}

TEST_F(LoopTimer, FiresOnceNotBeforeItsTime) {
    int fired = 0;
    const auto begin = std::chrono::steady_clock::now();
    const Timer timer = loop.after(milliseconds(30), [&] { ++fired; });
    ASSERT_TRUE(until([&] { return fired > 0; }));
    EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(30));
    bool later = false;
    const Timer other = loop.after(milliseconds(60), [&] { later = true; });
    ASSERT_TRUE(until([&] { return later; }));
    EXPECT_EQ(fired, 1);
}

TEST_F(LoopTimer, FireInTheOrderOfTheirTimes) {
    std::vector<int> seen;
    const Timer b = loop.after(milliseconds(20), [&] { seen.push_back(2); });
    const Timer a = loop.after(milliseconds(5), [&] { seen.push_back(1); });
    const Timer c = loop.after(milliseconds(40), [&] { seen.push_back(3); });
    ASSERT_TRUE(until([&] { return seen.size() == 3; }));
    EXPECT_EQ(seen, (std::vector<int>{1, 2, 3}));
}

TEST_F(LoopTimer, RepeatsUntilItGoes) {
    int fired = 0;
    {
        const Timer timer = loop.every(milliseconds(3), [&] { ++fired; });
        ASSERT_TRUE(until([&] { return fired >= 4; }));
    }
    const int at_its_end = fired;
    bool later = false;
    const Timer other = loop.after(milliseconds(20), [&] { later = true; });
    ASSERT_TRUE(until([&] { return later; }));
    EXPECT_EQ(fired, at_its_end);
}

TEST_F(LoopTimer, NeverFiresAfterItWasCancelledEvenWhenItWasDue) {
    int fired = 0;
    Timer due = loop.after(milliseconds(0), [&] { ++fired; });
    Timer assigned_over = loop.after(milliseconds(0), [&] { ++fired; });
    Timer moved = loop.after(milliseconds(0), [&] { fired += 100; });
    due.cancel();
    assigned_over = Timer();
    const Timer kept = std::move(moved);
    turn();
    ASSERT_TRUE(until([&] { return fired != 0; }));
    EXPECT_EQ(fired, 100);
}

TEST_F(LoopTimer, OneCallbackCancelsAnotherThatIsDueToo) {
    Timer a;
    Timer b;
    int fired = 0;
    a = loop.after(milliseconds(0), [&] {
        ++fired;
        b.cancel();
    });
    b = loop.after(milliseconds(0), [&] {
        ++fired;
        a.cancel();
    });
    turn();
    ASSERT_TRUE(until([&] { return fired > 0; }));
    turn();
    EXPECT_EQ(fired, 1);
}

TEST_F(LoopTimer, MayBeDroppedOrReplacedInItsOwnCallback) {
    int fired = 0;
    auto once = std::make_unique<Timer>();
    *once = loop.after(milliseconds(1), [&, big = std::vector<int>(1000, 7)] {
        once.reset();
        fired += big.back();  // what the callback holds outlives its timer
    });
    ASSERT_TRUE(until([&] { return fired == 7; }));
    Timer again;
    again = loop.every(milliseconds(1), [&, big = std::vector<int>(1000, 10)] {
        again = loop.after(milliseconds(1), [&] { fired += 100; });
        fired += big.back();
    });
    ASSERT_TRUE(until([&] { return fired >= 117; }));
    turn();
    EXPECT_EQ(fired, 117);
}

struct Pair {
    Pair() { EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fd), 0); }
    ~Pair() {
        for (const int one : fd)
            if (one >= 0) ::close(one);
    }
    void say() const { EXPECT_EQ(::write(fd[1], "x", 1), 1); }
    void close(size_t which) {
        ::close(fd[which]);
        fd[which] = -1;
    }
    int fd[2] = {-1, -1};
};

TEST_F(LoopWatch, CallsOncePerRequestAndAtOnceWhenBytesAlreadyWait) {
    const Pair pair;
    FdWatch watch = loop.watch(pair.fd[0]);
    ASSERT_TRUE(watch.active());
    int ready = 0;
    watch.when_readable([&] { ++ready; });
    turn();
    EXPECT_EQ(ready, 0);
    pair.say();
    ASSERT_TRUE(until([&] { return ready == 1; }));
    turn();
    EXPECT_EQ(ready, 1) << "once per request";
    watch.when_readable([&] { ++ready; });  // nothing was read: still readable
    ASSERT_TRUE(until([&] { return ready == 2; }));
}

TEST_F(LoopWatch, ASecondRequestWhileOneWaitsIsIgnored) {
    const Pair pair;
    FdWatch watch = loop.watch(pair.fd[0]);
    int first = 0;
    int second = 0;
    watch.when_readable([&] { ++first; });
    watch.when_readable([&] { ++second; });
    pair.say();
    ASSERT_TRUE(until([&] { return first == 1; }));
    turn();
    EXPECT_EQ(second, 0);
}

TEST_F(LoopWatch, WritableAndReadableAreIndependent) {
    const Pair pair;
    FdWatch watch = loop.watch(pair.fd[0]);
    int readable = 0;
    int writable = 0;
    watch.when_readable([&] { ++readable; });
    watch.when_writable([&] { ++writable; });
    ASSERT_TRUE(until([&] { return writable == 1; }));
    EXPECT_EQ(readable, 0);
    pair.say();
    ASSERT_TRUE(until([&] { return readable == 1; }));
    EXPECT_EQ(writable, 1);
}

TEST_F(LoopWatch, APeerThatGoesIsReported) {
    Pair pair;
    FdWatch watch = loop.watch(pair.fd[0]);
    int ready = 0;
    watch.when_readable([&] { ++ready; });
    pair.close(1);
    ASSERT_TRUE(until([&] { return ready == 1; }));
}

TEST_F(LoopWatch, WatchesADuplicateSoTheOriginalMayBeClosedAndItsNumberReused) {
    Pair pair;
    FdWatch watch = loop.watch(pair.fd[0]);
    int ready = 0;
    watch.when_readable([&] { ++ready; });
    const int number = pair.fd[0];
    pair.close(0);
    const Pair other;  // takes the number
    EXPECT_TRUE(other.fd[0] == number || other.fd[1] == number);
    other.say();
    turn();
    EXPECT_EQ(ready, 0) << "the other's bytes are not ours";
    pair.say();
    ASSERT_TRUE(until([&] { return ready == 1; }));
}

TEST_F(LoopWatch, IsSilentAfterCancelAndLetsGoOfTheDescriptor) {
    Pair pair;
    FdWatch watch = loop.watch(pair.fd[0]);
    int ready = 0;
    watch.when_readable([&] { ++ready; });
    pair.say();
    pair.close(0);
    watch.cancel();
    EXPECT_FALSE(watch.active());
    turn();
    EXPECT_EQ(ready, 0);
    EXPECT_EQ(::send(pair.fd[1], "x", 1, MSG_NOSIGNAL), -1) << "nobody holds the other end";
    watch.when_readable([&] { ++ready; });  // of nothing: ignored
    turn();
    EXPECT_EQ(ready, 0);
}

TEST_F(LoopWatch, MayBeDroppedInItsOwnCallback) {
    const Pair pair;
    auto watch = std::make_unique<FdWatch>(loop.watch(pair.fd[0]));
    int ready = 0;
    watch->when_readable([&, big = std::vector<int>(1000, 7)] {
        watch.reset();
        ready += big.back();
    });
    watch->when_writable([&] { ready += 0; });
    pair.say();
    ASSERT_TRUE(until([&] { return ready == 7; }));
    turn();
}

TEST_F(LoopWatch, OfNoDescriptorIsInactive) {
    EXPECT_FALSE(loop.watch(-1).active());
    EXPECT_FALSE(loop.watch(100'000).active());
}

TEST_F(LoopWatch, DoesNotLeakIntoChildPrograms) {
    const Pair pair;
    const int next = ::dup(pair.fd[0]);  // the number that the duplicate will take
    ::close(next);
    const FdWatch watch = loop.watch(pair.fd[0]);
    EXPECT_EQ(::fcntl(next, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

}  // namespace
}  // namespace basmalin
