// A small fleet and a store in memory, the same at every run: for tests of the API, and for the program that the check of
// openapi.yaml runs against.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "coordinator/fleet/fleet.h"
#include "coordinator/http/api.h"
#include "coordinator/metrics/fleet_metrics.h"

namespace basmalin::coordinator::testing {

constexpr WallTime fleet_now{1'790'000'000'000};  // 2026-09-21T14:13:20Z

struct MemoryStore {
    std::vector<ReadingPoint> points;  // in order of time, then series
    std::vector<GapRecord> gaps;
    std::vector<StoreReader::DeadLetter> dead_letters;
    std::vector<StoreReader::Event> events;
    int fail_at_call = -1;  // the call (from 0) of readings() or buckets() that fails
    int calls = 0;
};

class MemoryReader final : public StoreReader {
  public:
    explicit MemoryReader(MemoryStore& store) : store_(store) {}

    Result<Page> readings(const ReadingQuery& query, size_t limit, const std::string& cursor) override {
        if (store_.calls++ == store_.fail_at_call) return fail(Code::Timeout, "the disk is slow", "ask for less");
        Page page;
        for (size_t i = cursor.empty() ? 0 : std::stoul(cursor); i < store_.points.size(); ++i) {
            const ReadingPoint& point = store_.points[i];
            if (!fits(query, point)) continue;
            if (page.points.size() == limit) {
                page.next = std::to_string(i);
                break;
            }
            page.points.push_back(point);
        }
        return page;
    }

    Result<std::vector<Bucket>> buckets(const ReadingQuery& query, Duration step) override {
        if (store_.calls++ == store_.fail_at_call) return fail(Code::Timeout, "the disk is slow", "ask for less");
        std::map<std::pair<SeriesId, int64_t>, Bucket> found;
        for (const ReadingPoint& point : store_.points) {
            const double* number = std::get_if<double>(&point.value);
            if (!fits(query, point) || number == nullptr || !std::isfinite(*number)) continue;
            const int64_t start = point.time.ms - point.time.ms % step.ms;
            auto [at, fresh] = found.try_emplace({point.series, start}, Bucket{point.series, {start}, *number, *number, 0, 0});
            at->second.min = std::min(at->second.min, *number);
            at->second.max = std::max(at->second.max, *number);
            at->second.sum += *number;
            ++at->second.count;
        }
        std::vector<Bucket> out;
        for (const auto& [key, bucket] : found) out.push_back(bucket);
        return out;
    }

    Result<std::vector<GapRecord>> gaps(const std::string& node, size_t limit, int64_t before) override {
        return page_of(store_.gaps, node, limit, before);
    }
    Result<std::vector<DeadLetter>> dead_letters(size_t limit, int64_t before) override {
        return page_of(store_.dead_letters, {}, limit, before);
    }
    Result<std::vector<Event>> events(const std::string& node, size_t limit, int64_t before) override {
        return page_of(store_.events, node, limit, before);
    }

