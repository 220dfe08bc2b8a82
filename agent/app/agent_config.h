// Every setting of basmalin-agent, declared once. Only node, garden, state_folder and central.host need to be given.
#pragma once

#include <string>

#include "agent/buffer/batcher.h"
#include "agent/buffer/buffer.h"
#include "agent/health/device_health.h"
#include "agent/health/node_health.h"
#include "agent/sources/sources.h"
#include "shared/config/config.h"

namespace basmalin::agent {

struct LocalBrokerOptions {
    std::string host = "127.0.0.1";
    uint16_t port = 1883;
    std::string user;
    Secret password;
};

struct CentralBrokerOptions {
    std::string host;
    uint16_t port = 8883;
    bool tls = true;
    std::string ca_file = "/etc/basmalin/ca.crt";
    std::string certificate_file;
    std::string key_file;
    std::string user;
    Secret password;
    int64_t keepalive_seconds = 30;
    Duration reconnect_first = seconds(1);
    Duration reconnect_most = seconds(60);
    Duration backlog_start_most = seconds(30);   // the backlog begins at a random moment in this time after a connect
    double backlog_bytes_per_second = 8 << 20;
    int64_t unacked_batches_max = 1024;
};

struct LocalHttpOptions {
    std::string address = "127.0.0.1";
    uint16_t port = 9177;
    bool enabled = true;
};

struct AgentConfig {
    std::string node;
    std::string garden;
    std::string state_folder = "/var/lib/basmalin-agent";
    std::string log_level = "info";
    LocalBrokerOptions local;
    CentralBrokerOptions central;
    LocalHttpOptions http;
    BufferOptions buffer;
    BatcherLimits batcher;
    SourcesOptions sources;
    NodeHealthOptions node_health;
    DeviceHealthOptions device_health;

    std::string buffer_file() const { return state_folder + "/buffer.db"; }
};

// The references it keeps are into `config`.
void declare(Schema& schema, AgentConfig& config);

}  // namespace basmalin::agent
