#include "agent/app/agent_config.h"

#include "shared/base/ids.h"

namespace basmalin::agent {
namespace {

std::string wrong_name(const std::string& text) {
    if (is_name(text)) return {};
    return text.empty() ? "must be given: 1 to 64 of a-z A-Z 0-9 . _ -" : "is no name: 1 to 64 of a-z A-Z 0-9 . _ -";
}

std::string wrong_if_empty(const std::string& text) { return text.empty() ? "must be given" : ""; }

void declare_local(Schema& schema, LocalBrokerOptions& local) {
    schema.section("local", "The gateway's own broker, to which the garden's devices publish. It is asked to send no message above 2 MiB.");
    schema.text("host", local.host, "Its name or address.");
    schema.port("port", local.port, "Its port.");
    schema.text("user", local.user, "User name, if the broker wants one.");
    schema.secret("password_file", local.password, "File that holds the password for that user.");
}

void declare_central(Schema& schema, CentralBrokerOptions& central) {
    schema.section("central", "The central broker, where the coordinator listens.");
    schema.text("host", central.host, "Its name or address; with TLS its certificate must bear it.", wrong_if_empty);
    schema.port("port", central.port, "Its port.");
    schema.flag("tls", central.tls, "Encrypted, with a certificate for this node. Turn it off on a trusted loopback only.");
    schema.text("ca_file", central.ca_file, "The fleet authority's certificate (PEM).");
    schema.text("certificate_file", central.certificate_file, "This node's certificate (PEM); its common name must be the node's id.");
    schema.text("key_file", central.key_file, "The key of that certificate (PEM).");
    schema.text("user", central.user, "User name, if the broker wants one instead of a certificate.");
    schema.secret("password_file", central.password, "File that holds the password for that user.");
    schema.integer("keepalive_seconds", central.keepalive_seconds, 5, 3600, "A link silent for one and a half times this is lost.");
    schema.duration("reconnect_first", central.reconnect_first, milliseconds(50), minutes(10), "Waits between attempts are random, up to this at first, doubling …");
    schema.duration("reconnect_most", central.reconnect_most, milliseconds(100), hours(1), "… up to this.");
    schema.duration("backlog_start_most", central.backlog_start_most, Duration{}, minutes(10),
                    "After a connect the backlog starts at a random moment within this, so that a fleet does not come back in step.");
    schema.number("backlog_bytes_per_second", central.backlog_bytes_per_second, 1024, 1e9, "The backlog is sent no faster; live readings always go first.");
    schema.integer("unacked_batches_max", central.unacked_batches_max, 16, 4096, "Batches on their way without the coordinator's ack.");
}

void declare_buffer(Schema& schema, BufferOptions& buffer, BatcherLimits& batcher) {
    schema.section("buffer", "What waits for the coordinator: on disk from sealing on.");
    schema.duration("seal_after", batcher.seal_after, milliseconds(50), minutes(10),
                    "Readings are sealed at this age at the latest. Shorter: less is lost in a power cut, more is written to the card.");
    schema.bytes("bytes_max", buffer.bytes_max, int64_t{1} << 20, int64_t{1} << 40, "Size of the buffer's file; beyond it the least important and oldest readings go, counted.");
    schema.bytes("disk_reserve", buffer.disk_reserve_bytes, 0, int64_t{1} << 40, "Left free on the file system for everyone else.");
    schema.duration("age_max", buffer.age_max, hours(1), hours(24 * 4000), "Readings older than this go, counted.");
    schema.duration("acked_keep", buffer.acked_keep, Duration{}, hours(24 * 365), "Delivered readings stay this long, so that a restored coordinator can be refilled.");
}

}  // namespace

void declare(Schema& schema, AgentConfig& config) {
    schema.section("", "");
    schema.text("node", config.node, "This gateway's id, as in its certificate.", wrong_name);
    schema.text("garden", config.garden, "The garden it stands in.", wrong_name);
    schema.text("state_folder", config.state_folder, "Where the buffer lives.", wrong_if_empty);
    declare_local(schema, config.local);
    declare_central(schema, config.central);
    declare_buffer(schema, config.buffer, config.batcher);
    schema.section("http", "What this gateway says of itself, on the machine only: /healthz /metrics /buffer.");
    schema.flag("enabled", config.http.enabled, "Whether to listen at all.");
    schema.text("address", config.http.address, "Address to listen on. Anyone who reaches it can read; nothing can be changed.");
    schema.port("port", config.http.port, "Port to listen on.");
    schema.section("log", "To standard error, for the journal.");
    schema.choice("level", config.log_level, {"debug", "info", "warn", "error"}, "The least that is logged; a SIGHUP reads it again.");
    declare(schema, config.node_health);
    declare(schema, config.device_health);
    declare(schema, config.sources);
}

}  // namespace basmalin::agent
