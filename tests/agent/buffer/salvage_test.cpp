// R7 of the buffer: what a damaged file held comes back in slices, while the new file is in use.
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <map>
#include <random>

#include "agent/buffer/page_rescue.h"
#include "tests/agent/buffer/buffer_fixture.h"

namespace basmalin::agent {
namespace {

class Salvage : public BufferStory {
  protected:
    Salvage() {
        options.salvage_at_start = {};
        options.salvage_slice_bytes = 8 << 10;
    }
    // Batches in the main file, and the last of them in the log; the damage is in the middle of the file.
    void damaged(int batches) {
        open();
        for (int i = 0; i < batches; ++i) {
            const Held h = seal(20, Priority::Normal, 1 + static_cast<uint32_t>(i) / 40);
            sealed[h.header.seq] = *h.bytes;
        }
        old = stream();
        power_cut();
        overwrite(path, size_of(path) / 2, 2048);
    }
    int64_t root_of(const std::string& table) {
        auto db = open_buffer_database(path, false);
        return *db->integer("SELECT rootpage FROM sqlite_schema WHERE name='" + table + "'");
    }
    // Every number is held bit for bit or told as a gap, and none both.
    void expect_held_or_told(uint64_t last) {
        std::set<uint64_t> seqs;
        for (const Held& h : waiting()) {
            if (h.stream != old || h.header.seq > last) continue;
            EXPECT_EQ(*h.bytes, sealed[h.header.seq]);
            EXPECT_TRUE(seqs.insert(h.header.seq).second);
        }
        for (const Gap& g : gaps())
            for (uint64_t s = g.first_seq; g.stream == old && s <= std::min(g.last_seq, last); ++s)
                EXPECT_TRUE(seqs.insert(s).second) << s << " is there and told as a gap";
        for (uint64_t s = 1; s <= last; ++s) EXPECT_TRUE(seqs.contains(s)) << "nothing is known of " << s;
    }

