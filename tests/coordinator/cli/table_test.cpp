#include "coordinator/cli/table.h"

#include <gtest/gtest.h>

using namespace basmalin;
using namespace basmalin::coordinator;

TEST(Table, ColumnsLineUpByCharactersNotBytes) {
    Table table({"name", "value"});
    table.row({{"café"}, {"1"}});
    table.row({{"tea"}, {"22"}});
    EXPECT_EQ(table.text(false), "name  value\ncafé  1\ntea   22\n");
}

TEST(Table, ANameFromAGardenCannotMoveTheCursor) {
    Table table({"name"});
    table.row({{"\033[2Jgone\n"}});
    EXPECT_EQ(table.text(false), "name\n?[2Jgone?\n");
}

TEST(Table, ColoursOnlyWhenAsked) {
    Table table({"state"});
    table.row({{"lost", Shade::Bad}});
    EXPECT_EQ(table.text(false).find('\033'), std::string::npos);
    EXPECT_NE(table.text(true).find("\033[31mlost\033[0m"), std::string::npos);
}

TEST(Times, AreReadBackToTheMillisecond) {
    for (const int64_t ms : {int64_t{0}, int64_t{951'782'400'000}, int64_t{1'790'000'000'123}}) {
        const auto parsed = parse_rfc3339(to_rfc3339(WallTime{ms}));
        ASSERT_TRUE(parsed) << ms;
        EXPECT_EQ(parsed->ms, ms);
    }
    for (const char* bad : {"", "yesterday", "2026-11-22", "2026-11-22T17:35:00", "2026-11-22T17:35:00.12Z", "2026-11-22T17:35:0xZ"})
        EXPECT_FALSE(parse_rfc3339(bad)) << bad;
}

TEST(Times, AreToldAsPeopleDo) {
    const WallTime now{1'790'000'000'000};
    const auto at = [&](int64_t seconds_back) { return ago(to_rfc3339(now - seconds(seconds_back)), now); };
    EXPECT_EQ(at(0), "now");
    EXPECT_EQ(at(12), "12 s ago");
    EXPECT_EQ(at(300), "5 min ago");
    EXPECT_EQ(at(3 * 3600), "3 h ago");
    EXPECT_EQ(at(3 * 86'400), "3 d ago");
    EXPECT_EQ(at(-180), "in 3 min");
    EXPECT_EQ(ago("", now), "never");
}

TEST(Values, AreWrittenAsPeopleReadThem) {
    EXPECT_EQ(value_text(Json(21.4), "Cel"), "21.4 °C");
    EXPECT_EQ(value_text(Json(true), ""), "on");
    EXPECT_EQ(value_text(Json("auto"), ""), "auto");
    EXPECT_EQ(value_text(Json(1536), "By"), "1.5 KiB");
    EXPECT_EQ(value_text(Json(0.25), "1"), "0.25");
    EXPECT_EQ(value_text(Json(), "Cel"), "–");
}
