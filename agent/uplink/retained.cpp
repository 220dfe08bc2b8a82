#include "agent/uplink/retained.h"

namespace basmalin::agent {
namespace {

int rank(Topic::Kind kind) {
    if (kind == Topic::Kind::Status) return 0;
    if (kind == Topic::Kind::Health) return 1;
    return kind == Topic::Kind::DeviceHealth ? 3 : 2;
}

}  // namespace

void Retained::put(const Topic& topic, std::string payload) {
    std::string text = topic.text();
    if (const auto known = places_.find(text); known != places_.end()) {
        waiting_.at(known->second).payload = std::move(payload);
        return;
    }
    if (topic.kind == Topic::Kind::DeviceHealth && places_.size() >= topics_max_) return;
    const Place place{rank(topic.kind), turns_++};
    places_[text] = place;
    waiting_[place] = {std::move(text), std::move(payload)};
}

void Retained::drop_next() {
    places_.erase(waiting_.begin()->second.topic);
    waiting_.erase(waiting_.begin());
}

void Retained::clear() {
    waiting_.clear();
    places_.clear();
}

}  // namespace basmalin::agent
