// The commands of `basmalin`: each asks the API and writes a table for people or, with `json`, the API's items one JSON a line for
// programs. Thread: one.
#pragma once

#include <functional>
#include <string>

#include "coordinator/cli/client.h"
#include "shared/base/clock.h"
#include "shared/base/result.h"

namespace basmalin::coordinator {

struct Terminal {
    std::function<void(const std::string&)> write;
    std::function<void(const std::string&)> complain = {};  // a line beside the output
    const Clock* clock = nullptr;
    bool json = false;
    bool colours = false;
};

Result<void> show_status(Client& client, const Terminal& terminal);
Result<void> show_gardens(Client& client, const Terminal& terminal);

struct ListFilter {
    std::string garden = {};
    std::string node = {};
    std::string device = {};
    std::string state = {};  // of a device, or the presence of a node
};
Result<void> show_nodes(Client& client, const Terminal& terminal, const ListFilter& filter);
Result<void> show_devices(Client& client, const Terminal& terminal, const ListFilter& filter);
Result<void> show_series(Client& client, const Terminal& terminal, const ListFilter& filter);
Result<void> show_gaps(Client& client, const Terminal& terminal, const std::string& node);

struct ReadingsRequest {
    std::string what = {};          // "NODE", "NODE/DEVICE" or "NODE/DEVICE/QUANTITY"
    std::string since = "1h";  // an age ("90s" "10m" "24h" "7d"), or a time
    std::string until = {};         // empty: now
    std::string step = {};          // empty: every reading
    bool csv = false;
    bool follow = false;
    std::function<bool()> go_on = [] { return true; };      // asked between two looks
    std::function<void(Duration)> pause = [](Duration) {};  // between two looks
};
Result<void> show_readings(Client& client, const Terminal& terminal, const ReadingsRequest& request);

}  // namespace basmalin::coordinator
