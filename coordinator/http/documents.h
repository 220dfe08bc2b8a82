// What the API shows of the fleet, as JSON: the shapes that openapi.yaml describes. Times of 0 are null. Pure.
#pragma once

#include "coordinator/fleet/fleet.h"
#include "coordinator/store/store.h"
#include "shared/base/json.h"

namespace basmalin::coordinator {

Json time_json(WallTime time);
Json value_json(const Value& value);
std::string_view to_string(ValueKind kind);  // "number" "boolean" "text"

Json garden_json(const Garden& garden);
Json node_json(const Node& node);
// The node with its streams and devices.
Json node_detail_json(const Node& node);
Json device_json(const Node& node, const Device& device);
std::string_view device_state(const Device& device);  // "unknown" without a health report
Json series_json(const Series& series);
Json gap_json(const GapRecord& record);
Json dead_letter_json(const StoreReader::DeadLetter& letter);
Json event_json(const StoreReader::Event& event);

}  // namespace basmalin::coordinator
