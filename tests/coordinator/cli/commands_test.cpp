#include "coordinator/cli/commands.h"

#include <gtest/gtest.h>

#include <utility>

#include <map>

using namespace basmalin;
using namespace basmalin::coordinator;

namespace {

// Answers each target from a table, one answer after the other, the last one for ever; remembers what was asked.
class Script final : public Transport {
  public:
    using Answers = std::map<std::string, std::vector<HttpAnswer>>;
    Script(Answers answers, std::vector<std::string>& asked) : answers_(std::move(answers)), asked_(asked) {}
    Result<HttpAnswer> get(const std::string& target, const std::string& token, const OnPiece& on_piece) override {
        asked_.push_back(target);
        EXPECT_EQ(token, "secret");
        const auto found = answers_.find(target.substr(0, target.find('?')));
        if (found == answers_.end()) return HttpAnswer{404, R"({"error":{"code":"not_found","message":"nothing here","hint":"look elsewhere"}})"};
        HttpAnswer answer = found->second.front();
        if (found->second.size() > 1) found->second.erase(found->second.begin());
        if (!on_piece || answer.status != 200) return answer;
        for (const char c : std::exchange(answer.body, "")) on_piece(std::string_view(&c, 1));
        return answer;
    }

  private:
    Answers answers_;
    std::vector<std::string>& asked_;
};

struct Session {
    ManualClock clock;
    std::vector<std::string> asked;
    std::string out;
    std::string complaints;
    Terminal terminal{.write = [this](const std::string& text) { out += text; },
                      .complain = [this](const std::string& text) { complaints += text + "\n"; },
                      .clock = &clock};
    Client client(Script::Answers answers) { return Client(std::make_unique<Script>(std::move(answers), asked), "http://x", "secret"); }
};

}  // namespace

TEST(Commands, ListsFollowEveryPage) {
    Session run;
    Client client = run.client({{"/api/gardens",
                                 {{200, R"({"items":[{"id":"a","nodes":1,"nodes_online":1,"devices":2}],"next":"a"})"},
                                  {200, R"({"items":[{"id":"b","nodes":2,"nodes_online":0,"devices":0}],"next":null})"}}}});
    ASSERT_TRUE(show_gardens(client, run.terminal));
    EXPECT_EQ(run.asked, (std::vector<std::string>{"/api/gardens?limit=1000", "/api/gardens?limit=1000&after=a"}));
    EXPECT_NE(run.out.find("\na "), std::string::npos) << run.out;
    EXPECT_NE(run.out.find("\nb "), std::string::npos) << run.out;
}

TEST(Commands, AnEmptyListSaysWhatToExpect) {
    Session run;
    Client client = run.client({{"/api/nodes", {{200, R"({"items":[],"next":null})"}}}});
    ASSERT_TRUE(show_nodes(client, run.terminal, {}));
    EXPECT_NE(run.out.find("No gateway yet"), std::string::npos);
}

TEST(Commands, JsonIsOneObjectALine) {
    Session run;
    run.terminal.json = true;
    Client client = run.client({{"/api/devices", {{200, R"({"items":[{"device":"x"},{"device":"y"}],"next":null})"}}}});
    ASSERT_TRUE(show_devices(client, run.terminal, {.node = "g1"}));
    EXPECT_EQ(run.out, "{\"device\":\"x\"}\n{\"device\":\"y\"}\n");
    EXPECT_EQ(run.asked.front(), "/api/devices?limit=1000&node=g1");
}

TEST(Commands, ARefusalIsTheApisOwnSentenceAndHint) {
    Session run;
    Client client = run.client({});
    const auto done = show_nodes(client, run.terminal, {});
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().message(), "nothing here (look elsewhere)");
}

TEST(Commands, AMissingTokenSaysHowToNameIt) {
    Session run;
    Client client = run.client({{"/api/nodes", {{401, R"({"error":{"code":"denied","message":"no token","hint":""}})"}}}});
    const auto done = show_nodes(client, run.terminal, {});
    ASSERT_FALSE(done);
    EXPECT_NE(done.error().hint.find("--token-file"), std::string::npos);
}

TEST(Commands, AnAnswerThatIsNoApiSaysSo) {
    Session run;
    Client client = run.client({{"/api/nodes", {{502, "<html>bad gateway</html>"}}}});
    const auto done = show_nodes(client, run.terminal, {});
    ASSERT_FALSE(done);
    EXPECT_NE(done.error().message().find("502"), std::string::npos);
}

TEST(Commands, ReadingsNameNodeDeviceAndQuantity) {
    Session run;
    Client client = run.client({{"/api/readings", {{200, R"({"items":[],"next":null})"}}}});
    ASSERT_TRUE(show_readings(client, run.terminal, {.what = "g1/bed 1/soil", .since = "10m"}));
    EXPECT_EQ(run.asked.front(), "/api/readings?node=g1&device=bed%201&quantity=soil&from=-10m");
    for (const char* bad : {"", "/", "g1//x", "a/b/c/d"}) EXPECT_FALSE(show_readings(client, run.terminal, {.what = bad})) << bad;
}

