#include <cmath>
#include <fstream>

#include "coordinator/store/rollup.h"
#include "tests/coordinator/store/store_fixture.h"

namespace basmalin::coordinator {
namespace {

constexpr int64_t hour_ms = 3'600'000;

class Compaction : public StoreTest {};

TEST_F(Compaction, MovesEveryReadingOnce) {
    const Rows beds = g1.bed_rows({21.4, 21.5, std::nan(""), -0.0});
    const Rows pump{2, {g1.mono_ms - 10, g1.mono_ms}, {Booleans{0, 1}, Texts{"idle", "on"}}};
    commit({g1.seal({beds, pump})});
    const Lines all = readings();
    EXPECT_EQ(all.size(), 12U);
    maintain(noon_ms + 3 * hour_ms);
    EXPECT_EQ(stats().hot_batches, 0);
    EXPECT_GT(stats().chunks, 0);
    EXPECT_EQ(readings(), all);
    maintain(noon_ms + 48 * hour_ms);
    EXPECT_EQ(readings(), all);
    open();
    EXPECT_EQ(readings(), all);
}

TEST_F(Compaction, AStreamOfThousandsOfBatchesLosesNone) {
    constexpr int batches = 9000;  // more than two blocks of marks
    std::vector<IncomingBatch> group;
    for (int i = 0; i < batches; ++i) {
        group.push_back(g1.beds({i / 10.0}));
        if (group.size() < 500 && i + 1 < batches) continue;
        commit(group);
        group.clear();
    }
    ASSERT_EQ(readings().size(), 2U * batches);
    maintain(noon_ms + 5 * hour_ms);
    EXPECT_EQ(stats().hot_batches, 0);
    EXPECT_EQ(readings().size(), 2U * batches);
}

TEST_F(Compaction, LeavesYoungBatchesHot) {
    commit({g1.beds({21.4})});
    maintain(noon_ms + hour_ms / 2);
    EXPECT_EQ(stats().hot_batches, 1);
}

// S2
TEST_F(Compaction, ACrashBetweenItsTwoCommitsNeitherLosesNorDoubles) {
    for (int i = 0; i < 20; ++i) commit({g1.beds({20.0 + i, 20.5 + i})});
    const Lines all = readings();
    store->at_point = [](std::string_view) { return fail(Code::Unavailable, "power cut"); };
    EXPECT_FALSE(store->maintain(WallTime{noon_ms + 3 * hour_ms}));
    EXPECT_EQ(stats().hot_batches, 20) << "the story needs batches that are in both places";
    EXPECT_EQ(readings(), all) << "a reader in between";
    open();
    EXPECT_EQ(readings(), all);
    maintain(noon_ms + 3 * hour_ms);
    EXPECT_EQ(stats().hot_batches, 0);
    EXPECT_EQ(readings(), all);
}

TEST_F(Compaction, AFleetDatabaseRestoredFromBeforeItDoublesNothing) {
    const IncomingBatch batch = g1.beds({21.4, 21.5});
    commit({batch});
    ASSERT_TRUE(store->fleet_database().execute("VACUUM INTO '" + options.folder + "/backup'"));
    const IncomingBatch after = g1.beds({21.6});
    commit({after});
    const Lines all = readings();
    maintain(noon_ms + 3 * hour_ms);
    store.reset();
    for (const char* suffix : {"-wal", "-shm"}) std::filesystem::remove(options.folder + "/fleet.db" + suffix);
    std::filesystem::rename(options.folder + "/backup", options.folder + "/fleet.db");
    open();
    EXPECT_EQ(outcome(after), Outcome::Stored) << "the gateway refills what the backup lacked";
    EXPECT_EQ(readings(), all);
    maintain(noon_ms + 4 * hour_ms);
    EXPECT_EQ(readings(), all);
}

// R5
TEST_F(Compaction, LateDataJoinsADayThatWasMergedAndItsRollups) {
    Gateway late = g1;
    late.stream = 0x5eed0002;
    commit({g1.beds({21.4, 22.4})});
    maintain(noon_ms + 40 * hour_ms);
    EXPECT_EQ(stats().chunks, 1);
    late.mono_ms += 2000;
    IncomingBatch batch = late.beds({30.0});
    batch.received = WallTime{noon_ms + 41 * hour_ms};
    commit({batch});
    const auto bucket = [&] {
        ReadingQuery query{{id_of("g1/bed1/temperature")}, WallTime{noon_ms - hour_ms}, WallTime{noon_ms + hour_ms}};
        auto found = (*store->reader())->buckets(query, hours(1));
        EXPECT_TRUE(found);
        return found->at(0);
    };
    for (const int64_t hours_later : {41, 43, 44, 60}) {
        maintain(noon_ms + hours_later * hour_ms);
        EXPECT_EQ(readings().size(), 6U) << hours_later;
        EXPECT_EQ(bucket().max, 30.0);
        EXPECT_EQ(bucket().count, 3U);
        EXPECT_DOUBLE_EQ(bucket().sum, 21.4 + 22.4 + 30.0);
    }
    EXPECT_EQ(stats().chunks, 1) << "merged again";
    EXPECT_EQ(stats().dirty_days, 0);
}

TEST_F(Compaction, ABatchThatSpansMonthsGoesToBothFilesOnce) {
    const int64_t month_end = first_day_of(month_of_day(day_of(noon_ms)) + 1) * day_ms;
    g1.offset_ms = month_end - g1.mono_ms - 2500;
    commit({g1.beds({1, 2, 3, 4, 5, 6})});
    const Lines all = readings();
    int crashes = 0;
    store->at_point = [&](std::string_view) -> Result<void> {
        if (++crashes < 3) return fail(Code::Unavailable, "power cut");
        return {};
    };
    for (int i = 0; i < 2; ++i) EXPECT_FALSE(store->maintain(WallTime{month_end + 3 * hour_ms}));
    maintain(month_end + 3 * hour_ms);
    EXPECT_EQ(history_months(options.folder).size(), 2U);
    EXPECT_EQ(readings(), all);
    EXPECT_EQ(readings(month_end - 1500, month_end + 1500).size(), 6U);
}

TEST_F(Compaction, ADayOfManyPartsIsMergedBeforeItEnds) {
    for (int i = 0; i < 40; ++i) {
        IncomingBatch batch = g1.beds({20.0 + i});
        batch.received = WallTime{noon_ms + i * hour_ms};  // slices come late, all of one day
        commit({batch});
        maintain(noon_ms + (i + 2) * hour_ms);
    }
    EXPECT_LT(stats().chunks, 27);
    EXPECT_EQ(readings().size(), 80U);
}

// ---- time

TEST_F(Compaction, AnUnsyncedBootIsTimedOnceItsOffsetIsKnown) {
    g1.synced = false;
    IncomingBatch live = g1.beds({21.4});
    const Rows rows{1, {g1.mono_ms - 1000}, {Numbers{21.4}, Numbers{40}}};
    live.received = WallTime{g1.mono_ms + g1.offset_ms + 700};
    commit({live});
    EXPECT_EQ(readings(), g1.expected(rows, g1.offset_ms + 700, true)) << "the upper bound: sealed before it was received";
    maintain(noon_ms + 100 * hour_ms);
    EXPECT_EQ(stats().hot_batches, 1) << "it waits for its clock";
    ASSERT_TRUE(store->note_boot("g1", g1.stream, {1, ClockState::Synced, g1.offset_ms, 20}));
    EXPECT_EQ(readings(), g1.expected(rows, g1.offset_ms));
    maintain(noon_ms + 102 * hour_ms);
    EXPECT_EQ(stats().hot_batches, 0);
    EXPECT_EQ(readings(), g1.expected(rows, g1.offset_ms));
}

TEST_F(Compaction, ASyncedBatchOfTheSameBootTimesTheEarlierOnes) {
    g1.synced = false;
    const Rows early = g1.bed_rows({21.4});
    commit({g1.seal({early})});
    g1.synced = true;
    const Rows late = g1.bed_rows({21.5});
    commit({g1.seal({late})});
    EXPECT_EQ(readings(), g1.expected(early, g1.offset_ms) + g1.expected(late, g1.offset_ms));
    open();
    EXPECT_EQ(readings(), g1.expected(early, g1.offset_ms) + g1.expected(late, g1.offset_ms));
}

TEST_F(Compaction, ABootThatNeverSyncedIsCompactedAsEstimatedAfterTheHold) {
    g1.synced = false;
    const Rows rows = g1.bed_rows({21.4});
    IncomingBatch batch = g1.seal({rows});
    commit({batch});
    const Lines hot = readings();
    EXPECT_EQ(hot.begin()->back(), '~');
    maintain(noon_ms + 8 * 24 * hour_ms);
    EXPECT_EQ(stats().hot_batches, 0);
    EXPECT_EQ(readings(), hot);
    maintain(noon_ms + 10 * 24 * hour_ms);
    EXPECT_EQ(readings(), hot);
}

TEST_F(Compaction, ABootThatRunsForACenturyMakesNoFilesOfTheFuture) {
    const Rows today = g1.bed_rows({21.4});
    const int64_t now = g1.mono_ms + g1.offset_ms;
    commit({g1.seal({today})});
    g1.synced = false;
    g1.mono_ms += int64_t{100} * 365 * 86'400'000;
    const Rows later = g1.bed_rows({21.5});
    IncomingBatch batch = g1.seal({later});
    batch.received = WallTime{now};
    EXPECT_EQ(outcome(batch), Outcome::Stored);
    maintain(now + 3 * 3'600'000);
    EXPECT_EQ(readings(), g1.expected(today, g1.offset_ms));
    EXPECT_EQ(stats().dead_letters, 1) << "said, and kept for a person";
    for (const auto& entry : std::filesystem::directory_iterator(options.folder)) {
        EXPECT_FALSE(entry.path().filename().string().starts_with("history-21")) << entry.path();
    }
}

TEST_F(Compaction, AnAbsurdClockIsNotBelieved) {
    g1.offset_ms += hours(24 * 3650).ms;
    const Rows rows = g1.bed_rows({21.4});
    IncomingBatch batch = g1.seal({rows});
    batch.received = WallTime{noon_ms};
    EXPECT_EQ(commit({batch}).events.size(), 1U);
    EXPECT_EQ(readings(), g1.expected(rows, noon_ms - g1.mono_ms, true));
}

// ---- reading

TEST_F(Compaction, PagesOfAnySizeGiveWhatOneBigReadGives) {
    std::mt19937_64 random(7);
    for (int i = 0; i < 60; ++i) {
        std::vector<double> same(random() % 5 + 1, 20.0);  // equal values at equal times too
        g1.mono_ms -= static_cast<int64_t>(random() % 3) * 1000;
        IncomingBatch batch = g1.beds(same);
        batch.received = WallTime{noon_ms + i * hour_ms};
        commit({batch});
        if (i % 7 == 0) maintain(noon_ms + i * hour_ms);
    }
    const Lines all = readings(0, noon_ms * 2, 100'000);
    for (const size_t limit : {1U, 2U, 7U, 50U}) EXPECT_EQ(readings(0, noon_ms * 2, limit), all) << limit;
}

TEST_F(Compaction, BadQuestionsAreRefusedByName) {
    commit({g1.beds({21.4})});
    auto reader = *store->reader();
    ReadingQuery query{{1}, WallTime{0}, WallTime{noon_ms * 2}};
    EXPECT_EQ(reader->readings(query, 0, "").error().code, Code::Invalid);
    EXPECT_EQ(reader->readings(query, 10, "rubbish").error().code, Code::Invalid);
    EXPECT_EQ(reader->readings(query, 10, "1.2.3.4").error().code, Code::Invalid);
    EXPECT_EQ(reader->buckets(query, Duration{1}).error().code, Code::Invalid);
    EXPECT_EQ(reader->buckets(query, Duration{0}).error().code, Code::Invalid);
    EXPECT_TRUE(reader->readings({{1}, WallTime{INT64_MIN}, WallTime{INT64_MAX}}, 10, ""));
    EXPECT_EQ(reader->readings({{1}, WallTime{1}, WallTime{0}}, 10, "").error().code, Code::Invalid);
    query.series.assign(65, 1);
    EXPECT_EQ(reader->readings(query, 10, "").error().code, Code::Invalid);
    EXPECT_TRUE(reader->readings({{12345}, WallTime{0}, WallTime{1}}, 10, "")->points.empty());
}

TEST_F(Compaction, AReaderSeesWhatIsCommittedAfterItWasOpened) {
    commit({g1.beds({21.4})});
    auto reader = *store->reader();
    ReadingQuery query{{1}, WallTime{0}, WallTime{noon_ms * 2}};
    EXPECT_EQ(reader->readings(query, 10, "")->points.size(), 1U);
    commit({g1.beds({21.5})});
    EXPECT_EQ(reader->readings(query, 10, "")->points.size(), 2U);
    maintain(noon_ms + 3 * hour_ms);
    EXPECT_EQ(reader->readings(query, 10, "")->points.size(), 2U);
    maintain(noon_ms + 40 * hour_ms);
    EXPECT_EQ(reader->readings(query, 10, "")->points.size(), 2U);
}

// ---- damage and age

TEST_F(Compaction, ADamagedHistoryFileIsSetAsideAndTheStoreGoesOn) {
    commit({g1.beds({21.4})});
    maintain(noon_ms + 3 * hour_ms);
    const auto months = history_months(options.folder);
    ASSERT_EQ(months.size(), 1U);
    store.reset();
    std::ofstream(history_path(options.folder, months[0]), std::ios::trunc) << std::string(20'000, 'x');
    open();
    const CommitResult done = commit({g1.beds({21.5})});
    ASSERT_EQ(done.events.size(), 1U);
    EXPECT_NE(done.events[0].find("damaged"), std::string::npos);
    maintain(noon_ms + 6 * hour_ms);
    EXPECT_EQ(readings().size(), 2U);
    bool kept = false;
    for (const auto& entry : std::filesystem::directory_iterator(options.folder))
        kept = kept || entry.path().filename().string().find(".damaged-") != std::string::npos;
    EXPECT_TRUE(kept);
}

TEST_F(Compaction, OldMonthsGoButTheirRollupsStay) {
    options.raw_keep = hours(24 * 31);
    options.rollup_keep = hours(24 * 400);
    open();
    for (int i = 0; i < 50; ++i) commit({g1.beds({20.0 + i, 21.0 + i, 22.0 + i})});
    ReadingQuery query{{id_of("g1/bed1/temperature")}, WallTime{noon_ms - hour_ms}, WallTime{noon_ms + hour_ms}};
    maintain(noon_ms + 40 * hour_ms);
    auto reader = *store->reader();
    const auto before = reader->buckets(query, minutes(5));
    ASSERT_TRUE(before);
    ASSERT_FALSE(before->empty());
    maintain(noon_ms + 24 * 100 * hour_ms);
    EXPECT_TRUE(history_months(options.folder).empty());
    EXPECT_EQ(rollup_years(options.folder).size(), 1U);
    EXPECT_TRUE(readings().empty());
    const auto after = reader->buckets(query, minutes(5));
    ASSERT_TRUE(after);
    ASSERT_EQ(after->size(), before->size());
    for (size_t i = 0; i < after->size(); ++i) {
        EXPECT_EQ(after->at(i).start, before->at(i).start);
        EXPECT_EQ(after->at(i).max, before->at(i).max);
        EXPECT_EQ(after->at(i).count, before->at(i).count);
    }
    maintain(noon_ms + 24 * 1000 * hour_ms);
    EXPECT_TRUE(rollup_years(options.folder).empty());
    EXPECT_TRUE(reader->buckets(query, minutes(5))->empty());
}

TEST_F(Compaction, WhatIsOlderThanTheRawDataKeptIsCountedNotSilent) {
    g1.offset_ms -= hours(24 * 900).ms;
    IncomingBatch batch = g1.beds({21.4});
    batch.received = WallTime{noon_ms};
    commit({batch});
    maintain(noon_ms + 3 * hour_ms);
    EXPECT_EQ(stats().hot_batches, 0);
    EXPECT_TRUE(history_months(options.folder).empty());
    EXPECT_EQ(commit({g1.beds({1.0})}).events.size(), 1U);
}

}  // namespace
}  // namespace basmalin::coordinator
