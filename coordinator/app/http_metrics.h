// The HTTP server's connections for Prometheus: how many are open, and why others ended or were refused. Set at each exposition.
// Thread: the loop's.
#pragma once

#include <memory>

#include "shared/http/server.h"
#include "shared/metrics/registry.h"

namespace basmalin::coordinator {

// `server` may be null until it is made; it and `registry` outlive the expositions.
void expose_http(Registry& registry, const std::unique_ptr<HttpServer>& server);

}  // namespace basmalin::coordinator
