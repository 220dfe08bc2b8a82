#include <algorithm>
#include <fstream>

#include "coordinator/store/sqlite_hot.h"
#include "tests/coordinator/store/store_fixture.h"

namespace basmalin::coordinator {
namespace {

constexpr int64_t hour_ms = 3'600'000;

class Maintenance : public StoreTest {
  protected:
    int64_t in_history(const std::string& sql) {
        const auto months = history_months(options.folder);
        if (months.empty()) return -1;
        DatabaseOptions how;
        how.read_only = true;
        auto file = Database::open(history_path(options.folder, months[0]), how);
        EXPECT_TRUE(file);
        auto found = file->integer(sql);
        EXPECT_TRUE(found) << (found ? "" : found.error().message());
        return found ? *found : -1;
    }
    // Late slices of one day, each a part of its own.
    void slices(int first, int last) {
        for (int i = first; i < last; ++i) {
            IncomingBatch batch = g1.beds({20.0 + i, 20.5 + i});
            batch.received = WallTime{noon_ms + (40 + 2 * i) * hour_ms};
            commit({batch});
        }
    }
    Bucket hour() {
        ReadingQuery query{{id_of("g1/bed1/temperature")}, WallTime{noon_ms - hour_ms}, WallTime{noon_ms + hour_ms}};
        auto found = (*store->reader())->buckets(query, hours(2));
        EXPECT_TRUE(found);
        return found && !found->empty() ? found->at(0) : Bucket{};
    }
    bool has_damaged_file(const std::string& name) {
        for (const auto& entry : std::filesystem::directory_iterator(options.folder))
            if (entry.path().filename().string().starts_with(name + ".damaged-")) return true;
        return false;
    }
};

TEST_F(Maintenance, ALargeDayIsRolledABoundedNumberOfReadingsAStep) {
    store->merged_readings_max = 8;
    constexpr int parts = 7;
    // One part a sweep: without a closed day, nothing is merged in between.
    for (int i = 0; i < parts; ++i) {
        commit({g1.beds({20.0 + i, 20.5 + i})});
        maintain(noon_ms + (2 + i) * hour_ms);
    }
    const Lines all = readings();
    ASSERT_EQ(in_history("SELECT sum(readings) FROM chunk WHERE rolled = 0"), 4 * parts);
    int64_t before = 4 * parts;
    bool more = true;
    for (int step = 0; more && step < 100; ++step) {
        auto done = store->maintain(WallTime{noon_ms + 40 * hour_ms});
        ASSERT_TRUE(done) << done.error().message();
        more = *done;
        const int64_t after = in_history("SELECT ifnull(sum(readings), 0) FROM chunk WHERE rolled = 0");
        EXPECT_LE(before - after, 8);
        before = after;
        EXPECT_EQ(hour().count, 2U * parts) << "at any moment";
    }
    EXPECT_EQ(before, 0);
    EXPECT_EQ(readings(), all);
    EXPECT_EQ(hour().max, 20.5 + parts - 1);
    EXPECT_EQ(hour().min, 20.0);
    IncomingBatch late = g1.beds({90.0});
    late.received = WallTime{noon_ms + 41 * hour_ms};
    commit({late});
    maintain(noon_ms + 44 * hour_ms);
    EXPECT_EQ(hour().count, 2U * parts + 1);
    EXPECT_EQ(hour().max, 90.0);
}

TEST_F(Maintenance, S9AClockThatLeapsAheadGivesNothingUpForADay) {
    options.raw_keep = hours(24 * 31);
    options.retire_after_leap = hours(24);
    open();
    commit({g1.beds({20, 21, 22})});
    maintain(noon_ms + 40 * hour_ms);
    g1.mono_ms += 40 * hour_ms;
    IncomingBatch late = g1.beds({30});
    late.received = WallTime{noon_ms + 40 * hour_ms};
    commit({late});  // hot
    const Lines all = readings();
    const auto told = [&](const std::string& what) {
        const auto events = commit({g1.beds({31})}).events;
        return std::ranges::any_of(events, [&](const std::string& event) { return event.find(what) != std::string::npos; });
    };
    const int64_t wrong = noon_ms + 24 * 400 * hour_ms;
    maintain(wrong);
    maintain(wrong + 20 * hour_ms);
    EXPECT_EQ(readings(), all) << "neither the month's file nor what was hot";
    EXPECT_TRUE(told("398 days ahead"));
    maintain(noon_ms + 50 * hour_ms);  // set right again
    maintain(wrong + 30 * hour_ms);
    EXPECT_TRUE(told("days ahead")) << "a second leap is seen too";
    EXPECT_GE(readings().size(), all.size());
    for (int hour = 30; hour <= 80; ++hour) maintain(wrong + hour * hour_ms);  // or it was right
    EXPECT_LT(readings().size(), all.size());
}

TEST_F(Maintenance, ADamagedRollupFileStopsNothingAndIsSetAside) {
    options.raw_keep = hours(24 * 31);
    options.rollup_keep = hours(24 * 400);
    open();
    commit({g1.beds({20, 21, 22})});
    maintain(noon_ms + 40 * hour_ms);
    const std::string rollups = rollup_path(options.folder, 2026);
    std::ofstream(rollups, std::ios::trunc) << std::string(20'000, 'x');
    open();
    g1.mono_ms += 24 * 100 * hour_ms;
    commit({g1.beds({30})});
    const int64_t now = noon_ms + 24 * 100 * hour_ms + 3 * hour_ms;
    int errors = 0;
    for (int step = 0; step < 100; ++step) {
        auto more = store->maintain(WallTime{now});
        if (!more) ++errors;
        if (more && !*more) break;
    }
    EXPECT_EQ(errors, 1);
    EXPECT_EQ(stats().hot_batches, 0) << "compaction went on";
    EXPECT_TRUE(has_damaged_file("rollup-2026.db"));
    EXPECT_EQ(hour().count, 3U) << "the month's rollups are in a new file";
    bool said = false;
    for (const std::string& event : commit({g1.beds({31})}).events)
        said = said || event.find("rollup-2026.db is damaged") != std::string::npos;
    EXPECT_TRUE(said);
}

TEST_F(Maintenance, AStepThatFailsDoesNotKeepTheOthersFromWorking) {
    commit({g1.beds({20, 21})});
    maintain(noon_ms + 3 * hour_ms);
    commit({g1.beds({22})});
    store->at_point = [](std::string_view) { return fail(Code::Unavailable, "power cut"); };
    int errors = 0;
    for (int step = 0; step < 10; ++step) errors += store->maintain(WallTime{noon_ms + 40 * hour_ms}) ? 0 : 1;
    EXPECT_GT(errors, 0) << "it is told";
    EXPECT_EQ(stats().hot_batches, 1);
    store->at_point = {};
    maintain(noon_ms + 41 * hour_ms);
    EXPECT_EQ(in_history("SELECT count(*) FROM chunk WHERE rolled = 0"), 0);
    EXPECT_EQ(readings().size(), 6U);
}

// ---- what others must not spoil

TEST_F(Maintenance, ADamagedChunkOrHotBatchHidesOnlyItself) {
    const Rows first = g1.bed_rows({20, 21});
    commit({g1.seal({first})});
    maintain(noon_ms + 3 * hour_ms);
    commit({g1.beds({30})});
    maintain(noon_ms + 5 * hour_ms);
    const Rows third = g1.bed_rows({40});
    commit({g1.seal({third})});
    commit({g1.beds({50})});
    {
        auto file = Database::open(history_path(options.folder, history_months(options.folder).at(0)));
        ASSERT_TRUE(file);
        ASSERT_TRUE(file->execute("UPDATE chunk SET bytes = zeroblob(length(bytes)) WHERE part = 2"));
        ASSERT_EQ(file->changes(), 1);
    }
    ASSERT_TRUE(store->fleet_database().execute("UPDATE hot SET bytes = zeroblob(length(bytes)) WHERE id = (SELECT max(id) FROM hot)"));
    const Lines whole = g1.expected(first, g1.offset_ms) + g1.expected(third, g1.offset_ms);
    EXPECT_EQ(readings(), whole);
    EXPECT_EQ(hour().count, 3U);
    maintain(noon_ms + 40 * hour_ms);
    EXPECT_EQ(readings(), whole) << "after merging";
    EXPECT_EQ(hour().count, 3U);
    EXPECT_EQ(in_history("SELECT count(*) FROM chunk WHERE rolled = 2"), 1) << "kept for a person";
    EXPECT_FALSE(has_damaged_file("history-2026-09.db"));
}

TEST_F(Maintenance, AnIndexThatForgotItsChunksIsMadeAgain) {
    commit({g1.beds({20, 21, 22})});
    maintain(noon_ms + 3 * hour_ms);
    const Lines all = readings();
    store.reset();
    const std::string path = history_path(options.folder, history_months(options.folder).at(0));
    const auto with_index = [&](const std::string& change, const std::string& sql) {
        auto file = Database::open(path);
        ASSERT_TRUE(file);
        for (const std::string& one : {std::string("PRAGMA writable_schema=ON"), change, sql}) {
            const auto done = file->execute(one);
            ASSERT_TRUE(done) << done.error().message();
        }
    };
    // Made anew over no row at all, and then said to be over every row: what a flipped byte in its page can come to.
    with_index("UPDATE sqlite_schema SET sql = sql || ' WHERE part > 1000' WHERE name = 'chunk_by_day'", "SELECT 1");
    with_index("REINDEX chunk_by_day", "UPDATE sqlite_schema SET sql = replace(sql, ' WHERE part > 1000', '') WHERE name = 'chunk_by_day'");
    open();
    maintain(noon_ms + 40 * hour_ms);
    EXPECT_EQ(readings(), all);
    EXPECT_EQ(in_history("SELECT count(*) FROM chunk WHERE rolled = 0"), 0) << "merged";
    EXPECT_EQ(hour().count, 3U);
    EXPECT_FALSE(has_damaged_file("history-2026-09.db"));
    const auto events = commit({}).events;
    EXPECT_TRUE(std::ranges::any_of(events, [](const std::string& event) { return event.find("indexes of") != std::string::npos; }));
}

TEST_F(Maintenance, WhatHotForgotDoesNotHangOnALog) {
    commit({g1.beds({20, 21, 22})});
    maintain(noon_ms + 3 * hour_ms);
    ASSERT_EQ(stats().hot_batches, 0);
    const Lines all = readings();
    ASSERT_EQ(all.size(), 6U);
    const std::string whole = options.folder;
    const std::string torn = whole + "-torn";
    std::filesystem::copy(whole, torn);  // as a power cut leaves it
    const std::string log = history_path(torn, history_months(torn).at(0)) + "-wal";
    if (std::filesystem::exists(log) && std::filesystem::file_size(log) > 100) {
        std::fstream file(log, std::ios::in | std::ios::out | std::ios::binary);
        file.seekp(60);
        file.put('x');
    }
    store.reset();
    options.folder = torn;
    open();
    EXPECT_EQ(readings(), all);
    store.reset();
    std::filesystem::remove_all(whole);
}

TEST_F(Maintenance, ADamagedRollupHidesOnlyItselfAndIsMadeAgain) {
    constexpr int64_t day = 24 * hour_ms;
    const auto spoil = [&](const std::string& where) {
        auto file = Database::open(history_path(options.folder, history_months(options.folder).at(0)));
        ASSERT_TRUE(file);
        ASSERT_TRUE(file->execute("UPDATE rollup SET bytes = zeroblob(length(bytes)) WHERE " + where));
        ASSERT_EQ(file->changes(), 1);
    };
    const auto count = [&] {
        ReadingQuery query{{id_of("g1/bed1/temperature")}, WallTime{noon_ms - day}, WallTime{noon_ms + 2 * day}};
        auto found = (*store->reader())->buckets(query, hours(1));
        EXPECT_TRUE(found);
        uint64_t sum = 0;
        for (const Bucket& bucket : *found) sum += bucket.count;
        return sum;
    };
    commit({g1.beds({20, 21, 22})});
    g1.mono_ms += day;
    commit({g1.beds({30, 31})});
    g1.mono_ms -= day;
    maintain(noon_ms + 60 * hour_ms);
    maintain(noon_ms + 62 * hour_ms);  // a sweep merges what earlier ones moved
    ASSERT_EQ(count(), 5U);
    spoil("day = (SELECT min(day) FROM rollup)");
    EXPECT_EQ(count(), 2U);
    EXPECT_EQ(readings().size(), 10U);
    const auto late = [&](int64_t hour) {
        IncomingBatch batch = g1.beds({40});
        batch.received = WallTime{noon_ms + hour * hour_ms};
        commit({batch});
        for (const int64_t after : {3, 5, 7}) maintain(noon_ms + (hour + after) * hour_ms);
    };
    late(63);
    EXPECT_EQ(count(), 6U) << "the day was merged again";
    store->merged_readings_max = 4;  // from now on it keeps its parts
    spoil("day = (SELECT min(day) FROM rollup)");
    late(73);
    EXPECT_EQ(count(), 7U);
    EXPECT_FALSE(has_damaged_file("history-2026-09.db"));
}

TEST_F(Maintenance, AQueryOfTooManyHotReadingsIsRefusedWithAHint) {
    commit({g1.beds({20, 21, 22})});
    auto hot = HotReader::prepare(store->fleet_database());
    ASSERT_TRUE(hot);
    const Deadline deadline(hours(1));
    auto wanted = hot->wanted({id_of("g1/bed1/temperature")});
    ASSERT_TRUE(wanted);
    ASSERT_TRUE(hot->select(*wanted, 0, 2 * noon_ms, deadline));
    const auto none = [](const HotRef&) -> Result<bool> { return false; };
    PointColumns columns;
    hot->values_max = 3;
    EXPECT_TRUE(hot->read(0, 2 * noon_ms, none, columns, deadline));
    hot->values_max = 2;
    auto refused = hot->read(0, 2 * noon_ms, none, columns, deadline);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::Invalid);
    EXPECT_FALSE(refused.error().hint.empty());
}

TEST_F(Maintenance, ANodesDeadLettersDoNotPushOutAnothers) {
    options.dead_letters_max = 1200;
    open();
    commit({g1.wrap("rubbish of g1")});
    Gateway loud = g1;
    loud.node = "g2";
    std::vector<IncomingBatch> rubbish;
    for (int i = 0; i < 1500; ++i) rubbish.push_back(loud.wrap("rubbish " + std::to_string(i)));
    commit(rubbish);
    EXPECT_EQ(stats().dead_letters, 1001);
    auto letters = (*store->reader())->dead_letters(5000, 0);
    ASSERT_TRUE(letters);
    ASSERT_EQ(letters->size(), 1001U);
    EXPECT_EQ(letters->back().node, "g1");
}

}  // namespace
}  // namespace basmalin::coordinator
