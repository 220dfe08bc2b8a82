#include "coordinator/http/parameters.h"

#include <gtest/gtest.h>

namespace basmalin::coordinator {
namespace {

constexpr WallTime now{1'790'000'000'000};

TEST(ParseTime, TakesRfc3339MillisecondsAndBackFromNow) {
    const std::pair<const char*, int64_t> good[] = {{"2026-09-21T14:13:20Z", 1'790'000'000'000},
                                                    {"2026-09-21T14:13:20.123Z", 1'790'000'000'123},
                                                    {"2026-09-21T14:13:20.1239999Z", 1'790'000'000'123},
                                                    {"2026-09-21t14:13z", 1'789'999'980'000},
                                                    {"2026-09-21T16:13:20+02:00", 1'790'000'000'000},
                                                    {"2026-09-21T16:13:20 02:00", 1'790'000'000'000},
                                                    {"2026-09-21T09:43:20-04:30", 1'790'000'000'000},
                                                    {"2026-09-21", 1'789'948'800'000},
                                                    {"2024-02-29", 1'709'164'800'000},
                                                    {"1790000000000", 1'790'000'000'000},
                                                    {"0", 0},
                                                    {"now", now.ms},
                                                    {"-24h", now.ms - 86'400'000},
                                                    {"-90s", now.ms - 90'000},
                                                    {"-5min", now.ms - 300'000},
                                                    {"-7d", now.ms - 604'800'000},
                                                    {"-36500d", 0}};
    for (const auto& [text, ms] : good) {
        const auto time = parse_time(text, now);
        ASSERT_TRUE(time.has_value()) << text;
        EXPECT_EQ(time->ms, ms) << text;
    }
}

TEST(ParseTime, RefusesTheRestWithAHint) {
    for (const char* bad : {"",
                            "yesterday",
                            "-",
                            "-h",
                            "-1y",
                            "-99999999999999999999d",
                            "-999999999d",
                            "2026-13-01",
                            "2026-02-30",
                            "2026-9-1",
                            "2026-09-21T",
                            "2026-09-21T14",
                            "2026-09-21T24:00Z",
                            "2026-09-21T14:13:20",
                            "2026-09-21T14:13:20.Z",
                            "2026-09-21T14:13:20Zjunk",
                            "2026-09-21T14:13:20+0200",
                            "99999999999999999999",
                            "999999999999999",
                            "1e3",
                            "1969-12-31"}) {
        const auto time = parse_time(bad, now);
        ASSERT_FALSE(time.has_value()) << bad;
        EXPECT_EQ(time.error().code, Code::Invalid);
        EXPECT_NE(time.error().hint.find("-24h"), std::string::npos);
    }
}

TEST(ParseStep, TakesASecondToAYear) {
    EXPECT_EQ(parse_step("1s")->ms, 1000);
    EXPECT_EQ(parse_step("5m")->ms, 300'000);
    EXPECT_EQ(parse_step("1d")->ms, 86'400'000);
    for (const char* bad : {"", "0s", "1", "5 m", "-5m", "banana", "999ms", "400d", "99999999999999999999h"})
        EXPECT_FALSE(parse_step(bad).has_value()) << bad;
}

HttpRequest with(std::map<std::string, std::string> query) {
    HttpRequest request;
    request.query = std::move(query);
    return request;
}

TEST(Parameters, AnUnknownOneIsNamedAndTheKnownOnesListed) {
    const HttpRequest request = with({{"colour", "red"}, {"limit", "5"}});
    Parameters asked(request, now);
    EXPECT_EQ(asked.integer("limit", 1, 10, 3), 5);
    EXPECT_EQ(asked.text("node"), "");
    const auto done = asked.done();
    ASSERT_FALSE(done.has_value());
    EXPECT_EQ(done.error().text, "parameter colour is unknown");
    EXPECT_EQ(done.error().hint, "known here: limit, node");
}

TEST(Parameters, AWrongValueIsNamedWithWhatWouldFit) {
    for (const char* bad : {"0", "11", "-1", "", "5x", "5.0", "0x5", "99999999999999999999"}) {
        const HttpRequest request = with({{"limit", bad}});
        Parameters asked(request, now);
        EXPECT_EQ(asked.integer("limit", 1, 10, 3), 3);
        ASSERT_FALSE(asked.done().has_value()) << bad;
        EXPECT_EQ(asked.done().error().hint, "a whole number from 1 to 10");
    }
    const HttpRequest request = with({{"state", "tired"}});
    Parameters asked(request, now);
    asked.choice("state", {"ok", "late"});
    EXPECT_EQ(asked.done().error().message(), "parameter state: 'tired' is not possible (one of ok, late)");
}

TEST(Parameters, IdsAreABoundedList) {
    const HttpRequest good = with({{"series", "3,1,2,1"}});
    Parameters asked(good, now);
    EXPECT_EQ(asked.ids("series", 3), (std::vector<int64_t>{1, 2, 3}));
    EXPECT_TRUE(asked.done().has_value());
    for (const char* bad : {"", ",", "1,", "0", "-1", "x", "1,2,3,4"}) {
        const HttpRequest request = with({{"series", bad}});
        Parameters wrong(request, now);
        EXPECT_TRUE(wrong.ids("series", 3).empty());
        EXPECT_FALSE(wrong.done().has_value()) << bad;
    }
}

}  // namespace
}  // namespace basmalin::coordinator
