// The API on a free port over the filled fleet, until standard input ends. Says on one line each: the port, the token, and then
// every route; "." ends them.
#include <unistd.h>

#include <cstdio>

#include "tests/coordinator/http/filled_fleet.h"

using namespace basmalin;
using namespace basmalin::coordinator;

int main() {
    coordinator::testing::FilledFleet filled;
    FleetMetrics metrics(filled.registry, filled.fleet, filled.clock);
    Loop loop;
    HttpServer server(loop, {});
    Api api(server, filled.sources());
    server.observe([&](const HttpObservation& seen) { metrics.on_request(seen); });
    const auto port = server.listen("127.0.0.1", 0);
    if (!port) {
        std::fprintf(stderr, "%s\n", port.error().message().c_str());
        return 1;
    }
    std::printf("%u\n%s\n", static_cast<unsigned>(*port), filled.token.c_str());
    for (const std::string& route : api.routes()) std::printf("%s\n", route.c_str());
    std::printf(".\n");
    std::fflush(stdout);
    FdWatch input = loop.watch(STDIN_FILENO);
    input.when_readable([&] { loop.stop(); });
    loop.run();
    return 0;
}
