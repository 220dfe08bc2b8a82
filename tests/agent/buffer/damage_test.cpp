#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <random>

#include "agent/buffer/wal_rescue.h"
#include "tests/agent/buffer/buffer_fixture.h"

namespace basmalin::agent {
namespace {

class DamagedBuffer : public BufferStory {
  protected:
    // A file with 200 batches, all of it in the main file.
    void checkpointed() {
        open();
        seal_many(200);
        old = stream();
        ASSERT_TRUE(buffer->close());
        buffer.reset();
        auto db = open_buffer_database(path, false);
        ASSERT_TRUE(db);
        ASSERT_TRUE(db->execute("PRAGMA wal_checkpoint(TRUNCATE)"));
    }
    // Every number of the old stream up to `last` is held, or told as a gap, and none both.
    void expect_held_or_told(uint64_t last) {
        std::set<uint64_t> seqs;
        for (const uint64_t s : waiting_seqs(old)) EXPECT_TRUE(seqs.insert(s).second);
        for (const Gap& g : gaps()) {
            EXPECT_EQ(g.stream, old);
            for (uint64_t s = g.first_seq; s <= std::min(g.last_seq, last); ++s) EXPECT_TRUE(seqs.insert(s).second) << s;
        }
        for (uint64_t s = 1; s <= last; ++s) EXPECT_TRUE(seqs.contains(s)) << "nothing is known of " << s;
    }
    uint64_t old = 0;
};

TEST_F(DamagedBuffer, GarbageIsSetAsideAndANewStreamBegins) {  // R7
    std::ofstream(path) << std::string(5000, 'g');
    open();
    EXPECT_FALSE(buffer->opened().set_aside.empty());
    EXPECT_TRUE(std::filesystem::exists(buffer->opened().set_aside));
    EXPECT_EQ(seal().header.seq, 1u);
}

TEST_F(DamagedBuffer, AnEmptyFileIsSetAside) {  // R7
    std::ofstream(path).close();
    open();
    EXPECT_FALSE(buffer->opened().set_aside.empty());
    EXPECT_EQ(seal().header.seq, 1u);
}

TEST_F(DamagedBuffer, OnlyTwoDamagedFilesAreKept) {  // R7
    for (int i = 0; i < 5; ++i) {
        std::ofstream(path) << "garbage " << i;
        clock.advance(minutes(1));
        open();
        buffer.reset();
    }
    int kept = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder))
        if (entry.path().filename().string().find(".damaged-") != std::string::npos) ++kept;
    EXPECT_EQ(kept, 2);
}

TEST_F(DamagedBuffer, TheReadableRowsOfADamagedFileAreSalvaged) {  // R7
    checkpointed();
    overwrite(path, size_of(path) / 2, 1024);
    open();
    EXPECT_FALSE(buffer->opened().set_aside.empty());
    EXPECT_GT(buffer->opened().salvaged_batches, 150);
    EXPECT_NE(stream(), old);
    EXPECT_EQ(buffer->hello_streams().size(), 2u);
    expect_held_or_told(200);
    EXPECT_EQ(seal().header.seq, 2u);  // 1 told of the gaps
}

TEST_F(DamagedBuffer, AStreamsRowIsNotNeededToSalvageItsBatches) {  // R7
    checkpointed();
    auto db = open_buffer_database(path, false);
    const int64_t page = *db->integer("SELECT rootpage FROM sqlite_schema WHERE name='stream'");
    *db = {};
    overwrite(path, (page - 1) * 1024, 1024);
    open();
    EXPECT_EQ(buffer->opened().salvaged_batches, 200);
    expect_held_or_told(200);
    EXPECT_NE(stream(), old);
}

