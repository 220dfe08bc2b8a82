// A gateway as the coordinator sees it: seals batches of one device's temperature, packs them into `up` messages.
#pragma once

#include <string>
#include <vector>

#include "shared/base/clock.h"
#include "shared/series/codec.h"
#include "shared/wire/batch.h"
#include "shared/wire/messages.h"
#include "shared/wire/topics.h"

namespace basmalin::coordinator {

struct Gateway {
    std::string node = "g1";
    uint64_t stream = 0x1234;
    WallTime wall{1'790'000'000'000};

    std::string topic(Topic::Kind kind) const { return Topic{.node = node, .kind = kind, .device = {}}.text(); }

    // `readings` values, the first is `seq`; a second apart, a minute per batch.
    std::string batch(uint64_t seq, size_t readings = 3) const {
        Body body;
        const Layout layout{.id = 1, .device = "bed1", .columns = {{.quantity = "temperature", .unit = "Cel", .decimals = 1}}};
        body.definitions = {layout};
        Rows rows{.layout = 1, .times_ms = {}, .columns = {Numbers{}}};
        for (size_t i = 0; i < readings; ++i) {
            rows.times_ms.push_back(static_cast<int64_t>(seq) * 60'000 + static_cast<int64_t>(i) * 1000);
            std::get<Numbers>(rows.columns[0]).push_back(static_cast<double>(seq + i));
        }
        body.groups = {rows};
        const auto encoded = encode_body(body, [&](uint32_t) { return &layout; });
        const MonoTime sealed{static_cast<int64_t>(seq) * 60'000 + 59'000};
        const BatchHeader header{.seq = seq,
                                 .clock = ClockState::Synced,
                                 .boot_no = 1,
                                 .sealed_mono = sealed,
                                 .sealed_wall = wall + Duration{sealed.ms},
                                 .readings = static_cast<uint32_t>(readings),
                                 .first = {rows.times_ms.empty() ? sealed.ms : rows.times_ms.front()}};
        return seal_batch(stream, header, encoded.value());
    }
    std::string event(uint64_t seq, const std::string& json) const {
        const BatchHeader header{.seq = seq, .kind = BatchKind::Events, .clock = ClockState::Synced, .boot_no = 1, .sealed_wall = wall};
        return seal_batch(stream, header, json);
    }
    std::string up(const std::vector<std::string>& batches) const {
        UpMessage message{.stream = stream, .lane = Lane::Live, .boots = {}, .batches = {}};
        for (const std::string& bytes : batches) message.batches.push_back(bytes);
        return encode_up(message);
    }
    std::string up(uint64_t first_seq, uint64_t last_seq) const {
        std::vector<std::string> batches;
        for (uint64_t seq = first_seq; seq <= last_seq; ++seq) batches.push_back(batch(seq));
        return up(batches);
    }
    std::string hello(uint64_t next_seq, uint64_t acked) const {
        Hello hello;
        hello.garden = "rose-court";
        hello.agent_version = "1.0.0";
        hello.boot = 77;
        hello.boot_no = 1;
        hello.clock = {.boot_no = 1, .state = ClockState::Synced, .offset_ms = wall.ms, .error_ms = 5};
        hello.streams = {{.stream = stream, .next_seq = next_seq, .oldest_seq = 1, .acked = acked}};
        return encode(hello);
    }
    std::string status(bool online) const {
        Status status;
        status.online = online;
        status.reason = online ? "" : "lost";
        status.since = wall;
        status.agent_version = "1.0.0";
        status.boot = 77;
        status.garden = "rose-court";
        return encode(status);
    }
};

}  // namespace basmalin::coordinator
