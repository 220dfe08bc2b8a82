// Looks after the node and the garden's devices: probes the machine in rounds, notes what devices say of themselves, and publishes
// what changed. The probe has a Worker, for a sick disk may block it.
// Thread: the loop's.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agent/app/gateway_clock.h"
#include "agent/health/device_health.h"
#include "agent/health/node_health.h"
#include "shared/loop/loop.h"
#include "shared/loop/worker.h"
#include "shared/wire/topics.h"

namespace basmalin::agent {

class HealthRounds {
  public:
    struct Callbacks {
        std::function<void(Topic::Kind, const std::string& device, std::string payload)> publish;  // retained
        std::function<void(const Sample&, bool first)> sample;                                     // the node as a device of readings
        std::function<AgentVitals()> vitals;
    };
    HealthRounds(Loop& loop, const GatewayClock& clock, NodeHealthOptions node, const DeviceHealthOptions& devices, Callbacks callbacks);

    // What died while the agent was away shall not stay "ok" for ever: devices of earlier runs are known from the start.
    void start(const std::vector<std::string>& known_devices);
    void on_notes(const std::vector<DeviceNote>& notes);
    void publish_all_devices();
    void set_options(const NodeHealthOptions& options);
    void set_options(const DeviceHealthOptions& options) { devices_.set_options(options); }
    size_t devices() const { return devices_.devices(); }
    void stop();
    void finish() { prober_.finish(); }  // waits for the last look

  private:
    void probe();
    void on_probed(NodeHealth probed);
    void publish(const std::vector<DeviceHealth>& devices);
    void arm();

    Loop& loop_;
    const GatewayClock& clock_;
    Callbacks callbacks_;
    Duration probe_every_;
    DeviceHealthTracker devices_;
    std::unique_ptr<HealthReporter> reporter_;
    std::shared_ptr<NodeProbe> probe_;
    bool running_ = false;
    bool probing_ = false;
    bool probed_ = false;
    bool devices_due_ = false;
    Timer probe_timer_;
    Timer devices_timer_;
    Worker prober_;  // last: it ends first
};

}  // namespace basmalin::agent
