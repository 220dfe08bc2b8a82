// Whether this coordinator does its work: a list of checks, from what is known at this moment. Pure.
// R1  database: a commit or a probe succeeded within 30 s.     R2  broker: connected and subscribed.
// R3  ingest: its queue has room and its thread moves.         R4  disk_space: more is free than the reserve.
// R5  memory: less is in use than the limit.
#pragma once

#include <optional>
#include <vector>

#include "coordinator/app/settings.h"
#include "coordinator/http/api.h"
#include "coordinator/ingest/ingest.h"

namespace basmalin::coordinator {

struct MachineState {
    std::optional<int64_t> disk_free_bytes;  // where the store is; empty: cannot be asked
    std::optional<int64_t> memory_bytes;     // resident, of this process
};
MachineState machine_state(const std::string& folder);

constexpr Duration written_within = seconds(30);
constexpr Duration writer_moves_within = seconds(30);
constexpr double queue_has_room_below = 0.95;

std::vector<HealthCheck> health_checks(const IngestStats& ingest, const MachineState& machine, const HealthSettings& settings);

}  // namespace basmalin::coordinator
