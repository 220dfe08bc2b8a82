#include "coordinator/http/api.h"

#include <gtest/gtest.h>

#include "coordinator/http/reading_stream.h"
#include "tests/coordinator/http/api_bench.h"

namespace basmalin::coordinator {
namespace {

using testing::Answer;
using testing::BareClient;
using testing::FilledFleet;
using testing::fleet_now;
using testing::RunningApi;

std::vector<std::string> keys(const Json& list, const char* key) {
    std::vector<std::string> found;
    for (const Json& item : list["items"].as_array()) found.push_back(item[key].is_string() ? item[key].as_string() : item[key].dump());
    return found;
}

using Texts = std::vector<std::string>;

TEST(Api, R1_OnlyHealthIsOpen) {
    FilledFleet filled;
    RunningApi api(filled);
    BareClient stranger(api.running.port);
    for (const char* open : {"/livez", "/readyz", "/api/health"}) EXPECT_EQ(stranger.get(open).status, 200) << open;
    for (const char* closed : {"/metrics", "/api/metrics", "/api/nodes", "/api/openapi.yaml", "/nowhere", "/api/readings?series=1"}) {
        const Answer answer = stranger.get(closed);
        EXPECT_EQ(answer.status, 401) << closed;
        EXPECT_NE(answer.body.find("Authorization: Bearer"), std::string::npos);
    }
    for (const std::string& wrong : Texts{"Bearer", "Bearer ", "Bearer sesame-0123456789abcde", "Bearer sesame-0123456789abcdefx",
                                          "Basic " + filled.token, filled.token}) {
        EXPECT_EQ(stranger.get("/api/nodes", "Authorization: " + wrong + "\r\n").status, 401) << wrong;
    }
    EXPECT_EQ(stranger.get("/api/nodes", "Authorization: bEaReR  " + filled.token + "\r\n").status, 200);
}

TEST(Api, R1_WithoutATokenNothingButHealthIsAnswered) {
    FilledFleet filled;
    filled.token.clear();
    RunningApi api(filled);
    BareClient client(api.running.port);
    EXPECT_EQ(client.get("/livez").status, 200);
    EXPECT_EQ(client.get("/api/nodes").status, 401);
    EXPECT_EQ(client.get("/api/nodes", "Authorization: Bearer \r\n").status, 401);
}

TEST(Api, HealthIs503WhenOneCheckIsNot) {
    FilledFleet filled;
    filled.checks.push_back({"disk", false, "1 % free"});
    filled.ready = false;
    RunningApi api(filled);
    const Answer answer = api.get("/api/health");
    EXPECT_EQ(answer.status, 503);
    const auto health = parse_json(answer.body);
    EXPECT_EQ((*health)["status"].as_string(), "unhealthy");
    EXPECT_EQ((*health)["checks"].as_array().size(), 3u);
    EXPECT_EQ((*health)["version"].as_string(), "1.2.3");
    EXPECT_EQ(api.get("/readyz").status, 503);
    EXPECT_EQ(api.get("/livez").status, 200);
}

TEST(Api, R3_PagesFollowEachOtherByKey) {
    FilledFleet filled;
    RunningApi api(filled);
    const Json first = api.json("/api/nodes?limit=2");
    EXPECT_EQ(keys(first, "id"), (Texts{"field-pi", "greenhouse-pi"}));
    EXPECT_EQ(first["next"].as_string(), "greenhouse-pi");
    const Json second = api.json("/api/nodes?limit=2&after=greenhouse-pi");
    EXPECT_EQ(keys(second, "id"), (Texts{"shed-pi"}));
    EXPECT_TRUE(second["next"].is_null());
    EXPECT_TRUE(api.json("/api/nodes?limit=3")["next"].is_null()) << "a page that is just full is the last";
    EXPECT_EQ(keys(api.json("/api/gardens?after=allotment"), "id"), (Texts{"home"}));
    EXPECT_EQ(keys(api.json("/api/series?limit=1&after=2"), "id"), (Texts{"3"}));
    const Json device = api.json("/api/devices?limit=1&after=greenhouse-pi%2FKiosk%2C%20%22%C3%B6%22");
    EXPECT_EQ(keys(device, "device"), (Texts{"bed1"}));
    EXPECT_EQ(api.get("/api/devices?after=nonsense").status, 400);
    EXPECT_EQ(api.get("/api/series?after=x").status, 400);
}

TEST(Api, ListsAreFiltered) {
    FilledFleet filled;
    RunningApi api(filled);
    EXPECT_EQ(keys(api.json("/api/nodes?garden=home&presence=lost"), "id"), (Texts{"shed-pi"}));
    EXPECT_EQ(keys(api.json("/api/nodes?q=FIELD"), "id"), (Texts{"field-pi"}));
    EXPECT_EQ(keys(api.json("/api/nodes?garden=nowhere"), "id"), Texts{});
    EXPECT_EQ(keys(api.json("/api/devices?state=late"), "device"), (Texts{"bed1"}));
    EXPECT_EQ(keys(api.json("/api/devices?node=field-pi"), "device"), (Texts{"pump"}));
    EXPECT_EQ(keys(api.json("/api/devices?garden=allotment&state=unknown"), "device"), (Texts{"pump"}));
    EXPECT_EQ(keys(api.json("/api/devices?q=wall"), "device"), (Texts{"bed1"}));
    EXPECT_EQ(keys(api.json("/api/devices?device=pump"), "device"), (Texts{"pump"}));
    EXPECT_EQ(keys(api.json("/api/series?node=greenhouse-pi&device=bed1"), "id"), (Texts{"1", "2"}));
    EXPECT_EQ(keys(api.json("/api/series?quantity=flow"), "id"), (Texts{"4"}));
    EXPECT_EQ(keys(api.json("/api/series?node=nobody"), "id"), Texts{});
}

TEST(Api, R3_APageOfALargeFleetCostsThePage) {
    FilledFleet filled;
    for (int i = 0; i < 10'000; ++i) {
        const std::string number = std::to_string(100'000 + i);
        filled.fleet.on_status("node-" + number, {.online = true, .since = fleet_now, .garden = "g" + std::to_string(i % 7)}, false,
                               fleet_now);
    }
    RunningApi api(filled);
    std::set<std::string> found;
    std::string after;
    int pages = 0;
    do {
        const Json page = api.json("/api/nodes?limit=1000&after=" + after);
        for (const std::string& id : keys(page, "id")) EXPECT_TRUE(found.insert(id).second) << id;
        after = page["next"].as_string();
        ++pages;
    } while (!after.empty() && pages < 50);
    EXPECT_EQ(found.size(), 10'003u);
    EXPECT_EQ(pages, 11);
}

TEST(Api, R3_AFilterThatFitsNothingIsAnsweredByPagesToo) {
    FilledFleet filled;
    for (int i = 0; i < 25'000; ++i) {
        filled.fleet.on_status("a" + std::to_string(100'000 + i), {.online = true, .since = fleet_now, .garden = "g"}, false, fleet_now);
    }
    CommitResult made;
    for (SeriesId id = 5; id < 30'005; ++id) {
        const std::string device = "d" + std::to_string(id % 900);
        made.new_series.push_back({id, "a1" + std::to_string(10'000 + id % 30), device, "q" + std::to_string(id), "", ValueKind::Number});
    }
    filled.fleet.on_commit(made, {}, fleet_now);
    RunningApi api(filled);
    const auto pages_until_end = [&](const std::string& target, const char* key, const Texts& wanted) {
        Texts found;
        int pages = 0;
        std::string after;
        do {
            const Json page = api.json(target + after);
            for (const std::string& one : keys(page, key)) found.push_back(one);
            after = page["next"].is_null() ? "" : "&after=" + page["next"].as_string();
        } while (++pages < 10 && !after.empty());
        EXPECT_EQ(found, wanted) << target;
        return pages;
    };
    EXPECT_EQ(pages_until_end("/api/nodes?q=shed", "id", {"shed-pi"}), 2);
    EXPECT_EQ(pages_until_end("/api/nodes?q=nowhere", "id", {}), 2);
    EXPECT_EQ(pages_until_end("/api/devices?q=bed1", "device", {"bed1"}), 1) << "900 devices and more, but no 20,000";
    EXPECT_EQ(pages_until_end("/api/devices?garden=allotment", "device", {"pump"}), 2) << "nodes without devices are passed over too";
    EXPECT_EQ(pages_until_end("/api/series?quantity=q30004", "id", {"30004"}), 2);
}

TEST(Api, R4_ReadingsComeInOrderAndByPages) {
    FilledFleet filled;
    RunningApi api(filled);
    const Json all = api.json("/api/readings?node=greenhouse-pi");
    ASSERT_EQ(all["items"].as_array().size(), 242u);
    EXPECT_TRUE(all["next"].is_null());
    std::vector<Json> paged;
    std::string after;
    do {
        const Json page = api.json("/api/readings?node=greenhouse-pi&limit=100&after=" + after);
        for (const Json& item : page["items"].as_array()) paged.push_back(item);
        after = page["next"].as_string();
    } while (!after.empty() && paged.size() < 1000);
    EXPECT_EQ(Json(paged), all["items"]);
    const Json& first = all["items"].as_array().front();
    EXPECT_EQ(first["value"].as_double(), 20);
    EXPECT_EQ(first["unit"].as_string(), "Cel");
    EXPECT_EQ(first["estimated"].as_bool(true), false);
}

TEST(Api, ReadingsKeepToTheirTimeAndSeries) {
    FilledFleet filled;
    RunningApi api(filled);
    EXPECT_EQ(api.json("/api/readings?series=1&from=-10m&to=now")["items"].as_array().size(), 10u);
    EXPECT_EQ(api.json("/api/readings?series=1,4&from=-10m&to=-5m")["items"].as_array().size(), 10u);
    EXPECT_EQ(api.json("/api/readings?node=greenhouse-pi&quantity=wet&from=2026-09-21T14:03:20Z")["items"].as_array().size(), 10u);
    EXPECT_EQ(api.json("/api/readings?series=1&from=-1s")["items"].as_array().size(), 0u);
    const Json odd = api.json("/api/readings?series=4&from=-115m&to=-114m");
    ASSERT_EQ(odd["items"].as_array().size(), 1u);
    EXPECT_TRUE(odd["items"].as_array()[0]["value"].is_null()) << "NaN is no JSON";
}

TEST(Api, StepsGiveMinimumMeanAndMaximumByPages) {
    FilledFleet filled;
    RunningApi api(filled);
    const Json all = api.json("/api/readings?series=1,4&step=10m&from=-2h");
    EXPECT_TRUE(all["next"].is_null());
    const Json& second = all["items"].as_array().at(2);
    EXPECT_EQ(second["series"].as_int(), 1);
    EXPECT_EQ(second["count"].as_int(), 10);
    EXPECT_LT(second["min"].as_double(), second["mean"].as_double());
    EXPECT_LT(second["mean"].as_double(), second["max"].as_double());
    std::vector<Json> paged;
    std::string after;
    do {
        const Json page = api.json("/api/readings?series=1,4&step=10m&from=-2h&limit=5&after=" + after);
        EXPECT_LE(page["items"].as_array().size(), 5u);
        for (const Json& item : page["items"].as_array()) paged.push_back(item);
        after = page["next"].as_string();
    } while (!after.empty() && paged.size() < 1000);
    EXPECT_EQ(Json(paged), all["items"]);
    EXPECT_EQ(api.get("/api/readings?series=1&step=10m&after=x").status, 400);
    EXPECT_EQ(api.get("/api/readings?series=1&step=1s&from=0").status, 400) << "too many steps";
    EXPECT_EQ(api.json("/api/readings?series=1&step=1h&from=-300d")["items"].as_array().size(), 3u) << "over many pieces";
}

TEST(Api, CsvQuotesWhatNeedsIt) {
    FilledFleet filled;
    RunningApi api(filled);
    const Answer answer = api.get("/api/readings?series=3&format=csv");
    EXPECT_EQ(answer.headers.at("content-type"), "text/csv; charset=utf-8");
    EXPECT_EQ(answer.body,
              "time,node,device,quantity,unit,value,estimated\n"
              "2026-09-21T12:13:20.000Z,greenhouse-pi,\"Kiosk, \"\"ö\"\"\",state,,open,true\n"
              "2026-09-21T13:13:20.000Z,greenhouse-pi,\"Kiosk, \"\"ö\"\"\",state,,\"a,b \"\"c\"\"\",true\n");
    EXPECT_EQ(api.get("/api/readings?series=3", "Accept: text/csv\r\n").body, answer.body);
}

TEST(Api, WhatIsWrongWithAQuestionIsSaid) {
    FilledFleet filled;
    RunningApi api(filled);
    const std::tuple<const char*, int, const char*> questions[] = {{"/api/readings", 400, "series"},
                                                                   {"/api/readings?series=x", 400, "series"},
                                                                   {"/api/readings?series=1&node=greenhouse-pi", 400, "series"},
                                                                   {"/api/readings?device=bed1", 400, "series"},
                                                                   {"/api/readings?series=99", 404, "99"},
                                                                   {"/api/readings?node=nobody", 404, "nobody"},
                                                                   {"/api/readings?node=field-pi&device=bed9", 404, "bed9"},
                                                                   {"/api/readings?node=field-pi&quantity=ph", 404, "series"},
                                                                   {"/api/readings?series=1&from=yesterdayish", 400, "from"},
                                                                   {"/api/readings?series=1&from=now&to=-1h", 400, "from"},
                                                                   {"/api/readings?series=1&step=banana", 400, "step"},
                                                                   {"/api/readings?series=1&format=xml", 400, "format"},
                                                                   {"/api/readings?series=1&limit=0", 400, "limit"},
                                                                   {"/api/readings?series=1&limt=5", 400, "limt"},
                                                                   {"/api/gaps?node=nobody", 404, "nobody"},
                                                                   {"/api/gaps?after=x", 400, "after"},
                                                                   {"/api/dead-letters?after=0", 400, "after"},
                                                                   {"/api/gardens/nowhere", 404, "nowhere"},
                                                                   {"/api/nodes/nobody", 404, "nobody"},
                                                                   {"/api/nodes/greenhouse-pi?x=1", 400, "x"}};
    for (const auto& [target, status, word] : questions) {
        const Answer answer = api.get(target);
        EXPECT_EQ(answer.status, status) << target;
        const auto error = parse_json(answer.body);
        ASSERT_TRUE(error.has_value()) << target;
        EXPECT_NE((*error)["error"]["message"].as_string().find(word), std::string::npos) << target << ": " << answer.body;
        EXPECT_FALSE((*error)["error"]["hint"].as_string().empty()) << target;
    }
}

TEST(Api, TooManySeriesAtOnceAreRefused) {
    FilledFleet filled;
    CommitResult result;
    for (SeriesId id = 100; id < 100 + static_cast<SeriesId>(series_per_query_max) + 1; ++id) {
        result.new_series.push_back({id, "field-pi", "pump", "q" + std::to_string(id), "", ValueKind::Number});
    }
    filled.fleet.on_commit(result, {}, fleet_now);
    RunningApi api(filled);
    EXPECT_EQ(api.get("/api/readings?node=field-pi").status, 400);
    EXPECT_EQ(api.get("/api/readings?node=field-pi&quantity=q120").status, 200);
}

TEST(Api, R4_AStoreThatFailsAtOnceIsAnErrorAndLaterABrokenAnswer) {
    FilledFleet filled;
    filled.store.fail_at_call = 0;
    RunningApi api(filled);
    const Answer at_once = api.get("/api/readings?series=1");
    EXPECT_EQ(at_once.status, 504);
    EXPECT_NE(at_once.body.find("the disk is slow"), std::string::npos);
    EXPECT_EQ(api.get("/api/readings?series=1").status, 200) << "the next question is answered";
    api.running.on_loop([&] {
        filled.store.points.clear();
        for (int64_t i = 0; i < 6000; ++i) filled.store.points.push_back({1, fleet_now - hours(2) + seconds(i), Value(1.0), false});
        filled.store.calls = 0;
        filled.store.fail_at_call = 2;
        return 0;
    });
    const Answer later = api.get("/api/readings?series=1");
    EXPECT_EQ(later.status, 200);
    EXPECT_FALSE(later.whole);
}

TEST(Api, R4_AReaderThatCannotBeOpenedIsTriedAgain) {
    FilledFleet filled;
    ApiSources sources = filled.sources();
    int opened = 0;
    sources.open_reader = [&]() -> Result<std::unique_ptr<StoreReader>> {
        if (++opened == 1) return fail(Code::Unavailable, "no such file", "start it again");
        return std::make_unique<testing::MemoryReader>(filled.store);
    };
    testing::RunningServer running;
    Api api(*running.server, std::move(sources));
    running.start();
    BareClient client(running.port);
    const std::string token = "Authorization: Bearer " + filled.token + "\r\n";
    EXPECT_EQ(client.get("/api/gaps", token).status, 503);
    EXPECT_EQ(client.get("/api/gaps", token).status, 200);
    EXPECT_EQ(client.get("/api/dead-letters", token).status, 200);
    running.stop();
    EXPECT_EQ(opened, 2) << "one reader serves them all";
}

TEST(Api, LossesAreListed) {
    FilledFleet filled;
    RunningApi api(filled);
    EXPECT_EQ(keys(api.json("/api/gaps"), "reason"), (Texts{"damaged", "evicted"}));
    EXPECT_EQ(keys(api.json("/api/gaps?node=greenhouse-pi&limit=1"), "reason"), (Texts{"damaged"}));
    EXPECT_EQ(keys(api.json("/api/gaps?node=field-pi"), "reason"), Texts{});
    EXPECT_EQ(keys(api.json("/api/dead-letters?limit=1"), "id"), (Texts{"2"}));
}

TEST(Api, ListsOfTheStoreAreReadPageByPage) {
    FilledFleet filled;
    RunningApi api(filled);
    const auto page_by_page = [&](const std::string& path, const char* member) {
        Texts all;
        std::string after;
        for (int pages = 0; pages < 10; ++pages) {
            const Json page = api.json(path + (path.find('?') == std::string::npos ? "?limit=1" : "&limit=1") + after);
            for (const std::string& key : keys(page, member)) all.push_back(key);
            if (page["next"].is_null()) return all;
            after = "&after=" + page["next"].as_string();
        }
        ADD_FAILURE() << path << " has no last page";
        return all;
    };
    EXPECT_EQ(page_by_page("/api/gaps", "reason"), (Texts{"damaged", "evicted"}));
    EXPECT_EQ(page_by_page("/api/gaps?node=greenhouse-pi", "reason"), (Texts{"damaged", "evicted"}));
    EXPECT_EQ(page_by_page("/api/dead-letters", "id"), keys(api.json("/api/dead-letters"), "id"));
    EXPECT_EQ(page_by_page("/api/events", "id"), (Texts{"9", "8"}));
    EXPECT_TRUE(api.json("/api/events?limit=2")["next"].is_null()) << "a full page that is the last one says so";
}

TEST(Api, WhatNodesToldIsListed) {
    FilledFleet filled;
    RunningApi api(filled);
    EXPECT_EQ(keys(api.json("/api/events"), "id"), (Texts{"9", "8"}));
    EXPECT_EQ(keys(api.json("/api/events?limit=1"), "text"), (Texts{"says \"ö\""}));
    EXPECT_EQ(keys(api.json("/api/events?node=shed-pi"), "text"), (Texts{"the disk is slow"}));
    EXPECT_EQ(keys(api.json("/api/events?node=nobody"), "id"), Texts{});
}

TEST(Api, MetricsComeInTheFormatAskedFor) {
    FilledFleet filled;
    FleetMetrics metrics(filled.registry, filled.fleet, filled.clock);
    RunningApi api(filled);
    const Answer text = api.get("/metrics");
    EXPECT_TRUE(text.headers.at("content-type").starts_with("text/plain; version=0.0.4"));
    EXPECT_NE(text.body.find("basmalin_node_up{garden=\"home\",node=\"shed-pi\"} 0"), std::string::npos);
    const Answer open = api.get("/api/metrics", "Accept: application/openmetrics-text;version=1.0.0\r\n");
    EXPECT_TRUE(open.headers.at("content-type").starts_with("application/openmetrics-text; version=1.0.0"));
    EXPECT_TRUE(open.body.ends_with("# EOF\n"));
}

}  // namespace
}  // namespace basmalin::coordinator