TEST(Commands, ACsvIsAllThereIsAsItComes) {
    Session run;
    const std::string csv = "time,value\n2026-01-01T00:00:01.000Z,1\n";
    Client client = run.client({{"/api/readings", {{200, csv}}}});
    ASSERT_TRUE(show_readings(client, run.terminal, {.what = "g1", .since = "10m", .csv = true}));
    EXPECT_EQ(run.out, csv);
    EXPECT_EQ(run.asked.front(), "/api/readings?node=g1&from=-10m&format=csv") << "no limit";
    Client refused = run.client({{"/api/readings", {{404, R"({"error":{"code":"not_found","message":"no node g1","hint":""}})"}}}});
    EXPECT_FALSE(show_readings(refused, run.terminal, {.what = "g1", .csv = true}));
}

TEST(Commands, ATextFromAGardenDoesNotMoveTheCursor) {
    Session run;
    Client client = run.client(
        {{"/api/readings",
          {{200, R"({"items":[{"time":"2026-01-01T00:00:01.000Z","device":"d","quantity":"q","unit":"","value":"a\u001b[2Jb\u009bc\nd"}],"next":null})"}}}});
    int looks = 1;
    ASSERT_TRUE(show_readings(client, run.terminal, {.what = "g1", .follow = true, .go_on = [&] { return looks-- > 0; }}));
    EXPECT_NE(run.out.find("a?[2Jb?c?d\n"), std::string::npos) << run.out;
}

TEST(Commands, R3FollowingDoesNotSlideAwayFromWhatComesAndSaysWhyNothingDoes) {
    Session run;
    run.terminal.json = true;
    const std::string reading = R"({"time":"2026-01-01T00:00:01.000Z","value":1})";
    Client client = run.client({{"/api/readings",
                                 {{404, R"({"error":{"code":"not_found","message":"no device bed1","hint":"GET /api/devices?node=g1 lists them"}})"},
                                  {404, R"({"error":{"code":"not_found","message":"no device bed1","hint":"GET /api/devices?node=g1 lists them"}})"},
                                  {200, R"({"items":[],"next":null})"},
                                  {200, R"({"items":[)" + reading + R"(],"next":null})"}}}});
    int looks = 4;
    ASSERT_TRUE(show_readings(client, run.terminal,
                              {.what = "g1/bed1", .since = "1m", .follow = true, .go_on = [&] { return looks-- > 0; }, .pause = [&](Duration) {
                                   run.clock.advance(seconds(2));
                               }}));
    EXPECT_EQ(run.out, reading + "\n");
    EXPECT_EQ(run.complaints, "no device bed1 (basmalin devices --node g1 lists them); waiting\nhere again\n");
    ASSERT_EQ(run.asked.size(), 4u);
    EXPECT_TRUE(run.asked[0].ends_with("from=-1m")) << run.asked[0];
    EXPECT_TRUE(run.asked[3].ends_with("from=-66s")) << run.asked[3];
}

TEST(Commands, AFilterThatFitsNothingIsNoEmptyFleet) {
    Session run;
    Client client = run.client({{"/api/nodes", {{200, R"({"items":[],"next":null})"}}}});
    ASSERT_TRUE(show_nodes(client, run.terminal, {.state = "lost"}));
    EXPECT_EQ(run.out.find("No gateway yet"), std::string::npos) << run.out;
}

TEST(Commands, AWrongTimeIsSaidInTheWordsOfTheCommand) {
    Session run;
    Client client = run.client(
        {{"/api/readings", {{400, R"({"error":{"code":"invalid","message":"parameter from: 'yesterday' is no time","hint":"write …"}})"}}}});
    const auto done = show_readings(client, run.terminal, {.what = "g1", .since = "yesterday"});
    ASSERT_FALSE(done);
    EXPECT_TRUE(done.error().message().starts_with("--since: 'yesterday' is no time (write an age like")) << done.error().message();
    EXPECT_TRUE(run.asked[0].ends_with("from=yesterday"));
}

TEST(Commands, FollowingShowsEveryReadingOnce) {
    Session run;
    run.terminal.json = true;
    const std::string first = R"({"time":"2026-01-01T00:00:01.000Z","value":1})";
    const std::string second = R"({"time":"2026-01-01T00:00:02.000Z","value":2})";
    const std::string twin = R"({"time":"2026-01-01T00:00:02.000Z","value":3})";
    Client client = run.client({{"/api/readings",
                                 {{200, R"({"items":[)" + first + "," + second + R"(],"next":null})"},
                                  {200, R"({"items":[)" + second + "," + twin + R"(],"next":null})"}}}});
    int looks = 3;
    ASSERT_TRUE(show_readings(client, run.terminal, {.what = "g1", .follow = true, .go_on = [&] { return looks-- > 0; }}));
    EXPECT_EQ(run.out, first + "\n" + second + "\n" + twin + "\n");
    EXPECT_NE(run.asked[1].find("from=2026-01-01T00%3A00%3A02.000Z"), std::string::npos);
}
