// What arrived from the broker and waits for its thread. Filled by the MQTT library's thread, which must never wait.
// R1  Bounded by messages and by bytes; beyond them a message is dropped and its sender told so by silence (no ack: it sends again).
// R2  One node takes at most node_messages_max places, and nodes are taken from in turn: a node that floods, or whose messages are dear
//     to store, neither shuts out the others nor goes before them. A node's own messages stay in order.
// R3  gather() waits for more only while more keeps coming: a lone message goes on after `idle`, a stream of them after `most`.
// Threads: any number that push, one that takes.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "shared/base/clock.h"
#include "shared/wire/topics.h"

namespace basmalin::coordinator {

struct Arrived {
    Topic topic;
    std::string payload;
    bool retained = false;  // replayed by the broker
    WallTime received;
};

struct RingLimits {
    size_t messages_max = 8192;
    size_t bytes_max = 64 << 20;
    size_t node_messages_max = 256;
};

struct Gather {
    size_t messages_max = 256;
    size_t bytes_max = 4 << 20;
    Duration idle = milliseconds(5);
    Duration most = milliseconds(200);
};

class Ring {
  public:
    enum class Push { Taken, Full, NodeFull };

    explicit Ring(RingLimits limits) : limits_(limits) {}
    [[nodiscard]] Push push(Arrived message);
    // At once: what is there, within the bounds. Empty if nothing is.
    std::vector<Arrived> take(size_t messages_max, size_t bytes_max);
    // Empty only if nothing is there; otherwise waits as R3 says.
    std::vector<Arrived> gather(const Gather& bounds);
    // Messages that R2 refused since the last call, by node.
    std::map<std::string, uint64_t> take_crowded();
    // gather() no longer waits.
    void hurry();

    size_t messages() const;
    size_t bytes() const;
    // A share of its bounds, 0 to 1: the fuller of the two.
    double fullness() const;

  private:
    static size_t cost(const Arrived& message) { return message.payload.size() + message.topic.node.size() + 128; }
    std::vector<Arrived> take_locked(size_t messages_max, size_t bytes_max);

    const RingLimits limits_;
    mutable std::mutex mutex_;
    std::condition_variable came_;
    using Queues = std::unordered_map<std::string, std::deque<Arrived>>;
    Queues of_node_;                             // none is empty
    std::deque<Queues::value_type*> turns_;      // each of them once
    std::map<std::string, uint64_t> crowded_;
    size_t messages_ = 0;
    size_t bytes_ = 0;
    uint64_t pushed_ = 0;
    bool hurry_ = false;
};

}  // namespace basmalin::coordinator
