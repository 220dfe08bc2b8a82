// A small language for stories of the window: connect(), welcome(), seal(), ack(), tick_at(), and what it wants done.
#pragma once

#include <gtest/gtest.h>

#include <vector>

#include "agent/uplink/uplink_window.h"

namespace basmalin::agent {

constexpr uint64_t stream = 77;
constexpr uint64_t epoch = 5;

inline BatchRef batch(uint64_t seq, Priority priority = Priority::Normal, uint32_t bytes = 120) {
    return {.id = static_cast<int64_t>(seq), .stream = stream, .seq = seq, .bytes = bytes, .boot_no = 0, .priority = priority};
}

class WindowStory : public ::testing::Test {
  protected:
    std::vector<WindowCommand> happens(const WindowEvent& e) {
        WindowStep s = step(std::move(window), e, now, limits);
        window = std::move(s.next);
        for (const WindowCommand& c : s.commands) all.push_back(c);
        return s.commands;
    }
    template <class T>
    std::vector<T> only(const std::vector<WindowCommand>& commands) {
        std::vector<T> found;
        for (const WindowCommand& c : commands)
            if (const auto* one = std::get_if<T>(&c)) found.push_back(*one);
        return found;
    }
    void connect(uint16_t receive_maximum = 20) {
        const auto hellos = only<command::SendHello>(happens(event::Connected{receive_maximum}));
        ASSERT_EQ(hellos.size(), 1u);
        happens(event::Published{hellos[0].message, 0});
    }
    std::vector<WindowCommand> welcome(int64_t last_id = 0, uint64_t mark = 0, double random = 0) {
        SeqSet acked;
        acked.restore(mark, {});
        return happens(
            event::Welcomed{.epoch = epoch, .acked = {{stream, acked}}, .last_id = last_id, .definitions_wanted = false, .random = random});
    }
    void open() {
        connect();
        for (const auto& f : only<command::Fetch>(welcome()))
            happens(event::Fetched{.lane = f.lane, .batches = {}, .last_id = f.after_id, .end = true, .number = f.number});
        settle_fetches();
    }
    void settle_fetches() {
        for (int i = 0; i < 4 && window.fetching != 0; ++i) {
            const Lane lane = window.alarm_end ? Lane::Backlog : Lane::Alarm;
            happens(event::Fetched{.lane = lane, .batches = {}, .last_id = 0, .end = true, .number = window.fetching});
        }
    }
    std::vector<command::Publish> seal(uint64_t seq, Priority priority = Priority::Normal) {
        return only<command::Publish>(happens(event::Sealed{{batch(seq, priority)}}));
    }
    std::vector<WindowCommand> ack(uint64_t mark, uint64_t of_epoch = epoch) {
        return happens(event::Acked{{.epoch = of_epoch, .stream = stream, .mark = mark, .ranges = {}}});
    }
    std::vector<WindowCommand> tick_at(Duration later) {
        now = now + later;
        return happens(event::Tick{});
    }

    Window window;
    WindowLimits limits;
    MonoTime now{1'000'000};
    std::vector<WindowCommand> all;
};

}  // namespace basmalin::agent