    std::map<uint64_t, std::string> sealed;
    uint64_t old = 0;
};

TEST_F(Salvage, ReadingsAreSealedBeforeAnythingCameBack) {  // R7
    damaged(300);
    open();
    EXPECT_FALSE(buffer->opened().set_aside.empty());
    EXPECT_TRUE(buffer->stats().salvaging);
    const Held first = seal(20, Priority::Normal, 9);
    EXPECT_NE(first.stream, old);
    EXPECT_EQ(first.header.seq, 1u);
    EXPECT_TRUE(waiting_seqs(old).empty());
    const SalvageStep all = salvage_until_done();
    EXPECT_TRUE(all.finished);
    EXPECT_FALSE(buffer->stats().salvaging);
    EXPECT_GT(all.salvaged_batches, 250);
    EXPECT_EQ(all.salvaged_batches + all.missing_batches, 300);
    expect_held_or_told(300);
}

TEST_F(Salvage, NothingIsToldOfHolesBeforeAllWasLookedAt) {  // R7
    damaged(300);
    open();
    welcome(7, {{old, 20, {}}});
    while (buffer->stats().salvaging) {
        EXPECT_EQ(buffer->hello_streams().size(), 2u);
        const auto outcome = welcome(8, {{old, 10, {}}});
        EXPECT_EQ(outcome.released_batches, 0u);
        for (const Gap& g : gaps()) EXPECT_NE(g.stream, old);
        ASSERT_TRUE(buffer->salvage(now()));
    }
    uint64_t told = 0;
    for (const Gap& g : gaps())
        if (g.stream == old) told += g.last_seq - g.first_seq + 1;
    EXPECT_GT(told, 0u);
    EXPECT_LT(told, 30u);
}

// kill -9 at every step: after each commit what the disk holds is opened anew, and while one runs the process is killed.
TEST_F(Salvage, ACutAtAnyStepLosesNothingAndDoesNothingTwice) {  // R7
    damaged(200);
    open();
    int cuts = 0;
    uint64_t sealed_meanwhile = 0;
    const uint64_t fresh = stream();
    for (bool more = true; more; ++cuts) {
        ASSERT_LT(cuts, 1000);
        auto step = buffer->salvage(now());
        ASSERT_TRUE(step);
        more = step->more;
        if (cuts % 3 == 0) sealed_meanwhile = seal(20, Priority::Normal, 9).header.seq;
        power_cut();
        open();
        EXPECT_TRUE(buffer->opened().set_aside.empty());
        EXPECT_EQ(stream(), fresh);
        EXPECT_EQ(buffer->boot_no(), 1u);
    }
    EXPECT_GT(cuts, 10);
    EXPECT_EQ(waiting_seqs(fresh).size(), sealed_meanwhile);
    expect_held_or_told(200);
    EXPECT_EQ(buffer->stats().batches, static_cast<int64_t>(waiting().size()));
}

TEST_F(Salvage, ACutBetweenTheRenamesLosesNothing) {  // R7
    damaged(150);
    open();
    const std::string aside = buffer->opened().set_aside;
    buffer.reset();
    ASSERT_TRUE(std::filesystem::exists(aside + "-wal"));
    std::filesystem::rename(path, path + ".repairing");
    std::filesystem::rename(aside + "-wal", path + "-wal");
    clock.advance(minutes(1));
    open();
    EXPECT_TRUE(buffer->opened().set_aside.empty());
    EXPECT_GT(salvage_until_done().salvaged_batches, 120);
    expect_held_or_told(150);
}

TEST_F(Salvage, AFullDiskOnlyMakesItWait) {  // R7, R8
    damaged(200);
    open();
    std::signal(SIGXFSZ, SIG_IGN);
    rlimit before{};
    ::getrlimit(RLIMIT_FSIZE, &before);
    rlimit tight = before;
    tight.rlim_cur = static_cast<rlim_t>(size_of(path + "-wal") + 2000);
    ::setrlimit(RLIMIT_FSIZE, &tight);
    int failed = 0;
    for (int i = 0; i < 20; ++i)
        if (!buffer->salvage(now())) ++failed;
    ::setrlimit(RLIMIT_FSIZE, &before);
    EXPECT_GT(failed, 0);
    EXPECT_TRUE(buffer->stats().salvaging);
    salvage_until_done();
    expect_held_or_told(200);
    EXPECT_EQ(buffer->stats().batches, static_cast<int64_t>(waiting().size()));
}

TEST_F(Salvage, AKillWithinASliceLosesNothing) {  // R7
    damaged(150);
    for (unsigned round = 0; round < 12; ++round) {
        const pid_t child = ::fork();
        ASSERT_GE(child, 0);
        if (child == 0) {
            auto opened = Buffer::open(path, options, boot, clock.wall());
            while (opened && (*opened)->salvage(now())->more) {
            }
            ::_exit(0);
        }
        ::usleep(4000 * (round + 1));
        ::kill(child, SIGKILL);
        ::waitpid(child, nullptr, 0);
    }
    open();
    salvage_until_done();
    expect_held_or_told(150);
}

TEST_F(Salvage, WhereTheTreesAreLostTheLeavesAreNot) {  // R7
    open();
    seal_many(200);
    old = stream();
    close();
    const int64_t batch_root = root_of("batch");
    const int64_t stream_root = root_of("stream");
    for (const int64_t page : {int64_t{1}, batch_root, stream_root}) {
        SCOPED_TRACE("page " + std::to_string(page));
        if (page == 1) std::filesystem::copy_file(path, folder + "/good");
        buffer.reset();
        for (const char* tail : {"", "-wal", "-shm"}) std::filesystem::remove(path + tail);
        std::filesystem::copy_file(folder + "/good", path);
        overwrite(path, (page - 1) * 1024, 1024);
        clock.advance(minutes(1));
        open();
        EXPECT_EQ(salvage_until_done().salvaged_batches, 200);
        EXPECT_EQ(waiting_seqs(old).size(), 200u);
        EXPECT_NE(stream(), old);
    }
}

TEST_F(Salvage, LayoutsWhoseFirstBatchIsLostAreDefinedAgainInTheirStream) {  // R7
    open();
    seal_many(30);
    old = stream();
    close();
    auto db = open_buffer_database(path, false);
    ASSERT_TRUE(db->execute("UPDATE batch SET bytes=zeroblob(80) WHERE (id & 1023) = 1"));
    *db = {};
    options.rebuild_because = "a test";
    open();
    EXPECT_EQ(salvage_until_done().missing_batches, 1);
    bool defined = false;
    for (const Held& h : waiting()) {
        if (h.stream != old || h.header.seq <= 31) continue;
        auto view = open_batch(old, *h.bytes);
        ASSERT_TRUE(view);
        auto definitions = decode_definitions(view->body);
        ASSERT_TRUE(definitions);
        ASSERT_EQ(definitions->size(), 1u);
        EXPECT_EQ(definitions->front(), *draft().layouts[0]);
        defined = true;
    }
    EXPECT_TRUE(defined);
    for (const Gap& g : gaps()) EXPECT_TRUE(g.last_seq == 1 || g.first_seq == 31) << g.first_seq;
}

TEST_F(Salvage, BatchesWithoutTheirLayoutAreACountedGap) {  // R7
    open();
    seal_many(30);
    for (int i = 0; i < 5; ++i) seal(20, Priority::Normal, 2);
    old = stream();
    close();
    auto db = open_buffer_database(path, false);
    ASSERT_TRUE(db->execute("UPDATE batch SET bytes=zeroblob(80) WHERE (id & 1023) = 31; DELETE FROM layout WHERE id=2; VACUUM"));
    *db = {};
    options.rebuild_because = "a test";
    open();
    salvage_until_done();
    EXPECT_EQ(waiting_seqs(old).size(), 30u);
    uint64_t readings = 0;
    for (const Gap& g : gaps()) readings += g.readings;
    EXPECT_EQ(readings, 4u * 20);
}

TEST_F(Salvage, ADamagedFileOfAnUnfinishedSalvageLosesNoneOfEither) {  // R7
    damaged(200);
    open();
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(buffer->salvage(now()));
    const uint64_t second = stream();
    seal_many(20);
    clock.advance(minutes(1));
    options.rebuild_because = "a test";
    open();
    options.rebuild_because.clear();
    EXPECT_NE(stream(), second);
    salvage_until_done();
    EXPECT_EQ(waiting_seqs(second).size(), 20u);
    std::set<uint64_t> seqs;
    for (const uint64_t s : waiting_seqs(old)) seqs.insert(s);
    EXPECT_GT(seqs.size(), 150u);
}

TEST_F(Salvage, TheBoundHoldsWhileBatchesComeBack) {  // R4
    damaged(400);
    options.bytes_max = 24 << 10;
    open();
    for (bool more = true; more;) {
        auto step = buffer->salvage(now());
        ASSERT_TRUE(step);
        more = step->more;
        const Held fresh = seal(20, Priority::Normal, 9);
        tend_until_done();
        EXPECT_LE(buffer->stats().file_bytes, 24 << 10);
        EXPECT_FALSE(waiting_seqs(fresh.stream).empty());
        EXPECT_EQ(waiting_seqs(fresh.stream).back(), fresh.header.seq) << "the oldest go, not the newest";
    }
    expect_held_or_told(400);
}

TEST_F(Salvage, AShortDiskGetsBackWhatWasRead) {  // R7
    damaged(2000);
    open();
    ASSERT_TRUE(buffer->salvage(now()));
    struct stat before{};
    ::stat(buffer->opened().set_aside.c_str(), &before);
    while (waiting_seqs(old).size() < 200) ASSERT_TRUE(buffer->salvage(now()));
    options.disk_reserve_bytes = int64_t{1} << 60;
    buffer->set_options(options);
    static_cast<void>(buffer->tend(now()));
    struct stat after{};
    ASSERT_EQ(::stat(buffer->opened().set_aside.c_str(), &after), 0);
    EXPECT_LT(after.st_blocks, before.st_blocks);
    options.disk_reserve_bytes = 0;
    buffer->set_options(options);
    salvage_until_done();
    expect_held_or_told(2000);
}

TEST(PageRescue, AnyBytesAreSearchedWithoutHarm) {
    for (uint32_t seed = 1; seed <= 300; ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        std::mt19937 random(seed);
        std::string page(page_bytes, '\0');
        for (char& c : page) c = static_cast<char>(random() % 4 == 0 ? 0x0d : random());
        page[0] = random() % 2 == 0 ? 0x0d : 0x0a;
        each_row(page, [&](uint32_t) { return std::string_view(page); }, [](const RawRow& row) { EXPECT_FALSE(batch_of(row, 1)); });
    }
}

}  // namespace
}  // namespace basmalin::agent
