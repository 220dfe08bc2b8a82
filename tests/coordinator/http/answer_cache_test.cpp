#include "coordinator/http/answer_cache.h"

#include <gtest/gtest.h>

#include "tests/coordinator/http/api_bench.h"

namespace basmalin::coordinator {
namespace {

using testing::FilledFleet;
using testing::fleet_now;
using testing::RunningApi;

SharedBody body(std::string text) { return std::make_shared<const PreparedBody>(std::move(text)); }

TEST(AnswerCache, R1_GivesWhatIsOfTheSameStateAndYoungEnough) {
    AnswerCache cache;
    cache.keep("who?", "1", MonoTime{0}, seconds(10), body("me"));
    EXPECT_EQ(cache.find("who?", "1", MonoTime{9999})->bytes(), "me");
    EXPECT_EQ(cache.find("who?", "2", MonoTime{0}), nullptr);
    EXPECT_EQ(cache.find("what?", "1", MonoTime{0}), nullptr);
    EXPECT_EQ(cache.find("who?", "1", MonoTime{10'000}), nullptr);
    cache.keep("who?", "2", MonoTime{0}, seconds(10), body("you"));
    EXPECT_EQ(cache.find("who?", "2", MonoTime{0})->bytes(), "you");
    EXPECT_EQ(cache.size(), 1U);
}

TEST(AnswerCache, R2_IsBoundedByNumberAndBytes) {
    AnswerCache cache({.answers_max = 3, .bytes_max = 1000});
    for (int i = 0; i < 100; ++i) {
        cache.keep(std::to_string(i), "1", MonoTime{0}, seconds(10), body(std::string(400, 'x')));
        EXPECT_LE(cache.size(), 2U);
        EXPECT_TRUE(cache.find(std::to_string(i), "1", MonoTime{0}));
    }
    for (int i = 0; i < 100; ++i) {
        cache.keep(std::to_string(i), "1", MonoTime{0}, seconds(10), body("x"));
        EXPECT_LE(cache.size(), 3U);
    }
    cache.keep("long", "1", MonoTime{0}, seconds(10), body(std::string(1001, 'x')));
    EXPECT_FALSE(cache.find("long", "1", MonoTime{0}));
}

TEST(Api, AListIsAnsweredFromACopyUntilTheFleetChanges) {
    FilledFleet filled;
    RunningApi api(filled);
    const auto first = api.get("/api/nodes?garden=home");
    EXPECT_EQ(api.get("/api/nodes?garden=home").body, first.body);
    EXPECT_NE(api.get("/api/nodes?garden=allotment").body, first.body) << "another question";
    EXPECT_NE(api.get("/api/gardens").body, first.body);
    const std::string tag = "If-None-Match: " + first.headers.at("etag") + "\r\n";
    EXPECT_EQ(api.get("/api/nodes?garden=home", tag).status, 304);
    api.running.on_loop([&] {
        Hello hello;
        hello.garden = "home";
        filled.fleet.on_hello("attic-pi", hello, fleet_now);
        return true;
    });
    const auto changed = api.get("/api/nodes?garden=home", tag);
    EXPECT_EQ(changed.status, 200);
    EXPECT_NE(changed.body.find("attic-pi"), std::string::npos);
}

TEST(Api, AChartIsDrawnOnceUntilItsNodeSaysMore) {
    FilledFleet filled;
    RunningApi api(filled);
    const std::string chart = "/api/readings?node=greenhouse-pi&device=bed1&quantity=temperature&from=-3h&step=5m";
    const auto first = api.get(chart);
    EXPECT_EQ(first.status, 200);
    EXPECT_GT(first.body.size(), 1000U);
    const int drawn = filled.store.calls;
    api.running.on_loop([&] { return filled.clock.advance(seconds(2)), true; });
    EXPECT_EQ(api.get(chart).body, first.body) << "2 s later it is the same chart";
    EXPECT_EQ(filled.store.calls, drawn);
    EXPECT_GT(api.json(chart + "&limit=3")["items"].as_array().size(), 0U);
    EXPECT_EQ(filled.store.calls, drawn + 1) << "another question";
    api.running.on_loop([&] {
        filled.store.points.push_back({1, fleet_now, Value(99.5), false});
        CommitResult more;
        more.latest = {{1, fleet_now, false, Value(99.5), 1}};
        filled.fleet.on_commit(more, {}, fleet_now);
        return true;
    });
    EXPECT_NE(api.get(chart).body.find("99.5"), std::string::npos);
    EXPECT_EQ(filled.store.calls, drawn + 2);
    // A chart of another node is none the older for it.
    const std::string pump = "/api/readings?node=field-pi&device=pump&quantity=flow&from=-3h&step=5m";
    api.get(pump);
    EXPECT_EQ(filled.store.calls, drawn + 3);
    api.get(pump);
    EXPECT_EQ(filled.store.calls, drawn + 3);
}

}  // namespace
}  // namespace basmalin::coordinator
