#include "agent/health/device_health.h"
#include "agent/health/node_health.h"

namespace basmalin::agent {

void declare(Schema& schema, NodeHealthOptions& options) {
    schema.section("health", "The health of this machine.");
    schema.duration("probe_every", options.probe_every, seconds(1), minutes(10), "How often the machine is looked at.");
    schema.duration("report_every", options.report_every, seconds(5), hours(1),
                    "How often a full report is sent; between two, only what changed enough is.");
    schema.texts("services", options.services, "systemd units to watch, 32 at most, as in \"mosquitto.service\".");
    schema.text("disk_path", options.disk_path, "A folder on the disk to watch.", [](const std::string& path) {
        return path.starts_with("/") ? std::string() : std::string("must begin with '/'");
    });
}

void declare(Schema& schema, DeviceHealthOptions& options) {
    schema.section("device_health", "When a device counts as late or silent.");
    schema.number("late_after_intervals", options.late_after_intervals, 1, 100,
                  "A device is late when nothing came from it for this many of its own intervals.");
    schema.number("silent_after_intervals", options.silent_after_intervals, 1, 1000, "And silent after this many.");
    schema.duration("interval_least", options.interval_least, seconds(1), hours(1),
                    "Messages closer together than this are one burst: no device is expected to be quicker.");
    schema.duration("silent_without_interval", options.silent_without_interval, seconds(1), hours(24 * 90),
                    "When a device without a steady interval counts as silent.");
    schema.number("battery_low_percent", options.battery_low_percent, 0, 100, "At or below it, the device's health says so.");
    schema.duration("report_every", options.report_every, seconds(5), hours(1),
                    "How often a device's health is sent while only its last message or its levels changed.");
}

}  // namespace basmalin::agent