  private:
    template <class Row>
    static std::vector<Row> page_of(const std::vector<Row>& rows, const std::string& node, size_t limit, int64_t before) {
        std::vector<Row> found;
        for (const Row& row : rows) {
            if ((node.empty() || row.node == node) && (before == 0 || row.id < before) && found.size() < limit) found.push_back(row);
        }
        return found;
    }
    static bool fits(const ReadingQuery& query, const ReadingPoint& point) {
        return std::find(query.series.begin(), query.series.end(), point.series) != query.series.end() && point.time >= query.from &&
               point.time < query.to;
    }
    MemoryStore& store_;
};

struct FilledFleet {
    FilledFleet() : fleet(FleetOptions{}) {
        clock.set(MonoTime{100'000}, fleet_now);
        fleet.on_hearing(true, fleet_now - hours(2));
        hello("greenhouse-pi", "home");
        hello("shed-pi", "home");
        hello("field-pi", "allotment");
        health();
        commit();
        losses();
        const Status lost{
            .online = false, .reason = "lost", .since = fleet_now, .agent_version = "0.1.0", .boot = 0xfeed, .garden = "home"};
        fleet.on_status("shed-pi", lost, false, fleet_now - minutes(1));
    }

    ApiSources sources() {
        return {.fleet = fleet,
                .registry = registry,
                .clock = clock,
                .open_reader = [this]() -> Result<std::unique_ptr<StoreReader>> { return std::make_unique<MemoryReader>(store); },
                .health_checks = [this] { return checks; },
                .ready = [this] { return ready; },
                .token = token,
                .version = "1.2.3"};
    }

    ManualClock clock;
    Fleet fleet;
    Registry registry;
    MemoryStore store;
    std::vector<HealthCheck> checks = {{"database", true, "last write 2 s ago"}, {"broker", true, "connected"}};
    bool ready = true;
    std::string token = "sesame-0123456789abcdef";

  private:
    void hello(const std::string& node, const std::string& garden) {
        Hello message;
        message.garden = garden;
        message.agent_version = "0.1.0";
        message.boot = 0xfeedc0defeedc0de;
        message.boot_no = 3;
        message.clock = {3, ClockState::Synced, 1'789'300'000'000, 20};
        message.streams = {{0x0123456789abcdef, 4101, 4001, 4100}};
        message.labels = {{"place", "by the \"wall\""}};
        fleet.on_hello(node, message, fleet_now - hours(1));
    }
    void health() {
        NodeHealth node;
        node.time = fleet_now - seconds(30);
        node.time_trusted = true;
        node.values = {{"cpu_ratio", 0.125},          {"memory_available_bytes", 612368384},
                       {"temperature_celsius", 51.5}, {"buffer_readings", 12},
                       {"disk_free_bytes", 8e9},      {"uptime_seconds", 3600}};
        node.flags = {{"clock_synced", true}, {"under_voltage_now", false}};
        node.texts = {{"hostname", "greenhouse-pi"}};
        node.services = {{"mosquitto.service", "active", 0}};
        fleet.on_health("greenhouse-pi", node, false, fleet_now - seconds(30));
        DeviceHealth bed;
        bed.device = "bed1";
        bed.state = DeviceState::Late;
        bed.reason = "no message for 4 min, usually every 60 s";
        bed.last_seen = fleet_now - minutes(4);
        bed.interval_seconds = 60;
        bed.battery_percent = 87;
        bed.name = "Bed by the wall";
        bed.dialect = "esphome";
        fleet.on_device_health("greenhouse-pi", bed, false, fleet_now - seconds(30));
    }
    void commit() {
        CommitResult result;
        result.new_series = {{1, "greenhouse-pi", "bed1", "temperature", "Cel", ValueKind::Number},
                             {2, "greenhouse-pi", "bed1", "wet", "", ValueKind::Boolean},
                             {3, "greenhouse-pi", "Kiosk, \"ö\"", "state", "", ValueKind::Text},
                             {4, "field-pi", "pump", "flow", "L/min", ValueKind::Number}};
        for (int64_t minute = 0; minute < 120; ++minute) {
            const WallTime time = fleet_now - hours(2) + minutes(minute);
            store.points.push_back({1, time, Value(20.0 + static_cast<double>(minute) / 10), false});
            store.points.push_back({2, time, Value(minute % 2 == 0), false});
            if (minute % 60 == 0) store.points.push_back({3, time, Value(std::string(minute == 0 ? "open" : "a,b \"c\"")), true});
            store.points.push_back({4, time, Value(minute == 5 ? std::nan("") : 1.5), false});
        }
        for (SeriesId id = 1; id <= 4; ++id) {
            for (auto point = store.points.rbegin(); point != store.points.rend(); ++point) {
                if (point->series != id) continue;
                result.latest.push_back({id, point->time, point->estimated, point->value, 120});
                break;
            }
        }
        result.readings_stored = store.points.size();
        fleet.on_commit(result, {}, fleet_now - seconds(10));
    }
    void losses() {
        const Gap evicted{.stream = 0x0123456789abcdef,
                          .first_seq = 10,
                          .last_seq = 12,
                          .readings = 700,
                          .exact = true,
                          .from = fleet_now - hours(9),
                          .to = fleet_now - hours(8),
                          .reason = GapReason::Evicted};
        const Gap damaged{
            .stream = 0x0123456789abcdef, .first_seq = 30, .last_seq = 30, .readings = 1, .exact = false, .reason = GapReason::Damaged};
        store.gaps = {{2, "greenhouse-pi", damaged, fleet_now - hours(1)}, {1, "greenhouse-pi", evicted, fleet_now - hours(2)}};
        CommitResult result;
        result.gaps = store.gaps;
        fleet.on_commit(result, {}, fleet_now - seconds(9));
        store.dead_letters = {{2, "shed-pi", fleet_now - hours(3), "the checksum does not match", 812},
                              {1, "shed-pi", fleet_now - hours(4), "no batch", 3}};
        store.events = {{9, "greenhouse-pi", fleet_now - minutes(2), "2026-09-21T14:11:00.000Z", "says \"ö\""},
                        {8, "shed-pi", fleet_now - minutes(3), "2026-09-21T14:10:00.000Z", "the disk is slow"}};
    }
};

}  // namespace basmalin::coordinator::testing
