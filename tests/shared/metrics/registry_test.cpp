#include "shared/metrics/registry.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <limits>

#include "tests/shared/metrics/exposition_checker.h"

namespace basmalin {
namespace {

void fill(Registry& registry) {
    registry.counter({"basmalin_things_total", "Things, with a \\ and a \"quote\"\nand a new line.", {"kind"}}).with({"a\"b\\c\nd"}).add(3);
    registry.counter({"basmalin_work_seconds_total", "Time spent."}).get().add(1.5);
    auto& gauge = registry.gauge({"basmalin_level_celsius", "A level.", {"node", "device"}});
    gauge.with({"n1", "Čadež ☀"}).set(-3.25);
    gauge.with({"n2", "\xff\xfe"}).set(std::numeric_limits<double>::quiet_NaN());
    gauge.with({"n3", ""}).set(std::numeric_limits<double>::infinity());
    auto& times = registry.histogram({"basmalin_wait_seconds", "How long.", {"route"}}, {0.005, 0.1, 1, 10});
    for (const double v : {0.001, 0.005, 0.5, 100.0}) times.with({"/a"}).observe(v);
    times.with({"/b"});
    registry.gauge({"basmalin_build_info", "The build.", {"version"}}).with({"1.2.3"}).set(1);
    registry.gauge({"basmalin_empty", "Nothing yet.", {"x"}});
}

TEST(Registry, KeepsEveryFamilyTogetherInBothFormats) {
    Registry registry;
    fill(registry);
    for (const auto format : {Exposition::Prometheus, Exposition::OpenMetrics}) {
        const auto found = testing::check_exposition(registry.expose(format), format == Exposition::OpenMetrics);
        EXPECT_EQ(found.wrong, std::vector<std::string>{});
        EXPECT_EQ(found.families.size(), 5u) << "a family without children is not shown";
    }
}

TEST(Registry, WritesPrometheusTextByTheLetter) {
    Registry registry;
    registry.counter({"basmalin_things_total", "Back \\ slash\nline.", {"kind"}}).with({"a\"b\\c\nd"}).add(3);
    auto& times = registry.histogram({"basmalin_wait_seconds", "How \"long\".", {"route"}}, {0.005, 1});
    times.with({"/a"}).observe(0.005);
    times.with({"/a"}).observe(0.5);
    times.with({"/a"}).observe(7);
    EXPECT_EQ(registry.expose(Exposition::Prometheus),
              "# HELP basmalin_things_total Back \\\\ slash\\nline.\n"
              "# TYPE basmalin_things_total counter\n"
              "basmalin_things_total{kind=\"a\\\"b\\\\c\\nd\"} 3\n"
              "# HELP basmalin_wait_seconds How \"long\".\n"
              "# TYPE basmalin_wait_seconds histogram\n"
              "basmalin_wait_seconds_bucket{route=\"/a\",le=\"0.005\"} 1\n"
              "basmalin_wait_seconds_bucket{route=\"/a\",le=\"1\"} 2\n"
              "basmalin_wait_seconds_bucket{route=\"/a\",le=\"+Inf\"} 3\n"
              "basmalin_wait_seconds_sum{route=\"/a\"} 7.505\n"
              "basmalin_wait_seconds_count{route=\"/a\"} 3\n");
}

TEST(Registry, WritesOpenMetricsByTheLetter) {
    Registry registry;
    registry.counter({"basmalin_work_seconds_total", "Time \"spent\"."}).get().add(1.5);
    registry.histogram({"basmalin_wait_seconds", "How long."}, {0.5, 1}).get().observe(1);
    EXPECT_EQ(registry.expose(Exposition::OpenMetrics),
              "# HELP basmalin_wait_seconds How long.\n"
              "# TYPE basmalin_wait_seconds histogram\n"
              "# UNIT basmalin_wait_seconds seconds\n"
              "basmalin_wait_seconds_bucket{le=\"0.5\"} 0\n"
              "basmalin_wait_seconds_bucket{le=\"1.0\"} 1\n"
              "basmalin_wait_seconds_bucket{le=\"+Inf\"} 1\n"
              "basmalin_wait_seconds_sum 1\n"
              "basmalin_wait_seconds_count 1\n"
              "# HELP basmalin_work_seconds Time \\\"spent\\\".\n"
              "# TYPE basmalin_work_seconds counter\n"
              "# UNIT basmalin_work_seconds seconds\n"
              "basmalin_work_seconds_total 1.5\n"
              "# EOF\n");
}

TEST(Registry, PassesPromtool) {
    Registry registry;
    fill(registry);
    char path[] = "/tmp/basmalin_expositionXXXXXX";
    const int file = mkstemp(path);
    ASSERT_GE(file, 0);
    std::ofstream(path) << registry.expose(Exposition::Prometheus);
    const std::string command = std::string("promtool check metrics < ") + path + " 2>&1";
    FILE* tool = popen(command.c_str(), "r");
    ASSERT_NE(tool, nullptr);
    std::string said;
    std::array<char, 512> line;
    while (std::fgets(line.data(), line.size(), tool) != nullptr) said += line.data();
    EXPECT_EQ(pclose(tool), 0) << said;
    EXPECT_EQ(said, "");
    std::remove(path);
}

TEST(Registry, ABudgetGathersTheRest) {
    Registry registry;
    auto& family = registry.counter({"basmalin_seen_total", "Seen.", {"kind", "device"}, 3, "device"});
    for (int i = 0; i < 1000; ++i) family.with({i % 2 == 0 ? "even" : "odd", std::to_string(i)}).add();
    EXPECT_EQ(family.size(), 5u);
    EXPECT_EQ(family.with({"even", "0"}).value(), 1);
    EXPECT_EQ(family.with({"even", "_other"}).value(), 498);
    EXPECT_EQ(family.with({"odd", "_other"}).value(), 499);
}

TEST(Registry, ABudgetHoldsWhateverTheOtherLabelsAre) {
    Registry registry;
    auto& family = registry.counter({"basmalin_seen_total", "Seen.", {"kind", "device"}, 4, "device"});
    for (int i = 0; i < 1000; ++i) family.with({"kind" + std::to_string(i), "d" + std::to_string(i)}).add();
    EXPECT_LE(family.size(), 9u);
    double total = 0;
    for (const auto& [values, child] : family.children()) total += child.metric.value();
    EXPECT_EQ(total, 1000);
}

TEST(Registry, RefreshesBeforeItExposes) {
    Registry registry;
    int calls = 0;
    registry.before_exposition([&] { ++calls; });
    registry.gauge({"basmalin_level", "Level.", {"node"}}, [&](const Registry::Sample& sample) {
        sample(Registry::labels_of({"node"}, {"n" + std::to_string(calls)}), calls);
    });
    EXPECT_NE(registry.expose(Exposition::Prometheus).find("basmalin_level{node=\"n1\"} 1\n"), std::string::npos);
    const std::string second = registry.expose(Exposition::Prometheus);
    EXPECT_EQ(second.find("n1"), std::string::npos);
    EXPECT_NE(second.find("n2"), std::string::npos);
}

TEST(Registry, AGaugeThatIsReadIsAFamilyLikeAnyOther) {
    Registry registry;
    bool any = false;
    registry.gauge({"basmalin_level_celsius", "Levels.", {"node"}}, [&](const Registry::Sample& sample) {
        if (!any) return;
        for (const char* node : {"a\"b", "\xff"}) sample(Registry::labels_of({"node"}, {node}), 1.5);
    });
    EXPECT_EQ(registry.expose(Exposition::Prometheus), "") << "without children it is not mentioned";
    any = true;
    EXPECT_EQ(registry.expose(Exposition::Prometheus),
              "# HELP basmalin_level_celsius Levels.\n# TYPE basmalin_level_celsius gauge\n"
              "basmalin_level_celsius{node=\"a\\\"b\"} 1.5\nbasmalin_level_celsius{node=\"?\"} 1.5\n");
    EXPECT_DEATH(registry.gauge({"basmalin_level_celsius", "Again."}), "another family exposes");
}

TEST(Registry, CountersNeverGoDownBySetting) {
    Counter counter;
    counter.set_at_least(5);
    counter.set_at_least(3);
    EXPECT_EQ(counter.value(), 5);
}


TEST(RegistryDeathTest, RefusesNamesThatPromtoolWouldRefuse) {
    GTEST_FLAG_SET(death_test_style, "fast");
    Registry registry;
    EXPECT_DEATH(registry.counter({"basmalin_things", "Help."}), "_total");
    EXPECT_DEATH(registry.gauge({"basmalin_things_total", "Help."}), "_total");
    EXPECT_DEATH(registry.gauge({"basmalinThings", "Help."}), "a-z");
    EXPECT_DEATH(registry.gauge({"basmalin_things_count", "Help."}), "histograms");
    EXPECT_DEATH(registry.gauge({"basmalin_uptime_hours", "Help."}), "base unit");
    EXPECT_DEATH(registry.gauge({"basmalin_things", ""}), "help");
    EXPECT_DEATH(registry.gauge({"basmalin_things", "Help.", {"le"}}), "label le");
    EXPECT_DEATH(registry.gauge({"basmalin_things", "Help.", {"a", "a"}}), "twice");
    registry.histogram({"basmalin_wait_seconds", "Help."}, {1});
    EXPECT_DEATH(registry.histogram({"basmalin_wait_seconds", "Help."}, {1}), "another family");
    registry.counter({"basmalin_a_total", "Help."});
    EXPECT_DEATH(registry.gauge({"basmalin_a", "Help."}), "another family");
    EXPECT_DEATH(registry.gauge({"basmalin_b", "Help.", {"x"}}).with({}), "one value");
    EXPECT_DEATH(registry.histogram({"basmalin_c", "Help."}, {2, 1}), "ascend");
}

TEST(Registry, GivesEachScraperTheFormatItPrefers) {
    const auto open = Exposition::OpenMetrics;
    const auto text = Exposition::Prometheus;
    EXPECT_EQ(Registry::negotiate(""), text);
    EXPECT_EQ(Registry::negotiate("*/*"), text);
    EXPECT_EQ(Registry::negotiate("text/html,application/xhtml+xml,*/*;q=0.8"), text);
    EXPECT_EQ(Registry::negotiate("application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
                                  "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"),
              open);
    EXPECT_EQ(Registry::negotiate("application/openmetrics-text; version=1.0.0; q=0.3, text/plain; q=0.9"), text);
    EXPECT_EQ(Registry::negotiate("Application/OpenMetrics-Text"), open);
    EXPECT_EQ(Registry::negotiate("application/openmetrics-text;version=2.0.0"), text);
    EXPECT_EQ(Registry::negotiate("application/openmetrics-text;q=0"), text);
    EXPECT_EQ(Registry::negotiate("application/openmetrics-text;q=oops"), text);
    EXPECT_EQ(Registry::negotiate("application/openmetrics-text;q=0.5,text/*;q=0.2,*/*;q=0.9"), open);
    EXPECT_EQ(Registry::negotiate(";;;,,,===;q="), text);
}

}  // namespace
}  // namespace basmalin
