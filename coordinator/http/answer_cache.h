// Answers as they were given last, for whoever asks the same next: a hundred open dashboards cost what one does.
// R1  A kept answer is given only while what it was made of is the same: its `state` says so.
// R2  Bounded by number and bytes; what does not fit is made anew each time.
// Thread: one per cache.
#pragma once

#include <map>
#include <string>
#include <utility>

#include "shared/base/clock.h"
#include "shared/http/prepared_body.h"

namespace basmalin::coordinator {

struct AnswerCacheLimits {
    size_t answers_max = 256;
    size_t bytes_max = 16 << 20;
};

class AnswerCache {
  public:
    explicit AnswerCache(AnswerCacheLimits limits = {}) : limits_(limits) {}

    // Null when there is none of this state, or it is too old.
    SharedBody find(const std::string& question, const std::string& state, MonoTime now) const {
        const auto found = answers_.find(question);
        if (found == answers_.end() || found->second.state != state || now >= found->second.good_until) return nullptr;
        return found->second.body;
    }
    void keep(const std::string& question, std::string state, MonoTime now, Duration good_for, SharedBody body) {
        const size_t bytes = body->bytes().size();
        forget(question);
        if (bytes > limits_.bytes_max) return;
        if (answers_.size() >= limits_.answers_max || bytes_ + bytes > limits_.bytes_max) {
            answers_.clear();
            bytes_ = 0;
        }
        bytes_ += bytes;
        answers_[question] = {std::move(state), now + good_for, std::move(body)};
    }
    size_t size() const { return answers_.size(); }

  private:
    struct Answer {
        std::string state;
        MonoTime good_until;
        SharedBody body;
    };
    void forget(const std::string& question) {
        const auto found = answers_.find(question);
        if (found == answers_.end()) return;
        bytes_ -= found->second.body->bytes().size();
        answers_.erase(found);
    }

    const AnswerCacheLimits limits_;
    std::map<std::string, Answer> answers_;
    size_t bytes_ = 0;
};

}  // namespace basmalin::coordinator
