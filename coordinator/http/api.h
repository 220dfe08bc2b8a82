// The coordinator's HTTP API: its routes on an HttpServer. The document of it is openapi.yaml, which tests hold it to.
// R1  /livez, /readyz and /api/health are open; everything else needs `Authorization: Bearer <token>` (401 otherwise).
// R2  Every parameter is checked; an unknown one is a 400 that names it and lists what is known.
// R3  Lists go by key: ?limit= and ?after=, answered with {"items":[…],"next":"…"|null}. No list is built whole.
// R4  Readings, gaps and dead letters come from the store as streams, read on the server's stream worker: never on the loop.
// R5  Errors are {"error":{"code","message","hint"}}.
// R6  Times go out as RFC 3339 in UTC; they come in as that, as milliseconds since 1970, or relative to now ("-24h").
// Threads: the loop's. The StoreReader is opened and used on the server's stream worker.
// Lifetime: make it before HttpServer::listen(); what `sources` refers to and the Api outlive the HttpServer.
//
//   Api api(server, {.fleet = fleet, .registry = registry, .clock = clock, .open_reader = [&] { return store.reader(); },
//                    .health_checks = [&] { return checks(); }, .token = settings.token.value});
//   server.observe([&](const HttpObservation& seen) { metrics.on_request(seen); });
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "coordinator/fleet/fleet.h"
#include "coordinator/store/store.h"
#include "shared/base/clock.h"
#include "shared/base/result.h"
#include "shared/http/server.h"
#include "shared/metrics/registry.h"

namespace basmalin::coordinator {

struct HealthCheck {
    std::string name;  // "database" "broker" "ingest" …
    bool healthy = true;
    std::string details;  // for a person
};

struct ApiSources {
    const Fleet& fleet;
    Registry& registry;
    const Clock& clock;
    // Called on the stream worker, once; again after it failed.
    std::function<Result<std::unique_ptr<StoreReader>>()> open_reader;
    // Called on the loop for /api/health: answers at once from what is known. One that is not healthy makes it a 503.
    std::function<std::vector<HealthCheck>()> health_checks = {};
    // False while starting or draining: /readyz answers 503. None: always ready.
    std::function<bool()> ready = {};
    std::string token;  // without one nothing but health is answered
    std::string version = BASMALIN_VERSION;
};

class Api {
  public:
    // Sets the server's guard and registers every route.
    Api(HttpServer& server, ApiSources sources);
    ~Api();
    Api(const Api&) = delete;
    Api& operator=(const Api&) = delete;

    // "GET /api/nodes" …, as registered: tests compare them with the document.
    const std::vector<std::string>& routes() const;
    // The document, as embedded at build time.
    static std::string_view openapi();

    struct Parts;

  private:
    std::unique_ptr<Parts> parts_;
};

}  // namespace basmalin::coordinator
