#include "coordinator/metrics/fleet_metrics.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>

#include "tests/coordinator/http/filled_fleet.h"
#include "tests/shared/metrics/exposition_checker.h"

namespace basmalin::coordinator {
namespace {

using testing::FilledFleet;
using testing::fleet_now;

basmalin::testing::Exposed expose(Registry& registry, Exposition format = Exposition::Prometheus) {
    auto found = basmalin::testing::check_exposition(registry.expose(format), format == Exposition::OpenMetrics);
    EXPECT_EQ(found.wrong, std::vector<std::string>{});
    return found;
}

IncomingBatch live_batch(WallTime sealed, WallTime received, ClockState clock = ClockState::Synced) {
    BatchHeader header;
    header.seq = 1;
    header.clock = clock;
    header.sealed_wall = sealed;
    IncomingBatch batch;
    batch.node = "greenhouse-pi";
    batch.stream = 7;
    batch.bytes = seal_batch(7, header, "");
    batch.received = received;
    return batch;
}

TEST(FleetMetrics, ReadingsAreCountedByQuantityAndDevice) {
    FilledFleet filled;
    FleetMetrics metrics(filled.registry, filled.fleet, filled.clock);
    CommitResult result;
    result.latest = {{1, fleet_now, false, Value(1.0), 3}, {4, fleet_now, false, Value(1.0), 5}, {999, fleet_now, false, Value(1.0), 5}};
    result.readings_stored = 8;
    metrics.on_commit({}, result);
    metrics.on_commit({}, result);
    auto found = expose(filled.registry);
    EXPECT_EQ(found.samples.at("iot_sensor_readings_total{sensor_type=\"temperature\",device_id=\"greenhouse-pi/bed1\",status=\"stored\"}"),
              6);
    EXPECT_EQ(found.samples.at("iot_sensor_readings_total{sensor_type=\"flow\",device_id=\"field-pi/pump\",status=\"stored\"}"), 10);
    EXPECT_EQ(found.samples.at("basmalin_readings_stored_total"), 16);
}

TEST(FleetMetrics, R1_DevicesBeyondTheBudgetShareALabel) {
    FilledFleet filled;
    CommitResult made;
    for (SeriesId id = 10; id < 1010; ++id) {
        const std::string node = id % 2 == 0 || id < 900 ? "field-pi" : "shed-pi";
        made.new_series.push_back({id, node, "d" + std::to_string(id % 500), "q" + std::to_string(id), "", ValueKind::Number});
        made.latest.push_back({id, fleet_now, false, Value(1.0), 1});
    }
    filled.fleet.on_commit(made, {}, fleet_now);
    FleetMetrics metrics(filled.registry, filled.fleet, filled.clock, {.devices_max = 20});
    metrics.on_commit({}, made);
    std::set<std::string> devices;
    double total = 0;
    for (const auto& [series, value] : expose(filled.registry).samples) {
        if (!series.starts_with("iot_sensor_readings_total")) continue;
        const size_t from = series.find("device_id=\"");
        devices.insert(series.substr(from, series.find('"', from + 11) - from));
        total += value;
    }
    EXPECT_EQ(devices.size(), 11u) << "a quarter of 20 for each node, and the rest";
    EXPECT_TRUE(devices.contains("device_id=\"_other"));
    EXPECT_TRUE(std::ranges::any_of(devices, [](const auto& one) { return one.starts_with("device_id=\"shed-pi/"); }))
        << "the first to come leaves room";
    EXPECT_EQ(total, 1000);
}

TEST(FleetMetrics, R2_BatchesReceivedAreTheSumOfTheirOutcomes) {
    FilledFleet filled;
    FleetMetrics metrics(filled.registry, filled.fleet, filled.clock);
    CommitResult result;
    result.outcomes = {Outcome::Stored, Outcome::Duplicate, Outcome::Stored, Outcome::Dead, Outcome::Refused};
    metrics.on_commit({}, result);
    const auto samples = expose(filled.registry).samples;
    double sum = 0;
    for (const auto& [series, value] : samples) sum += series.starts_with("basmalin_batches_total{") ? value : 0;
    EXPECT_EQ(sum, 5);
    EXPECT_EQ(samples.at("basmalin_batches_received_total"), 5);
    EXPECT_EQ(samples.at("basmalin_batches_total{outcome=\"stored\"}"), 2);
}

TEST(FleetMetrics, R2_ABatchThatIsGivenUpIsAnOutcomeToo) {
    FilledFleet filled;
    FleetMetrics metrics(filled.registry, filled.fleet, filled.clock);
    EXPECT_EQ(expose(filled.registry).samples.at("basmalin_batches_total{outcome=\"given_up\"}"), 0) << "shown before the first";
    CommitResult result;
    result.outcomes = {Outcome::Stored, Outcome::Refused};
    metrics.on_commit({}, result);
    metrics.on_given_up();
    const auto samples = expose(filled.registry).samples;
    double sum = 0;
    for (const auto& [series, value] : samples) sum += series.starts_with("basmalin_batches_total{") ? value : 0;
    EXPECT_EQ(samples.at("basmalin_batches_total{outcome=\"given_up\"}"), 1);
    EXPECT_EQ(samples.at("basmalin_batches_received_total"), sum);
    EXPECT_EQ(sum, 3);
}

TEST(FleetMetrics, WhatANodeDidWrongIsCountedAtItsName) {
    FilledFleet filled;
    FleetMetrics metrics(filled.registry, filled.fleet, filled.clock);
    CommitResult result;
    result.outcomes = {Outcome::Dead, Outcome::Stored, Outcome::Refused};
    std::vector<IncomingBatch> batches(3);
    for (IncomingBatch& batch : batches) batch.node = "evil";
    metrics.on_commit(batches, result);
    metrics.on_fault("evil", "flood", 7);
    const auto samples = expose(filled.registry).samples;
    EXPECT_EQ(samples.at("basmalin_node_faults_total{node=\"evil\",fault=\"dead\"}"), 1);
    EXPECT_EQ(samples.at("basmalin_node_faults_total{node=\"evil\",fault=\"refused\"}"), 1);
    EXPECT_EQ(samples.at("basmalin_node_faults_total{node=\"evil\",fault=\"flood\"}"), 7);
}

TEST(FleetMetrics, LagIsOfLiveBatchesSealedUnderASyncedClock) {
    FilledFleet filled;
    FleetMetrics metrics(filled.registry, filled.fleet, filled.clock);
    IncomingBatch backlog = live_batch(fleet_now - hours(5), fleet_now);
    backlog.lane = Lane::Backlog;
    IncomingBatch torn = live_batch(fleet_now, fleet_now);
    torn.bytes.resize(3);
    CommitResult result;
    result.outcomes = {Outcome::Stored, Outcome::Stored, Outcome::Stored, Outcome::Duplicate, Outcome::Stored};
    metrics.on_commit(
        {live_batch(fleet_now - milliseconds(700), fleet_now), backlog, live_batch(fleet_now - hours(1), fleet_now, ClockState::Unsynced),
         live_batch(fleet_now - hours(1), fleet_now), torn},
        result);
    const auto samples = expose(filled.registry).samples;
    EXPECT_EQ(samples.at("basmalin_ingest_lag_seconds_count"), 1);
    EXPECT_EQ(samples.at("basmalin_ingest_lag_seconds_sum"), 0.7);
}

TEST(FleetMetrics, GapsThatAreLossesAreCounted) {
    FilledFleet filled;
    FleetMetrics metrics(filled.registry, filled.fleet, filled.clock);
    CommitResult result;
    result.gaps = filled.store.gaps;
    result.gaps.push_back({.node = "greenhouse-pi", .gap = {.readings = 1000, .reason = GapReason::Released}, .received = fleet_now});
    metrics.on_commit({}, result);
    EXPECT_EQ(expose(filled.registry).samples.at("basmalin_gap_readings_total"), 701);
}

TEST(FleetMetrics, R3_GaugesFollowTheFleet) {
    FilledFleet filled;
    FleetMetrics metrics(filled.registry, filled.fleet, filled.clock);
    auto samples = expose(filled.registry).samples;
    EXPECT_EQ(samples.at("basmalin_nodes{presence=\"online\"}"), 2);
    EXPECT_EQ(samples.at("basmalin_nodes{presence=\"lost\"}"), 1);
    EXPECT_EQ(samples.at("basmalin_devices{state=\"late\"}"), 1);
    EXPECT_EQ(samples.at("basmalin_devices{state=\"unknown\"}"), 2);
    EXPECT_EQ(samples.at("basmalin_node_temperature_celsius{garden=\"home\",node=\"greenhouse-pi\"}"), 51.5);
    EXPECT_EQ(samples.at("basmalin_node_up{garden=\"home\",node=\"shed-pi\"}"), 0);
    const Status moved{.online = true, .since = fleet_now, .garden = "yard"};
    filled.fleet.on_status("shed-pi", moved, false, fleet_now);
    samples = expose(filled.registry).samples;
    EXPECT_EQ(samples.at("basmalin_nodes{presence=\"online\"}"), 3);
    EXPECT_EQ(samples.at("basmalin_node_up{garden=\"yard\",node=\"shed-pi\"}"), 1);
    EXPECT_FALSE(samples.contains("basmalin_node_up{garden=\"home\",node=\"shed-pi\"}"));
}

TEST(FleetMetrics, R1_NodesBeyondTheBudgetAreOnlyCounted) {
    FilledFleet filled;
    FleetMetrics metrics(filled.registry, filled.fleet, filled.clock, {.nodes_max = 2});
    const auto samples = expose(filled.registry).samples;
    size_t shown = 0;
    for (const auto& [series, value] : samples) shown += series.starts_with("basmalin_node_up{") ? 1 : 0;
    EXPECT_EQ(shown, 2u);
    EXPECT_EQ(samples.at("basmalin_nodes_without_gauges"), 1);
}

TEST(FleetMetrics, R1_StrangeMethodsShareALabel) {
    FilledFleet filled;
    FleetMetrics metrics(filled.registry, filled.fleet, filled.clock);
    for (int i = 0; i < 100; ++i) metrics.on_request({"M" + std::to_string(i), "unmatched", 404, milliseconds(1), 0.001});
    EXPECT_EQ(
        expose(filled.registry).samples.at("http_request_duration_seconds_count{method=\"other\",route=\"unmatched\",status_code=\"404\"}"),
        100);
}

TEST(FleetMetrics, TheProcessIsSeen) {
    FilledFleet filled;
    FleetMetrics metrics(filled.registry, filled.fleet, filled.clock, {.version = "9.8.7"});
    const auto samples = expose(filled.registry).samples;
    EXPECT_GT(samples.at("process_resident_memory_bytes"), 1e6);
    EXPECT_GE(samples.at("process_open_fds"), 3);
    EXPECT_GE(samples.at("process_threads"), 1);
    EXPECT_EQ(samples.at("process_start_time_seconds"), 1.79e9);
    EXPECT_EQ(samples.at("basmalin_build_info{version=\"9.8.7\"}"), 1);
}

TEST(FleetMetrics, PassPromtoolAndOpenMetrics) {
    FilledFleet filled;
    FleetMetrics metrics(filled.registry, filled.fleet, filled.clock);
    metrics.on_request({"GET", "/api/nodes/{id}", 200, milliseconds(1), 0.001});
    metrics.set_store({.fleet_bytes = 1000, .wal_bytes = 10, .history_bytes = 5, .oldest_hot = fleet_now - minutes(5)});
    expose(filled.registry, Exposition::OpenMetrics);
    char path[] = "/tmp/basmalin_expositionXXXXXX";
    ASSERT_GE(mkstemp(path), 0);
    std::ofstream(path) << filled.registry.expose(Exposition::Prometheus);
    FILE* tool = popen((std::string("promtool check metrics < ") + path + " 2>&1").c_str(), "r");
    ASSERT_NE(tool, nullptr);
    std::string said;
    std::array<char, 512> line;
    while (std::fgets(line.data(), line.size(), tool) != nullptr) said += line.data();
    EXPECT_EQ(pclose(tool), 0) << said;
    EXPECT_EQ(said, "");
    std::remove(path);
}

}  // namespace
}  // namespace basmalin::coordinator
