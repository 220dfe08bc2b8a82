// The pace on simulated links: a narrow place that sends one message after the other, and a way there and back.
#include "agent/uplink/pace.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <deque>

namespace basmalin::agent {
namespace {

struct SimulatedLink {
    double bytes_per_second;
    int64_t path_ms;

    struct OnItsWay {
        MonoTime sent, confirmed;
        size_t bytes;
        bool alone;
    };
    MonoTime now{};
    double free_at_ms = 0;  // when the narrow place has sent everything
    std::deque<OnItsWay> on_their_way = {};
    Pace pace = {};
    PaceLimits limits = {};
    size_t delivered = 0;
    int64_t longest_queue_ms = 0;

    size_t bytes_on_their_way() const {
        size_t bytes = 0;
        for (const OnItsWay& m : on_their_way) bytes += m.bytes;
        return bytes;
    }
    // A backlog without end, for this long.
    void run(Duration length) {
        for (const MonoTime end = now + length; now < end; now = now + milliseconds(1)) {
            while (!on_their_way.empty() && on_their_way.front().confirmed <= now) {
                const OnItsWay m = on_their_way.front();
                pace = heard(pace, {m.sent, m.bytes, true, m.alone, bytes_on_their_way()}, now, limits);
                on_their_way.pop_front();
                delivered += m.bytes;
            }
            const size_t bytes = std::min<size_t>(pace.message_bytes(now, limits), 32 * 1024);
            while (pace.may_send(bytes_on_their_way(), now, limits)) {
                const auto at_ms = static_cast<double>(now.ms);
                free_at_ms = std::max(free_at_ms, at_ms) + static_cast<double>(bytes) / bytes_per_second * 1000;
                longest_queue_ms = std::max(longest_queue_ms, static_cast<int64_t>(free_at_ms - at_ms));
                on_their_way.push_back({now, MonoTime{static_cast<int64_t>(std::ceil(free_at_ms)) + path_ms}, bytes, on_their_way.empty()});
            }
        }
    }
};

TEST(Pace, OnANarrowLinkTheQueueIsShortAndTheLinkIsFull) {
    for (const double bytes_per_second : {4'000.0, 32'000.0, 125'000.0, 1'250'000.0}) {
        for (const int64_t path_ms : {20, 300, 700}) {
            SimulatedLink link{.bytes_per_second = bytes_per_second, .path_ms = path_ms};
            link.run(seconds(20));
            link.longest_queue_ms = 0;
            link.delivered = 0;
            link.run(seconds(60));
            SCOPED_TRACE(testing::Message() << bytes_per_second << " bytes/s, " << path_ms << " ms");
            // What the path holds may come at once, after a measurement; at 4,000 bytes/s one message alone is a quarter of a second.
            EXPECT_LT(link.longest_queue_ms, bytes_per_second > 4'000 ? 400 + std::max<int64_t>(path_ms, 200) : 1500);
            const double most = static_cast<double>(link.limits.allowance_max) / (static_cast<double>(path_ms) / 1000);
            EXPECT_GT(static_cast<double>(link.delivered) / 60, 0.7 * std::min(bytes_per_second, most));
        }
    }
}

TEST(Pace, AFastLinkIsFullWithinASecond) {
    SimulatedLink link{.bytes_per_second = 50e6, .path_ms = 20};
    link.run(seconds(1));
    EXPECT_EQ(link.pace.allowance, link.limits.allowance_max);
    EXPECT_GT(link.delivered, 10'000'000u);
}

TEST(Pace, ALinkThatBecomesNarrowIsFoundOut) {
    SimulatedLink link{.bytes_per_second = 1'250'000, .path_ms = 100};
    link.run(seconds(10));
    link.bytes_per_second = 32'000;
    link.run(seconds(30));
    link.longest_queue_ms = 0;
    link.run(seconds(10));
    EXPECT_LT(link.longest_queue_ms, 800);
}

TEST(Pace, APathThatBecomesLongerIsNoQueueForEver) {  // P3
    SimulatedLink link{.bytes_per_second = 125'000, .path_ms = 50};
    link.run(seconds(10));
    link.path_ms = 900;
    link.run(seconds(120));
    link.delivered = 0;
    link.run(seconds(60));
    EXPECT_GT(static_cast<double>(link.delivered) / 60, 0.5 * 125'000);
}

TEST(Pace, WhatIsNotUsedDoesNotGrow) {
    Pace pace = {};
    const PaceLimits limits;
    const size_t before = pace.allowance;
    for (int i = 0; i < 100; ++i) pace = heard(pace, {MonoTime{i * 1000}, 500, true, true, 500}, MonoTime{i * 1000 + 20}, limits);
    EXPECT_EQ(pace.allowance, before);
}

}  // namespace
}  // namespace basmalin::agent
