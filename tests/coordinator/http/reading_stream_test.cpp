#include "coordinator/http/reading_stream.h"

#include <gtest/gtest.h>

#include "tests/coordinator/http/filled_fleet.h"

namespace basmalin::coordinator {
namespace {

using testing::fleet_now;

struct Streamed {
    std::string body;
    size_t pieces = 0;
    size_t piece_bytes_most = 0;
};

Streamed stream_csv(testing::MemoryStore& store, ValueKind kind) {
    ReadingPlan plan;
    plan.query = {.series = {1}, .from = fleet_now, .to = fleet_now + hours(24)};
    plan.csv = true;
    plan.limit = INT64_MAX;
    plan.series[1] = {1, "greenhouse-pi", "bed1", "temperature", "Cel", kind};
    const auto slot = std::make_shared<ReaderSlot>(
        [&]() -> Result<std::unique_ptr<StoreReader>> { return std::make_unique<testing::MemoryReader>(store); });
    const BodyStream next = stream_readings(std::move(plan), slot);
    Streamed streamed;
    for (bool more = true; more;) {
        std::string piece;
        auto told = next(piece);
        if (!told) {
            ADD_FAILURE() << told.error().message();
            break;
        }
        more = *told;
        ++streamed.pieces;
        streamed.piece_bytes_most = std::max(streamed.piece_bytes_most, piece.size());
        streamed.body += piece;
    }
    return streamed;
}

int64_t lines_of(const std::string& body) { return std::count(body.begin(), body.end(), '\n'); }

TEST(ReadingStream, R4_ALongAnswerIsReadInFewPagesAndHandedOutInSmallPieces) {
    testing::MemoryStore store;
    for (int64_t i = 0; i < 50'000; ++i) store.points.push_back({1, fleet_now + seconds(i), Value(20.5), false});
    const Streamed streamed = stream_csv(store, ValueKind::Number);
    EXPECT_EQ(lines_of(streamed.body), 50'001);
    EXPECT_LE(store.calls, 8) << "not one for each 500 readings";
    EXPECT_LE(streamed.piece_bytes_most, 64U * 1024);
    EXPECT_TRUE(streamed.body.ends_with("Cel,20.5,false\n"));
}

TEST(ReadingStream, R4_LongTextsMakeThePagesSmaller) {
    testing::MemoryStore store;
    for (int64_t i = 0; i < 10'000; ++i) store.points.push_back({1, fleet_now + seconds(i), Value(std::string(1000, 'x')), false});
    const Streamed streamed = stream_csv(store, ValueKind::Text);
    EXPECT_EQ(lines_of(streamed.body), 10'001);
    EXPECT_GE(store.calls, 9) << "about 1 MiB each, not 16 MB";
    EXPECT_LE(streamed.piece_bytes_most, 64U * 1024);
}

}  // namespace
}  // namespace basmalin::coordinator
