#include "agent/app/connections.h"

namespace basmalin::agent {
namespace {

constexpr uint32_t local_packet_bytes_max = Sources::message_bytes_max + 4096;  // with topic and header

}  // namespace

LinkOptions local_link(const AgentConfig& c) {
    LinkOptions o;
    o.host = c.local.host;
    o.port = c.local.port;
    o.client_id = "basmalin-agent-" + c.node;
    o.user = c.local.user;
    o.password = c.local.password.value;
    o.packet_bytes_max = local_packet_bytes_max;
    o.backoff = {.first = milliseconds(500), .cap = seconds(15)};
    return o;
}

WindowLimits window_limits(const AgentConfig& c) {
    WindowLimits limits;
    limits.backlog_batches_max = static_cast<size_t>(c.central.unacked_batches_max);
    limits.backlog_bytes_per_second = static_cast<int64_t>(c.central.backlog_bytes_per_second);
    limits.backlog_delay_max = c.central.backlog_start_most;
    return limits;
}

UplinkOptions uplink_options(const AgentConfig& c, uint64_t boot) {
    UplinkOptions o{.node = c.node, .garden = c.garden, .boot = boot, .link = {}, .window = window_limits(c)};
    o.link.host = c.central.host;
    o.link.port = c.central.port;
    o.link.client_id = c.node;
    o.link.user = c.central.user;
    o.link.password = c.central.password.value;
    o.link.tls = c.central.tls;
    o.link.tls_files = {c.central.ca_file, c.central.certificate_file, c.central.key_file};
    o.link.keepalive_seconds = static_cast<int>(c.central.keepalive_seconds);
    o.link.backoff = {.first = c.central.reconnect_first, .cap = c.central.reconnect_most};
    return o;
}

}  // namespace basmalin::agent
