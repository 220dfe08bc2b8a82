#include "tests/bench/made_up_garden.h"

#include <algorithm>
#include <cmath>

namespace basmalin::bench {
namespace {

double walk(std::mt19937& random, double value, double step, double least, double most, double places) {
    const double move = (static_cast<double>(random() % 2001) / 1000 - 1) * step;
    return std::round(std::clamp(value + move, least, most) * places) / places;
}

}  // namespace

MadeUpGarden::MadeUpGarden(uint32_t seed, size_t devices, MonoTime from) : random_(seed), time_ms_(from.ms) {
    for (size_t i = 0; i < devices; ++i)
        devices_.push_back({20 + static_cast<double>(random_() % 400) / 10, 10 + static_cast<double>(random_() % 150) / 10,
                            40 + static_cast<double>(random_() % 400) / 10});
}

Sample MadeUpGarden::next() {
    Device& d = devices_[at_];
    d.moisture = walk(random_, d.moisture, 0.2, 5, 60, 10);
    d.temperature = walk(random_, d.temperature, 0.2, -10, 45, 10);
    d.humidity = walk(random_, d.humidity, 0.6, 20, 100, 10);
    const auto jitter = static_cast<int64_t>(random_() % 200);
    Sample out{"bed" + std::to_string(at_ + 1), MonoTime{time_ms_ + jitter}, {}, false};
    out.measurements = {{"soil_moisture", "%", d.moisture}, {"temperature", "Cel", d.temperature}, {"humidity", "%", d.humidity}};
    at_ = (at_ + 1) % devices_.size();
    time_ms_ += report_every_ms / static_cast<int64_t>(devices_.size());
    return out;
}

Body BodyMaker::make(const std::vector<Sample>& samples) {
    Body body;
    std::map<uint32_t, size_t> group_of;
    for (const auto& sample : samples) {
        auto at = layouts_.find(sample.device);
        if (at == layouts_.end()) {
            Layout layout{static_cast<uint32_t>(layouts_.size() + 1), sample.device, {}};
            for (const auto& m : sample.measurements) {
                const int decimals = decimals_of(std::get<double>(m.value));
                layout.columns.push_back({m.quantity, m.unit, ValueKind::Number, static_cast<uint8_t>(std::clamp(decimals, 0, 15))});
            }
            at = layouts_.emplace(sample.device, layout).first;
            by_id_[layout.id] = &at->second;
            body.definitions.push_back(layout);
        }
        const auto [group, fresh] = group_of.try_emplace(at->second.id, body.groups.size());
        if (fresh) body.groups.push_back({at->second.id, {}, std::vector<ColumnValues>(at->second.columns.size(), Numbers{})});
        Rows& rows = body.groups[group->second];
        rows.times_ms.push_back(sample.time.ms);
        for (size_t i = 0; i < rows.columns.size(); ++i)
            std::get<Numbers>(rows.columns[i]).push_back(std::get<double>(sample.measurements[i].value));
    }
    return body;
}

LayoutLookup BodyMaker::lookup() const {
    return [this](uint32_t id) -> const Layout* {
        const auto at = by_id_.find(id);
        return at == by_id_.end() ? nullptr : at->second;
    };
}

size_t readings_of(const std::vector<Sample>& samples) {
    size_t n = 0;
    for (const auto& s : samples) n += s.measurements.size();
    return n;
}

}  // namespace basmalin::bench
