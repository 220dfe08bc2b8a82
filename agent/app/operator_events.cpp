#include "agent/app/operator_events.h"

namespace basmalin::agent {

void OperatorEvents::tell(const std::string& text) {
    ++told_;
    if (waiting_.empty() && gate_.open(clock_.mono())) return say(text);
    log::debug("event", {{"text", text}});
    if (waiting_.size() >= waiting_max) {
        ++suppressed_;
        return;
    }
    waiting_.push_back(text);
    if (waiting_.size() == 1) timer_ = loop_.every(every, [this] { say_next(); });
}

void OperatorEvents::say_next() {
    if (!gate_.open(clock_.mono())) return;
    const std::string text = std::move(waiting_.front());
    waiting_.pop_front();
    if (waiting_.empty()) timer_.cancel();
    say(text);
}

void OperatorEvents::say(const std::string& text) {
    log::warn("event", {{"text", text}, {"suppressed", suppressed_}});
    send_(text);
}

}  // namespace basmalin::agent
