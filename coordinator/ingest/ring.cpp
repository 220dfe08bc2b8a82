#include "coordinator/ingest/ring.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace basmalin::coordinator {

Ring::Push Ring::push(Arrived message) {
    {
        const std::lock_guard lock(mutex_);
        const size_t bytes = cost(message);
        if (messages_ >= limits_.messages_max || bytes_ + bytes > limits_.bytes_max) return Push::Full;
        const auto known = of_node_.find(message.topic.node);
        if (known != of_node_.end() && known->second.size() >= limits_.node_messages_max) {
            ++crowded_[message.topic.node];
            return Push::NodeFull;
        }
        const auto queue = known != of_node_.end() ? known : of_node_.try_emplace(message.topic.node).first;
        if (queue->second.empty()) turns_.push_back(&*queue);
        bytes_ += bytes;
        ++messages_;
        ++pushed_;
        queue->second.push_back(std::move(message));
    }
    came_.notify_one();
    return Push::Taken;
}

std::vector<Arrived> Ring::take_locked(size_t messages_max, size_t bytes_max) {
    std::vector<Arrived> out;
    size_t bytes = 0;
    while (messages_ > 0 && out.size() < messages_max) {
        auto& [node, queue] = *turns_.front();
        const size_t its_bytes = cost(queue.front());
        if (!out.empty() && bytes + its_bytes > bytes_max) break;
        bytes += its_bytes;
        bytes_ -= its_bytes;
        --messages_;
        out.push_back(std::move(queue.front()));
        queue.pop_front();
        if (!queue.empty()) turns_.push_back(turns_.front());
        turns_.pop_front();
        if (queue.empty()) of_node_.erase(of_node_.find(node));
    }
    return out;
}

std::vector<Arrived> Ring::take(size_t messages_max, size_t bytes_max) {
    const std::lock_guard lock(mutex_);
    return take_locked(messages_max, bytes_max);
}

std::vector<Arrived> Ring::gather(const Gather& bounds) {
    std::unique_lock lock(mutex_);
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(bounds.most.ms);
    while (messages_ > 0 && !hurry_ && messages_ < bounds.messages_max && bytes_ < bounds.bytes_max) {
        const auto now = std::chrono::steady_clock::now();
        const uint64_t seen = pushed_;
        const auto until = std::min(end, now + std::chrono::milliseconds(bounds.idle.ms));
        if (now >= end || !came_.wait_until(lock, until, [&] { return pushed_ != seen || hurry_; })) break;
    }
    return take_locked(bounds.messages_max, bounds.bytes_max);
}

std::map<std::string, uint64_t> Ring::take_crowded() {
    const std::lock_guard lock(mutex_);
    return std::exchange(crowded_, {});
}

void Ring::hurry() {
    {
        const std::lock_guard lock(mutex_);
        hurry_ = true;
    }
    came_.notify_all();
}

size_t Ring::messages() const {
    const std::lock_guard lock(mutex_);
    return messages_;
}

size_t Ring::bytes() const {
    const std::lock_guard lock(mutex_);
    return bytes_;
}

double Ring::fullness() const {
    const std::lock_guard lock(mutex_);
    return std::max(static_cast<double>(messages_) / static_cast<double>(limits_.messages_max),
                    static_cast<double>(bytes_) / static_cast<double>(limits_.bytes_max));
}

}  // namespace basmalin::coordinator
