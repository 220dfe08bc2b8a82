// The disk gets back what a backlog took, at any moment of which the process may be killed.
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "tests/coordinator/store/store_fixture.h"

namespace basmalin::coordinator {
namespace {

constexpr int64_t hour_ms = 3'600'000;
constexpr int64_t settled_ms = noon_ms + 40 * hour_ms;

class Shrinking : public StoreTest {
  protected:
    std::string fleet_path() const { return options.folder + "/fleet.db"; }
    // Batches that no compressor makes small.
    void backlog(int batches) {
        std::mt19937_64 random(7);
        std::vector<IncomingBatch> some;
        for (int i = 0; i < batches; ++i) {
            std::vector<double> noise(100);
            for (double& value : noise) value = std::ldexp(static_cast<double>(random() >> 12), -40);
            Rows rows = g1.bed_rows(noise);
            g1.mono_ms -= 100 * 1000 - 200;
            for (size_t row = 0; row < rows.times_ms.size(); ++row) rows.times_ms[row] = g1.mono_ms - 200 + static_cast<int64_t>(row);
            some.push_back(g1.seal({rows}));
            if (some.size() < 64 && i + 1 < batches) continue;
            commit(some);
            some.clear();
        }
    }
    static Database::Pages pages_of(const std::string& path) {
        DatabaseOptions how;
        how.read_only = true;
        auto db = Database::open(path, how);
        EXPECT_TRUE(db);
        auto pages = db->pages();
        EXPECT_TRUE(pages);
        return *pages;
    }
    static void expect_whole(const std::string& path) {
        auto db = Database::open(path);
        ASSERT_TRUE(db);
        const auto checked = db->check(true);
        EXPECT_TRUE(checked) << path << ": " << checked.error().text;
    }
};

// S7
TEST_F(Shrinking, TheDiskGetsBackWhatABacklogTook) {
    backlog(400);
    const auto before = static_cast<uintmax_t>(stats().hot_bytes);
    const Lines all = readings();
    maintain(settled_ms);
    EXPECT_EQ(stats().hot_batches, 0);
    EXPECT_EQ(pages_of(fleet_path()).free, 0);
    EXPECT_LT(std::filesystem::file_size(fleet_path()), before / 5) << "with the store still open";
    const std::string month = history_path(options.folder, history_months(options.folder).at(0));
    const auto pages = pages_of(month);
    EXPECT_LE(pages.free, std::max<int64_t>(4, pages.live / 16));
    EXPECT_EQ(readings(), all);
    store.reset();
    expect_whole(fleet_path());
    expect_whole(month);
}

TEST_F(Shrinking, WhatTheNextHourNeedsIsKept) {
    backlog(150);
    g1.mono_ms += 90 * 60'000;
    backlog(150);  // still hot when the first are moved: as much is free as is in use
    maintain(noon_ms + 2 * hour_ms);
    ASSERT_EQ(stats().hot_batches, 150);
    const auto pages = pages_of(fleet_path());
    EXPECT_GT(pages.free, pages.live / 2);
}

TEST_F(Shrinking, AFileThatCannotGiveBackStillWorks) {
    store.reset();
    ASSERT_TRUE(Database::open(fleet_path())->execute("PRAGMA auto_vacuum=NONE;VACUUM;"));
    open();
    backlog(200);
    const Lines all = readings();
    maintain(settled_ms);
    EXPECT_GT(pages_of(fleet_path()).free, 50);
    EXPECT_EQ(readings(), all);
    backlog(10);
    EXPECT_EQ(readings().size(), all.size() + 2000);
}

TEST_F(Shrinking, AKillAtAnyMomentLosesNothing) {
    backlog(150);
    const Lines all = readings();
    store.reset();
    std::mt19937_64 random(random_u64());
    bool ended = false;
    for (int life = 0; life < 25 && !ended; ++life) {
        const pid_t child = fork();
        ASSERT_GE(child, 0);
        if (child == 0) {
            auto own = SqliteStore::open(options);
            if (!own) _exit(2);
            for (;;) {
                auto more = (*own)->maintain(WallTime{settled_ms});
                if (!more) _exit(3);
                if (!*more) _exit(0);
            }
        }
        usleep(static_cast<useconds_t>(random() % 60'000) + 40'000U * static_cast<useconds_t>(life));
        kill(child, SIGKILL);
        int status = 0;
        ASSERT_EQ(waitpid(child, &status, 0), child);
        ended = WIFEXITED(status);
        ASSERT_TRUE(!ended || WEXITSTATUS(status) == 0) << WEXITSTATUS(status);
    }
    open();
    EXPECT_EQ(readings(), all);
    maintain(settled_ms);
    EXPECT_EQ(readings(), all);
    EXPECT_EQ(pages_of(fleet_path()).free, 0);
    store.reset();
    expect_whole(fleet_path());
    expect_whole(history_path(options.folder, history_months(options.folder).at(0)));
}

}  // namespace
}  // namespace basmalin::coordinator
