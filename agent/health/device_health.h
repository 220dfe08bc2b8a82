// Which devices are well: last seen against each one's own learned interval, availability topics, battery, link quality,
// firmware. Pure: no I/O, time is a parameter; moments are MonoTime inside and become wall time only in what is returned.
//
//            heard                      quiet > late_after            quiet > silent_after
//   (unknown) ────> ok ──────────────────────────> late ──────────────────────────> silent
//                   ^ ^─────────── heard ────────────┴────────────── heard ────────────┘
//                   └── heard, or availability says online ── fault <── availability says offline (any state)
//
// R1  A device is unknown, and not shown, until it is heard or its availability topic speaks (a retained word counts); one that was
//     only described is shown as silent when nothing came for silent_without_interval.
// R2  Heard is a live message that is not the word "offline": a broker says that in the device's place.
// R3  The interval is the median of the last 16 gaps between bursts; messages closer than interval_least are one burst. Gaps
//     longer than silent_after_intervals medians are outages and do not count. Fewer than 3 gaps, or a quarter of 4 or more
//     outages: no interval is known (the device speaks when it has something to say).
// R4  With an interval: late after late_after_intervals of it, silent after silent_after_intervals. Without: silent after
//     silent_without_interval, never late. Never heard, but said to be online: the same, from when it became known.
// R5  The availability topic's "offline" is a fault until "online" or until it is heard.
// R6  A sleeping device (Homie) is no fault when offline, and is given three times longer (R4).
// R7  A low battery leaves the state as it is; an ok device says so in its reason.
// R8  changed() gives a new state at once (six times a minute at most for one device: then it waits for the minute to end), and all
//     else at most each report_every for one device, only if something changed.
// R9  Bounded: devices_max devices, the rest are refused and counted; texts are cut at 128 bytes; values out of their physical
//     range are ignored.
// Thread: one.
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
    Duration report_every = seconds(60);  // of a device whose state stays
};
void declare(Schema& schema, DeviceHealthOptions& options);

class DeviceHealthTracker {
  public:
    static constexpr size_t devices_max = 2000;

    explicit DeviceHealthTracker(DeviceHealthOptions options);
    ~DeviceHealthTracker();
    // What is known of the devices stays.
    void set_options(const DeviceHealthOptions& options);
    void on_note(const DeviceNote& note, MonoTime now);
    // Devices whose published health should be sent now (R8).
    std::vector<DeviceHealth> changed(MonoTime now, WallTime wall_now);
    // Every device that is not unknown, by name.
    std::vector<DeviceHealth> all(MonoTime now, WallTime wall_now) const;
    size_t devices() const;       // known, shown or not
    uint64_t refused() const;     // notes of devices beyond devices_max, or whose name is no label

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace basmalin::agent
