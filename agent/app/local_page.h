// What the agent says of itself on the machine it runs on: /healthz, /metrics, /buffer. Reads only. Thread: the loop's.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agent/app/agent_config.h"
#include "agent/buffer/buffer.h"
#include "agent/uplink/uplink.h"
#include "shared/base/backoff.h"
#include "shared/base/json.h"
#include "shared/http/server.h"
#include "shared/metrics/registry.h"

namespace basmalin::agent {

// All that the page shows, gathered by the agent when it is asked.
struct AgentView {
    WallTime started;
    MonoTime now;
    bool local_connected = false;
    Duration local_away{};  // for how long
    uint64_t local_connections = 0;
    SourceCounts sources;
    BatcherCounts batcher;
    size_t pending_readings = 0;
    Duration oldest_pending{};
    BufferStats buffer;
    UplinkState uplink;
    ClockState clock = ClockState::Unsynced;
    size_t devices = 0;
    uint64_t events_total = 0;
    uint64_t events_suppressed = 0;
    MonoTime buffer_answered;
    std::vector<std::string> complaints;  // what makes /healthz a 503
};

class LocalPage {
  public:
    LocalPage(Loop& loop, std::function<AgentView()> view);
    // Listens, and where it cannot tries again and again: a page that nobody can ask is no reason to lose a reading.
    void start(const LocalHttpOptions& options);

  private:
    void listen(const LocalHttpOptions& options);
    void declare_families();
    void refresh();
    Result<HttpResponse> healthz();
    Result<HttpResponse> buffer();

    Loop& loop_;
    std::function<AgentView()> view_;
    Registry registry_;
    std::vector<std::function<void(const AgentView&)>> setters_;
    HttpServer server_;
    Backoff retry_{.first = seconds(1), .cap = seconds(60)};
    Timer retry_timer_;
};

Json buffer_json(const AgentView& view);
Json health_json(const AgentView& view);

}  // namespace basmalin::agent
