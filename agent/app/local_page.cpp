#include "agent/app/local_page.h"

#include <algorithm>

#include "shared/base/ids.h"
#include "shared/base/log.h"

namespace basmalin::agent {

Json buffer_json(const AgentView& v) {
    const BufferStats& b = v.buffer;
    return Json(Json::Object{{"stream", to_hex(b.stream)},
                             {"sealed_seq", b.sealed_seq},
                             {"acked_mark", b.acked_mark},
                             {"epoch", to_hex(b.epoch)},
                             {"batches", b.batches},
                             {"readings", b.readings},
                             {"bytes", b.bytes},
                             {"file_bytes", b.file_bytes},
                             {"unacked_batches", b.unacked_batches},
                             {"oldest_unacked", b.oldest_wall_ms > 0 ? Json(to_rfc3339(WallTime{b.oldest_wall_ms})) : Json()},
                             {"gaps_pending", b.gaps_pending},
                             {"evicted_readings_total", b.evicted_readings_total},
                             {"damaged_batches_total", b.damaged_batches_total},
                             {"pending_readings", int64_t(v.pending_readings)},
                             {"dropped_unsealed_total", v.batcher.dropped_unsealed},
                             {"streams", int64_t(b.streams)},
                             {"writable", b.writable}});
}

Json health_json(const AgentView& v) {
    Json complaints = Json::array();
    for (const std::string& c : v.complaints) complaints.push(c);
    return Json(Json::Object{{"ok", v.complaints.empty()},
                             {"complaints", complaints},
                             {"since", to_rfc3339(v.started)},
                             {"version", BASMALIN_VERSION},
                             {"local", Json(Json::Object{{"connected", v.local_connected}, {"away_seconds", v.local_away.ms / 1000}})},
                             {"uplink", Json(Json::Object{{"phase", to_string(v.uplink.phase)}, {"reason", v.uplink.reason}, {"unacked_batches", v.buffer.unacked_batches}})},
                             {"buffer", Json(Json::Object{{"writable", v.buffer.writable}, {"pending_readings", int64_t(v.pending_readings)}})},
                             {"clock", to_string(v.clock)}});
}

LocalPage::LocalPage(Loop& loop, std::function<AgentView()> view)
    : loop_(loop), view_(std::move(view)), server_(loop, {.body_bytes_max = 1024, .connections_max = 32, .connections_per_address_max = 32}) {
    declare_families();
    registry_.before_exposition([this] { refresh(); });
    server_.route("GET", "/healthz", [this](const HttpRequest&) { return healthz(); });
    server_.route("GET", "/buffer", [this](const HttpRequest&) { return buffer(); });
    server_.route("GET", "/metrics", [this](const HttpRequest& request) -> Result<HttpResponse> {
        const Exposition format = Registry::negotiate(request.header("accept"));
        return HttpResponse{.status = 200, .content_type = Registry::content_type(format), .body = registry_.expose(format)};
    });
}

void LocalPage::declare_families() {
    const auto gauge = [this](const char* name, const char* help, auto read) {
        auto& family = registry_.gauge({.name = std::string("basmalin_agent_") + name, .help = help});
        setters_.push_back([&family, read](const AgentView& v) { family.get().set(static_cast<double>(read(v))); });
    };
    const auto counter = [this](const char* name, const char* help, auto read) {
        auto& family = registry_.counter({.name = std::string("basmalin_agent_") + name, .help = help});
        setters_.push_back([&family, read](const AgentView& v) { family.get().set_at_least(static_cast<double>(read(v))); });
    };
    using V = const AgentView&;
    gauge("start_time_seconds", "When the agent started, in seconds since 1970.", [](V v) { return static_cast<double>(v.started.ms) / 1000; });
    gauge("local_connected", "1 while connected to the gateway's own broker.", [](V v) { return v.local_connected ? 1 : 0; });
    counter("local_connections_total", "Connections made to the gateway's own broker.", [](V v) { return v.local_connections; });
    counter("source_messages_total", "Messages heard from the gateway's own broker.", [](V v) { return v.sources.messages; });
    counter("source_retained_total", "Retained messages among them, which are no readings.", [](V v) { return v.sources.retained; });
    counter("source_readings_total", "Readings understood.", [](V v) { return v.sources.readings; });
    counter("source_unknown_total", "Messages that no dialect understood.", [](V v) { return v.sources.unknown; });
    counter("source_not_a_value_total", "Values that are none: nan, unavailable, empty.", [](V v) { return v.sources.not_a_value; });
    counter("source_refused_total", "Readings refused by the budget of devices and series.", [](V v) { return v.sources.refused_by_budget; });
    gauge("devices", "Devices known since the start.", [](V v) { return v.sources.devices; });
    gauge("series", "Series known since the start.", [](V v) { return v.sources.series; });
    gauge("discovered_entities", "Topics that discovery messages added.", [](V v) { return v.sources.discovered; });
    gauge("pending_readings", "Readings in memory, not yet sealed.", [](V v) { return v.pending_readings; });
    counter("dropped_unsealed_readings_total", "Readings dropped before they could be sealed.", [](V v) { return v.batcher.dropped_unsealed; });
    counter("refused_readings_total", "Readings that cannot be stored: names or texts beyond their bounds.",
            [](V v) { return v.batcher.refused + v.buffer.refused_readings_total; });
    counter("sealed_batches_total", "Batches sealed since the start.", [](V v) { return v.buffer.sealed_batches_total; });
    counter("sealed_readings_total", "Readings sealed since the start.", [](V v) { return v.buffer.sealed_readings_total; });
    counter("sealed_bytes_total", "Bytes of the batches sealed since the start.", [](V v) { return v.buffer.sealed_bytes_total; });
    gauge("buffer_batches", "Batches held, delivered ones included.", [](V v) { return v.buffer.batches; });
    gauge("buffer_readings", "Readings held, delivered ones included.", [](V v) { return v.buffer.readings; });
    gauge("buffer_bytes", "Bytes of the buffer's file in use.", [](V v) { return v.buffer.file_bytes; });
    gauge("buffer_writable", "1 while the buffer can be written.", [](V v) { return v.buffer.writable ? 1 : 0; });
    gauge("buffer_gaps_pending", "Gap records not yet told to the coordinator.", [](V v) { return v.buffer.gaps_pending; });
    gauge("unacked_batches", "Batches that the coordinator has not acknowledged.", [](V v) { return v.buffer.unacked_batches; });
    counter("evicted_batches_total", "Batches given up before they were acknowledged.", [](V v) { return v.buffer.evicted_batches_total; });
    counter("evicted_readings_total", "Readings given up before they were acknowledged.", [](V v) { return v.buffer.evicted_readings_total; });
    counter("damaged_batches_total", "Batches found damaged.", [](V v) { return v.buffer.damaged_batches_total; });
    gauge("central_connected", "1 while connected to the central broker.", [](V v) { return v.uplink.connected ? 1 : 0; });
    gauge("uplink_open", "1 while batches may be sent.", [](V v) { return v.uplink.phase == WindowPhase::Open ? 1 : 0; });
    counter("central_reconnects_total", "Connections to the central broker after the first.", [](V v) { return v.uplink.reconnects; });
    counter("central_sent_bytes_total", "Bytes published to the central broker.", [](V v) { return v.uplink.bytes_sent; });
    counter("central_received_bytes_total", "Bytes heard from the central broker.", [](V v) { return v.uplink.bytes_received; });
    counter("sent_batches_total", "Batches sent, again-sent ones included.", [](V v) { return v.uplink.sent_batches_total; });
    counter("resent_messages_total", "Messages sent again because no ack came.", [](V v) { return v.uplink.resends_total; });
    counter("acks_total", "Acks heard.", [](V v) { return v.uplink.acks_total; });
    gauge("messages_in_flight", "Messages that the central broker has not confirmed.", [](V v) { return v.uplink.in_flight_messages; });
    gauge("clock_synced", "1 while the kernel says that the wall clock is synchronised.", [](V v) { return v.clock == ClockState::Synced ? 1 : 0; });
    counter("events_total", "Events for the operator.", [](V v) { return v.events_total; });
}

void LocalPage::refresh() {
    const AgentView view = view_();
    for (const auto& set : setters_) set(view);
}

Result<HttpResponse> LocalPage::healthz() {
    const AgentView view = view_();
    return HttpResponse::json(health_json(view), view.complaints.empty() ? 200 : 503);
}

Result<HttpResponse> LocalPage::buffer() { return HttpResponse::json(buffer_json(view_())); }

void LocalPage::start(const LocalHttpOptions& options) {
    if (options.enabled && options.port != 0) listen(options);
}

void LocalPage::listen(const LocalHttpOptions& options) {
    const auto port = server_.listen(options.address, options.port);
    if (port) {
        if (retry_.attempt > 0) log::info("http_listening", {{"port", *port}, {"attempts", retry_.attempt + 1}});
        return;
    }
    if (retry_.attempt == 0) log::error("http_not_listening", {{"why", port.error().message()}, {"retrying", true}});
    retry_timer_ = loop_.after(retry_.next(random_unit()), [this, options] { listen(options); });
}

}  // namespace basmalin::agent
