// What a reading costs on the wire: at most 3.0 bytes in batches of 60, batch header and `up` envelope included, its
// definitions acknowledged before. And all of it lossless.
#include <gtest/gtest.h>

#include <cmath>
#include <iostream>

#include "shared/wire/batch.h"
#include "tests/shared/series/generated.h"
#include "tests/shared/wire/library1.h"

namespace basmalin {
namespace {

using namespace generated;

constexpr uint64_t stream = 0x0123456789abcdef;

std::vector<Layout> motes() {
    std::vector<Layout> layouts;
    for (uint32_t id = 1; id <= 54; ++id)
        layouts.push_back({id,
                           "mote" + std::to_string(id),
                           {{"case_temperature", "Cel", ValueKind::Number, 2},
                            {"battery_voltage", "V", ValueKind::Number, 2},
                            {"humidity", "%", ValueKind::Number, 2},
                            {"temperature", "Cel", ValueKind::Number, 2},
                            {"par", "1", ValueKind::Number, 0},
                            {"tsr", "1", ValueKind::Number, 0}}});
    return layouts;
}

struct Cost {
    size_t readings = 0;
    size_t bytes = 0;
    double each() const { return static_cast<double>(bytes) / static_cast<double>(readings); }
};

// Rows in the order of their arrival, one group per device and batch, one batch a message.
Cost send(const std::vector<MoteRow>& rows, const std::vector<Layout>& layouts, size_t rows_per_batch) {
    const LayoutLookup known = [&](uint32_t id) { return id >= 1 && id <= layouts.size() ? &layouts[id - 1] : nullptr; };
    Cost cost;
    BatchHeader header{.seq = 120'000, .clock = ClockState::Synced, .boot_no = 12};
    const int64_t boot_ms = rows.front().time_ms - 700'000'000;  // up for eight days
    for (size_t begin = 0; begin + rows_per_batch <= rows.size(); begin += rows_per_batch) {
        Body body;
        for (size_t i = begin; i < begin + rows_per_batch; ++i) {
            const auto layout = static_cast<uint32_t>(rows[i].node);
            auto group = std::find_if(body.groups.begin(), body.groups.end(), [&](const Rows& g) { return g.layout == layout; });
            if (group == body.groups.end())
                group = body.groups.insert(group, Rows{layout, {}, std::vector<ColumnValues>(rows[i].values.size(), Numbers{})});
            group->times_ms.push_back(rows[i].time_ms - boot_ms);
            for (size_t c = 0; c < rows[i].values.size(); ++c) std::get<Numbers>(group->columns[c]).push_back(rows[i].values[c]);
        }
        ++header.seq;
        header.first = {rows[begin].time_ms - boot_ms};
        header.sealed_mono = {rows[begin + rows_per_batch - 1].time_ms - boot_ms + 40};
        header.sealed_wall = {rows[begin + rows_per_batch - 1].time_ms + 40};
        header.readings = static_cast<uint32_t>(rows_per_batch * rows[begin].values.size());
        auto bytes = encode_body(body, known);
        EXPECT_TRUE(bytes) << bytes.error().message();
        const std::string batch = seal_batch(stream, header, *bytes);
        const std::string up = encode_up({stream, Lane::Live, {}, {batch}});
        cost.readings += header.readings;
        cost.bytes += up.size();
        auto message = decode_up(up);
        EXPECT_TRUE(message);
        auto opened = open_batch(stream, message->batches.at(0));
        EXPECT_TRUE(opened);
        EXPECT_EQ(opened->header, header);
        auto back = decode_body(opened->body, known);
        EXPECT_TRUE(back && same(*back, body)) << "rows from " << begin;
        if (::testing::Test::HasFailure()) break;
    }
    return cost;
}

// A day of a garden: devices of their own period and jitter, values that wander, one decimal.
std::vector<MoteRow> garden(uint64_t seed) {
    Dice dice(seed);
    struct Bed {
        int64_t next_ms, period_ms;
        std::vector<int64_t> scaled;
    };
    std::vector<Bed> beds;
    for (int i = 0; i < 12; ++i)
        beds.push_back(
            {dice.between(0, 60'000),
             60'000,
             {dice.between(180, 240), 1300, dice.between(400, 600), dice.between(150, 300), dice.between(0, 900), dice.between(0, 900)}});
    std::vector<MoteRow> rows;
    while (rows.size() < 6000) {
        const auto bed = std::min_element(beds.begin(), beds.end(), [](const Bed& a, const Bed& b) { return a.next_ms < b.next_ms; });
        MoteRow row{1'790'000'000'000 + bed->next_ms, static_cast<int>(bed - beds.begin()) + 1, {}};
        for (size_t c = 0; c < bed->scaled.size(); ++c) {
            bed->scaled[c] += dice.between(-2, 2);
            row.values.push_back(c < 4 ? decimal(bed->scaled[c], c == 1 ? 2 : 1) : static_cast<double>(bed->scaled[c]));
        }
        rows.push_back(std::move(row));
        bed->next_ms += bed->period_ms + dice.between(-300, 300);
    }
    return rows;
}

std::vector<Layout> beds() {
    std::vector<Layout> layouts = motes();
    for (Layout& layout : layouts)
        for (const size_t c : {0, 2, 3}) layout.columns[c].decimals = 1;
    return layouts;
}

TEST(Size, AReadingOfLibrary1CostsAtMostThreeBytesAndComesBackBitForBit) {
    const std::vector<MoteRow> rows = read_library1(LIBRARY1_PATH);
    if (rows.empty()) GTEST_SKIP() << "no data at " << LIBRARY1_PATH;
    const Cost small = send(rows, motes(), 10);
    const Cost large = send(rows, motes(), 42);
    std::cout << "library1: " << small.each() << " bytes a reading in batches of 60, " << large.each() << " in batches of 252\n";
    EXPECT_LE(small.each(), 3.0);
    EXPECT_LT(large.each(), small.each());
}

TEST(Size, AReadingOfAGardenCostsAtMostThreeBytesAndComesBackBitForBit) {
    for_each_seed(5, [](uint64_t seed) {
        const Cost small = send(garden(seed), beds(), 10);
        if (seed == 1) std::cout << "garden: " << small.each() << " bytes a reading in batches of 60\n";
        ASSERT_LE(small.each(), 3.0);
    });
}

}  // namespace
}  // namespace basmalin
