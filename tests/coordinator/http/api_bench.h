// The API on a server of its own thread over the filled fleet.
#pragma once

#include "shared/base/json.h"
#include "tests/coordinator/http/filled_fleet.h"
#include "tests/shared/http/http_bench.h"

namespace basmalin::coordinator::testing {

using basmalin::testing::Answer;
using basmalin::testing::BareClient;
using basmalin::testing::RunningServer;

struct RunningApi {
    explicit RunningApi(FilledFleet& of) : filled(of), api(*running.server, of.sources()) { running.start(); }
    // What uses the API ends first.
    ~RunningApi() { running.stop(); }
    Answer get(const std::string& target, const std::string& headers = {}) {
        BareClient client(running.port);
        return client.get(target, "Authorization: Bearer " + filled.token + "\r\nConnection: close\r\n" + headers);
    }
    Json json(const std::string& target) {
        const Answer answer = get(target);
        auto parsed = parse_json(answer.body, {.bytes_max = 64 << 20, .values_max = 5'000'000});
        EXPECT_TRUE(parsed.has_value() && answer.whole) << target << ": " << answer.body.substr(0, 500);
        return parsed ? *parsed : Json();
    }
    FilledFleet& filled;
    RunningServer running;
    Api api;
};

}  // namespace basmalin::coordinator::testing
