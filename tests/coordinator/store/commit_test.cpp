#include <cmath>
#include <fstream>
#include <limits>

#include "tests/coordinator/store/store_fixture.h"

namespace basmalin::coordinator {
namespace {

class StoreCommits : public StoreTest {
  protected:
    // So many batches of an unknown layout are there when its definition comes, in a batch of one row more. Returns what is to be read.
    Lines wait_for_a_definition(int batches) {
        g1.define = false;
        Lines all;
        std::vector<IncomingBatch> waiting;
        for (int i = 0; i < batches; ++i) {
            const Rows rows = g1.bed_rows({20.0 + i});
            all = all + g1.expected(rows, g1.offset_ms);
            waiting.push_back(g1.seal({rows}));
        }
        commit(waiting);
        g1.define = true;
        last_row = g1.bed_rows({1.5});
        commit({g1.seal({last_row})});
        return all + g1.expected(last_row, g1.offset_ms);
    }
    Rows last_row;
    std::map<std::string, uint64_t> marks_;  // by node, of the streams that a story makes
};

TEST_F(StoreCommits, WhatIsCommittedIsReadBack) {
    const Rows rows = g1.bed_rows({21.4, 21.5, 0.1 + 0.2, -0.0, 1e300});
    const CommitResult done = commit({g1.seal({rows})});
    EXPECT_EQ(done.outcomes, std::vector<Outcome>{Outcome::Stored});
    EXPECT_EQ(done.new_series.size(), 4U);
    EXPECT_EQ(done.readings_stored, 10U);
    ASSERT_EQ(done.acks.size(), 1U);
    EXPECT_EQ(done.acks[0].ack, (Ack{store->epoch(), g1.stream, 1, {}, false}));
    EXPECT_EQ(readings(), g1.expected(rows, g1.offset_ms));
    open();
    EXPECT_EQ(readings(), g1.expected(rows, g1.offset_ms));
}

TEST_F(StoreCommits, BooleansAndTextsKeepTheirKinds) {
    const Rows rows{2, {g1.mono_ms - 500, g1.mono_ms}, {Booleans{0, 1}, Texts{"idle", "čeka na vodu"}}};
    commit({g1.seal({rows})});
    EXPECT_EQ(readings(), g1.expected(rows, g1.offset_ms));
}

// R2
TEST_F(StoreCommits, ABatchThatComesTwiceChangesNothing) {
    const Rows rows = g1.bed_rows({21.4});
    const IncomingBatch batch = g1.seal({rows});
    EXPECT_EQ(outcome(batch), Outcome::Stored);
    const CommitResult again = commit({batch, batch});
    EXPECT_EQ(again.outcomes, (std::vector<Outcome>{Outcome::Duplicate, Outcome::Duplicate}));
    EXPECT_EQ(again.acks.size(), 1U) << "a duplicate is acked again: the first ack may be lost";
    open();
    EXPECT_EQ(outcome(batch), Outcome::Duplicate);
    EXPECT_EQ(readings(), g1.expected(rows, g1.offset_ms));
}

TEST_F(StoreCommits, HolesShowAsRangesUntilTheyAreFilled) {
    std::vector<IncomingBatch> batches;
    for (int i = 0; i < 5; ++i) batches.push_back(g1.beds({20.0 + i}));
    const CommitResult done = commit({batches[0], batches[2], batches[4]});
    EXPECT_EQ(done.acks[0].ack.mark, 1U);
    EXPECT_EQ(done.acks[0].ack.ranges, (std::vector<SeqRange>{{3, 3}, {5, 5}}));
    open();
    const auto marks = store->marks("g1", {g1.stream, 99});
    ASSERT_EQ(marks.size(), 1U);
    EXPECT_EQ(marks[0].ranges.size(), 2U);
    EXPECT_EQ(commit({batches[3], batches[1]}).acks[0].ack.mark, 5U);
}

// R6
TEST_F(StoreCommits, AnotherNodesBatchOfAStreamIsDeadAndNotAcked) {
    const Rows rows = g1.bed_rows({21.4});
    commit({g1.seal({rows})});
    Gateway thief = g1;
    thief.node = "g2";
    const CommitResult done = commit({thief.beds({99.0})});
    EXPECT_EQ(done.outcomes[0], Outcome::Dead);
    EXPECT_TRUE(done.acks.empty()) << "an ack to the wrong node would release the owner's data";
    EXPECT_FALSE(done.events.empty());
    EXPECT_EQ(readings(), g1.expected(rows, g1.offset_ms));
    EXPECT_TRUE(store->marks("g2", {g1.stream}).empty());
}

// R4
TEST_F(StoreCommits, ABatchOfUnknownLayoutAppearsOnceItsDefinitionComes) {
    g1.define = false;
    const Rows early = g1.bed_rows({20.5, 20.6});
    const CommitResult done = commit({g1.seal({early})});
    EXPECT_EQ(done.outcomes[0], Outcome::Stored);
    EXPECT_TRUE(done.acks[0].ack.definitions_wanted);
    EXPECT_EQ(done.acks[0].ack.mark, 1U);
    EXPECT_TRUE(readings().empty());
    open();
    g1.define = true;
    const Rows late = g1.bed_rows({20.7});
    const CommitResult defined = commit({g1.seal({late})});
    EXPECT_FALSE(defined.acks[0].ack.definitions_wanted);
    EXPECT_EQ(readings(), g1.expected(early, g1.offset_ms) + g1.expected(late, g1.offset_ms));
    ASSERT_EQ(defined.latest.size(), 2U);
    EXPECT_EQ(defined.latest[0].readings, 3U);
}

TEST_F(StoreCommits, ManyBatchesThatWaitedAreResolvedByMaintenance) {
    const Lines all = wait_for_a_definition(600);
    maintain(g1.mono_ms + g1.offset_ms);
    EXPECT_EQ(readings(), all);
}

TEST_F(StoreCommits, WhatAKillLeftUnresolvedIsResolvedAfterTheNextStart) {
    const Lines all = wait_for_a_definition(600);
    EXPECT_LT(readings().size(), all.size() - g1.expected(last_row, g1.offset_ms).size()) << "the rest is maintenance's";
    open();
    maintain(g1.mono_ms + g1.offset_ms);
    EXPECT_EQ(readings(), all);
}

TEST_F(StoreCommits, DefinitionsThatNeverComeEndAsDeadLetters) {
    g1.define = false;
    commit({g1.beds({20.5})});
    maintain(g1.mono_ms + g1.offset_ms + hours(24 * 8).ms);
    EXPECT_EQ(stats().hot_batches, 0);
    EXPECT_EQ(stats().dead_letters, 1);
}

// R3
TEST_F(StoreCommits, PoisonBecomesADeadLetterIsMarkedAndBlocksNothing) {
    BatchHeader header = g1.header(++g1.seq, 1);
    const IncomingBatch poison = g1.wrap(seal_batch(g1.stream, header, "\x7fnot a body"));
    const Rows rows = g1.bed_rows({21.4});
    const CommitResult done = commit({poison, g1.seal({rows})});
    EXPECT_EQ(done.outcomes, (std::vector<Outcome>{Outcome::Dead, Outcome::Stored}));
    EXPECT_EQ(done.acks[0].ack.mark, 2U);
    EXPECT_EQ(readings(), g1.expected(rows, g1.offset_ms));
    EXPECT_EQ(outcome(poison), Outcome::Duplicate);
    auto letters = (*store->reader())->dead_letters(10, 0);
    ASSERT_TRUE(letters);
    ASSERT_EQ(letters->size(), 1U);
    EXPECT_EQ(letters->at(0).node, "g1");
    EXPECT_EQ(letters->at(0).bytes, poison.bytes.size());
}

TEST_F(StoreCommits, BytesThatAreNoBatchAreOneDeadLetterHoweverOftenTheyCome) {
    IncomingBatch garbage = g1.wrap("garbage that no gateway sealed");
    EXPECT_EQ(outcome(garbage), Outcome::Dead);
    EXPECT_EQ(outcome(garbage), Outcome::Dead);
    garbage.bytes.assign(batch_bytes_max + 1, 'x');
    EXPECT_EQ(outcome(garbage), Outcome::Dead);
    garbage.bytes.clear();
    EXPECT_EQ(outcome(garbage), Outcome::Dead);
    EXPECT_EQ(stats().dead_letters, 3);
}

TEST_F(StoreCommits, DeadLettersAreBounded) {
    options.dead_letters_max = 5;
    open();
    for (int i = 0; i < 20; ++i) outcome(g1.wrap("garbage " + std::to_string(i)));
    EXPECT_EQ(stats().dead_letters, 5);
    EXPECT_EQ((*store->reader())->dead_letters(100, 0)->size(), 5U);
}

TEST_F(StoreCommits, HostileHeadersAreDead) {
    const auto with = [&](auto change) {
        BatchHeader header = g1.header(++g1.seq, 0);
        change(header);
        return outcome(g1.wrap(seal_batch(g1.stream, header, *encode_body({}, nullptr)), noon_ms));
    };
    EXPECT_EQ(with([](BatchHeader& h) { h.seq = 0; }), Outcome::Dead);
    EXPECT_EQ(with([](BatchHeader& h) { h.seq = UINT64_MAX; }), Outcome::Dead);
    g1.seq = 0;
    EXPECT_EQ(with([](BatchHeader& h) { h.boot_no = 0; }), Outcome::Dead);
    EXPECT_EQ(with([](BatchHeader& h) { h.sealed_mono.ms = INT64_MAX; }), Outcome::Dead);
    EXPECT_EQ(with([](BatchHeader&) {}), Outcome::Stored);
    EXPECT_EQ(store->marks("g1", {g1.stream}).at(0).mark, 3U) << "what has a number is acked, dead or not";
}

// R9
TEST_F(StoreCommits, AnEventIsKeptForAPersonAndGarbageIsADeadLetter) {
    const auto event = [&](const std::string& node, const std::string& json, BatchKind kind = BatchKind::Events) {
        Gateway gateway = g1;
        gateway.node = node;
        gateway.stream = g1.stream + node.back();
        gateway.seq = marks_[node];
        BatchHeader header = gateway.header(++marks_[node], 0);
        header.kind = kind;
        const CommitResult done = commit({gateway.wrap(seal_batch(gateway.stream, header, json))});
        EXPECT_EQ(done.acks.at(0).ack.mark, marks_[node]) << "whatever it is, it is acked";
        return done.outcomes.at(0);
    };
    EXPECT_EQ(event("g1", R"({"time":"2026-11-22T17:00:00.000Z","text":"pump \"ö\" is back"})"), Outcome::Stored);
    EXPECT_EQ(event("g2", R"({"time":"t","text":")" + std::string(1023, 'x') + R"(é"})"), Outcome::Stored);
    for (const char* garbage : {"", "not json", "[]", "3", "{}", R"({"text":"no time"})", R"({"time":"t"})", R"({"time":"t","text":3})"}) {
        EXPECT_EQ(event("g1", garbage), Outcome::Dead) << garbage;
    }
    EXPECT_EQ(event("g1", R"({"time":"t","text":"a line of a log"})", BatchKind::Logs), Outcome::Dead);
    open();
    auto all = (*store->reader())->events("", 20, 0).value();
    const auto found_wrong = std::erase_if(all, [](const auto& one) { return one.text.contains("became a dead letter"); });
    EXPECT_EQ(found_wrong, 9U) << "what the store says of a node is an event of it too";
    ASSERT_EQ(all.size(), 2U);
    EXPECT_EQ(all[0].node, "g2");
    EXPECT_EQ(all[0].text, std::string(1023, 'x')) << "cut before the character, not in it";
    EXPECT_EQ(all[1].time, "2026-11-22T17:00:00.000Z");
    EXPECT_EQ((*store->reader())->events("g1", 20, 0).value().back().text, "pump \"ö\" is back");
    EXPECT_TRUE((*store->reader())->events("g3", 10, 0).value().empty());
}

// R9
TEST_F(StoreCommits, ANodeThatTalksMuchPushesOutItsOwnEventsOnly) {
    const auto told = [&](Gateway& gateway, int count) {
        std::vector<IncomingBatch> batches;
        for (int i = 0; i < count; ++i) {
            BatchHeader header = gateway.header(++gateway.seq, 0);
            header.kind = BatchKind::Events;
            const std::string json = R"({"time":"t","text":")" + std::to_string(gateway.seq) + "\"}";
            batches.push_back(gateway.wrap(seal_batch(gateway.stream, header, json)));
        }
        commit(batches);
    };
    Gateway other = g1;
    other.node = "g2";
    other.stream = 77;
    told(other, 1);
    told(g1, 1500);
    told(g1, 3);
    const auto of_g1 = (*store->reader())->events("g1", 10'000, 0).value();
    ASSERT_EQ(of_g1.size(), 1000U);
    EXPECT_EQ(of_g1.front().text, "1503");
    EXPECT_EQ((*store->reader())->events("g2", 10, 0).value().size(), 1U);
}

TEST_F(StoreCommits, ANodeThatSendsRubbishGetsAFewEventsACommit) {
    std::vector<IncomingBatch> batches;
    for (int i = 0; i < 50; ++i) batches.push_back(g1.wrap("rubbish " + std::to_string(i)));
    commit(batches);
    EXPECT_EQ((*store->reader())->events("g1", 100, 0).value().size(), 4U);
}

// Whatever commit() cannot take must not come again for ever.
TEST_F(StoreCommits, ABatchThatIsGivenUpIsADeadLetterAndMarked) {
    const IncomingBatch batch = g1.beds({21.4});
    const auto done = store->give_up(batch, "the store cannot take it");
    ASSERT_TRUE(done) << done.error().message();
    EXPECT_EQ(done->outcomes, std::vector<Outcome>{Outcome::Dead});
    EXPECT_EQ(done->acks.at(0).ack.mark, 1U);
    EXPECT_EQ(stats().dead_letters, 1);
    EXPECT_EQ(outcome(batch), Outcome::Duplicate);
    EXPECT_TRUE(readings().empty());
}

TEST_F(StoreCommits, ReadingsFromBeforeTheBootOrAfterTheSealingAreDead) {
    Rows rows = g1.bed_rows({21.4});
    rows.times_ms[0] = -1;
    EXPECT_EQ(outcome(g1.seal({rows})), Outcome::Dead);
    rows.times_ms[0] = INT64_MAX / 4;
    EXPECT_EQ(outcome(g1.seal({rows})), Outcome::Dead);
    EXPECT_TRUE(readings().empty());
}

TEST_F(StoreCommits, ALayoutIsNeverRedefined) {
    commit({g1.beds({21.4})});
    Body body;
    body.definitions = {{1, "bed1", {{"humidity", "%", ValueKind::Number, 1}}}};
    body.groups = {{1, {g1.mono_ms}, {Numbers{55}}}};
    const auto bytes = encode_body(body, nullptr);
    EXPECT_EQ(outcome(g1.wrap(seal_batch(g1.stream, g1.header(++g1.seq, 1), *bytes))), Outcome::Dead);
}

// R7
TEST_F(StoreCommits, SeriesBeyondTheBudgetAreNotKeptAndAnEventSaysSo) {
    options.series_per_node_max = 3;
    open();
    const Rows beds = g1.bed_rows({21.4});
    const Rows pump{2, {g1.mono_ms}, {Booleans{1}, Texts{"on"}}};
    const CommitResult done = commit({g1.seal({beds, pump})});
    EXPECT_EQ(done.outcomes[0], Outcome::Stored);
    EXPECT_EQ(done.new_series.size(), 3U);
    EXPECT_EQ(done.events.size(), 1U);
    Lines kept = g1.expected(beds, g1.offset_ms);
    kept.insert("g1/pump/open@" + std::to_string(pump.times_ms[0] + g1.offset_ms) + "=true");
    EXPECT_EQ(readings(), kept);
    maintain(noon_ms + hours(3).ms);
    EXPECT_EQ(readings(), kept);
    options.series_per_node_max = 10;  // a raised budget is used with the next definition
    open();
    EXPECT_EQ(commit({g1.seal({Rows{2, {g1.mono_ms}, {Booleans{1}, Texts{"on"}}}})}).new_series.size(), 1U);
}

// The second layout names series of the first among new ones, in another order.
TEST_F(StoreCommits, EachColumnOfALongLayoutIsASeriesOfItsOwn) {
    const auto send = [&](uint32_t id, const std::vector<int>& quantities) {
        Layout layout{id, "station", {}};
        Rows rows{id, {g1.mono_ms}, {}};
        for (const int q : quantities) {
            layout.columns.push_back({"q" + std::to_string(q), "Cel", ValueKind::Number, 0});
            rows.columns.emplace_back(Numbers{static_cast<double>(q)});
        }
        const auto bytes = encode_body({{layout}, {rows}}, nullptr);
        EXPECT_TRUE(bytes);
        const auto readings = static_cast<uint32_t>(quantities.size());
        return commit({g1.wrap(seal_batch(g1.stream, g1.header(++g1.seq, readings), *bytes))}).new_series;
    };
    std::vector<int> first, second;
    for (int q = 0; q < 40; ++q) first.push_back(q);
    for (int q = 59; q >= 0; q -= 3) second.push_back(q);
    std::vector<SeriesInfo> made = send(1, first);
    EXPECT_EQ(made.size(), 40U);
    for (const SeriesInfo& info : send(2, second)) made.push_back(info);
    EXPECT_EQ(made.size(), 47U);
    open();
    EXPECT_EQ(store->series().value(), made);
    Lines expected;
    for (const auto& list : {first, second})
        for (const int q : list) expected.insert(line("g1/station/q" + std::to_string(q), g1.mono_ms + g1.offset_ms, double(q), false));
    EXPECT_EQ(readings(), expected);
}

// R8
TEST_F(StoreCommits, TooManyHolesAreRefusedNotLost) {
    options.ranges_per_stream_max = 16;
    open();
    std::vector<IncomingBatch> all;
    for (int i = 0; i < 100; ++i) all.push_back(g1.beds({20.0 + i}));
    int refused = 0;
    for (size_t i = 1; i < all.size(); i += 2) refused += outcome(all[i]) == Outcome::Refused ? 1 : 0;
    EXPECT_EQ(refused, 50 - 16);
    for (const IncomingBatch& batch : all) EXPECT_NE(outcome(batch), Outcome::Refused);
    EXPECT_EQ(store->marks("g1", {g1.stream})[0].mark, 100U);
    EXPECT_EQ(readings().size(), 200U);
}

TEST_F(StoreCommits, GapsAreKeptAndMoveTheMark) {
    commit({g1.beds({21.4})});
    Gap gap{g1.stream, 2, 5, 1234, true, WallTime{noon_ms}, WallTime{noon_ms + 1000}, GapReason::Evicted};
    g1.seq = 5;
    BatchHeader header = g1.header(++g1.seq, 0);
    header.kind = BatchKind::Gaps;
    const IncomingBatch batch = g1.wrap(seal_batch(g1.stream, header, encode_gaps({gap})));
    const CommitResult done = commit({batch});
    EXPECT_EQ(done.outcomes[0], Outcome::Stored);
    ASSERT_EQ(done.gaps.size(), 1U);
    EXPECT_EQ(done.gaps[0].gap, gap);
    EXPECT_EQ(done.acks[0].ack.mark, 6U);
    EXPECT_EQ(outcome(batch), Outcome::Duplicate);
    auto kept = (*store->reader())->gaps("g1", 10, 0);
    ASSERT_TRUE(kept);
    ASSERT_EQ(kept->size(), 1U);
    EXPECT_EQ(kept->at(0).gap, gap);
}

TEST_F(StoreCommits, AGapMayNotClaimWhatIsStillToCome) {
    BatchHeader header = g1.header(++g1.seq, 0);
    header.kind = BatchKind::Gaps;
    const Gap gap{g1.stream, 1, 1'000'000, 0, false, {}, {}, GapReason::Evicted};
    EXPECT_EQ(outcome(g1.wrap(seal_batch(g1.stream, header, encode_gaps({gap})))), Outcome::Dead);
    EXPECT_EQ(outcome(g1.beds({21.4})), Outcome::Stored);
}

TEST_F(StoreCommits, LatestIsTheNewestOfEachSeriesBeforeAndAfterCompaction) {
    const Rows first = g1.bed_rows({21.4, 21.5});
    const Rows second = g1.bed_rows({21.6});
    const IncomingBatch one = g1.seal({first});
    const IncomingBatch two = g1.seal({second});
    const CommitResult done = commit({two, one});  // out of order
    ASSERT_EQ(done.latest.size(), 2U);
    EXPECT_EQ(done.latest[0].readings, 3U);
    for (const bool compacted : {false, true}) {
        if (compacted) maintain(noon_ms + hours(3).ms);
        EXPECT_EQ(stats().hot_batches, compacted ? 0 : 2);
        open();
        const auto latest = store->latest();
        ASSERT_TRUE(latest);
        ASSERT_EQ(latest->size(), 2U);
        EXPECT_EQ(latest->at(0).value, Value(21.6));
        EXPECT_EQ(latest->at(0).time.ms, second.times_ms[0] + g1.offset_ms);
    }
}

TEST_F(StoreCommits, AFullDiskStoresNothingAndTheNextCommitWorks) {
    commit({g1.beds({21.4})});
    const Lines before = readings();
    std::vector<IncomingBatch> many;
    std::mt19937_64 random(1);
    for (int i = 0; i < 200; ++i) {
        std::vector<double> noise(100);
        for (double& v : noise) v = static_cast<double>(random()) / 7;
        many.push_back(g1.beds(noise));
    }
    const auto pages = store->fleet_database().integer("PRAGMA page_count");
    ASSERT_TRUE(store->fleet_database().execute("PRAGMA max_page_count=" + std::to_string(*pages + 4)));
    const auto full = store->commit(many);
    ASSERT_FALSE(full);
    EXPECT_EQ(full.error().code, Code::Full);
    EXPECT_EQ(readings(), before);
    EXPECT_EQ(store->marks("g1", {g1.stream})[0].mark, 1U);
    ASSERT_TRUE(store->fleet_database().execute("PRAGMA max_page_count=1000000"));
    EXPECT_EQ(commit(many).acks[0].ack.mark, 201U);
    EXPECT_EQ(readings().size(), before.size() + 200 * 100 * 2);
}

TEST_F(StoreCommits, NodesComeBackAfterARestart) {
    ASSERT_TRUE(store->save_nodes({{"g1", "{}"}, {"g2", "{\"a\":1}"}}));
    ASSERT_TRUE(store->save_nodes({{"g1", "{\"b\":2}"}}));
    open();
    const auto nodes = store->load_nodes();
    ASSERT_TRUE(nodes);
    ASSERT_EQ(nodes->size(), 2U);
    EXPECT_EQ(nodes->at(0).document, "{\"b\":2}");
    EXPECT_TRUE(store->probe());
}

TEST_F(StoreCommits, TheEpochStaysWithTheStore) {
    const uint64_t epoch = store->epoch();
    EXPECT_NE(epoch, 0U);
    open();
    EXPECT_EQ(store->epoch(), epoch);
}

TEST_F(StoreCommits, ADamagedFleetDatabaseSaysWhatToDo) {
    commit({g1.beds({21.4})});
    store.reset();
    std::ofstream(options.folder + "/fleet.db", std::ios::trunc) << std::string(8192, 'x');
    std::filesystem::remove(options.folder + "/fleet.db-wal");
    const auto opened = SqliteStore::open(options);
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, Code::Corrupt);
    EXPECT_NE(opened.error().hint.find("backup"), std::string::npos);
}

TEST_F(StoreCommits, AFleetDatabaseMadeAnewGivesNoSeriesOfHistoryToAnother) {
    commit({g1.beds({21.4})});
    maintain(noon_ms + hours(3).ms);
    std::map<SeriesId, std::string> before = names();
    std::erase_if(before, [](const auto& entry) { return entry.second.find("bed1") == std::string::npos; });  // the pump has said nothing
    const Lines kept = readings();
    store.reset();
    for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(options.folder + "/fleet.db" + suffix);
    open();
    Gateway other;
    other.node = "g9";
    other.stream = 77;
    commit({other.beds({1.0})});
    for (const auto& [id, name] : names()) EXPECT_TRUE(!before.contains(id) || before.at(id) == name);
    for (const std::string& reading : kept) EXPECT_TRUE(readings().contains(reading)) << reading;
}

}  // namespace
}  // namespace basmalin::coordinator
