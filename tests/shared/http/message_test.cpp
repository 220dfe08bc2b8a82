#include "shared/http/message.h"

#include <gtest/gtest.h>

#include "shared/base/json.h"
#include "shared/http/router.h"

namespace basmalin {
namespace {

using namespace http_message;

TEST(Target, IsSplitBeforeItIsDecoded) {
    const auto target = parse_target("/api/nodes/a%2Fb/x%20y?q=%C4%8D+a%2Bb&limit=5&limit=7&flag&=");
    ASSERT_TRUE(target.has_value());
    EXPECT_EQ(target->segments, (std::vector<std::string>{"api", "nodes", "a/b", "x y"}));
    EXPECT_EQ(target->query.at("q"), "č a+b");
    EXPECT_EQ(target->query.at("limit"), "7");
    EXPECT_EQ(target->query.at("flag"), "");
}

TEST(Target, RefusesBadEscapesNulAndWhatIsNotUtf8) {
    for (const char* bad : {"/a%", "/a%2", "/a%zz", "/a%00b", "/a%ff", "/a?x=%", "/a?%00=1", "/a?x=%c3", "api", "*", "http://host"}) {
        EXPECT_FALSE(parse_target(bad).has_value()) << bad;
    }
}

TEST(Target, TakesTheAbsoluteForm) {
    const auto target = parse_target("http://garden:8080/api/nodes?limit=1");
    ASSERT_TRUE(target.has_value());
    EXPECT_EQ(target->path, "/api/nodes");
}

TEST(ETag, MatchesListsWeakTagsAndTheGzippedVariant) {
    const std::string tag = etag_of("body");
    EXPECT_EQ(tag.size(), 18u);
    EXPECT_NE(tag, etag_of("bodY"));
    EXPECT_TRUE(etag_matches(tag, tag));
    EXPECT_TRUE(etag_matches("\"x\", W/" + tag, tag));
    EXPECT_TRUE(etag_matches(gzip_etag(tag), tag));
    EXPECT_TRUE(etag_matches("*", tag));
    EXPECT_FALSE(etag_matches("", tag));
    EXPECT_FALSE(etag_matches("\"x\"", tag));
}

TEST(Coding, GzipOnlyForWhoAcceptsIt) {
    EXPECT_TRUE(accepts_gzip("gzip, deflate, br"));
    EXPECT_TRUE(accepts_gzip("br;q=1.0, GZIP;q=0.5"));
    EXPECT_TRUE(accepts_gzip("*"));
    EXPECT_FALSE(accepts_gzip(""));
    EXPECT_FALSE(accepts_gzip("identity"));
    EXPECT_FALSE(accepts_gzip("gzip;q=0, *"));
    EXPECT_FALSE(accepts_gzip("gzip;q=oops"));
    EXPECT_FALSE(accepts_gzip("gzip;"));
}

TEST(Coding, PreferencesHaveAQuality) {
    EXPECT_EQ(quality_of("application/json, text/csv;q=0.1", "text/csv"), 0.1);
    EXPECT_EQ(quality_of("text/csv; charset=utf-8; q=0.5, */*", "text/csv"), 0.5);
    EXPECT_EQ(quality_of("TEXT/CSV", "text/csv"), 1.0);
    EXPECT_FALSE(quality_of("text/csvx, */*", "text/csv"));
}

TEST(Head, CarriesNoLineBreakOut) {
    HttpResponse response = HttpResponse::text("x");
    response.headers.emplace_back("X-Name", "a\r\nSet-Cookie: b");
    const std::string head = render_head(response, {.length = 1, .date = "now"});
    EXPECT_EQ(head.find("\r\nSet-Cookie"), std::string::npos);
    EXPECT_TRUE(head.ends_with("\r\n\r\n"));
}

TEST(Head, DatesAreImfFixdate) { EXPECT_EQ(http_date(784111777), "Sun, 06 Nov 1994 08:49:37 GMT"); }

TEST(ErrorResponse, SaysCodeMessageAndHint) {
    const HttpResponse response = error_response({Code::NotFound, "no node \"x\"", "GET /api/nodes lists them"});
    EXPECT_EQ(response.status, 404);
    const auto json = parse_json(response.body);
    ASSERT_TRUE(json.has_value());
    EXPECT_EQ((*json)["error"]["code"].as_string(), "not_found");
    EXPECT_EQ((*json)["error"]["message"].as_string(), "no node \"x\"");
    EXPECT_EQ((*json)["error"]["hint"].as_string(), "GET /api/nodes lists them");
}

Result<HttpResponse> nothing(const HttpRequest&) { return HttpResponse::text(""); }

TEST(Router, ALiteralWinsOverACapture) {
    Router router;
    router.add("GET", "/api/nodes/{id}", nothing);
    router.add("GET", "/api/nodes/all", nothing);
    router.add("GET", "/api/{kind}/all/{x}", nothing);
    EXPECT_EQ(router.find("GET", {"api", "nodes", "all"}).pattern, "/api/nodes/all");
    const auto match = router.find("HEAD", {"api", "nodes", "n/1"});
    EXPECT_EQ(match.pattern, "/api/nodes/{id}");
    EXPECT_EQ(match.captures.at("id"), "n/1");
    EXPECT_NE(match.handler, nullptr);
    EXPECT_TRUE(router.find("GET", {"api", "nodes", ""}).methods.empty());
    EXPECT_TRUE(router.find("GET", {"api", "nodes"}).methods.empty());
}

TEST(Router, KnowsTheMethodsOfAPath) {
    Router router;
    router.add("GET", "/a", nothing);
    router.add("POST", "/a", nothing);
    const auto match = router.find("DELETE", {"a"});
    EXPECT_EQ(match.handler, nullptr);
    EXPECT_EQ(match.methods, (std::vector<std::string>{"GET", "HEAD", "POST"}));
}

}  // namespace
}  // namespace basmalin
