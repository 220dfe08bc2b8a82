#include "tests/agent/buffer/buffer_fixture.h"

namespace basmalin::agent {
namespace {

TEST_F(BufferStory, WhatIsSealedSurvivesAPowerCut) {
    open();
    std::vector<std::string> bytes;
    for (int i = 0; i < 25; ++i) bytes.push_back(*seal().bytes);
    const uint64_t before = stream();
    power_cut();
    open();
    EXPECT_EQ(stream(), before);
    const auto held = waiting();
    ASSERT_EQ(held.size(), bytes.size());
    for (size_t i = 0; i < held.size(); ++i) {
        EXPECT_EQ(*held[i].bytes, bytes[i]);
        EXPECT_EQ(held[i].header.seq, i + 1);
    }
    EXPECT_EQ(buffer->stats().readings, 25 * 20);
}

TEST_F(BufferStory, NoNumberIsUsedTwiceEvenWhenEverythingWasDeleted) {  // R1
    options.acked_keep = seconds(1);
    open();
    welcome(7);
    seal_many(10);
    EXPECT_TRUE(ack(10));
    clock.advance(hours(1));
    tend_until_done();
    clock.advance(hours(1));
    tend_until_done();
    EXPECT_EQ(buffer->stats().batches, 0);
    power_cut();
    open();
    EXPECT_EQ(seal().header.seq, 11u);
}

TEST_F(BufferStory, AnAckReleasesAndIsRememberedOverACleanStop) {  // R2
    open();
    welcome(7);
    seal_many(10);
    EXPECT_TRUE(ack(4, 7, {{7, 8}}));
    EXPECT_EQ(waiting_seqs(stream()), (std::vector<uint64_t>{5, 6, 9, 10}));
    close();
    open();
    EXPECT_EQ(waiting_seqs(stream()), (std::vector<uint64_t>{5, 6, 9, 10}));
    EXPECT_EQ(buffer->stats().unacked_batches, 4);
}

TEST_F(BufferStory, AcksOnlyMoveForwardWithinAnEpoch) {  // R2
    open();
    welcome(7);
    seal_many(5);
    EXPECT_TRUE(ack(4));
    EXPECT_TRUE(ack(2));
    EXPECT_EQ(buffer->stats().acked_mark, 4u);
    EXPECT_FALSE(ack(5, 8)) << "another epoch";
    EXPECT_FALSE(ack(6)) << "never sealed";
    EXPECT_EQ(buffer->stats().acked_mark, 4u);
}

TEST_F(BufferStory, AckedBatchesStayForTheGrace) {  // R3
    open();
    welcome(7);
    seal_many(10);
    ack(10);
    clock.advance(hours(23));
    tend_until_done();
    EXPECT_EQ(buffer->stats().batches, 10);
    clock.advance(hours(2));
    tend_until_done();
    EXPECT_EQ(buffer->stats().batches, 0);
    EXPECT_TRUE(gaps().empty());
}

TEST_F(BufferStory, TheGraceNeedsNoWallClock) {  // R3
    clock_state = ClockState::Unsynced;
    open();
    welcome(7);
    seal_many(10);
    ack(10);
    for (int i = 0; i < 30; ++i) {
        clock.advance(hours(1));
        tend_until_done();
    }
    EXPECT_EQ(buffer->stats().batches, 0);
}

TEST_F(BufferStory, WhatIsSealedIsHeldOrTold) {  // R4: stored = sealed - gaps
    options.bytes_max = 64 << 10;
    open();
    uint64_t sealed_readings = 0;
    for (int i = 0; i < 800; ++i) {
        const Priority p = i % 10 == 0 ? Priority::Alarm : i % 3 == 0 ? Priority::Low : Priority::Normal;
        sealed_readings += seal(20, p).header.readings;
        if (i % 20 == 0) tend_until_done();
    }
    tend_until_done();
    EXPECT_LE(buffer->stats().file_bytes, options.bytes_max);
    uint64_t held_readings = 0;
    std::set<uint64_t> held_seqs;
    for (const Held& h : waiting()) {
        held_readings += h.header.readings;
        held_seqs.insert(h.header.seq);
    }
    uint64_t lost = 0;
    for (const Gap& g : gaps()) {
        EXPECT_TRUE(g.exact);
        EXPECT_EQ(g.reason, GapReason::Evicted);
        EXPECT_NE(g.from.ms, 0);
        lost += g.readings;
        for (uint64_t s = g.first_seq; s <= g.last_seq; ++s) EXPECT_TRUE(held_seqs.insert(s).second) << s;
    }
    EXPECT_GT(lost, 0u);
    EXPECT_EQ(held_readings + lost, sealed_readings);
    EXPECT_EQ(held_seqs.size(), 800u);
    EXPECT_EQ(buffer->stats().evicted_readings_total, lost);
}

TEST_F(BufferStory, AlarmsAreGivenUpLast) {  // R4
    options.bytes_max = 64 << 10;
    open();
    for (int i = 0; i < 400; ++i) {
        seal(20, i < 20 ? Priority::Alarm : Priority::Normal);
        if (i % 20 == 0) tend_until_done();
    }
    tend_until_done();
    const auto alarms = buffer->fetch(0, INT64_MAX, 1 << 20, 1000, Priority::Alarm);
    ASSERT_TRUE(alarms);
    EXPECT_EQ(alarms->batches.size(), 20u);
}

// No shortage of this size can be ended by what the buffer holds.
TEST_F(BufferStory, ADiskThatIsShortCostsNothingThatIsHeld) {  // R4
    open();
    seal_many(300);
    options.disk_reserve_bytes = int64_t{1} << 60;
    buffer->set_options(options);
    for (int i = 0; i < 60; ++i) {
        clock.advance(minutes(1));
        tend_until_done();
    }
    EXPECT_EQ(waiting().size(), 300u);
}

TEST_F(BufferStory, OnAShortDiskItGivesUpAsMuchAsIsSealed) {  // R4
    open();
    seal_many(1000);
    close();
    open();
    const int64_t before = size_of(path);
    options.disk_reserve_bytes = int64_t{1} << 60;
    buffer->set_options(options);
    for (int i = 0; i < 1000; ++i) {
        seal();
        if (i % 20 == 0) tend_until_done();
        EXPECT_LE(size_of(path + "-wal"), 512 << 10);
    }
    const auto newest = waiting().back().header.seq;
    close();
    buffer.reset();
    EXPECT_LE(size_of(path), before + (16 << 10));
    open();
    EXPECT_EQ(newest, 2000u);
    EXPECT_GT(waiting().size(), 850u);
    EXPECT_LT(waiting().size(), 1100u);
}

TEST_F(BufferStory, SpaceTakesAckedBatchesBeforeAnyLoss) {  // R4
    options.bytes_max = 64 << 10;
    open();
    welcome(7);
    for (int i = 0; i < 400; ++i) {
        ack(seal().header.seq);
        if (i % 20 == 0) tend_until_done();
    }
    tend_until_done();
    EXPECT_EQ(buffer->stats().evicted_batches_total, 0u);
    EXPECT_TRUE(gaps().empty());
}

TEST_F(BufferStory, GapsSurviveAPowerCutUntilTheyAreSealed) {  // R4
    options.bytes_max = 64 << 10;
    open();
    for (int i = 0; i < 1000; ++i) seal();
    tend_until_done();
    const auto pending = buffer->stats().gaps_pending;
    EXPECT_GT(pending, 0);
    power_cut();
    open();
    EXPECT_EQ(buffer->stats().gaps_pending, pending);
    const auto told = gaps();
    EXPECT_EQ(static_cast<int64_t>(told.size()), pending);
    power_cut();
    open();
    EXPECT_EQ(buffer->stats().gaps_pending, 0);
    EXPECT_EQ(waiting().back().header.kind, BatchKind::Gaps);
}

TEST_F(BufferStory, AgeIsABoundToo) {  // R4
    options.age_max = hours(24 * 30);
    open();
    seal_many(5);
    clock.advance(hours(24 * 31));
    seal_many(3);
    tend_until_done();
    EXPECT_EQ(waiting().size(), 8u) << "the clock is not believed yet";
    clock.advance(hours(1));
    tend_until_done();
    EXPECT_EQ(waiting_seqs(stream()), (std::vector<uint64_t>{6, 7, 8}));
    const auto told = gaps();
    ASSERT_EQ(told.size(), 1u);
    EXPECT_EQ(told[0].readings, 100u);
}

TEST_F(BufferStory, AClockThatJumpsFarAheadEvictsNextToNothing) {  // R4
    open();
    welcome(7);
    ASSERT_TRUE(buffer->seal(std::vector<Draft>(6000, draft(1)), now()));
    ack(100);
    const auto tend_for = [&](Duration d) {
        for (const MonoTime until = clock.mono() + d; clock.mono() < until;) {
            clock.advance(minutes(5));
            tend_until_done();
        }
    };
    tend_for(hours(2));
    clock.step_wall(hours(24 * 365 * 70));
    tend_for(minutes(55));
    EXPECT_EQ(buffer->stats().batches, 6000) << "an hour to be set right, acknowledged ones wait too";
    clock.step_wall(Duration{-hours(24 * 365 * 70).ms});
    tend_for(hours(2));
    EXPECT_EQ(buffer->stats().batches, 6000);
    clock.step_wall(hours(24 * 365 * 70));
    tend_for(hours(4));
    EXPECT_LT(buffer->stats().evicted_batches_total, 4 * 512u + 1);
    EXPECT_GT(buffer->stats().evicted_batches_total, 0u);
}

TEST_F(BufferStory, ARestoredCentreGetsAgainWhatItLost) {  // R5
    open();
    welcome(7);
    seal_many(10);
    ack(10);
    EXPECT_TRUE(waiting().empty());
    const auto outcome = welcome(8, {{.stream = stream(), .mark = 3, .ranges = {{5, 6}}}});
    EXPECT_EQ(outcome.released_batches, 0u);
    EXPECT_EQ(waiting_seqs(stream()), (std::vector<uint64_t>{4, 7, 8, 9, 10}));
}

TEST_F(BufferStory, WhatIsNoLongerHeldIsToldAsReleased) {  // R5
    options.acked_keep = seconds(1);
    open();
    welcome(7);
    seal_many(10);
    ack(6);
    clock.advance(hours(2));
    tend_until_done();
    clock.advance(hours(2));
    tend_until_done();
    const auto outcome = welcome(8, {{.stream = stream(), .mark = 2, .ranges = {}}});
    EXPECT_EQ(outcome.released_batches, 4u);
    const auto told = gaps();
    ASSERT_EQ(told.size(), 1u);
    EXPECT_EQ(told[0].first_seq, 3u);
    EXPECT_EQ(told[0].last_seq, 6u);
    EXPECT_EQ(told[0].reason, GapReason::Released);
    EXPECT_EQ(waiting_seqs(stream()), (std::vector<uint64_t>{7, 8, 9, 10, 11}));  // 11 tells of the gap
}

TEST_F(BufferStory, AFileThatWentBackInTimeStartsANewStream) {  // R6
    open();
    welcome(7);
    seal_many(10);
    ack(4);
    const uint64_t old = stream();
    const auto outcome = welcome(7, {{.stream = old, .mark = 50, .ranges = {}}});
    EXPECT_TRUE(outcome.new_stream);
    EXPECT_NE(stream(), old);
    EXPECT_TRUE(waiting_seqs(old).empty());
    EXPECT_EQ(waiting_seqs(stream()), (std::vector<uint64_t>{1, 2, 3, 4, 5, 6}));
    EXPECT_EQ(seal().header.seq, 7u);
    power_cut();
    open();
    EXPECT_EQ(waiting_seqs(stream()).size(), 7u);
}

// What was sealed since the file went back bears numbers that the coordinator knows for other batches.
TEST_F(BufferStory, AFileThatWentBackInTimeLosesNothingThatWasSealedIntoItSince) {  // R6
    open();
    welcome(7);
    seal_many(10);
    ack(4);
    close();
    for (int restart = 0; restart < 3; ++restart) {  // offline; the coordinator has had 12 batches before the file went back
        open();
        seal_many(5);
        power_cut();
    }
    open();
    const uint64_t old = stream();
    const auto outcome = welcome(7, {{.stream = old, .mark = 12, .ranges = {}}});
    EXPECT_TRUE(outcome.new_stream);
    EXPECT_TRUE(waiting_seqs(old).empty()) << "what lies before is with the coordinator";
    EXPECT_EQ(waiting_seqs(stream()).size(), 15u);
    const auto again = welcome(7, {{.stream = old, .mark = 12, .ranges = {}}, {.stream = stream(), .mark = 15, .ranges = {}}});
    EXPECT_FALSE(again.new_stream);
    EXPECT_TRUE(waiting().empty());
}

TEST_F(BufferStory, ARestartBeforeAnAckIsNoStepBackInTime) {  // R6
    open();
    const uint64_t first = stream();
    welcome(7);
    seal_many(10);
    power_cut();
    open();
    EXPECT_FALSE(welcome(7, {{.stream = first, .mark = 10, .ranges = {}}}).new_stream);
    seal_many(3);
    EXPECT_FALSE(welcome(7, {{.stream = first, .mark = 13, .ranges = {}}}).new_stream);
    EXPECT_EQ(stream(), first);
}

TEST_F(BufferStory, TwoAgentsNeverShareABuffer) {  // R9
    open();
    auto second = Buffer::open(path, options, boot, clock.wall());
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, Code::Conflict);
}

TEST_F(BufferStory, ALayoutTravelsOnceAndAgainWhenAsked) {  // R10
    open();
    const auto definitions_in = [](const Held& h) {
        auto view = open_batch(h.stream, *h.bytes);
        auto found = decode_definitions(view->body);
        return found ? found->size() : size_t{999};
    };
    EXPECT_EQ(definitions_in(seal(5, Priority::Normal, 1)), 1u);
    EXPECT_EQ(definitions_in(seal(5, Priority::Normal, 1)), 0u);
    EXPECT_EQ(definitions_in(seal(5, Priority::Normal, 2)), 1u);
    auto again = buffer->seal_definitions(true, now());
    ASSERT_TRUE(again);
    ASSERT_EQ(again->size(), 1u);
    EXPECT_EQ(definitions_in(again->front()), 2u);
    EXPECT_EQ(again->front().header.readings, 0u);
}

TEST_F(BufferStory, ALayoutWhoseFirstBatchWasGivenUpIsDefinedAgain) {  // R10
    options.bytes_max = 64 << 10;
    open();
    seal_many(1000);
    tend_until_done();
    ASSERT_GT(waiting().front().header.seq, 1u);
    const Held next = seal();
    auto view = open_batch(next.stream, *next.bytes);
    EXPECT_EQ(decode_definitions(view->body)->size(), 1u);
}

TEST_F(BufferStory, AnIdIsNotFreeBecauseItsLayoutIsDamaged) {  // R10
    open();
    seal(5, Priority::Normal, 1);
    seal(5, Priority::Normal, 2);
    close();
    auto db = open_buffer_database(path, false);
    ASSERT_TRUE(db->execute("UPDATE layout SET bytes=x'ffff' WHERE id=2"));
    open();
    ASSERT_TRUE(buffer->layouts());
    EXPECT_EQ(buffer->layouts()->size(), 1u);
    EXPECT_EQ(buffer->last_layout_id(), 2u);
    ASSERT_TRUE(db->execute("ALTER TABLE layout RENAME TO gone"));
    EXPECT_FALSE(buffer->layouts()) << "no layouts and layouts that cannot be read are two things";
}

TEST_F(BufferStory, ABootKeepsItsNumberAndItsOffset) {
    open();
    const uint32_t first = buffer->boot_no();
    ASSERT_TRUE(buffer->set_boot_offset({.boot_no = first, .state = ClockState::Synced, .offset_ms = 123, .error_ms = 4}));
    close();
    open();
    EXPECT_EQ(buffer->boot_no(), first);
    boot = 0xb008;
    open();
    EXPECT_EQ(buffer->boot_no(), first + 1);
    EXPECT_EQ(buffer->boots()[0].offset_ms, 123);
}

TEST_F(BufferStory, FetchIsBoundedAndGoesOnWhereItEnded) {
    open();
    seal_many(100);
    int64_t after = 0;
    size_t seen = 0;
    for (int rounds = 0; rounds < 200; ++rounds) {
        auto page = buffer->fetch(after, INT64_MAX, 1000, 7);
        ASSERT_TRUE(page);
        EXPECT_LE(page->batches.size(), 7u);
        seen += page->batches.size();
        after = page->last_id;
        if (page->end) break;
    }
    EXPECT_EQ(seen, 100u);
}

TEST_F(BufferStory, ASealOfTwentyReadingsWritesLittleToTheCard) {
    const auto written = [] {
        std::ifstream io("/proc/self/io");
        std::string key;
        int64_t value = 0;
        while (io >> key >> value)
            if (key == "wchar:") return value;
        return int64_t{0};
    };
    open();
    seal_many(10);
    const int64_t before = written();
    constexpr int batches = 3000;
    for (int i = 0; i < batches; ++i) seal(20);
    const double per_reading = static_cast<double>(written() - before) / (batches * 20.0);
    RecordProperty("bytes_per_reading", std::to_string(per_reading));
    EXPECT_LE(per_reading, 150) << "bytes written per reading, checkpoints included";
}

}  // namespace
}  // namespace basmalin::agent
