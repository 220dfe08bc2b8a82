// What the settings mean for the two connections: to the gateway's own broker and to the centre. Pure.
#pragma once

#include "agent/app/agent_config.h"
#include "agent/uplink/uplink.h"
#include "shared/mqtt/link.h"

namespace basmalin::agent {

LinkOptions local_link(const AgentConfig& config);
WindowLimits window_limits(const AgentConfig& config);
UplinkOptions uplink_options(const AgentConfig& config, uint64_t boot);

}  // namespace basmalin::agent
