// basmalin-agent: the way of a reading on the gateway, wired. local broker -> Sources -> Batcher -> Buffer -> Uplink; beside it
// node health, device health, local HTTP, systemd and signals. One loop owns all state; the Buffer and the NodeProbe have a Worker each.
#pragma once

#include <string>
#include <vector>

namespace basmalin::agent {

// Runs until SIGTERM or SIGINT. SIGHUP reads the settings again. Returns the exit code: 0 ended as asked, 1 failed, 2 the settings are off.
int run_agent(const std::string& config_file, const std::vector<std::string>& overrides);

}  // namespace basmalin::agent
