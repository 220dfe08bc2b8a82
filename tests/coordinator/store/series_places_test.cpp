#include "coordinator/store/series_places.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace basmalin::coordinator {

TEST(SeriesPlaces, EachSeriesKeepsThePlaceItGotFirst) {
    std::mt19937_64 random(1);
    SeriesPlaces places;
    std::map<SeriesId, size_t> expected;
    for (size_t i = 0; i < 20'000; ++i) {
        const bool near = random() % 2 == 0;
        const auto series = static_cast<SeriesId>(near ? 1 + random() % 3000 : 1 + (random() >> 1) / 2);
        const auto [known, is_new] = expected.try_emplace(series, i);
        EXPECT_EQ(places.place_of(series, i), std::make_pair(known->second, is_new));
    }
}

}  // namespace basmalin::coordinator
