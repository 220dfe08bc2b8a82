// The API's answers, byte for byte: others depend on them. BASMALIN_REWRITE_GOLDEN=1 writes them anew; git shows the difference.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "shared/base/file.h"
#include "tests/coordinator/http/api_bench.h"

namespace basmalin::coordinator {
namespace {

const std::string folder = std::string(BASMALIN_SOURCE_FOLDER) + "/tests/golden/http/";

void compare(const std::string& name, const std::string& now) {
    const char* rewrite = std::getenv("BASMALIN_REWRITE_GOLDEN");
    if (rewrite != nullptr && std::string(rewrite) == "1") {
        ASSERT_TRUE(replace_file(folder + name, now, 0644).has_value());
        return;
    }
    const auto kept = read_file(folder + name, 1 << 20);
    ASSERT_TRUE(kept.has_value()) << kept.error().message();
    EXPECT_EQ(now, *kept) << name << ": if this change is meant, run this test with BASMALIN_REWRITE_GOLDEN=1 and look at git diff";
}

NodeHealth every_value() {
    NodeHealth health;
    for (const char* name : {"cpu_ratio", "load1", "memory_available_bytes", "memory_total_bytes", "swap_used_bytes", "disk_free_bytes",
                             "disk_total_bytes", "disk_written_today_bytes", "temperature_celsius", "uptime_seconds", "wifi_signal_dbm",
                             "buffer_readings", "buffer_bytes", "buffer_oldest_seconds", "agent_rss_bytes", "something_new_ratio"}) {
        health.values[name] = 1;
    }
    health.flags = {{"clock_synced", true}};
    return health;
}

TEST(Golden, TheApisAnswersStayAsTheyAre) {
    testing::FilledFleet filled;
    testing::RunningApi api(filled);
    const std::pair<const char*, const char*> answers[] = {{"health.json", "/api/health"},
                                                           {"gardens.json", "/api/gardens"},
                                                           {"garden.json", "/api/gardens/home"},
                                                           {"nodes.json", "/api/nodes?limit=2"},
                                                           {"node.json", "/api/nodes/greenhouse-pi"},
                                                           {"devices.json", "/api/devices"},
                                                           {"series.json", "/api/series"},
                                                           {"readings.json", "/api/readings?node=greenhouse-pi&from=-2h&limit=5"},
                                                           {"readings_steps.json", "/api/readings?series=1,4&step=1h"},
                                                           {"gaps.json", "/api/gaps"},
                                                           {"dead_letters.json", "/api/dead-letters"},
                                                           {"events.json", "/api/events"},
                                                           {"error_unknown_parameter.json", "/api/nodes?colour=red"},
                                                           {"error_not_found.json", "/api/nodes/nobody"},
                                                           {"error_path.json", "/nowhere"}};
    for (const auto& [name, target] : answers) compare(name, api.json(target).dump(true) + "\n");
    compare("readings.csv", api.get("/api/readings?node=greenhouse-pi&from=-2h&limit=5&format=csv").body);
    compare("readings_steps.csv", api.get("/api/readings?series=1,4&step=1h&format=csv").body);
}

TEST(Golden, MetricNamesTypesAndLabelsStayAsTheyAre) {
    testing::FilledFleet filled;
    FleetMetrics metrics(filled.registry, filled.fleet, filled.clock);
    metrics.on_request({"GET", "/api/nodes", 200, milliseconds(2), 0.002});
    metrics.set_store({});
    CommitResult result;
    result.latest = {{1, testing::fleet_now, false, Value(1.0), 3}};
    metrics.on_commit({}, result);
    filled.fleet.on_health("greenhouse-pi", every_value(), false, filled.clock.wall());
    std::set<std::string> names;
    std::istringstream lines(filled.registry.expose(Exposition::Prometheus));
    std::string type;
    for (std::string line; std::getline(lines, line);) {
        if (line.starts_with("# TYPE ")) type = line.substr(line.rfind(' ') + 1);
        if (line.starts_with('#')) continue;
        std::string name = line.substr(0, line.find_first_of("{ "));
        std::string labels;
        for (size_t at = line.find('{'); at != std::string::npos && line[at] != '}';) {
            const size_t equals = line.find('=', at);
            labels += (labels.empty() ? "" : ",") + line.substr(at + 1, equals - at - 1);
            at = line.find('"', equals + 2) + 1;
        }
        names.insert(name + '{' + labels + "} " + type);
    }
    std::string text;
    for (const std::string& name : names) text += name + '\n';
    compare("metric_names.txt", text);
}

}  // namespace
}  // namespace basmalin::coordinator
