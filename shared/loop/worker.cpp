#include "shared/loop/worker.h"

#include <pthread.h>
#include <signal.h>

namespace basmalin {
namespace {

constexpr int ahead_in_a_row_max = 3;

}  // namespace

Worker::Worker(const std::string& name, size_t queue_max) : queue_max_(queue_max) {
    // Signals belong to the loop's thread.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_ = std::thread([this] { run(); });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    pthread_setname_np(thread_.native_handle(), name.substr(0, 15).c_str());
}

Worker::~Worker() { finish(); }

bool Worker::try_post(std::function<void()> work, bool ahead) {
    {
        const std::lock_guard lock(mutex_);
        if (ending_ || queue_.size() + ahead_.size() >= queue_max_) return false;
        (ahead ? ahead_ : queue_).push_back(std::move(work));
    }
    wake_.notify_one();
    return true;
}

void Worker::post(std::function<void()> work) {
    {
        const std::lock_guard lock(mutex_);
        if (ending_) return;
        queue_.push_back(std::move(work));
    }
    wake_.notify_one();
}

void Worker::finish() {
    {
        const std::lock_guard lock(mutex_);
        ending_ = true;
    }
    wake_.notify_one();
    if (thread_.joinable()) thread_.join();
}

size_t Worker::queued() const {
    const std::lock_guard lock(mutex_);
    return queue_.size() + ahead_.size();
}

std::function<void()> Worker::take() {
    const bool ahead = !ahead_.empty() && (queue_.empty() || ahead_in_a_row_ < ahead_in_a_row_max);
    ahead_in_a_row_ = ahead ? ahead_in_a_row_ + 1 : 0;
    auto& from = ahead ? ahead_ : queue_;
    std::function<void()> work = std::move(from.front());
    from.pop_front();
    return work;
}

void Worker::run() {
    std::unique_lock lock(mutex_);
    for (;;) {
        wake_.wait(lock, [this] { return ending_ || !queue_.empty() || !ahead_.empty(); });
        if (queue_.empty() && ahead_.empty()) return;
        std::function<void()> work = take();
        lock.unlock();
        work();
        work = nullptr;
        lock.lock();
    }
}

}  // namespace basmalin
