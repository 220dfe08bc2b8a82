// The vocabulary of the fleet's tests: a fleet, a clock in seconds, and what nodes say.
#pragma once

#include <gtest/gtest.h>

#include "coordinator/fleet/fleet.h"

namespace basmalin::coordinator {

struct Story {
    explicit Story(FleetOptions options = {}) : fleet(options) { fleet.on_hearing(true, now()); }

    WallTime now() const { return WallTime{1'790'000'000'000} + at; }
    void wait(int64_t s) {
        at = at + seconds(s);
        up = up + seconds(s);
        fleet.tick(now(), up);
    }
    void step_clock(int64_t s) { at = at + seconds(s); }
    void hello(const std::string& node, const std::string& garden = "rose-court") {
        Hello hello;
        hello.garden = garden;
        hello.agent_version = "1.2.3";
        hello.boot = 0xfeed'beef'0123'4567;
        hello.boot_no = 4;
        hello.clock = {.boot_no = 4, .state = ClockState::Synced, .offset_ms = 1'790'000'000'000, .error_ms = 20};
        hello.streams = {{.stream = 0xffff'0000'0000'0001, .next_seq = 12, .oldest_seq = 3, .acked = 9}};
        hello.labels = {{"place", "greenhouse"}};
        fleet.on_hello(node, hello, now());
    }
    void status(const std::string& node, bool online, const std::string& reason = "", bool retained = false) {
        Status status;
        status.online = online;
        status.reason = reason;
        status.since = now();
        status.agent_version = "1.2.3";
        fleet.on_status(node, status, retained, now());
    }
    void health(const std::string& node, bool retained = false) {
        NodeHealth health;
        health.time = now();
        health.values = {{"load_1m", 0.25}};
        fleet.on_health(node, health, retained, now());
    }
    void device(const std::string& node, const std::string& name, DeviceState state, bool retained = false) {
        DeviceHealth health;
        health.device = name;
        health.state = state;
        fleet.on_device_health(node, health, retained, now());
    }
    // A commit of one batch of `node`, with readings of one series: its newest at `time`.
    void commit(const std::string& node, SeriesId series, const std::string& device, WallTime time, double value, uint64_t readings = 1) {
        IncomingBatch batch;
        batch.node = node;
        batch.lane = Lane::Backlog;
        batch.received = now();
        CommitResult result;
        result.outcomes = {Outcome::Stored};
        if (fleet.series(series) == nullptr) {
            result.new_series = {{.id = series, .node = node, .device = device, .quantity = "temperature", .unit = "Cel"}};
        }
        result.latest = {{.series = series, .time = time, .estimated = false, .value = value, .readings = readings}};
        fleet.on_commit(result, {batch}, now());
    }
    Presence presence(const std::string& node) const { return fleet.node(node)->presence; }
    double value(SeriesId series) const { return std::get<double>(fleet.series(series)->latest->value); }

    Fleet fleet;
    Duration at;
    MonoTime up;
};

}  // namespace basmalin::coordinator
