#include "coordinator/store/held_days.h"

#include <algorithm>

namespace basmalin::coordinator {

size_t bytes_of(const PointColumns& columns) {
    size_t bytes = 0;
    for (const auto& [key, column] : columns) {
        bytes += column.times_ms.capacity() * sizeof(int64_t);
        if (const auto* numbers = std::get_if<Numbers>(&column.values)) bytes += numbers->capacity() * sizeof(double);
        if (const auto* booleans = std::get_if<Booleans>(&column.values)) bytes += booleans->capacity();
        if (const auto* texts = std::get_if<Texts>(&column.values)) {
            for (const std::string& text : *texts) bytes += sizeof(std::string) + text.capacity();
        }
    }
    return bytes;
}

const HeldDay* HeldDays::find(uint64_t answer, int64_t time_ms, MonoTime now) {
    std::erase_if(days_, [&](const HeldDay& day) { return now - day.used > patience; });
    if (answer == 0) return nullptr;
    const auto at = std::ranges::find(days_, answer, &HeldDay::answer);
    if (at == days_.end() || time_ms < at->from_ms || time_ms >= at->to_ms) return nullptr;
    at->used = now;
    return &*at;
}

void HeldDays::hold(HeldDay day, MonoTime now) {
    drop(day.answer);
    day.used = now;
    day.bytes = bytes_of(day.columns);
    if (day.answer == 0 || day.bytes > bytes_max) return;
    while (!days_.empty() && bytes() + day.bytes > bytes_max) days_.erase(std::ranges::min_element(days_, {}, &HeldDay::used));
    days_.push_back(std::move(day));
}

void HeldDays::drop(uint64_t answer) {
    std::erase_if(days_, [&](const HeldDay& day) { return day.answer == answer; });
}

size_t HeldDays::bytes() const {
    size_t all = 0;
    for (const HeldDay& day : days_) all += day.bytes;
    return all;
}

}  // namespace basmalin::coordinator