TEST_F(DamagedBuffer, RowsOfAStreamThatIsNotKnownAreCountedInAGap) {  // R7
    checkpointed();
    auto db = open_buffer_database(path, false);
    const int64_t page = *db->integer("SELECT rootpage FROM sqlite_schema WHERE name='stream'");
    ASSERT_TRUE(db->execute("DELETE FROM stream_id; PRAGMA wal_checkpoint(TRUNCATE)"));
    *db = {};
    overwrite(path, (page - 1) * 1024, 1024);
    open();
    EXPECT_EQ(buffer->opened().salvaged_batches, 0);
    EXPECT_EQ(buffer->opened().missing_batches, 200);
    const auto told = gaps();
    ASSERT_EQ(told.size(), 1u);
    EXPECT_NE(told[0].stream, stream()) << "the new stream's own numbers are not touched";
    EXPECT_EQ(told[0].first_seq, 1u);
    EXPECT_EQ(told[0].last_seq, 200u);
    EXPECT_EQ(told[0].readings, 200u * 20);
    EXPECT_EQ(told[0].reason, GapReason::Damaged);
}

TEST_F(DamagedBuffer, AFileOfAnEarlierVersionGetsItsStreamsNamedTwice) {  // R7
    checkpointed();
    auto db = open_buffer_database(path, false);
    ASSERT_TRUE(db->execute("DROP TABLE stream_id"));
    open();
    EXPECT_EQ(db->integer("SELECT id FROM stream_id WHERE stream_no=1"), static_cast<int64_t>(old));
}

TEST_F(DamagedBuffer, ADamagedRowInASoundFileIsToldAsAGap) {  // R7
    open();
    seal_many(20);
    old = stream();
    buffer.reset();
    auto db = open_buffer_database(path, false);
    ASSERT_TRUE(db->execute("UPDATE batch SET bytes=zeroblob(80) WHERE id IN (SELECT id FROM batch ORDER BY id LIMIT 2 OFFSET 4)"));
    *db = {};
    open();
    EXPECT_EQ(stream(), old);
    EXPECT_EQ(waiting_seqs(old).size(), 18u);
    const auto told = gaps();
    ASSERT_EQ(told.size(), 1u);
    EXPECT_EQ(told[0].first_seq, 5u);
    EXPECT_EQ(told[0].last_seq, 6u);
    EXPECT_EQ(told[0].reason, GapReason::Damaged);
}

// SQLite reads a log up to its first bad checksum, in silence.
TEST_F(DamagedBuffer, WhatLiesBehindADamagedPlaceOfTheLogComesBack) {  // R7
    for (const int64_t at : {int64_t{17}, int64_t{32 + 8}, int64_t{32 + 20 * 1048 + 500}, int64_t{32 + 60 * 1048 + 700}}) {
        SCOPED_TRACE("byte " + std::to_string(at));
        for (const char* tail : {"", "-wal", "-shm"}) std::filesystem::remove(path + tail);
        open();
        std::map<uint64_t, std::string> sealed;
        for (uint32_t i = 0; i < 80; ++i) {
            const Held h = seal(20, Priority::Normal, 1 + i / 10);
            sealed[h.header.seq] = *h.bytes;
        }
        old = stream();
        power_cut();
        ASSERT_GT(size_of(path + "-wal"), at);
        flip(path + "-wal", at);
        open();
        for (const Held& h : waiting()) {
            if (h.stream != old) continue;
            EXPECT_EQ(*h.bytes, sealed[h.header.seq]);
        }
        EXPECT_GE(waiting_seqs(old).size(), 70u);
        expect_held_or_told(80);
        const Held next = seal(20, Priority::Normal, 99);
        EXPECT_TRUE(next.stream != old || next.header.seq > 80) << "no number is used twice";
    }
}

TEST(WalRescue, AnyBytesAreSearchedWithoutHarm) {
    for (uint32_t seed = 1; seed <= 300; ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        std::mt19937 random(seed);
        std::string wal(32 + (random() % 8) * 1048 + random() % 1048, '\0');
        for (char& c : wal) c = static_cast<char>(random() % 4 == 0 ? 0x0d : random());
        for (size_t at = 32 + 24; at < wal.size(); at += 1048) wal[at] = 0x0d;
        EXPECT_TRUE(rescue_batches(wal, 1, 0, INT64_MAX).empty());
    }
}

// A power cut after any commit, also in the middle of the file's own checkpoints: never less than what was sealed.
TEST_F(DamagedBuffer, APowerCutAtAnySealLosesNothingSealed) {
    open();
    std::vector<std::string> sealed;
    for (int i = 0; i < 80; ++i) {
        sealed.push_back(*seal().bytes);
        if (i % 7 != 0) continue;
        power_cut();
        open();
        EXPECT_TRUE(buffer->opened().set_aside.empty());
        const auto held = waiting();
        ASSERT_EQ(held.size(), sealed.size());
        for (size_t n = 0; n < held.size(); ++n) ASSERT_EQ(*held[n].bytes, sealed[n]);
    }
}

