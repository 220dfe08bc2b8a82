#include "agent/health/device_health.h"

#include <cmath>
#include <map>
#include <optional>

#include "agent/health/learned_interval.h"
#include "shared/base/ids.h"

namespace basmalin::agent {
namespace {

constexpr size_t text_bytes_max = 128;
constexpr double sleeping_factor = 3;
constexpr Duration state_window = seconds(60);
constexpr int states_per_window_max = 6;

struct Device {
    explicit Device(LearnedInterval fresh, MonoTime at) : interval(fresh), known_since(at) {}
    LearnedInterval interval;
    MonoTime known_since;
    std::optional<MonoTime> last_heard;
    std::optional<bool> available;
    bool sleeping = false;
    DeviceHealth shown;  // what notes told; state, reason and last_seen are worked out when asked
    // What was published last.
    std::optional<DeviceHealth> published;
    std::optional<MonoTime> published_last_heard;
    MonoTime published_at{};
    MonoTime window_began{};
    int states_in_window = 0;
};

void take_text(std::string& field, const std::string& told) {
    if (told.empty() || told == field) return;
    std::string clean;
    for (const char c : told) clean += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c;
    if (clean.size() > text_bytes_max) {
        size_t end = text_bytes_max;
        while (end > 0 && (static_cast<unsigned char>(clean[end]) & 0xc0) == 0x80) --end;  // not inside a character
        clean.resize(end);
    }
    if (is_utf8(clean)) field = std::move(clean);
}

void take_number(std::optional<double>& field, const std::optional<double>& told, double least, double most) {
    if (told && std::isfinite(*told) && *told >= least && *told <= most) field = told;
}

std::string in_words(double duration_seconds) {
    const auto whole = [](double n) { return std::to_string(std::llround(n)); };
    if (duration_seconds < 120) return whole(duration_seconds) + " s";
    if (duration_seconds < 7200) return whole(duration_seconds / 60) + " min";
    if (duration_seconds < 172'800) return whole(duration_seconds / 3600) + " h";
    return whole(duration_seconds / 86'400) + " days";
}

double seconds_of(Duration d) { return static_cast<double>(d.ms) / 1000; }

// Link quality and signal wander with every message; only a clear move is worth telling before anything else changes.
bool moved(const std::optional<double>& before, const std::optional<double>& now, double threshold) {
    if (before.has_value() != now.has_value()) return true;
    return now && std::abs(*now - *before) >= threshold;
}

}  // namespace

struct DeviceHealthTracker::Impl {
    explicit Impl(DeviceHealthOptions given) : options(given) {}

    // R1
    bool is_shown(const Device& d, MonoTime now) const {
        return d.last_heard || d.available || now - d.known_since > options.silent_without_interval;
    }

    void judge(const Device& d, MonoTime now, DeviceHealth& out) const {
        const double factor = d.sleeping ? sleeping_factor : 1;
        const double quiet = seconds_of(now - d.last_heard.value_or(d.known_since));
        const auto interval = d.interval.interval();
        if (d.available == false && !d.sleeping) {
            out.state = DeviceState::Fault;
            out.reason = "its availability topic says offline";
            return;
        }
        const double expected = interval ? seconds_of(*interval) : 0;
        const double silent_after =
            interval ? expected * options.silent_after_intervals * factor : seconds_of(options.silent_without_interval) * factor;
        if (quiet > silent_after) {
            out.state = DeviceState::Silent;
            out.reason = !d.last_heard ? "known, but never heard since the agent started"
                         : interval    ? "silent: used to report every " + in_words(expected)
                                       : "nothing heard for more than " + in_words(silent_after);
        } else if (interval && quiet > expected * options.late_after_intervals * factor) {
            out.state = DeviceState::Late;
            out.reason = "late: reports every " + in_words(expected);
        } else if (d.shown.battery_percent && *d.shown.battery_percent <= options.battery_low_percent) {
            out.reason = "battery " + std::to_string(std::llround(*d.shown.battery_percent)) + " %";
        } else if (d.sleeping) {
            out.reason = "sleeping";
        }
    }

    DeviceHealth health_of(const Device& d, MonoTime now, WallTime wall_now) const {
        DeviceHealth out = d.shown;
        if (d.last_heard) out.last_seen = wall_now - (now - *d.last_heard);
        if (const auto interval = d.interval.interval()) out.interval_seconds = seconds_of(*interval);
        judge(d, now, out);
        return out;
    }

    // R8, for a device whose state stays.
    static bool differs(const Device& d, const DeviceHealth& health) {
        const DeviceHealth& p = *d.published;
        return d.published_last_heard != d.last_heard || p.reason != health.reason || p.interval_seconds != health.interval_seconds ||
               moved(p.battery_percent, health.battery_percent, 1) || moved(p.battery_volts, health.battery_volts, 0.05) ||
               moved(p.link_quality_percent, health.link_quality_percent, 5) || moved(p.rssi_dbm, health.rssi_dbm, 5) ||
               p.firmware_version != health.firmware_version || p.model != health.model || p.name != health.name ||
               p.dialect != health.dialect;
    }

    bool is_due(Device& d, const DeviceHealth& health, MonoTime now) const {
        if (!d.published) return true;
        if (d.published->state == health.state) return now - d.published_at >= options.report_every && differs(d, health);
        if (now - d.window_began >= state_window) {
            d.window_began = now;
            d.states_in_window = 0;
        }
        if (d.states_in_window >= states_per_window_max) return false;
        ++d.states_in_window;
        return true;
    }

    DeviceHealthOptions options;
    std::map<std::string, Device, std::less<>> devices;
    uint64_t refused = 0;
};

DeviceHealthTracker::DeviceHealthTracker(DeviceHealthOptions options) : impl_(std::make_unique<Impl>(options)) {}

DeviceHealthTracker::~DeviceHealthTracker() = default;

void DeviceHealthTracker::set_options(const DeviceHealthOptions& options) {
    impl_->options = options;
    for (auto& [name, d] : impl_->devices) d.interval.set_limits(options.interval_least, options.silent_after_intervals);
}

void DeviceHealthTracker::on_note(const DeviceNote& note, MonoTime now) {
    auto at = impl_->devices.find(note.device);
    if (at == impl_->devices.end()) {
        if (impl_->devices.size() >= devices_max || !is_label(note.device)) {
            ++impl_->refused;
            return;
        }
        const LearnedInterval fresh(impl_->options.interval_least, impl_->options.silent_after_intervals);
        at = impl_->devices.emplace(note.device, Device(fresh, now)).first;
        at->second.shown.device = note.device;
    }
    Device& d = at->second;
    const bool heard = note.seen && note.available != false;  // R2
    if (heard) {
        d.last_heard = now;
        d.interval.heard(now);
        if (d.available == false) d.available.reset();  // R5
    }
    if (note.available) d.available = note.available;
    if (note.sleeping) d.sleeping = *note.sleeping;
    take_number(d.shown.battery_percent, note.battery_percent, 0, 100);
    take_number(d.shown.battery_volts, note.battery_volts, 0, 1000);
    take_number(d.shown.link_quality_percent, note.link_quality_percent, 0, 100);
    take_number(d.shown.rssi_dbm, note.rssi_dbm, -200, 100);
    take_text(d.shown.firmware_version, note.firmware_version);
    take_text(d.shown.model, note.model);
    take_text(d.shown.name, note.name);
    take_text(d.shown.dialect, note.dialect);
}

std::vector<DeviceHealth> DeviceHealthTracker::changed(MonoTime now, WallTime wall_now) {
    std::vector<DeviceHealth> out;
    for (auto& [name, d] : impl_->devices) {
        if (!impl_->is_shown(d, now)) continue;
        DeviceHealth health = impl_->health_of(d, now, wall_now);
        if (!impl_->is_due(d, health, now)) continue;
        d.published = health;
        d.published_last_heard = d.last_heard;
        d.published_at = now;
        out.push_back(std::move(health));
    }
    return out;
}

std::vector<DeviceHealth> DeviceHealthTracker::all(MonoTime now, WallTime wall_now) const {
    std::vector<DeviceHealth> out;
    for (const auto& [name, d] : impl_->devices)
        if (impl_->is_shown(d, now)) out.push_back(impl_->health_of(d, now, wall_now));
    return out;
}

size_t DeviceHealthTracker::devices() const { return impl_->devices.size(); }

uint64_t DeviceHealthTracker::refused() const { return impl_->refused; }

}  // namespace basmalin::agent
