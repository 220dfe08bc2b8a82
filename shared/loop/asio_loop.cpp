#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <vector>

#include "shared/base/result.h"
#include "shared/loop/loop.h"

namespace basmalin {
namespace asio = boost::asio;

struct Timer::State {
    explicit State(asio::io_context& io) : timer(io) {}
    asio::steady_timer timer;
    std::function<void()> work;
    Duration period{};  // zero: once
    bool live = true;
};

struct FdWatch::State {
    explicit State(asio::io_context& io) : descriptor(io) {}
    asio::posix::stream_descriptor descriptor;
    bool reading = false;
    bool writing = false;
    bool live = true;
};

struct Loop::Impl {
    asio::io_context io{1};
    std::vector<std::unique_ptr<asio::signal_set>> signals;
    std::atomic<bool> stopping = false;
};

Timer& Timer::operator=(Timer&& other) noexcept {
    if (this != &other) {
        cancel();
        state_ = std::move(other.state_);
    }
    return *this;
}

Timer::~Timer() { cancel(); }

void Timer::cancel() {
    if (!state_) return;
    state_->live = false;
    state_->timer.cancel();
    state_.reset();
}

FdWatch& FdWatch::operator=(FdWatch&& other) noexcept {
    if (this != &other) {
        cancel();
        state_ = std::move(other.state_);
    }
    return *this;
}

FdWatch::~FdWatch() { cancel(); }

void FdWatch::cancel() {
    if (!state_) return;
    state_->live = false;
    boost::system::error_code ignored;
    state_->descriptor.close(ignored);
    state_.reset();
}

void FdWatch::when_readable(std::function<void()> ready) {
    if (!state_ || state_->reading) return;
    state_->reading = true;
    state_->descriptor.async_wait(asio::posix::stream_descriptor::wait_read,
                                  [state = state_, ready = std::move(ready)](const boost::system::error_code&) {
                                      state->reading = false;
                                      if (state->live) ready();
                                  });
}

void FdWatch::when_writable(std::function<void()> ready) {
    if (!state_ || state_->writing) return;
    state_->writing = true;
    state_->descriptor.async_wait(asio::posix::stream_descriptor::wait_write,
                                  [state = state_, ready = std::move(ready)](const boost::system::error_code&) {
                                      state->writing = false;
                                      if (state->live) ready();
                                  });
}

Loop::Loop() : impl_(std::make_unique<Impl>()) {}
Loop::~Loop() = default;

void Loop::post(std::function<void()> work) { asio::post(impl_->io, std::move(work)); }

static void arm(const std::shared_ptr<Timer::State>& state) {
    state->timer.async_wait([state](const boost::system::error_code& error) {
        if (error || !state->live) return;
        if (state->period.ms == 0) {
            state->live = false;
            const auto work = std::move(state->work);
            work();
            return;
        }
        state->timer.expires_after(std::chrono::milliseconds(state->period.ms));
        arm(state);
        const auto work = state->work;  // a copy: the work may drop the Timer
        work();
    });
}

Timer Loop::after(Duration wait, std::function<void()> work) {
    auto state = std::make_shared<Timer::State>(impl_->io);
    state->work = std::move(work);
    state->timer.expires_after(std::chrono::milliseconds(wait.ms));
    arm(state);
    return Timer(std::move(state));
}

Timer Loop::every(Duration period, std::function<void()> work) {
    auto state = std::make_shared<Timer::State>(impl_->io);
    state->work = std::move(work);
    state->period = period;
    state->timer.expires_after(std::chrono::milliseconds(period.ms));
    arm(state);
    return Timer(std::move(state));
}

FdWatch Loop::watch(int fd) {
    const int duplicate = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);  // programs that we start must not hold it open
    if (duplicate < 0) return {};
    auto state = std::make_shared<FdWatch::State>(impl_->io);
    boost::system::error_code error;
    state->descriptor.assign(duplicate, error);
    if (error) {
        ::close(duplicate);
        return {};
    }
    return FdWatch(std::move(state));
}

static void wait_for_signal(asio::signal_set& set, const std::shared_ptr<std::function<void(int)>>& work) {
    set.async_wait([&set, work](const boost::system::error_code& error, int number) {
        if (error) return;
        (*work)(number);
        wait_for_signal(set, work);
    });
}

void Loop::on_signal(std::initializer_list<int> signals, std::function<void(int)> work) {
    auto set = std::make_unique<asio::signal_set>(impl_->io);
    for (const int number : signals) set->add(number);
    wait_for_signal(*set, std::make_shared<std::function<void(int)>>(std::move(work)));
    impl_->signals.push_back(std::move(set));
}

void Loop::run() {
    const auto guard = asio::make_work_guard(impl_->io);
    impl_->io.run();
}

void Loop::run_for(Duration d) {
    impl_->io.restart();
    const auto guard = asio::make_work_guard(impl_->io);
    impl_->io.run_for(std::chrono::milliseconds(d.ms));
}

void Loop::stop() {
    impl_->stopping = true;
    impl_->io.stop();
}

bool Loop::stopping() const { return impl_->stopping; }

asio::io_context& Loop::context() { return impl_->io; }

}  // namespace basmalin
