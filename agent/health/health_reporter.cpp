#include <algorithm>
#include <cmath>

#include "agent/health/node_health.h"

namespace basmalin::agent {
namespace {

double share_of(const std::map<std::string, double>& values, const char* total, double share, double otherwise) {
    const auto at = values.find(total);
    return at == values.end() || !(at->second > 0) ? otherwise : at->second * share;
}

void add_vitals(NodeHealth& out, const AgentVitals& vitals) {
    out.values["buffer_readings"] = static_cast<double>(vitals.buffer_readings);
    out.values["buffer_batches"] = static_cast<double>(vitals.buffer_batches);
    out.values["buffer_bytes"] = static_cast<double>(vitals.buffer_bytes);
    out.values["buffer_oldest_seconds"] = vitals.buffer_oldest_seconds;
    out.values["evicted_readings_total"] = static_cast<double>(vitals.evicted_readings_total);
    out.values["sealed_seq"] = static_cast<double>(vitals.sealed_seq);
    out.values["acked_seq"] = static_cast<double>(vitals.acked_seq);
    out.values["reconnects_total"] = static_cast<double>(vitals.reconnects);
    if (!vitals.last_update_result.empty()) out.texts["last_update_result"] = vitals.last_update_result;
}

// Values whose change is worth a message and that moved far enough, by name.
std::vector<std::string> moved_values(const NodeHealth& probed, const std::map<std::string, double>& sent) {
    std::vector<std::string> out;
    for (const auto& [name, value] : probed.values) {
        const auto threshold = threshold_of(name, probed.values);
        if (!threshold) continue;
        const auto before = sent.find(name);
        if (before == sent.end() || std::abs(value - before->second) >= *threshold) out.push_back(name);
    }
    return out;
}

}  // namespace

std::optional<double> threshold_of(std::string_view name, const std::map<std::string, double>& values) {
    constexpr double mebibyte = 1024 * 1024;
    if (name == "cpu_ratio" || name == "wifi_quality_ratio" || name.starts_with("psi_")) return 0.10;
    if (name == "load1" || name == "load5" || name == "load15") return 0.5;
    if (name == "temperature_celsius") return 2;
    if (name == "wifi_signal_dbm") return 6;
    if (name == "memory_available_bytes") return share_of(values, "memory_total_bytes", 0.05, 16 * mebibyte);
    if (name == "swap_used_bytes") return share_of(values, "swap_total_bytes", 0.05, 16 * mebibyte);
    if (name == "disk_free_bytes") return share_of(values, "disk_total_bytes", 0.01, 64 * mebibyte);
    if (name == "clock_offset_error_seconds" || name == "oom_kills_total") return 1;
    return std::nullopt;
}

std::string_view unit_of(std::string_view name) {
    if (name.ends_with("_bytes") || name.ends_with("_bytes_total")) return "By";
    if (name.ends_with("_celsius")) return "Cel";
    if (name.ends_with("_seconds")) return "s";
    if (name.ends_with("_dbm")) return "dB[mW]";
    return "1";
}

HealthReporter::HealthReporter(NodeHealthOptions options) : options_(std::move(options)) {}

std::optional<NodeHealth> HealthReporter::on_probe(NodeHealth probed, const AgentVitals& vitals, MonoTime now) {
    sample_.reset();
    std::erase_if(probed.values, [](const auto& value) { return !std::isfinite(value.second); });
    add_vitals(probed, vitals);
    const bool full = !last_ || now - last_full_at_ >= options_.report_every;
    if (!full && now - last_at_ < report_spacing) return std::nullopt;

    const auto moved = moved_values(probed, sent_);
    const bool told = !last_ || probed.flags != last_->flags || probed.texts != last_->texts || probed.services != last_->services;
    if (!full && moved.empty() && !told) return std::nullopt;

    take_sample(probed, moved, full, now);
    last_ = probed;
    last_at_ = now;
    if (full) last_full_at_ = now;
    return probed;
}

void HealthReporter::take_sample(const NodeHealth& report, const std::vector<std::string>& moved, bool full, MonoTime now) {
    Sample sample{"node", now, {}, false};
    const auto add = [&](const std::string& name, double value) {
        sample.measurements.push_back({name, std::string(unit_of(name)), value});
        sent_[name] = value;
    };
    const bool flags_changed = !last_ || report.flags != last_->flags;
    const bool alone = !full && !flags_changed && moved.size() == 1;
    const bool several = !full && !alone && (flags_changed || !moved.empty());
    for (const auto& [name, value] : report.values)
        if (full || (alone && name == moved.front()) || (several && threshold_of(name, report.values))) add(name, value);
    if (full || several)
        for (const auto& [name, value] : report.flags) sample.measurements.push_back({name, "", value});
    if (!sample.measurements.empty()) sample_ = std::move(sample);
}

}  // namespace basmalin::agent
