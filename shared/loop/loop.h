// The one loop of a daemon. One thread runs it and owns all state; every other thread only posts.
// Implemented on Boost.Asio (asio_loop.cpp); this header needs no Asio, so shells that use a loop compile quickly.
// A Loop outlives its Timers and FdWatches.
#pragma once

#include <functional>
#include <memory>

#include "shared/base/clock.h"

namespace boost::asio {
class io_context;
}

namespace basmalin {

// Cancels its timer when destroyed or assigned over. Thread: the loop's.
class Timer {
  public:
    struct State;
    Timer() = default;
    explicit Timer(std::shared_ptr<State> state) : state_(std::move(state)) {}
    Timer(Timer&&) noexcept = default;
    Timer& operator=(Timer&& other) noexcept;
    ~Timer();
    void cancel();

  private:
    std::shared_ptr<State> state_;
};

// Watches a duplicate of a descriptor, so that a library may close its own at any moment. Thread: the loop's.
class FdWatch {
  public:
    struct State;
    FdWatch() = default;
    explicit FdWatch(std::shared_ptr<State> state) : state_(std::move(state)) {}
    FdWatch(FdWatch&&) noexcept = default;
    FdWatch& operator=(FdWatch&& other) noexcept;
    ~FdWatch();
    void cancel();
    bool active() const { return state_ != nullptr; }
    // Calls `ready` once when the descriptor is readable (writable) or broken; ask again for the next time.
    // A second request of the same kind while one waits is ignored.
    void when_readable(std::function<void()> ready);
    void when_writable(std::function<void()> ready);

  private:
    std::shared_ptr<State> state_;
};

class Loop {
  public:
    Loop();
    ~Loop();
    Loop(const Loop&) = delete;
    Loop& operator=(const Loop&) = delete;

    // Threads: any. Runs `work` on the loop's thread, later, in the order posted.
    void post(std::function<void()> work);
    // Thread: the loop's. Steady time: a step of the wall clock does not move it.
    [[nodiscard]] Timer after(Duration wait, std::function<void()> work);
    // Calls `work` every `period` until the Timer goes; a late tick is not made up for.
    [[nodiscard]] Timer every(Duration period, std::function<void()> work);
    // Not active() when the descriptor is no good or none is left.
    [[nodiscard]] FdWatch watch(int fd);
    // Calls `work` on the loop's thread for each of these signals, for the life of the loop.
    void on_signal(std::initializer_list<int> signals, std::function<void(int)> work);

    void run();                // until stop(); thread that calls it becomes the loop's thread
    void run_for(Duration d);  // for tests
    void stop();               // threads: any
    // True after stop(): work that re-arms itself asks.
    bool stopping() const;

    boost::asio::io_context& context();  // for files named after a library that needs it (beast_server.cpp)

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace basmalin
