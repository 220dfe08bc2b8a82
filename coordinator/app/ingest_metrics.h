// The ingest's counters for Prometheus: what came, what was dropped, what was garbage, how commits went. Set at each exposition.
// Thread: the loop's.
#pragma once

#include "coordinator/ingest/ingest.h"
#include "shared/metrics/registry.h"

namespace basmalin::coordinator {

// `ingest` may be null until it is made; it and `registry` outlive the expositions.
void expose_ingest(Registry& registry, const std::unique_ptr<Ingest>& ingest, const Fleet& fleet);

}  // namespace basmalin::coordinator
