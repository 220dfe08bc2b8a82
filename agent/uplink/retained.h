// Retained messages that wait for the link, the latest of each topic. Pure.
// R1  The node's status goes first, then its health and what else is the node's, then its devices in turn: a slow link with many of
//     them keeps neither the node nor the last of them waiting for ever.
// R2  A newer payload takes the older one's place.
// R3  At most topics_max topics wait; beyond, devices that are new here find no room. What is the node's always does.
// Thread: one.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "shared/wire/topics.h"

namespace basmalin::agent {

class Retained {
  public:
    struct Message {
        std::string topic;
        std::string payload;
    };
    explicit Retained(size_t topics_max) : topics_max_(topics_max) {}

    void put(const Topic& topic, std::string payload);
    bool empty() const { return waiting_.empty(); }
    const Message& next() const { return waiting_.begin()->second; }  // not when empty
    void drop_next();
    void clear();

  private:
    using Place = std::pair<int, uint64_t>;  // rank, then turn
    size_t topics_max_;
    uint64_t turns_ = 0;
    std::map<Place, Message> waiting_;
    std::map<std::string, Place> places_;  // by topic
};

}  // namespace basmalin::agent