TEST_F(DamagedBuffer, ARepairThatWasCutIsDoneAgain) {  // R7
    checkpointed();
    overwrite(path, size_of(path) / 2, 1024);
    std::ofstream(path + ".repairing") << "half of a file";
    open();
    EXPECT_GT(buffer->opened().salvaged_batches, 150);
    buffer.reset();
    // Cut between the renames: the whole repaired file waits under its other name.
    std::filesystem::rename(path, path + ".repairing");
    std::filesystem::remove(path + "-shm");
    if (std::filesystem::exists(path + "-wal")) std::filesystem::rename(path + "-wal", path + ".repairing-wal");
    open();
    EXPECT_EQ(buffer->hello_streams().size(), 2u);
}

TEST_F(DamagedBuffer, AFileRepairedByRootStillBelongsToTheAgentsUser) {  // R7
    if (::geteuid() != 0) GTEST_SKIP() << "only root repairs another one's file";
    checkpointed();
    constexpr uid_t nobody = 65534;
    ASSERT_EQ(::chown(folder.c_str(), nobody, nobody), 0);
    ASSERT_EQ(::chown(path.c_str(), nobody, nobody), 0);
    std::filesystem::remove(path + ".lock");
    overwrite(path, size_of(path) / 2, 1024);
    open();
    EXPECT_FALSE(buffer->opened().set_aside.empty());
    for (const char* tail : {"", "-wal", ".lock"}) {
        struct stat s {};
        ASSERT_EQ(::stat((path + tail).c_str(), &s), 0) << tail;
        EXPECT_EQ(s.st_uid, nobody) << tail;
    }
}

TEST_F(DamagedBuffer, ANewBootOnAFullDiskStartsAndIsKnownWithItsFirstSeal) {  // R8
    open();
    seal_many(60);  // a log longer than its index file, which the limit must not hit
    power_cut();
    std::signal(SIGXFSZ, SIG_IGN);
    rlimit before{};
    ::getrlimit(RLIMIT_FSIZE, &before);
    rlimit tight = before;
    tight.rlim_cur = static_cast<rlim_t>(size_of(path + "-wal"));
    boot = 0xb008;
    ::setrlimit(RLIMIT_FSIZE, &tight);
    auto opened = Buffer::open(path, options, boot, clock.wall());
    ::setrlimit(RLIMIT_FSIZE, &before);
    ASSERT_TRUE(opened) << opened.error().message();
    buffer = std::move(*opened);
    EXPECT_EQ(buffer->boot_no(), 2u);
    EXPECT_FALSE(buffer->stats().writable);
    EXPECT_EQ(seal().header.boot_no, 2u);
    EXPECT_TRUE(buffer->stats().writable);
    boot = 0xb009;
    open();
    EXPECT_EQ(buffer->boot_no(), 3u) << "the second boot's row is there";
    EXPECT_EQ(waiting().size(), 61u);
}

TEST_F(DamagedBuffer, AFullDiskIsAnErrorOfTheSealAndPasses) {  // R8
    open();
    seal_many(5);
    std::signal(SIGXFSZ, SIG_IGN);
    rlimit before{};
    ::getrlimit(RLIMIT_FSIZE, &before);
    rlimit tight = before;
    tight.rlim_cur = static_cast<rlim_t>(size_of(path + "-wal"));
    ::setrlimit(RLIMIT_FSIZE, &tight);
    clock.advance(seconds(10));
    auto refused = buffer->seal({draft()}, now());
    ::setrlimit(RLIMIT_FSIZE, &before);
    ASSERT_FALSE(refused);
    EXPECT_FALSE(buffer->stats().writable);
    EXPECT_EQ(seal().header.seq, 6u);
    EXPECT_TRUE(buffer->stats().writable);
    power_cut();
    open();
    EXPECT_EQ(waiting().size(), 6u);
}

}  // namespace
}  // namespace basmalin::agent
