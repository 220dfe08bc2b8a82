#include <chrono>

#include "agent/buffer/buffer_shell.h"
#include "tests/agent/buffer/buffer_fixture.h"
#include "tests/shared/sqlite/sqlite_faulty_disk.h"

namespace basmalin::agent {
namespace {

class BufferOnAFaultyDisk : public BufferStory {
  protected:
    ~BufferOnAFaultyDisk() override {
        buffer.reset();
        shell.reset();
    }
    // A file with 200 batches, all of it in the main file.
    void checkpointed() {
        open();
        seal_many(200);
        old = stream();
        close();
        auto db = open_buffer_database(path, false);
        ASSERT_TRUE(db);
        ASSERT_TRUE(db->execute("PRAGMA wal_checkpoint(TRUNCATE)"));
    }
    // For SQLite it is unreadable; whoever reads the file itself finds nothing there.
    void spoil(const std::string& file, int64_t at, int64_t bytes) {
        overwrite(file, at, static_cast<size_t>(std::min(bytes, size_of(file) - at)));
        disk.bad_sector(file, at, at + bytes);
    }
    void expect_held_or_told(const std::set<uint64_t>& held, const std::vector<Gap>& told, uint64_t last) {
        std::set<uint64_t> known = held;
        for (const Gap& g : told)
            for (uint64_t s = g.first_seq; s <= std::min(g.last_seq, last); ++s) EXPECT_TRUE(known.insert(s).second) << s;
        for (uint64_t s = 1; s <= last; ++s) EXPECT_TRUE(known.contains(s)) << "nothing is known of " << s;
    }
    std::set<uint64_t> held_of_old() {
        const auto seqs = waiting_seqs(old);
        return {seqs.begin(), seqs.end()};
    }

    void start_shell() {
        shell = std::make_unique<BufferShell>(loop, clock, path, options, boot, [this] { ++reopened; });
        bool opened = false;
        shell->open([&](Result<BufferShell::Ready> ready) {
            EXPECT_TRUE(ready);
            opened = true;
        });
        wait_for(opened);
    }
    void wait_for(const bool& done) {
        const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
        while (!done && std::chrono::steady_clock::now() < until) loop.run_for(milliseconds(5));
        ASSERT_TRUE(done);
    }
    void tend_in_shell() {
        clock.advance(seconds(10));
        bool done = false;
        shell->tend(now(), [&] { done = true; });
        wait_for(done);
    }
    BufferShell::Sealing seal_in_shell(std::vector<Draft> drafts = {draft()}) {
        clock.advance(seconds(5));
        BufferShell::Sealing answer;
        bool done = false;
        shell->seal(std::move(drafts), now(), [&](BufferShell::Sealing s) {
            answer = std::move(s);
            done = true;
        });
        wait_for(done);
        return answer;
    }
    Result<Page> fetch_in_shell() {
        clock.advance(seconds(5));
        Result<Page> answer = fail(Code::Timeout, "no answer");
        bool done = false;
        shell->fetch(0, INT64_MAX, size_t{1} << 30, 1'000'000, {}, [&](Result<Page> page) {
            answer = std::move(page);
            done = true;
        });
        wait_for(done);
        return answer;
    }

