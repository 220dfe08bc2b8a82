// Everything that can be set about a coordinator.
#pragma once

#include <string>

#include "coordinator/fleet/fleet.h"
#include "coordinator/ingest/ingest.h"
#include "coordinator/ingest/subscriber.h"
#include "coordinator/metrics/fleet_metrics.h"
#include "coordinator/store/store.h"
#include "shared/base/clock.h"
#include "shared/config/config.h"
#include "shared/http/server.h"

namespace basmalin::coordinator {

struct HttpSettings {
    std::string address = "127.0.0.1";
    int64_t port = 8080;       // 0: the kernel chooses
    std::string token_file;    // empty: <store.folder>/token
    int64_t connections_max = 4096;
    int64_t connections_per_address_max = 4096;
    int64_t header_bytes_max = 8 * 1024;
    int64_t body_bytes_max = 1 << 20;
    Duration idle_deadline = seconds(60);
    HttpLimits limits() const;
};

struct HealthSettings {
    int64_t disk_reserve_bytes = 256 << 20;
    int64_t memory_limit_bytes = 2LL << 30;
};

struct Settings {
    SubscriberOptions broker;
    StoreOptions store;
    IngestOptions ingest;
    FleetOptions fleet;
    FleetMetricsOptions metrics;
    HttpSettings http;
    HealthSettings health;
    std::string log_level = "info";

    std::string token_path() const { return http.token_file.empty() ? store.folder + "/token" : http.token_file; }
};
void declare(Schema& schema, Settings& settings);
// What the bounds of single settings cannot say: Invalid when settings contradict each other or name files that are not there.
Result<void> check(const Settings& settings);
// Raises this process's limit of open files as far as http.connections_max and the store need, and lowers connections_max, with a line
// in the log, where the system does not allow that many: beyond it no 503 could be said any more, and no file opened.
void make_room_for_connections(HttpSettings& http);

// The API's token: read from the file, or made at the first start (32 random bytes in hex, mode 0600).
Result<std::string> api_token(const std::string& path);

}  // namespace basmalin::coordinator
