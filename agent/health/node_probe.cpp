#include <sys/timex.h>

#include "agent/health/node_health.h"
#include "agent/health/probe_parts.h"

namespace basmalin::agent {

ClockReading read_clock_state() {
    timex asked{};
    const int state = ::adjtimex(&asked);
    if (state < 0 || state == TIME_ERROR || (asked.status & STA_UNSYNC) != 0) return {};  // EPERM in a container: not known
    return {ClockState::Synced, asked.maxerror / 1000};
}

struct NodeProbe::Impl {
    Impl(NodeHealthOptions given, std::string root_folder)
        : options(std::move(given)), root(std::move(root_folder)), services(options.services) {}
    const NodeHealthOptions options;
    const std::string root;
    CpuProbe cpu;
    DiskProbe disk;
    PowerProbe power;
    ServiceProbe services;
};

NodeProbe::NodeProbe(NodeHealthOptions options, std::string root) : impl_(std::make_unique<Impl>(std::move(options), std::move(root))) {}

NodeProbe::~NodeProbe() = default;

NodeHealth NodeProbe::probe(MonoTime now, WallTime wall) {
    NodeHealth out;
    out.time = wall;
    const ClockReading clock = read_clock_state();
    out.time_trusted = clock.state == ClockState::Synced;
    out.flags["clock_synced"] = out.time_trusted;
    if (out.time_trusted) out.values["clock_offset_error_seconds"] = static_cast<double>(clock.error_ms) / 1000;
    out.texts["agent_version"] = BASMALIN_VERSION;
    impl_->cpu.read(impl_->root, out);
    read_memory(impl_->root, out);
    impl_->disk.read(impl_->root, impl_->options.disk_path, now, wall, out);
    read_network(impl_->root, out);
    impl_->power.read(impl_->root, out);
    read_process(impl_->root, out);
    impl_->services.read(impl_->root, out);
    return out;
}

}  // namespace basmalin::agent
