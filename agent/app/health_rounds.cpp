#include "agent/app/health_rounds.h"

namespace basmalin::agent {
namespace {

constexpr Duration devices_within = seconds(1);  // a device that is new or changed shows, not at the next probe
constexpr size_t probes_waiting_max = 4;

}  // namespace

HealthRounds::HealthRounds(Loop& loop, const GatewayClock& clock, NodeHealthOptions node, const DeviceHealthOptions& devices,
                           Callbacks callbacks)
    : loop_(loop),
      clock_(clock),
      callbacks_(std::move(callbacks)),
      probe_every_(node.probe_every),
      devices_(devices),
      reporter_(std::make_unique<HealthReporter>(node)),
      probe_(std::make_shared<NodeProbe>(node)),
      prober_("probe", probes_waiting_max) {}

void HealthRounds::start(const std::vector<std::string>& known_devices) {
    running_ = true;
    for (const std::string& device : known_devices) {
        DeviceNote known;
        known.device = device;
        devices_.on_note(known, clock_.now().mono);
    }
    arm();
    probe();
}

void HealthRounds::arm() {
    probe_timer_ = loop_.every(probe_every_, [this] { probe(); });
}

void HealthRounds::set_options(const NodeHealthOptions& options) {
    probe_every_ = options.probe_every;
    reporter_ = std::make_unique<HealthReporter>(options);
    probe_ = std::make_shared<NodeProbe>(options);
    if (running_) arm();
}

void HealthRounds::stop() {
    running_ = false;
    probe_timer_.cancel();
}

void HealthRounds::on_notes(const std::vector<DeviceNote>& notes) {
    for (const DeviceNote& note : notes) devices_.on_note(note, clock_.now().mono);
    if (notes.empty() || devices_due_) return;
    devices_due_ = true;
    devices_timer_ = loop_.after(devices_within, [this] {
        devices_due_ = false;
        publish(devices_.changed(clock_.now().mono, clock_.now().wall));
    });
}

void HealthRounds::probe() {
    if (probing_) return;  // a sick disk: the last look has not come back
    const Moment now = clock_.now();
    probing_ = prober_.try_post([this, probe = probe_, now] {
        auto probed = std::make_shared<NodeHealth>(probe->probe(now.mono, now.wall));
        loop_.post([this, probed] { on_probed(std::move(*probed)); });
    });
}

void HealthRounds::on_probed(NodeHealth probed) {
    probing_ = false;
    if (!running_) return;
    const Moment now = clock_.now();
    probed.time_trusted = now.clock == ClockState::Synced;
    if (auto report = reporter_->on_probe(std::move(probed), callbacks_.vitals(), now.mono))
        callbacks_.publish(Topic::Kind::Health, {}, encode(*report));
    DeviceNote self;
    self.device = "node";
    self.seen = true;
    self.firmware_version = BASMALIN_VERSION;
    self.dialect = "agent";
    devices_.on_note(self, now.mono);
    const bool first = !std::exchange(probed_, true);
    if (const auto sample = reporter_->sample()) callbacks_.sample(*sample, first);
    publish(devices_.changed(now.mono, now.wall));
}

void HealthRounds::publish_all_devices() { publish(devices_.all(clock_.now().mono, clock_.now().wall)); }

void HealthRounds::publish(const std::vector<DeviceHealth>& devices) {
    for (const DeviceHealth& d : devices) callbacks_.publish(Topic::Kind::DeviceHealth, d.device, encode(d));
}

}  // namespace basmalin::agent
