#include "coordinator/app/health.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>

#include "shared/base/file.h"
#include "tests/support/process.h"

namespace basmalin::coordinator {

namespace {

IngestStats well() {
    IngestStats stats;
    stats.connected = true;
    stats.since_written = seconds(5);
    stats.writer_silence = milliseconds(300);
    return stats;
}
constexpr MachineState roomy{.disk_free_bytes = 1LL << 40, .memory_bytes = 50 << 20};

// The names of the checks that are not healthy.
std::vector<std::string> sick(const IngestStats& stats, const MachineState& machine = roomy) {
    std::vector<std::string> names;
    for (const HealthCheck& check : health_checks(stats, machine, {})) {
        if (!check.healthy) names.push_back(check.name);
    }
    return names;
}

using Names = std::vector<std::string>;

}  // namespace

TEST(HealthChecks, AreFiveAndAllHealthyWhenAllIsWell) {
    EXPECT_EQ(health_checks(well(), roomy, {}).size(), 5U);
    EXPECT_EQ(sick(well()), Names{});
}

TEST(HealthChecks, EachFailsForItsOwnReason) {
    IngestStats stats = well();
    stats.since_written = seconds(31);
    EXPECT_EQ(sick(stats), Names{"database"});
    stats = well();
    stats.connected = false;
    EXPECT_EQ(sick(stats), Names{"broker"});
    stats = well();
    stats.queue_fullness = 1;
    EXPECT_EQ(sick(stats), Names{"ingest"});
    stats = well();
    stats.writer_silence = seconds(31);
    EXPECT_EQ(sick(stats), Names{"ingest"});
    EXPECT_EQ(sick(well(), {.disk_free_bytes = 1 << 20, .memory_bytes = 1}), Names{"disk_space"});
    EXPECT_EQ(sick(well(), {.disk_free_bytes = std::nullopt, .memory_bytes = 1}), Names{"disk_space"});
    EXPECT_EQ(sick(well(), {.disk_free_bytes = 1LL << 40, .memory_bytes = 1LL << 40}), Names{"memory"});
}

TEST(ApiToken, IsMadeOnceAndReadableByItsOwnerOnly) {
    testing_support::TemporaryFolder folder;
    const std::string path = folder / "deep/token";
    const auto made = api_token(path);
    ASSERT_TRUE(made) << made.error().message();
    EXPECT_EQ(made->size(), 64U);
    struct stat status {};
    ASSERT_EQ(::stat(path.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777U, 0600U);
    EXPECT_EQ(api_token(path).value(), *made);
}

TEST(ApiToken, ARefusedFileIsNamedAndNotOverwritten) {
    testing_support::TemporaryFolder folder;
    const std::string path = folder / "token";
    ASSERT_TRUE(replace_file(path, "short\n"));
    const auto refused = api_token(path);
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().message().find(path), std::string::npos);
    EXPECT_EQ(read_file(path, 100).value(), "short\n");
}

}  // namespace basmalin::coordinator
