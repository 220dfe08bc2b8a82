// A committing process is killed at any moment: what it had acked is there, and nothing is there twice.
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "tests/coordinator/store/store_fixture.h"

namespace basmalin::coordinator {
namespace {

class StoreCrash : public StoreTest {};

// Batch `seq` is a pure function of seq: the child and the judge make the same.
IncomingBatch batch_of(const Gateway& like, uint64_t seq, Lines* expected) {
    Gateway gateway = like;
    gateway.seq = seq - 1;
    gateway.mono_ms = 3'600'000 + static_cast<int64_t>(seq) * 10'000;
    const Rows rows = gateway.bed_rows({static_cast<double>(seq), static_cast<double>(seq) + 0.5});
    if (expected != nullptr) *expected = *expected + gateway.expected(rows, gateway.offset_ms);
    return gateway.seal({rows});
}

// Commits on and on from `first`, maintains in between, and tells the pipe each mark after its commit.
[[noreturn]] void commit_until_killed(const StoreOptions& options, const Gateway& gateway, int tell) {
    auto store = SqliteStore::open(options);
    if (!store) _exit(2);
    const auto marks = (*store)->marks(gateway.node, {gateway.stream});
    for (uint64_t seq = marks.empty() ? 1 : marks[0].mark + 1;; seq += 3) {
        const auto done =
            (*store)->commit({batch_of(gateway, seq, nullptr), batch_of(gateway, seq + 1, nullptr), batch_of(gateway, seq + 2, nullptr)});
        if (!done) _exit(3);
        const uint64_t mark = done->acks[0].ack.mark;
        if (write(tell, &mark, sizeof mark) != sizeof mark) _exit(4);
        for (int step = 0; step < 3; ++step)
            if (!(*store)->maintain(WallTime{noon_ms + static_cast<int64_t>(seq) * 10'000 + hours(2).ms})) _exit(5);
    }
}

TEST_F(StoreCrash, AKilledProcessLosesNothingAckedAndDoublesNothing) {
    options.compact_after = seconds(1);
    store.reset();
    std::mt19937_64 random(random_u64());
    uint64_t acked = 0;
    for (int life = 0; life < 12; ++life) {
        int ends[2];
        ASSERT_EQ(pipe(ends), 0);
        const pid_t child = fork();
        ASSERT_GE(child, 0);
        if (child == 0) {
            close(ends[0]);
            commit_until_killed(options, g1, ends[1]);
        }
        close(ends[1]);
        // Killed after a random number of acks and then at any moment of the next commit or maintenance.
        uint64_t mark = 0;
        for (uint64_t acks = random() % 12 + 1; acks > 0 && read(ends[0], &mark, sizeof mark) == sizeof mark; --acks)
            acked = std::max(acked, mark);
        const auto until = SystemClock().mono() + milliseconds(static_cast<int64_t>(random() % 20));
        while (SystemClock().mono() < until) {
        }
        kill(child, SIGKILL);
        int status = 0;
        ASSERT_EQ(waitpid(child, &status, 0), child);
        ASSERT_TRUE(WIFSIGNALED(status)) << "the child gave up by itself: " << WEXITSTATUS(status);
        while (read(ends[0], &mark, sizeof mark) == sizeof mark) acked = std::max(acked, mark);
        close(ends[0]);
    }
    open();
    const uint64_t mark = store->marks("g1", {g1.stream}).at(0).mark;
    EXPECT_GE(mark, acked);
    Lines expected;
    for (uint64_t seq = 1; seq <= mark; ++seq) batch_of(g1, seq, &expected);
    EXPECT_EQ(readings(), expected);
    maintain(noon_ms + static_cast<int64_t>(mark) * 10'000 + hours(48).ms);
    EXPECT_EQ(stats().hot_batches, 0);
    EXPECT_EQ(readings(), expected);
}

}  // namespace
}  // namespace basmalin::coordinator
