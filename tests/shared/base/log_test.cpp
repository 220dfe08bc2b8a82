#include "shared/base/log.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>

namespace basmalin {
namespace {

class LogTest : public testing::Test {
  protected:
    void SetUp() override { log::start(log::Level::Info); }
    static std::string said(const std::function<void()>& work) {
        testing::internal::CaptureStderr();
        work();
        return testing::internal::GetCapturedStderr();
    }
};
using Log = LogTest;

TEST_F(Log, ALineIsAnEventAndItsFields) {
    const std::string line = said([] { log::warn("broker_lost", {{"host", "a.example"}, {"tries", 3}, {"ratio", 0.5}, {"tls", true}}); });
    EXPECT_TRUE(line.ends_with(" warning broker_lost host=a.example tries=3 ratio=0.5 tls=true\n")) << line;
}

TEST_F(Log, HostileValuesStayInOneLine) {
    const std::string line = said([] { log::info("e", {{"a", "two words"}, {"b", "x\nlevel=error y"}, {"c", "q\"\\"}, {"d", std::string("\x1b[31m\0", 6)}, {"f", ""}}); });
    EXPECT_TRUE(line.ends_with(" info e a=\"two words\" b=\"x\\nlevel=error y\" c=\"q\\\"\\\\\" d=\"?[31m?\" f=\"\"\n")) << testing::PrintToString(line);
}

TEST_F(Log, WhatIsBelowTheLevelIsSilent) {
    EXPECT_EQ(said([] { log::debug("quiet"); }), "");
    log::set_level(log::Level::Error);
    EXPECT_EQ(said([] { log::warn("quiet"); }), "");
    EXPECT_NE(said([] { log::error("loud"); }), "");
}

TEST_F(Log, BracesInValuesAreNoFormat) {
    EXPECT_TRUE(said([] { log::info("e", {{"a", "{}{0}{:x}%s"}}); }).ends_with(" info e a={}{0}{:x}%s\n"));
}

TEST_F(Log, LevelsHaveNames) {
    EXPECT_EQ(log::level_from("debug", log::Level::Error), log::Level::Debug);
    EXPECT_EQ(log::level_from("warn", log::Level::Error), log::Level::Warn);
    EXPECT_EQ(log::level_from("nonsense", log::Level::Error), log::Level::Error);
}

TEST(LogGate, LetsOneThroughPerIntervalAndCountsTheRest) {
    log::Gate gate(seconds(10));
    EXPECT_TRUE(gate.open({0}));
    EXPECT_EQ(gate.suppressed(), 0u);
    EXPECT_FALSE(gate.open({1}));
    EXPECT_FALSE(gate.open({9'999}));
    EXPECT_TRUE(gate.open({10'000}));
    EXPECT_EQ(gate.suppressed(), 2u);
    EXPECT_TRUE(gate.open({30'000}));
    EXPECT_EQ(gate.suppressed(), 0u);
}

}  // namespace
}  // namespace basmalin
