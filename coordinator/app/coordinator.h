// The coordinator as a whole: makes the rooms, wires them, starts and ends them.
// R1  start(): store, fleet, token, HTTP, broker, in this order; each failure is an Error and nothing is left running.
// R2  A broker that is away is no failure: HTTP answers, /api/health says so, and the connection is tried for ever.
// R3  end(): /readyz says no, the broker sends nothing more, what was taken is committed and acked, HTTP drains; within 10 s,
//     the destructors included (EndWatch).
// R4  The watchdog is fed only while both the loop and the writer's thread move.
// Thread: the loop's, which is the thread that calls run().
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "coordinator/app/end_watch.h"
#include "coordinator/app/health.h"
#include "coordinator/app/settings.h"
#include "coordinator/fleet/fleet.h"
#include "coordinator/http/api.h"
#include "coordinator/ingest/ingest.h"
#include "coordinator/metrics/fleet_metrics.h"
#include "coordinator/store/store.h"
#include "shared/loop/loop.h"
#include "shared/metrics/registry.h"

namespace basmalin::coordinator {

class Coordinator {
  public:
    // `reload` reads the configuration again; what can change without a restart is taken from it.
    Coordinator(Settings settings, std::function<Result<Settings>()> reload);
    ~Coordinator();

    Result<void> start();
    // Until SIGTERM or SIGINT; the exit status.
    int run();
    uint16_t http_port() const { return http_port_; }

  private:
    Result<void> open_store();
    Result<void> open_http();
    void make_ingest();
    void reload_settings();
    void refresh_store_stats();
    void look_at_machine();
    void feed_watchdog();
    void end(int signal);
    void one_ended();

    Settings settings_;
    std::function<Result<Settings>()> reload_;
    SystemClock clock_;
    Loop loop_;  // outlives all that posts to it
    std::unique_ptr<Store> store_;
    Fleet fleet_;
    Registry registry_;
    std::unique_ptr<FleetMetrics> metrics_;
    std::unique_ptr<Ingest> ingest_;
    std::unique_ptr<Api> api_;  // outlives the server
    std::unique_ptr<HttpServer> server_;
    uint16_t http_port_ = 0;
    MachineState machine_;
    std::atomic<size_t> readers_ = 0;
    bool stats_asked_ = false;
    bool ready_ = false;
    bool ending_ = false;
    bool clean_ = true;
    int endings_left_ = 2;  // the ingest's and the server's
    Timer stats_timer_;
    Timer machine_timer_;
    Timer watchdog_timer_;
    EndWatch end_watch_;
};

}  // namespace basmalin::coordinator
