#include "coordinator/http/parts.h"

namespace basmalin::coordinator {

bool is_open_route(std::string_view route) { return route == "/livez" || route == "/readyz" || route == "/api/health"; }

void add_health_routes(Api::Parts& parts) {
    parts.get("/livez", [](const HttpRequest&) { return HttpResponse::text("ok\n"); });
    parts.get("/readyz", [&parts](const HttpRequest&) {
        const bool ready = !parts.sources.ready || parts.sources.ready();
        return ready ? HttpResponse::text("ready\n") : HttpResponse::text("not ready\n", 503);
    });
    parts.get("/api/health", [&parts](const HttpRequest&) {
        bool healthy = true;
        Json checks = Json::array();
        if (parts.sources.health_checks) {
            for (const HealthCheck& check : parts.sources.health_checks()) {
                healthy = healthy && check.healthy;
                Json one = Json::object();
                one.set("name", check.name).set("status", check.healthy ? "healthy" : "unhealthy").set("details", check.details);
                checks.push(std::move(one));
            }
        }
        Json out = Json::object();
        out.set("status", healthy ? "healthy" : "unhealthy").set("timestamp", to_rfc3339(parts.now()));
        out.set("uptime", (parts.sources.clock.mono() - parts.started).ms / 1000).set("version", parts.sources.version);
        out.set("checks", std::move(checks));
        return HttpResponse::json(out, healthy ? 200 : 503);
    });
}

}  // namespace basmalin::coordinator
