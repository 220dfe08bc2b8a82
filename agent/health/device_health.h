// Which devices are well: last seen against each one's own learned interval, availability topics, battery, link quality,
// firmware. Pure: no I/O, time is a parameter. (Rules numbered here by whoever builds it; tests cite them.)
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agent/sources/sources.h"
#include "shared/base/clock.h"
#include "shared/config/config.h"
#include "shared/wire/messages.h"

namespace basmalin::agent {

struct DeviceHealthOptions {
    double late_after_intervals = 3;     // ok -> late
    double silent_after_intervals = 10;  // late -> silent
    Duration interval_least = seconds(10);
    Duration silent_without_interval = hours(24);  // seen too rarely to have learned an interval
    double battery_low_percent = 10;
};
void declare(Schema& schema, DeviceHealthOptions& options);

class DeviceHealthTracker {
  public:
    explicit DeviceHealthTracker(DeviceHealthOptions options);
    ~DeviceHealthTracker();
    void on_note(const DeviceNote& note, MonoTime now);
    // Devices whose published health should be sent now: state or a shown value changed (small changes and last_seen alone at
    // most every report_every). `to_wall` turns a moment of this boot into wall time.
    std::vector<DeviceHealth> changed(MonoTime now, WallTime wall_now);
    std::vector<DeviceHealth> all(MonoTime now, WallTime wall_now) const;
    size_t devices() const;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace basmalin::agent
