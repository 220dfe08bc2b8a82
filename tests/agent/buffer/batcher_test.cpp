#include "agent/buffer/batcher.h"

#include <gtest/gtest.h>

namespace basmalin::agent {
namespace {

Sample sample(const std::string& device, int64_t at_ms, std::vector<Measurement> values) {
    return {.device = device, .time = MonoTime{at_ms}, .measurements = std::move(values)};
}
Measurement celsius(double v) { return {"temperature", "Cel", v}; }
Measurement percent(double v) { return {"humidity", "%", v}; }
constexpr MonoTime at(int64_t ms) { return {ms}; }

TEST(Batcher, WhatOneDeviceReportsTogetherIsOneRow) {  // R1
    Batcher b({});
    b.add(sample("bed1", 1000, {celsius(21.4), percent(40)}), Priority::Normal, at(1000));
    b.add(sample("bed1", 2000, {celsius(21.5), percent(41)}), Priority::Normal, at(2000));
    const auto drafts = b.take(at(2000), true);
    ASSERT_EQ(drafts.size(), 1u);
    ASSERT_EQ(drafts[0].groups.size(), 1u);
    EXPECT_EQ(drafts[0].groups[0].times_ms, (std::vector<int64_t>{1000, 2000}));
    EXPECT_EQ(drafts[0].groups[0].columns.size(), 2u);
    EXPECT_EQ(drafts[0].readings, 4u);
    EXPECT_EQ(drafts[0].first, at(1000));
    ASSERT_EQ(drafts[0].layouts.size(), 1u);
    EXPECT_EQ(drafts[0].layouts[0]->columns[0].decimals, 1);
}

TEST(Batcher, SealsTenSecondsAfterTheFirstReading) {  // R2
    Batcher b({.seal_after = seconds(10)});
    b.add(sample("bed1", 1000, {celsius(1)}), Priority::Normal, at(1000));
    b.add(sample("bed1", 9000, {celsius(2)}), Priority::Normal, at(9000));
    EXPECT_EQ(b.due(), at(11'000));
    EXPECT_TRUE(b.take(at(10'999)).empty());
    EXPECT_EQ(b.take(at(11'000)).size(), 1u);
    EXPECT_FALSE(b.due());
    EXPECT_EQ(b.pending_readings(), 0u);
}

TEST(Batcher, SealsAtTwoHundredAndFiftySixReadings) {  // R2
    Batcher b({});
    for (int i = 0; i < 600; ++i) b.add(sample("bed1", i, {celsius(i)}), Priority::Normal, at(i));
    const auto drafts = b.take(at(600));
    ASSERT_EQ(drafts.size(), 2u);
    EXPECT_EQ(drafts[0].readings, 256u);
    EXPECT_EQ(b.pending_readings(), 88u);
}

TEST(Batcher, AnAlarmIsDueAtOnceAndAlone) {  // R2
    Batcher b({});
    b.add(sample("bed1", 1, {celsius(1)}), Priority::Normal, at(1));
    Sample leak = sample("leak", 2, {{"leak", "", true}});
    leak.alarm = true;
    b.add(leak, Priority::Normal, at(2));
    const auto drafts = b.take(at(2));
    ASSERT_EQ(drafts.size(), 1u);
    EXPECT_EQ(drafts[0].priority, Priority::Alarm);
    EXPECT_EQ(drafts[0].readings, 1u);
}

TEST(Batcher, SealsBeforeTheBytesCouldPassTheBound) {  // R2
    Batcher b({});
    for (int i = 0; i < 30; ++i) b.add(sample("log", i, {{"state", "", std::string(4000, 'x')}}), Priority::Normal, at(i));
    for (const Draft& d : b.take(at(100), true)) {
        size_t bytes = 0;
        for (const Rows& r : d.groups)
            for (const std::string& t : std::get<Texts>(r.columns[0])) bytes += t.size();
        EXPECT_LE(bytes, batch_bytes_max / 2);
    }
}

TEST(Batcher, ARowOfLongTextsIsSplit) {  // R2
    Batcher b({});
    std::vector<Measurement> texts;
    for (int i = 0; i < 60; ++i) texts.push_back({"state" + std::to_string(i), "", std::string(4000, 'x')});
    b.add(sample("log", 1, texts), Priority::Normal, at(1));
    const auto drafts = b.take(at(1), true);
    EXPECT_GT(drafts.size(), 5u);
    uint32_t readings = 0;
    for (const Draft& d : drafts) readings += d.readings;
    EXPECT_EQ(readings, 60u);
}

TEST(Batcher, TextsAndBooleansAreReadings) {  // R3
    Batcher b({});
    b.add(sample("valve", 1, {{"open", "", true}, {"state", "", std::string("idle")}}), Priority::Normal, at(1));
    const auto drafts = b.take(at(1), true);
    ASSERT_EQ(drafts.size(), 1u);
    EXPECT_EQ(std::get<Booleans>(drafts[0].groups[0].columns[0]), Booleans{1});
    EXPECT_EQ(std::get<Texts>(drafts[0].groups[0].columns[1]), Texts{"idle"});
}

TEST(Batcher, RefusesWhatIsNoLabelAndKeepsTheRest) {  // R3
    Batcher b({});
    b.add(sample("bed1", 1, {{"a/b", "", 1.0}, celsius(2)}), Priority::Normal, at(1));
    b.add(sample("", 1, {celsius(2)}), Priority::Normal, at(1));
    EXPECT_EQ(b.counts().refused, 2u);
    EXPECT_EQ(b.counts().readings, 1u);
}

TEST(Batcher, AQuantityTwiceInOneSampleLosesNothing) {  // R1
    Batcher b({});
    b.add(sample("bed1", 1, {celsius(1), celsius(2)}), Priority::Normal, at(1));
    EXPECT_EQ(b.counts().readings, 2u);
}

TEST(Batcher, ALayoutKeepsItsIdAcrossARestart) {  // R1
    Batcher first({});
    first.add(sample("bed1", 1, {celsius(1)}), Priority::Normal, at(1));
    first.add(sample("bed2", 1, {celsius(1)}), Priority::Normal, at(1));
    const auto before = first.take(at(1), true);
    std::vector<Layout> known;
    for (const auto& layout : before[0].layouts) known.push_back(*layout);
    Batcher second({});
    second.restore(known, 0);
    second.add(sample("bed2", 5, {celsius(1)}), Priority::Normal, at(5));
    second.add(sample("bed3", 5, {celsius(1)}), Priority::Normal, at(5));
    const auto after = second.take(at(5), true);
    ASSERT_EQ(after[0].layouts.size(), 2u);
    EXPECT_EQ(after[0].layouts[0]->id, known[1].id);
    EXPECT_EQ(after[0].layouts[1]->id, 3u);
}

TEST(Batcher, AnIdIsTakenAlsoWhereItsLayoutCannotBeRead) {  // R1
    Batcher b({});
    b.restore({Layout{1, "bed1", {{"temperature", "Cel", ValueKind::Number, 1}}}}, 7);
    b.add(sample("bed2", 5, {celsius(1)}), Priority::Normal, at(5));
    EXPECT_EQ(b.take(at(5), true)[0].layouts[0]->id, 8u);
}

TEST(Batcher, OnlyPersistentlyFinerValuesMakeANewLayout) {  // R4
    Batcher b({});
    b.add(sample("bed1", 0, {celsius(21)}), Priority::Normal, at(0));
    b.add(sample("bed1", 1, {celsius(21.53)}), Priority::Normal, at(1));
    EXPECT_EQ(b.take(at(1), true)[0].layouts.size(), 1u);
    for (int i = 0; i < 100; ++i) b.add(sample("bed1", i, {celsius(21.53)}), Priority::Normal, at(i));
    const auto drafts = b.take(at(100), true);
    ASSERT_EQ(drafts[0].layouts.size(), 2u);
    EXPECT_EQ(drafts[0].layouts[1]->columns[0].decimals, 2);
    EXPECT_EQ(drafts[0].layouts[1]->id, 2u);
}

TEST(Batcher, ADeviceOfManyFacesFallsBackToSingleColumns) {  // R5
    Batcher b({});
    for (int i = 0; i < 100; ++i)
        b.add(sample("odd", i, {{"a" + std::to_string(i % 10), "", 1.0}, {"b" + std::to_string(i / 10), "", 2.0}}), Priority::Normal, at(i));
    EXPECT_EQ(b.counts().readings, 200u);
    EXPECT_LE(b.counts().layouts, 32u + 20u);
}

TEST(Batcher, BeyondAllLayoutsNewKindsAreRefusedAndItSaysSo) {  // R5
    Batcher b({.layouts_max = 2});
    b.add(sample("bed1", 0, {celsius(1)}), Priority::Normal, at(0));
    b.add(sample("bed2", 0, {celsius(1)}), Priority::Normal, at(0));
    EXPECT_FALSE(b.counts().layouts_full);
    b.add(sample("bed3", 0, {celsius(1)}), Priority::Normal, at(0));
    b.add(sample("bed1", 1, {celsius(1)}), Priority::Normal, at(1));
    EXPECT_TRUE(b.counts().layouts_full);
    EXPECT_EQ(b.counts().refused, 1u);
    EXPECT_EQ(b.counts().readings, 3u);
}

TEST(Batcher, PendingReadingsAreBoundedAndTheLossIsCounted) {  // R6
    Batcher b({.pending_readings_max = 1000});
    for (int i = 0; i < 1500; ++i) b.add(sample("bed1", i, {celsius(i)}), Priority::Normal, at(0));
    EXPECT_EQ(b.pending_readings(), 1000u);
    EXPECT_EQ(b.counts().dropped_unsealed, 500u);
}

TEST(Batcher, AnAlarmFindsRoomWhereLessImportantReadingsWait) {  // R6
    Batcher b({.pending_readings_max = 600});
    for (int i = 0; i < 300; ++i) b.add(sample("bed1", i, {celsius(i)}), Priority::Normal, at(i));
    for (int i = 0; i < 300; ++i) b.add(sample("node", i, {percent(i)}), Priority::Low, at(i));
    Sample leak = sample("leak", 400, {{"leak", "", true}});
    leak.alarm = true;
    for (int i = 0; i < 320; ++i) b.add(leak, Priority::Normal, at(400));
    EXPECT_LE(b.pending_readings(), 600u);
    size_t sealed = 0;
    size_t alarms = 0;
    size_t low = 0;
    for (const Draft& d : b.take(at(500), true)) {
        sealed += d.readings;
        alarms += d.priority == Priority::Alarm ? d.readings : 0;
        low += d.priority == Priority::Low ? d.readings : 0;
    }
    EXPECT_EQ(alarms, 320u);
    EXPECT_EQ(low, 0u);
    EXPECT_EQ(sealed, 320u + 256u) << "no more than needed";
    EXPECT_EQ(sealed + b.counts().dropped_unsealed, 920u);
}

TEST(Batcher, AReadingFindsRoomWhereTheNodesOwnFiguresWait) {  // R6
    Batcher b({.pending_readings_max = 100});
    for (int i = 0; i < 100; ++i) b.add(sample("node", i, {percent(i)}), Priority::Low, at(i));
    b.add(sample("bed1", 200, {celsius(1)}), Priority::Normal, at(200));
    b.add(sample("node", 201, {percent(1)}), Priority::Low, at(201));
    EXPECT_EQ(b.pending_readings(), 2u);
    EXPECT_EQ(b.counts().dropped_unsealed, 100u);
}

TEST(Batcher, WhatComesBackGoesBeforeWhatIsYounger) {  // R6
    Batcher b({.pending_readings_max = 512});
    for (int i = 0; i < 512; ++i) b.add(sample("bed1", i, {celsius(i)}), Priority::Normal, at(i));
    auto older = b.take(at(600));
    ASSERT_EQ(older.size(), 2u);
    for (int i = 0; i < 500; ++i) b.add(sample("bed1", 1000 + i, {celsius(i)}), Priority::Normal, at(1000 + i));
    for (Draft& d : older) b.put_back(std::move(d), at(5000));
    EXPECT_EQ(b.pending_readings(), 512u);
    EXPECT_EQ(b.counts().dropped_unsealed, 500u);
    const auto again = b.take(at(5000), true);
    ASSERT_EQ(again.size(), 2u);
    EXPECT_EQ(again[0].first, at(0));
    EXPECT_EQ(again[1].first, at(256));
}

TEST(Batcher, WhatComesBackDoesNotPushOutWhatIsOlder) {  // R6
    Batcher b({.pending_readings_max = 256});
    for (int i = 0; i < 256; ++i) b.add(sample("bed1", i, {celsius(i)}), Priority::Normal, at(i));
    auto older = b.take(at(300));
    for (int i = 0; i < 256; ++i) b.add(sample("bed1", 1000 + i, {celsius(i)}), Priority::Normal, at(1000 + i));
    auto younger = b.take(at(1300));
    b.put_back(std::move(older[0]), at(5000));
    b.put_back(std::move(younger[0]), at(5000));
    const auto again = b.take(at(5000));
    ASSERT_EQ(again.size(), 1u);
    EXPECT_EQ(again[0].first, at(0));
    EXPECT_EQ(b.counts().dropped_unsealed, 256u);
}

TEST(Batcher, ADraftThatCouldNotBeSealedComesAgainLater) {  // R6
    Batcher b({});
    b.add(sample("bed1", 0, {celsius(1)}), Priority::Normal, at(0));
    auto drafts = b.take(at(0), true);
    b.put_back(std::move(drafts[0]), at(5000));
    EXPECT_TRUE(b.take(at(4999)).empty());
    EXPECT_EQ(b.take(at(5000)).size(), 1u);
}

}  // namespace
}  // namespace basmalin::agent
