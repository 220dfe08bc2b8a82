// Sentences for the operator: each to the log, and home as a batch of its own, one every ten seconds. Most are said only once, so
// they wait for their turn; what finds 64 waiting is only counted.
// Thread: the loop's.
#pragma once

#include <deque>
#include <functional>
#include <string>

#include "shared/base/log.h"
#include "shared/loop/loop.h"

namespace basmalin::agent {

class OperatorEvents {
  public:
    static constexpr Duration every = seconds(10);
    static constexpr size_t waiting_max = 64;

    OperatorEvents(Loop& loop, const Clock& clock, std::function<void(const std::string& text)> send)
        : loop_(loop), clock_(clock), send_(std::move(send)) {}

    void tell(const std::string& text);
    uint64_t told_total() const { return told_; }
    uint64_t suppressed_total() const { return suppressed_; }

  private:
    void say(const std::string& text);
    void say_next();

    Loop& loop_;
    const Clock& clock_;
    std::function<void(const std::string& text)> send_;
    log::Gate gate_{every};
    std::deque<std::string> waiting_;
    uint64_t told_ = 0;
    uint64_t suppressed_ = 0;
    Timer timer_;
};

}  // namespace basmalin::agent
