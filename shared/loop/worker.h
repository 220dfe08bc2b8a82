// One thread for blocking work (SQLite, fsync, hashing, name look-ups). Work runs in the order given, but short work that was posted
// ahead goes first, with every fourth turn left to the rest; the queue is bounded.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

namespace basmalin {

class Worker {
  public:
    // `name` shows in `top -H` (15 bytes at most). `queue_max`: try_post refuses beyond it; post does not ask.
    explicit Worker(const std::string& name, size_t queue_max = 1024);
    ~Worker();  // finishes what is queued, then joins
    Worker(const Worker&) = delete;
    Worker& operator=(const Worker&) = delete;

    // Threads: any. False when the queue is full or the worker is ending: the caller sheds or retries.
    [[nodiscard]] bool try_post(std::function<void()> work, bool ahead = false);
    // For work that is bounded by its caller (one save at a time) and must not be refused. Ignored after finish().
    void post(std::function<void()> work);
    // Runs all that is queued, refuses the rest, joins. Idempotent. Not from the worker's own thread.
    void finish();
    size_t queued() const;

  private:
    void run();
    std::function<void()> take();

    const size_t queue_max_;
    mutable std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<std::function<void()>> queue_;
    std::deque<std::function<void()>> ahead_;
    int ahead_in_a_row_ = 0;
    bool ending_ = false;
    std::thread thread_;
};

}  // namespace basmalin
