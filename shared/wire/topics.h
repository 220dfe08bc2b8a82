// The only place that knows an MQTT topic of fleet/1. Source: shared/wire/README.md.
#pragma once

#include <string>
#include <string_view>

#include "shared/base/result.h"

namespace basmalin {

struct Topic {
    enum class Kind { Up, Ack, Hello, Welcome, Status, Health, DeviceHealth, Desired, Reported, Command, Result };
    std::string node{};
    Kind kind = Kind::Up;
    std::string device{};  // DeviceHealth only

    std::string text() const;  // "fleet/1/g1/up"; a device's name is percent-encoded where a topic needs it
    static Result<Topic> parse(std::string_view text);
    // What a coordinator subscribes to ("fleet/1/+/up"), or a node for itself (node given).
    static std::string filter(Kind kind, std::string_view node = "+");
    // "$share/<group>/fleet/1/+/up"
    static std::string shared_filter(std::string_view group, Kind kind);
    bool operator==(const Topic&) const = default;
};

}  // namespace basmalin
