// One message of every kind: the golden files, the README and the fuzzers' first seeds are made of them.
#pragma once

#include <map>
#include <string>

#include "shared/series/codec.h"
#include "shared/wire/batch.h"
#include "shared/wire/messages.h"

namespace basmalin::examples {

constexpr uint64_t stream = 0x0123456789abcdef;

inline Hello hello() {
    return {.garden = "home",
            .agent_version = "0.1.0",
            .boot = 0xfeedc0defeedc0de,
            .boot_no = 12,
            .clock = {12, ClockState::Synced, 1'789'300'000'000, 20},
            .streams = {{stream, 120'001, 119'000, 119'998}, {0x00000000deadbeef, 501, 0, 500}},
            .gaps_pending = 1,
            .labels = {{"place", "greenhouse"}}};
}

inline Welcome welcome() {
    return {.epoch = 0x1111222233334444,
            .time = {1'790'000'000'123},
            .streams = {{stream, 119'998, {{120'000, 120'000}}}},
            .definitions_wanted = false};
}

inline Status status() {
    return {
        .online = true, .reason = "", .since = {1'790'000'000'123}, .agent_version = "0.1.0", .boot = 0xfeedc0defeedc0de, .garden = "home"};
}

inline DeviceHealth device_health() {
    return {.device = "bed1",
            .state = DeviceState::Late,
            .reason = "no message for 4 min, usually every 60 s",
            .last_seen = WallTime{1'790'000'000'123},
            .interval_seconds = 60,
            .battery_percent = 87,
            .battery_volts = 3.72,
            .link_quality_percent = 64.5,
            .rssi_dbm = -71,
            .firmware_version = "2026.9.1",
            .model = "ESP32-C3",
            .name = "Bed by the wall",
            .dialect = "esphome"};
}

inline NodeHealth node_health() {
    return {.time = {1'790'000'000'123},
            .time_trusted = true,
            .values = {{"cpu_ratio", 0.125},
                       {"load1", 0.42},
                       {"memory_available_bytes", 612'368'384},
                       {"temperature_celsius", 51.5},
                       {"buffer_readings", 1200},
                       {"acked_seq", 119'998}},
            .flags = {{"clock_synced", true}, {"disk_read_only", false}, {"under_voltage_now", false}},
            .texts = {{"boot_id", "feedc0defeedc0de"}, {"kernel", "6.1.0-rpi7-rpi-v8"}, {"hostname", "g1"}, {"agent_version", "0.1.0"}},
            .services = {{"mosquitto.service", "active", 0}}};
}

inline Layout bed() {
    return {1,
            "bed1",
            {{"temperature", "Cel", ValueKind::Number, 1}, {"humidity", "%", ValueKind::Number, 0}, {"wet", "", ValueKind::Boolean, 0}}};
}
inline Layout shed() { return {2, "shed", {{"temperature", "Cel", ValueKind::Number, 1}, {"state", "", ValueKind::Text, 0}}}; }

// Two rows of one device, one row of another whose temperature is near.
inline Body body() {
    return {{bed(), shed()},
            {{1, {5000, 65'010}, {Numbers{21.4, 21.5}, Numbers{61, 60}, Booleans{0, 1}}}, {2, {5200}, {Numbers{21.1}, Texts{"open"}}}}};
}

// Values that no layout foresees.
inline Body odd_body() {
    return {{shed()}, {{2, {1000, 2000, 3000}, {Numbers{21.4, static_cast<double>(21.4f), 1.0 / 3}, Texts{"open", "open", ""}}}}};
}

inline std::string batch() {
    const BatchHeader header{.seq = 7,
                             .kind = BatchKind::Readings,
                             .priority = Priority::Normal,
                             .clock = ClockState::Synced,
                             .boot_no = 12,
                             .sealed_mono = {65'050},
                             .sealed_wall = {1'790'000'000'123},
                             .readings = 8,
                             .first = {5000}};
    return seal_batch(stream, header, encode_body(body(), {}).value());
}

inline std::vector<Gap> gaps() {
    return {{stream, 10, 19, 2560, true, {1'790'000'000'000}, {1'790'000'600'000}, GapReason::Evicted},
            {stream, 30, 30, 0, false, {0}, {0}, GapReason::Damaged},
            {0x00000000deadbeef, 1, 500, 128'000, false, {0}, {0}, GapReason::Released}};
}

inline std::string up() {
    const std::string one = batch();
    return encode_up({stream, Lane::Live, {{11, ClockState::Synced, 1'789'000'000'000, 50}}, {one}});
}

inline Ack ack() {
    return {.epoch = 0x1111222233334444, .stream = stream, .mark = 7, .ranges = {{9, 9}, {12, 300}}, .definitions_wanted = true};
}

inline std::map<std::string, std::string> binary() {
    return {{"body", encode_body(body(), {}).value()},
            {"body_odd", encode_body(odd_body(), {}).value()},
            {"batch", batch()},
            {"gaps", encode_gaps(gaps())},
            {"up", up()},
            {"ack", encode_ack(ack())}};
}

inline std::map<std::string, std::string> json() {
    return {{"hello", encode(hello())},
            {"welcome", encode(welcome())},
            {"status", encode(status())},
            {"device_health", encode(device_health())},
            {"health", encode(node_health())}};
}

}  // namespace basmalin::examples
