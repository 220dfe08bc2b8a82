#include "coordinator/app/http_metrics.h"

namespace basmalin::coordinator {

void expose_http(Registry& registry, const std::unique_ptr<HttpServer>& server) {
    auto& connections = registry.gauge({.name = "http_connections", .help = "Connections open."});
    auto& streams = registry.gauge({.name = "http_streams", .help = "Long answers on their way."});
    auto& refused =
        registry.counter({.name = "http_connections_refused_total", .help = "Connections beyond the limits, answered with 503."});
    auto& missed = registry.counter(
        {.name = "http_deadlines_missed_total",
         .help = "Connections closed because a header, a body, the next request (idle) or an answer's reader took too long.",
         .label_names = {"stage"}});
    auto& cut =
        registry.counter({.name = "http_streams_cut_total", .help = "Long answers cut off for a slow reader, to make room for another."});
    auto& full = registry.counter({.name = "http_streams_refused_total", .help = "Long answers refused with 503 for want of room."});
    registry.before_exposition([&] {
        if (!server) return;
        const HttpStats stats = server->stats();
        connections.get().set(static_cast<double>(stats.connections));
        streams.get().set(static_cast<double>(stats.streams));
        refused.get().set_at_least(static_cast<double>(stats.refused));
        missed.with({"header"}).set_at_least(static_cast<double>(stats.late_header));
        missed.with({"body"}).set_at_least(static_cast<double>(stats.late_body));
        missed.with({"answer"}).set_at_least(static_cast<double>(stats.late_answer));
        missed.with({"idle"}).set_at_least(static_cast<double>(stats.late_idle));
        cut.get().set_at_least(static_cast<double>(stats.streams_cut));
        full.get().set_at_least(static_cast<double>(stats.streams_refused));
    });
}

}  // namespace basmalin::coordinator
