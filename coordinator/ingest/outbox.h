// What waits to be published, and the window of what is on its way. Pure.
// R1  At most window messages are on their way: above the broker's Receive Maximum Paho 1.2.0 falls to 23 messages a second.
// R2  A newer message of the same key replaces one that waits (an ack says all that an older one said), and keeps its place.
// R3  At most keys_max wait; beyond, the oldest goes and is counted: the gateway sends its batches again and is acked again.
// R4  What was on its way when the connection went waits again, unless something newer of its key does.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>

namespace basmalin::coordinator {

struct Outgoing {
    std::string key;
    std::string topic;
    std::string payload;
};

class Outbox {
  public:
    explicit Outbox(size_t window = 16, size_t keys_max = 65'536) : window_(window), keys_max_(keys_max) {}

    void put(Outgoing message) {
        const auto found = waiting_of_.find(message.key);
        if (found != waiting_of_.end()) {
            *found->second = std::move(message);
            return;
        }
        if (waiting_.size() >= keys_max_) {
            waiting_of_.erase(waiting_.front().key);
            waiting_.pop_front();
            ++dropped_;
        }
        waiting_.push_back(std::move(message));
        waiting_of_[waiting_.back().key] = std::prev(waiting_.end());
    }

    // The next to publish, while the window is open. It waits again unless sent() or back() says what became of it.
    std::optional<Outgoing> next() {
        if (waiting_.empty() || sent_.size() >= window_) return std::nullopt;
        Outgoing message = std::move(waiting_.front());
        waiting_of_.erase(message.key);
        waiting_.pop_front();
        return message;
    }
    // It is on its way, under this id.
    void sent(uint64_t id, Outgoing message) { sent_.insert_or_assign(id, std::move(message)); }
    // The library refused it.
    void back(Outgoing message) {
        if (!waiting_of_.contains(message.key)) put(std::move(message));
    }
    // Delivered, or not (R4).
    void ended(uint64_t id, bool delivered) {
        auto found = sent_.extract(id);
        if (!found.empty() && !delivered) back(std::move(found.mapped()));
    }
    void connection_lost() {
        while (!sent_.empty()) ended(sent_.begin()->first, false);
    }

    size_t waiting() const { return waiting_.size(); }
    size_t on_their_way() const { return sent_.size(); }
    bool empty() const { return waiting_.empty() && sent_.empty(); }
    uint64_t dropped() const { return dropped_; }

  private:
    size_t window_;
    size_t keys_max_;
    std::list<Outgoing> waiting_;
    std::unordered_map<std::string, std::list<Outgoing>::iterator> waiting_of_;
    std::map<uint64_t, Outgoing> sent_;
    uint64_t dropped_ = 0;
};

}  // namespace basmalin::coordinator
