// What a node can use up, and what of a stream can be damaged: neither harms anybody else.
#include "tests/coordinator/store/store_fixture.h"

namespace basmalin::coordinator {
namespace {

constexpr int64_t hour_ms = 3'600'000;

class StoreBounds : public StoreTest {
  protected:
    // A batch of definitions alone: `count` layouts from `first` on, each of `columns` columns with names of `bytes`.
    IncomingBatch definitions(Gateway& gateway, uint32_t first, uint32_t count, size_t columns, size_t bytes) {
        Body body;
        for (uint32_t id = first; id < first + count; ++id) {
            Layout layout{id, "d", {}};
            for (size_t c = 0; c < columns; ++c) {
                std::string name = std::to_string(c);
                name.resize(bytes, 'x');
                layout.columns.push_back({name, "", ValueKind::Number, 0});
            }
            body.definitions.push_back(std::move(layout));
        }
        const auto encoded = encode_body(body, nullptr);
        EXPECT_TRUE(encoded) << (encoded ? "" : encoded.error().text);
        return gateway.wrap(seal_batch(gateway.stream, gateway.header(++gateway.seq, 0), *encoded));
    }
    int64_t number(const std::string& sql) { return store->fleet_database().integer(sql).value(); }
    void damage(const std::string& sql) {
        ASSERT_TRUE(store->fleet_database().execute(sql));
        open();
    }
    // g1 uses all of its streams; each has a hole when `holed`. The first one is heard of first.
    void use_all_streams(bool holed) {
        for (int64_t i = 0; i < streams_per_node_max; ++i) {
            g1.stream = first_stream + static_cast<uint64_t>(i);
            g1.seq = holed ? 2 : 0;
            commit({g1.beds({20})});
        }
        g1.stream = first_stream + static_cast<uint64_t>(streams_per_node_max);
        g1.seq = 0;
    }
    static constexpr uint64_t first_stream = 1000;
};

// R7
TEST_F(StoreBounds, LayoutsAreBoundedForANodeInAllItsStreamsAndOthersAreUnharmed) {
    const Rows rows = g1.bed_rows({21.4});
    const IncomingBatch held = g1.seal({rows});  // a stream that is not at rest
    commit({held});
    int dead = 0;
    std::vector<std::string> events;
    for (uint32_t i = 0; i < 16; ++i) {
        Gateway hostile = g1;
        hostile.node = "evil";
        hostile.stream = 500 + i % 4;
        hostile.seq = 100 + i;
        // The first of each stream is hot: none of them is at rest.
        if (i < 4) commit({hostile.seal({hostile.bed_rows({1})}, i + 1)});
        const CommitResult done = commit({definitions(hostile, 10 + i * 2000, 2000, 1, 8)});
        dead += done.outcomes.at(0) == Outcome::Dead ? 1 : 0;
        EXPECT_EQ(done.acks.size(), 1U) << "acked: it must not come for ever";
        events.insert(events.end(), done.events.begin(), done.events.end());
    }
    EXPECT_EQ(dead, 16 - 9);
    const std::string of_evil = " FROM layout JOIN stream ON stream.id = layout.stream WHERE node = 'evil'";
    EXPECT_EQ(number("SELECT count(*)" + of_evil), layouts_per_node_max);
    EXPECT_EQ(number("SELECT count(*) FROM layout JOIN stream ON stream.id = layout.stream WHERE node = 'g1'"), 2);
    ASSERT_FALSE(events.empty());
    EXPECT_NE(events.back().find("node evil: "), std::string::npos);
    EXPECT_NE(events.back().find("layouts"), std::string::npos);
    EXPECT_EQ(outcome(g1.beds({21.5})), Outcome::Stored);
    open();  // counted anew
    Gateway hostile = g1;
    hostile.node = "evil";
    hostile.stream = 500;
    hostile.seq = 1000;
    EXPECT_EQ(outcome(definitions(hostile, 90'000, 1, 1, 8)), Outcome::Dead);
    EXPECT_EQ(outcome(hostile.seal({hostile.bed_rows({2})})), Outcome::Stored) << "what it defined before stays in use";
}

// R7
TEST_F(StoreBounds, TheBytesOfLayoutsAreBoundedToo) {
    uint32_t id = 10;
    while (id < 10'000 && outcome(definitions(g1, id, 40, 64, 100)) == Outcome::Stored) id += 40;
    EXPECT_LT(id, 10'000U);
    const int64_t bytes = number("SELECT sum(length(name) + length(columns) + length(series)) FROM layout");
    EXPECT_LE(bytes, layout_bytes_per_node_max);
    EXPECT_GT(bytes, layout_bytes_per_node_max / 2);
}

// S5
TEST_F(StoreBounds, StreamsAtRestMakeRoomForLayouts) {
    for (uint32_t i = 0; i < 12; ++i) {
        g1.stream = first_stream + i;
        g1.seq = 0;
        EXPECT_EQ(outcome(definitions(g1, 1, 2000, 1, 8)), Outcome::Stored) << "stream " << i;
    }
    EXPECT_LE(number("SELECT count(*) FROM layout"), layouts_per_node_max);
    EXPECT_TRUE(store->marks("g1", {first_stream}).empty());
    EXPECT_EQ(store->marks("g1", {g1.stream}).size(), 1U);
}

// S5
TEST_F(StoreBounds, ANodeThatUsedAllItsStreamsForgetsTheOldestAtRest) {
    use_all_streams(false);
    const IncomingBatch more = g1.beds({21});
    EXPECT_EQ(outcome(more), Outcome::Refused) << "none is at rest: all have hot batches";
    maintain(noon_ms + 3 * hour_ms);
    EXPECT_EQ(outcome(more), Outcome::Stored);
    EXPECT_TRUE(store->marks("g1", {first_stream}).empty());
    EXPECT_EQ(store->marks("g1", {first_stream + 1, g1.stream}).size(), 2U);
    EXPECT_TRUE((*store->reader())->gaps("g1", 10, 0).value().empty());
}

// S5
TEST_F(StoreBounds, WhatComesOfAForgottenStreamIsStoredOnce) {
    g1.stream = first_stream;
    const IncomingBatch oldest = g1.beds({20});
    use_all_streams(false);
    commit({oldest});
    maintain(noon_ms + 3 * hour_ms);
    outcome(g1.beds({21}));
    const Lines all = readings();
    EXPECT_EQ(outcome(oldest), Outcome::Stored) << "another makes room";
    EXPECT_EQ(readings(), all) << "history knows what it has of the forgotten stream";
}

// S5
TEST_F(StoreBounds, StreamsWithHolesLockNobodyOutAndTheirHolesBecomeGaps) {
    use_all_streams(true);
    maintain(noon_ms + 3 * hour_ms);
    const CommitResult done = commit({g1.beds({21})});
    EXPECT_EQ(done.outcomes.at(0), Outcome::Stored);
    EXPECT_TRUE(store->marks("g1", {first_stream}).empty());
    const auto gaps = (*store->reader())->gaps("g1", 10, 0).value();
    ASSERT_EQ(gaps.size(), 1U);
    EXPECT_EQ(gaps[0].gap.stream, first_stream);
    EXPECT_EQ(gaps[0].gap.first_seq, 1U);
    EXPECT_EQ(gaps[0].gap.last_seq, 2U);
    EXPECT_FALSE(gaps[0].gap.exact);
    EXPECT_EQ(done.gaps.size(), 1U) << "counted like any other gap";
    ASSERT_FALSE(done.events.empty());
    EXPECT_NE(done.events[0].find("forgotten"), std::string::npos);
    Gateway late = g1;
    late.stream = first_stream;
    late.seq = 0;
    const size_t before = readings().size();
    EXPECT_EQ(outcome(late.beds({99})), Outcome::Stored) << "what was given up for lost may still come";
    EXPECT_EQ(readings().size(), before + 2);
}

// S6
TEST_F(StoreBounds, AStreamWithDamagedRangesTakesNothingTwiceAndHarmsNobody) {
    const Rows one = g1.bed_rows({20});
    const IncomingBatch first = g1.seal({one});
    g1.seq = 4;
    const Rows two = g1.bed_rows({21});
    const IncomingBatch fifth = g1.seal({two});
    Gateway other = g1;
    other.node = "g2";
    other.stream = 77;
    other.seq = 0;
    const Rows theirs = other.bed_rows({30});
    commit({first, fifth, other.seal({theirs})});
    const Lines all = g1.expected(one, g1.offset_ms) + g1.expected(two, g1.offset_ms) + other.expected(theirs, other.offset_ms);
    damage("UPDATE stream SET ranges = x'ff' WHERE node = 'g1'");
    EXPECT_EQ(readings(), all);
    EXPECT_EQ(store->latest().value().size(), 4U);
    const CommitResult again = commit({fifth, other.beds({31})});
    EXPECT_EQ(again.outcomes, (std::vector<Outcome>{Outcome::Duplicate, Outcome::Stored}));
    ASSERT_EQ(again.events.size(), 1U) << "said once";
    EXPECT_NE(again.events[0].find(to_hex(g1.stream)), std::string::npos);
    maintain(noon_ms + 3 * hour_ms);
    EXPECT_EQ(stats().hot_batches, 0);
    EXPECT_EQ(outcome(g1.seal({g1.bed_rows({22})}, 2)), Outcome::Stored);
}

// S6
TEST_F(StoreBounds, ADamagedLayoutIsAskedForAgainAndItsReadingsComeBack) {
    const Rows early = g1.bed_rows({20, 21});
    commit({g1.seal({early})});
    Gateway other = g1;
    other.node = "g2";
    other.stream = 77;
    other.seq = 0;
    const Rows theirs = other.bed_rows({30});
    commit({other.seal({theirs})});
    damage("UPDATE layout SET columns = x'ffffff' WHERE stream = " + std::to_string(g1.stream));
    EXPECT_EQ(readings(), other.expected(theirs, other.offset_ms));
    EXPECT_EQ(store->latest().value().size(), 2U);
    maintain(noon_ms + 3 * hour_ms);
    EXPECT_EQ(stats().hot_batches, 1) << "it waits for its layout";
    EXPECT_EQ(stats().dead_letters, 0);
    open();
    g1.define = false;
    g1.mono_ms += 3 * hour_ms;
    EXPECT_TRUE(commit({g1.seal({g1.bed_rows({22})})}).acks.at(0).ack.definitions_wanted);
    g1.define = true;
    commit({g1.seal({g1.bed_rows({23})})});
    const Lines now = readings();
    for (const std::string& line : g1.expected(early, g1.offset_ms)) EXPECT_TRUE(now.contains(line)) << line;
}

// S6
TEST_F(StoreBounds, AStreamWhoseRowIsGoneKeepsNobodyFromReadingOrCompacting) {
    commit({g1.beds({20})});
    Gateway other = g1;
    other.node = "g2";
    other.stream = 77;
    other.seq = 0;
    const Rows theirs = other.bed_rows({30});
    commit({other.seal({theirs})});
    g1.define = false;
    g1.stream = 78;
    commit({g1.beds({40})});
    damage("DELETE FROM stream WHERE node = 'g1'");
    EXPECT_EQ(readings(), other.expected(theirs, other.offset_ms));
    EXPECT_EQ(store->latest().value().size(), 2U);
    maintain(noon_ms + 3 * hour_ms);
    EXPECT_EQ(stats().hot_batches, 2) << "the other's moved, these stay";
    bool said = false;
    for (const std::string& event : commit({other.beds({31})}).events) said = said || event.find("is damaged") != std::string::npos;
    EXPECT_TRUE(said);
    maintain(noon_ms + 8 * 24 * hour_ms);
    EXPECT_EQ(stats().dead_letters, 1) << "what never got its layout ends as ever";
}

TEST_F(StoreBounds, BootsToldByHelloAloneAreBoundedToo) {
    commit({g1.beds({20})});
    for (uint32_t boot = 2; boot < boots_per_stream_max + 500; ++boot)
        ASSERT_TRUE(store->note_boot("g1", g1.stream, {boot, ClockState::Synced, g1.offset_ms, 20}));
    EXPECT_LE(number("SELECT count(*) FROM boot"), static_cast<int64_t>(boots_per_stream_max));
}

// What a few bytes open to is bounded by what their header says, which the writer looks at.
TEST_F(StoreBounds, ABatchHoldsNoMoreThanItsHeaderSays) {
    commit({g1.beds({20})});
    Body body;
    body.groups.push_back(g1.bed_rows({1, 2, 3}));
    const auto encoded = encode_body(body, Gateway::find);
    ASSERT_TRUE(encoded);
    const IncomingBatch more = g1.wrap(seal_batch(g1.stream, g1.header(++g1.seq, 5), *encoded));
    EXPECT_EQ(commit({more}).outcomes[0], Outcome::Dead);
    Gateway later = g1;
    later.stream = 77;
    later.seq = 0;
    later.define = false;
    const IncomingBatch before = later.wrap(seal_batch(later.stream, later.header(++later.seq, 5), *encoded));
    EXPECT_EQ(commit({before}).outcomes[0], Outcome::Stored) << "its layout is not known yet";
    later.define = true;
    const int64_t dead = stats().dead_letters;
    commit({later.beds({20})});
    EXPECT_EQ(stats().dead_letters, dead + 1) << "and neither then";
    const IncomingBatch all = g1.wrap(seal_batch(g1.stream, g1.header(++g1.seq, 6), *encoded));
    EXPECT_EQ(commit({all}).outcomes[0], Outcome::Stored);
}

}  // namespace
}  // namespace basmalin::coordinator