    testing_support::FaultyDisk disk;
    Loop loop;
    std::unique_ptr<BufferShell> shell;
    int reopened = 0;
    uint64_t old = 0;
};

TEST_F(BufferOnAFaultyDisk, ABadSectorAtTheStartCostsItsRowsAlone) {  // R7
    checkpointed();
    const int64_t at = size_of(path) / 2 / 4096 * 4096;
    spoil(path, at, 4096);
    open();
    ASSERT_TRUE(buffer);
    EXPECT_FALSE(buffer->opened().set_aside.empty());
    EXPECT_GT(buffer->opened().salvaged_batches, 150);
    EXPECT_LT(buffer->opened().salvaged_batches, 200);
    expect_held_or_told(held_of_old(), gaps(), 200);
    EXPECT_GT(seal().header.seq, 0u);
}

TEST_F(BufferOnAFaultyDisk, NoBadSectorAnywhereKeepsItFromStarting) {  // R7
    checkpointed();
    std::filesystem::copy_file(path, folder + "/good");
    const int64_t size = size_of(path);
    for (int64_t at = 0; at < size; at += 4096) {
        SCOPED_TRACE("sector at " + std::to_string(at));
        buffer.reset();
        for (const char* tail : {"", "-wal", "-shm"}) std::filesystem::remove(path + tail);
        std::filesystem::copy_file(folder + "/good", path);
        spoil(path, at, 4096);
        clock.advance(minutes(1));
        open();
        ASSERT_TRUE(buffer);
        EXPECT_FALSE(buffer->opened().set_aside.empty());
        EXPECT_FALSE(buffer->opened().complaint.empty());
        const auto held = held_of_old();
        const auto told = gaps();
        // How long a lost tail was is not known: one number stands for it.
        ASSERT_GT(held.size(), 150U);
        expect_held_or_told(held, told, *held.rbegin());
        EXPECT_FALSE(told.empty());
    }
}

TEST_F(BufferOnAFaultyDisk, ABadSectorOfTheLogCostsNoMoreThanItsRows) {  // R7
    open();
    seal_many(80);
    old = stream();
    power_cut();
    spoil(path + "-wal", 32 + 20 * 1048, 1048);
    open();
    ASSERT_TRUE(buffer);
    EXPECT_FALSE(buffer->opened().set_aside.empty());
    const auto held = held_of_old();
    EXPECT_GT(held.size(), 70u);
    expect_held_or_told(held, gaps(), 80);
}

TEST_F(BufferOnAFaultyDisk, ABadSectorWhileItRunsStallsNeitherTheBacklogNorTheSeals) {  // R7
    open();
    std::vector<Draft> large;  // more than a connection keeps in memory
    for (int i = 0; i < 100; ++i) large.push_back({.kind = BatchKind::Logs, .body = std::string(16'000, 'l')});
    ASSERT_TRUE(buffer->seal(large, now()));
    close();
    start_shell();
    const int64_t at = size_of(path) / 2 / 4096 * 4096;
    spoil(path, at, 4096);
    EXPECT_FALSE(fetch_in_shell());
    const auto page = fetch_in_shell();
    ASSERT_TRUE(page) << page.error().message();
    EXPECT_EQ(page->batches.size(), 99u);
    EXPECT_EQ(reopened, 1);
    EXPECT_EQ(seal_in_shell().sealed.size(), 1u);
}

TEST_F(BufferOnAFaultyDisk, AWriteThatFailsIsTriedAgain) {  // R8
    open();
    seal_many(3);
    old = stream();
    buffer.reset();
    start_shell();
    disk.fail_writes(path, 3);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(seal_in_shell().failed.size(), 1u) << "the draft comes back";
    EXPECT_EQ(seal_in_shell().sealed.size(), 1u);
    EXPECT_EQ(reopened, 0);
    EXPECT_EQ(shell->stats().stream, old);
}

TEST_F(BufferOnAFaultyDisk, WhatCannotBeEncodedIsCountedOnceHoweverOftenItIsTried) {  // R8
    open();
    Draft wrong = draft();
    wrong.groups[0].times_ms.push_back(1);  // a time without a value
    disk.fail_writes(path, 2);
    for (int i = 0; i < 2; ++i) EXPECT_FALSE(buffer->seal({wrong, draft()}, now()));
    EXPECT_EQ(buffer->stats().refused_readings_total, 0u);
    EXPECT_EQ(buffer->seal({wrong, draft()}, now())->size(), 1u);
    EXPECT_EQ(buffer->stats().refused_readings_total, wrong.readings);
    EXPECT_TRUE(buffer->seal({wrong}, now())->empty());
    EXPECT_EQ(buffer->stats().refused_readings_total, 2 * wrong.readings);
}

TEST_F(BufferOnAFaultyDisk, APlaceThatTakesNoWritesIsLeft) {  // R7
    open();
    seal_many(30);
    old = stream();
    buffer.reset();
    start_shell();
    disk.fail_writes(path, 1'000'000);
    int refused = 0;
    while (refused < 50 && !seal_in_shell().failed.empty()) ++refused;
    EXPECT_EQ(refused, 8);
    EXPECT_EQ(reopened, 1);
    const auto page = fetch_in_shell();
    ASSERT_TRUE(page);
    EXPECT_EQ(page->batches.size(), 31u);
    EXPECT_EQ(page->batches.front().stream, old);
}

TEST_F(BufferOnAFaultyDisk, AWelcomeThatTellsNothingNewNeedsNoWrite) {  // R2
    open();
    welcome(7);
    seal_many(10);
    ack(4);
    disk.fail_writes(path, 1'000'000);
    const auto outcome = welcome(7, {{.stream = stream(), .mark = 6, .ranges = {}}});
    ASSERT_EQ(outcome.streams.size(), 1u);
    EXPECT_EQ(outcome.streams[0].acked.mark(), 6u);
    EXPECT_EQ(waiting_seqs(stream()), (std::vector<uint64_t>{7, 8, 9, 10}));
    EXPECT_FALSE(buffer->on_welcome({.epoch = 8, .time = {}, .streams = {}}, now())) << "another epoch is noted first";
    EXPECT_EQ(waiting_seqs(stream()), (std::vector<uint64_t>{7, 8, 9, 10}));
    disk.fail_writes(path, 0);
    EXPECT_EQ(seal().header.seq, 11u);
    power_cut();
    open();
    EXPECT_FALSE(welcome(7, {{.stream = stream(), .mark = 6, .ranges = {}}}).new_stream);
    EXPECT_EQ(waiting_seqs(stream()).size(), 5u);
}

TEST_F(BufferOnAFaultyDisk, TheFirstWelcomeOfAFileIsNotedBeforeAnythingIsSent) {  // R6
    open();
    welcome(7);
    seal_many(3);
    close();
    open();
    disk.fail_writes(path, 1'000'000);
    EXPECT_FALSE(buffer->on_welcome({.epoch = 7, .time = {}, .streams = {}}, now()));
    EXPECT_TRUE(ack(1)) << "of what was sent before";
    EXPECT_FALSE(buffer->on_welcome({.epoch = 7, .time = {}, .streams = {{.stream = stream(), .mark = 1, .ranges = {}}}}, now()));
}

TEST_F(BufferOnAFaultyDisk, ADamagedRowThatCannotBeDroppedHidesOnlyItself) {  // R7
    open();
    seal_many(20);
    old = stream();
    buffer.reset();
    auto db = open_buffer_database(path, false);
    ASSERT_TRUE(db->execute("UPDATE batch SET bytes=zeroblob(80) WHERE id IN (SELECT id FROM batch ORDER BY id LIMIT 2 OFFSET 4)"));
    *db = {};
    open();
    disk.fail_writes(path, 1'000'000);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(waiting_seqs(old).size(), 18u);
    EXPECT_EQ(buffer->stats().damaged_batches_total, 2u);
    disk.fail_writes(path, 0);
    tend_until_done();
    const auto told = gaps();
    ASSERT_EQ(told.size(), 1u);
    EXPECT_EQ(told[0].first_seq, 5u);
    EXPECT_EQ(told[0].last_seq, 6u);
    EXPECT_EQ(told[0].reason, GapReason::Damaged);
    EXPECT_EQ(buffer->stats().damaged_batches_total, 2u);
}

TEST_F(BufferOnAFaultyDisk, WhereNoFileCanBeBuiltAnewTheOldOneIsStillRead) {  // R7, R8
    open();
    seal_many(30);
    buffer.reset();
    start_shell();
    disk.fail_writes(path, 1'000'000);
    std::filesystem::create_directory(path + ".repairing");
    for (int i = 0; i < 20; ++i) EXPECT_EQ(seal_in_shell().failed.size(), 1u);
    const auto page = fetch_in_shell();
    ASSERT_TRUE(page) << page.error().message();
    EXPECT_EQ(page->batches.size(), 30u);
    disk.fail_writes(path, 0);
    const auto sealed = seal_in_shell().sealed;
    ASSERT_EQ(sealed.size(), 1u);
    EXPECT_EQ(sealed[0].header.seq, 31u);
    EXPECT_EQ(reopened, 0);
}

TEST_F(BufferOnAFaultyDisk, WhatCameBackToTheCallerIsNotSalvagedToo) {  // R7, R8
    open();
    seal_many(30);
    old = stream();
    buffer.reset();
    start_shell();
    EXPECT_EQ(seal_in_shell().sealed.size(), 1u);  // the log has begun
    disk.fail_syncs(path, 1'000'000);
    int refused = 0;
    while (refused < 50 && !seal_in_shell().failed.empty()) ++refused;
    EXPECT_EQ(refused, 8);
    const auto page = fetch_in_shell();
    ASSERT_TRUE(page);
    EXPECT_EQ(page->batches.size(), 32u) << "31 of the old stream and the one of the new";
    EXPECT_EQ(page->batches.back().header.seq, 1u);
}

TEST_F(BufferOnAFaultyDisk, WhatCameBackToTheCallerIsNotThereWhenItIsOpenedAgain) {  // R8
    for (const char* because : {"", "a test"}) {
        SCOPED_TRACE(because);
        for (const char* tail : {"", "-wal", "-shm"}) std::filesystem::remove(path + tail);
        options.rebuild_because.clear();
        options.promised = {};
        clock.advance(minutes(1));
        open();
        welcome(7);
        seal_many(5);
        old = stream();
        disk.fail_syncs(path, 1'000'000);
        EXPECT_FALSE(buffer->seal({draft(20, Priority::Normal, 2), draft()}, now()));
        options.promised = buffer->promised();
        options.rebuild_because = because;
        buffer.reset();
        disk.fail_syncs(path, 0);
        open();
        EXPECT_EQ(waiting_seqs(old), (std::vector<uint64_t>{1, 2, 3, 4, 5}));
        const Held again = seal(20, Priority::Normal, 2);
        EXPECT_EQ(again.header.seq, again.stream == old ? 6u : 1u);
        auto view = open_batch(again.stream, *again.bytes);
        EXPECT_EQ(decode_definitions(view->body)->size(), 1u) << "what defined it is gone";
    }
}

TEST_F(BufferOnAFaultyDisk, GapsAreToldOnceWhetherTheirSealWasHeardOrNot) {  // R4, R8
    for (const char* because : {"", "a test"}) {
        SCOPED_TRACE(because);
        for (const char* tail : {"", "-wal", "-shm"}) std::filesystem::remove(path + tail);
        options.rebuild_because.clear();
        options.promised = {};
        clock.advance(minutes(1));
        open();
        seal_many(1000);
        options.bytes_max = 64 << 10;
        buffer->set_options(options);
        tend_until_done();
        options.bytes_max = 64 << 20;
        disk.fail_syncs(path, 1'000'000);
        EXPECT_FALSE(buffer->seal_gaps(now()));
        options.promised = buffer->promised();
        options.rebuild_because = because;
        buffer.reset();
        disk.fail_syncs(path, 0);
        open();
        gaps();
        std::set<uint64_t> told;
        for (const Held& h : waiting()) {
            if (h.header.kind != BatchKind::Gaps) continue;
            const auto decoded = decode_gaps(open_batch(h.stream, *h.bytes)->body);
            for (const Gap& g : *decoded)
                for (uint64_t s = g.first_seq; g.reason == GapReason::Evicted && s <= g.last_seq; ++s)
                    EXPECT_TRUE(told.insert(s).second) << s;
        }
        EXPECT_GT(told.size(), 100u);
    }
}

TEST_F(BufferOnAFaultyDisk, WhatIsSealedAfterItWasOpenedAgainIsNoStepBackInTime) {  // R6
    open();
    welcome(7);
    seal_many(5);
    old = stream();
    options.promised = buffer->promised();
    open();
    seal();
    EXPECT_FALSE(welcome(7, {{.stream = old, .mark = 6, .ranges = {}}}).new_stream);
    EXPECT_EQ(stream(), old);
}

TEST_F(BufferOnAFaultyDisk, NumbersThatTheLogHasLostAreNotGivenAgain) {  // R1
    open();
    welcome(7);
    seal_many(10);
    old = stream();
    options.promised = buffer->promised();
    power_cut();
    std::filesystem::resize_file(path + "-wal", static_cast<uintmax_t>(size_of(path + "-wal") / 2));
    open();
    const auto held = held_of_old();
    EXPECT_LT(held.size(), 10u);
    EXPECT_NE(seal().stream, old);
    expect_held_or_told(held, gaps(), 10);
}

TEST_F(BufferOnAFaultyDisk, AFileThatTakesNothingOfItsLogIsLeft) {  // R7
    open();
    seal_many(3);
    buffer.reset();
    start_shell();
    disk.fail_checkpoints(path);
    const std::vector<Draft> large(100, {.kind = BatchKind::Logs, .body = std::string(16'000, 'l')});
    for (int i = 0; i < 4; ++i) EXPECT_EQ(seal_in_shell(large).sealed.size(), 100u) << "nobody is told";
    EXPECT_GT(size_of(path + "-wal"), 5 << 20);
    for (int i = 0; i < 20; ++i) tend_in_shell();
    EXPECT_EQ(reopened, 1);
    const auto page = fetch_in_shell();
    ASSERT_TRUE(page);
    EXPECT_EQ(page->batches.size(), 403u);
}

TEST_F(BufferOnAFaultyDisk, ALogAsLongAsIsReadAfterARepairIsLeftAtOnce) {  // R7
    open();
    seal_many(3);
    buffer.reset();
    start_shell();
    disk.fail_checkpoints(path);
    const std::vector<Draft> large(300, {.kind = BatchKind::Logs, .body = std::string(16'000, 'l')});
    size_t sealed = 3;
    while (size_of(path + "-wal") < (11 << 20)) sealed += seal_in_shell(large).sealed.size();
    tend_in_shell();
    EXPECT_EQ(reopened, 1);
    const auto page = fetch_in_shell();
    ASSERT_TRUE(page);
    EXPECT_EQ(page->batches.size(), sealed);
}

TEST_F(BufferOnAFaultyDisk, WhereTheLogCannotBeWrittenBackTheGraceStillEnds) {  // R3
    open();
    welcome(7);
    seal_many(50);
    ack(50);
    options.bytes_max = 8 << 10;
    options.disk_reserve_bytes = int64_t{1} << 60;
    buffer->set_options(options);
    disk.fail_checkpoints(path);
    clock.advance(hours(25));
    tend_until_done();
    EXPECT_EQ(buffer->stats().batches, 0);
}

TEST_F(BufferOnAFaultyDisk, WhereNothingIsToBeTendedNothingIsKnownOfTheDisk) {  // R8
    open();
    seal_many(3);
    disk.fail_writes(path, 1'000'000);
    EXPECT_FALSE(buffer->seal({draft()}, now()));
    tend_until_done();
    EXPECT_FALSE(buffer->stats().writable) << "it wrote nothing";
    disk.fail_writes(path, 0);
    seal();
    EXPECT_TRUE(buffer->stats().writable);
}

TEST_F(BufferOnAFaultyDisk, ABootsClockThatCannotBeSavedIsSavedLater) {
    open();
    buffer.reset();
    start_shell();
    disk.fail_writes(path, 1);
    shell->set_boot_offset({.boot_no = 1, .state = ClockState::Synced, .offset_ms = 1234, .error_ms = 5});
    for (int i = 0; i < 2; ++i) {
        bool done = false;
        shell->tend(now(), [&] { done = true; });
        wait_for(done);
    }
    shell.reset();
    open();
    const auto boots = buffer->boots();
    ASSERT_EQ(boots.size(), 1u);
    EXPECT_EQ(boots[0].state, ClockState::Synced);
    EXPECT_EQ(boots[0].offset_ms, 1234);
}

}  // namespace
}  // namespace basmalin::agent
