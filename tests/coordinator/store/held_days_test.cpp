// The pages of one answer share what was decoded for them.
#include "coordinator/store/held_days.h"

#include <chrono>

#include "tests/coordinator/store/store_fixture.h"

namespace basmalin::coordinator {
namespace {

constexpr int64_t hour_ms = 3'600'000;

HeldDay day_of(uint64_t answer, size_t rows) {
    HeldDay day{answer, 1000, 2000, {}, 0, {}};
    day.columns[{1, false}] = {std::vector<int64_t>(rows, 1500), Numbers(rows, 1.0)};
    return day;
}

TEST(HeldDays, ADayServesItsAnswerAndItsTimeOnly) {
    HeldDays held;
    held.hold(day_of(7, 10), MonoTime{0});
    EXPECT_NE(held.find(7, 1500, MonoTime{1}), nullptr);
    EXPECT_EQ(held.find(8, 1500, MonoTime{1}), nullptr);
    EXPECT_EQ(held.find(7, 2000, MonoTime{1}), nullptr);
    EXPECT_EQ(held.find(7, 999, MonoTime{1}), nullptr);
    held.hold(day_of(0, 10), MonoTime{1});
    EXPECT_EQ(held.find(0, 1500, MonoTime{1}), nullptr) << "0 is no answer";
    held.drop(7);
    EXPECT_EQ(held.bytes(), 0U);
}

TEST(HeldDays, BytesAndTimeBoundThem) {
    HeldDays held;
    held.bytes_max = 1000 * 16;
    held.hold(day_of(1, 400), MonoTime{1});
    held.hold(day_of(2, 400), MonoTime{2});
    EXPECT_NE(held.find(1, 1500, MonoTime{3}), nullptr);
    held.hold(day_of(3, 400), MonoTime{4});
    EXPECT_EQ(held.find(2, 1500, MonoTime{5}), nullptr) << "used longest ago";
    EXPECT_NE(held.find(1, 1500, MonoTime{5}), nullptr);
    held.hold(day_of(4, 1001), MonoTime{6});
    EXPECT_EQ(held.find(4, 1500, MonoTime{6}), nullptr) << "too much alone";
    EXPECT_LE(held.bytes(), held.bytes_max);
    EXPECT_EQ(held.find(9, 1500, MonoTime{5} + held.patience + milliseconds(2)), nullptr);
    EXPECT_EQ(held.bytes(), 0U) << "nobody came back for them";
}

class HeldPages : public StoreTest {
  protected:
    // All that one answer gives, in pages of `limit`; `between` is called after each.
    Lines answer(uint64_t id, size_t limit, const std::function<void()>& between) {
        auto reader = store->reader().value();
        const auto known = names();
        ReadingQuery query{{}, WallTime{0}, WallTime{noon_ms * 2}, id};
        for (const auto& [series, name] : known) query.series.push_back(series);
        Lines lines;
        std::string cursor;
        do {
            const auto page = reader->readings(query, limit, cursor).value();
            for (const ReadingPoint& point : page.points)
                lines.insert(line(known.at(point.series), point.time.ms, point.value, point.estimated));
            cursor = page.next;
            between();
        } while (!cursor.empty());
        return lines;
    }
};

TEST_F(HeldPages, GiveTheSameAsOnePage) {
    for (int day = 0; day < 3; ++day) {
        std::vector<double> values(100);
        for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<double>(i % 7);
        commit({g1.beds(values)});
        if (day == 1) maintain(g1.mono_ms + g1.offset_ms + 3 * hour_ms);
        g1.mono_ms += 20 * hour_ms;
    }
    const Lines all = readings();
    ASSERT_EQ(all.size(), 600U);
    for (const size_t limit : {1U, 7U, 199U, 200U, 201U, 1000U}) {
        EXPECT_EQ(answer(limit + 1, limit, [] {}), all) << limit;
        EXPECT_EQ(answer(0, limit, [] {}), all) << limit;
    }
}

// Decoding the day anew for each page would show what came meanwhile.
TEST_F(HeldPages, DecodeADayOnce) {
    commit({g1.beds(std::vector<double>(50, 20.0))});
    const Lines before = readings();
    const auto more = [&] { commit({g1.beds({99})}); };
    EXPECT_EQ(answer(1, 10, more), before);
    EXPECT_GT(readings().size(), before.size());
}

}  // namespace
}  // namespace basmalin::coordinator
