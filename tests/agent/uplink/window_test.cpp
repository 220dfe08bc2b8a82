// Stories of the window, and histories of thousands of seeds: whatever is lost, doubled or late, everything is acked in the end,
// no bound is ever exceeded, and live batches go before the backlog.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "tests/agent/uplink/window_story.h"

namespace basmalin::agent {
namespace {

TEST_F(WindowStory, SendsNothingBeforeTheWelcome) {
    connect();
    EXPECT_TRUE(seal(1).empty());
    EXPECT_EQ(window.phase, WindowPhase::Greeting);
    EXPECT_TRUE(window.batches.empty()) << "the buffer has it";
}

TEST_F(WindowStory, ALiveBatchGoesAtOnceAndIsForgottenWhenAcked) {
    open();
    const auto sent = seal(1);
    ASSERT_EQ(sent.size(), 1u);
    EXPECT_EQ(sent[0].lane, Lane::Live);
    happens(event::Published{sent[0].message, 0});
    const auto forgotten = only<command::Forget>(ack(1));
    ASSERT_EQ(forgotten.size(), 1u);
    EXPECT_EQ(forgotten[0].ids, std::vector<int64_t>{1});
    EXPECT_TRUE(window.messages.empty());
    EXPECT_FALSE(next_tick(window, limits));
}

TEST_F(WindowStory, BatchesThatComeInBelowWhatWasReadAreSentToo) {
    open(), seal(9);
    happens(event::Grown{.last_id = 5});
    happens(event::Fetched{.lane = Lane::Alarm, .batches = {}, .last_id = 0, .end = true, .number = window.fetching});
    happens(event::Fetched{.lane = Lane::Backlog, .batches = {batch(3), batch(9)}, .last_id = 9, .end = true, .number = window.fetching});
    const auto sent = only<command::Publish>(tick_at(milliseconds(200)));
    ASSERT_EQ(sent.size(), 1u);
    EXPECT_EQ(sent[0].ids, std::vector<int64_t>{3}) << "9 is on its way already";
}

TEST_F(WindowStory, APubackIsNoAck) {
    open();
    const auto sent = seal(1);
    happens(event::Published{sent[0].message, 0});
    EXPECT_EQ(window.batches.size(), 1u);
    const auto again = only<command::Publish>(tick_at(seconds(2)));
    ASSERT_EQ(again.size(), 1u);
    EXPECT_EQ(again[0].ids, sent[0].ids);
}

TEST_F(WindowStory, ThreeResendsThenANewConnection) {  // R5
    open();
    auto sent = seal(1);
    int resends = 0;
    Duration waited{};
    for (int i = 0; i < 200; ++i) {
        for (const auto& p : sent) happens(event::Published{p.message, 0});
        const auto due = next_tick(window, limits);
        ASSERT_TRUE(due);
        waited = waited + (*due - now);
        now = *due;
        const auto commands = happens(event::Tick{});
        sent = only<command::Publish>(commands);
        resends += static_cast<int>(sent.size());
        if (only<command::Reconnect>(commands).empty()) continue;
        EXPECT_EQ(resends, 3);
        EXPECT_EQ(waited, seconds(2 + 4 + 8 + 16));
        EXPECT_EQ(window.phase, WindowPhase::Away);
        return;
    }
    FAIL() << "never reconnected";
}

TEST_F(WindowStory, AMissingPubackIsWaitedForNotDoubled) {  // R5
    open();
    seal(1);
    EXPECT_TRUE(only<command::Publish>(tick_at(seconds(2))).empty());
    EXPECT_TRUE(only<command::Publish>(tick_at(seconds(4))).empty());
    EXPECT_TRUE(only<command::Publish>(tick_at(seconds(8))).empty());
    EXPECT_EQ(only<command::Reconnect>(tick_at(seconds(16))).size(), 1u);
}

TEST_F(WindowStory, NobodySubscribedMeansPauseAndAProbe) {  // R6
    open();
    const auto sent = seal(1);
    const auto commands = happens(event::Published{sent[0].message, 0x10});
    EXPECT_EQ(window.phase, WindowPhase::Paused);
    EXPECT_EQ(only<command::Forget>(commands).size(), 1u);
    EXPECT_TRUE(seal(2).empty());
    const auto due = next_tick(window, limits);
    ASSERT_TRUE(due);
    now = *due;
    const auto probe = only<command::SendHello>(happens(event::Tick{}));
    ASSERT_EQ(probe.size(), 1u);
    happens(event::Published{probe[0].message, 0x10});
    EXPECT_EQ(window.phase, WindowPhase::Paused);
    now = *next_tick(window, limits);
    const auto second = only<command::SendHello>(happens(event::Tick{}));
    ASSERT_EQ(second.size(), 1u);
    happens(event::Published{second[0].message, 0});
    welcome(2);
    EXPECT_EQ(window.phase, WindowPhase::Open);
    EXPECT_FALSE(window.backlog_end) << "what was put back is read from the buffer";
}

TEST_F(WindowStory, ProbesOfAPauseBecomeRarerUpToAMinute) {  // R6
    connect();
    Duration longest{};
    for (int i = 0; i < 40; ++i) {
        const auto due = next_tick(window, limits);
        ASSERT_TRUE(due);
        longest = std::max(longest, *due - now);
        now = *due;
        for (const auto& h : only<command::SendHello>(happens(event::Tick{}))) happens(event::Published{h.message, 0x10});
    }
    EXPECT_EQ(longest, seconds(60));
}

TEST_F(WindowStory, AcksOfAnotherEpochDoNotCountAndAskForAWelcome) {  // R7
    open();
    seal(1);
    const auto commands = ack(1, epoch + 1);
    EXPECT_EQ(window.batches.size(), 1u);
    EXPECT_EQ(only<command::SendHello>(commands).size(), 1u);
    EXPECT_TRUE(only<command::SendHello>(ack(1, epoch + 1)).empty()) << "not once per ack";
}

TEST_F(WindowStory, ANewEpochStartsAllOver) {  // R9
    open();
    seal(1);
    ack(1);
    happens(event::Welcomed{.epoch = epoch + 1, .acked = {}, .last_id = 1, .definitions_wanted = false, .random = 0});
    EXPECT_EQ(window.epoch, epoch + 1);
    EXPECT_EQ(window.backlog_cursor, 0);
    EXPECT_FALSE(window.acked.contains(stream));
}

TEST_F(WindowStory, TheBacklogStartsAtARandomMoment) {  // R8
    connect();
    for (const auto& f : only<command::Fetch>(welcome(100, 0, 0.5))) {
        EXPECT_EQ(f.lane, Lane::Alarm);
        happens(event::Fetched{.lane = Lane::Alarm, .batches = {}, .last_id = 0, .end = true, .number = f.number});
    }
    EXPECT_EQ(window.fetching, 0u);
    EXPECT_TRUE(only<command::Fetch>(tick_at(milliseconds(14'999))).empty());
    EXPECT_EQ(only<command::Fetch>(tick_at(milliseconds(1))).size(), 1u);
}

TEST_F(WindowStory, AMessageHoldsUpToThirtyTwoKibibytes) {  // R4
    open();
    limits.live_batches_max = 0;
    event::Sealed many;
    for (uint64_t s = 1; s <= 60; ++s) many.batches.push_back(batch(s, Priority::Normal, 1000));
    happens(many);
    limits.live_batches_max = 64;
    for (const auto& p : only<command::Publish>(happens(event::Tick{})))
        EXPECT_LE(p.ids.size() * 1003 + up_overhead_bytes_max, up_bytes_max);
    EXPECT_EQ(window.live_unacked, 60u);
}

TEST_F(WindowStory, TheBacklogLeavesRoomOnTheLine) {  // R10
    limits.backlog_bytes_per_second = 0;
    limits.backlog_delay_max = {};
    connect();
    welcome(100);
    event::Fetched page{.lane = Lane::Backlog, .batches = {}, .last_id = 100, .end = true, .number = 0};
    for (uint64_t s = 1; s <= 100; ++s) page.batches.push_back(batch(s, Priority::Normal, 1000));
    while (window.fetching != 0 && !window.alarm_end)
        happens(event::Fetched{.lane = Lane::Alarm, .batches = {}, .last_id = 100, .end = true, .number = window.fetching});
    page.number = window.fetching;
    const auto sent = only<command::Publish>(happens(page));
    size_t batches = 0;
    for (const auto& p : sent) batches += p.ids.size();
    EXPECT_GE(batches, 8u);
    EXPECT_LE(batches * 1000, window.pace.allowance);
    EXPECT_TRUE(only<command::Publish>(happens(event::Tick{})).empty());
    EXPECT_EQ(seal(101).size(), 1u);
    now = now + milliseconds(50);
    EXPECT_GE(only<command::Publish>(happens(event::Published{sent[0].message, 0})).size(), 1u);
}

TEST_F(WindowStory, AnAlarmThatOverflowsGoesBeforeTheBacklog) {  // R1
    limits.live_batches_max = 2;
    limits.live_waiting_max = 4;
    open();
    for (uint64_t seq = 1; seq <= 6; ++seq) seal(seq);
    const auto fetches = only<command::Fetch>(happens(event::Sealed{{batch(7, Priority::Alarm)}}));
    ASSERT_EQ(fetches.size(), 1u);
    EXPECT_EQ(fetches[0].lane, Lane::Alarm);
    happens(event::Fetched{
        .lane = Lane::Alarm, .batches = {batch(7, Priority::Alarm)}, .last_id = 7, .end = true, .number = fetches[0].number});
    for (const auto& p : only<command::Publish>(std::vector(all))) happens(event::Published{p.message, 0});
    const auto sent = only<command::Publish>(ack(2));
    ASSERT_FALSE(sent.empty());
    EXPECT_EQ(sent[0].ids, std::vector<int64_t>{7});
}

TEST_F(WindowStory, ACoordinatorThatNeverAcksIsKnownToBeUnheardOverReconnects) {  // R5
    open();
    EXPECT_FALSE(window.unheard_since);
    const MonoTime sent_at = now;
    seal(1);
    for (int i = 0; i < 200 && window.phase == WindowPhase::Open; ++i) tick_at(seconds(1));
    ASSERT_EQ(window.phase, WindowPhase::Away);
    connect();
    welcome();
    seal(2);
    EXPECT_EQ(window.unheard_since, sent_at);
    ack(2);
    EXPECT_FALSE(window.unheard_since);
    seal(3);
    happens(event::Disconnected{});
    EXPECT_FALSE(window.unheard_since) << "a network that is away is no deaf coordinator";
}

TEST_F(WindowStory, DefinitionsAreSealedWhenAskedForButNotAgainAndAgain) {
    open();
    const Ack asking{.epoch = epoch, .stream = stream, .mark = 0, .ranges = {}, .definitions_wanted = true};
    EXPECT_EQ(only<command::SealDefinitions>(happens(event::Acked{asking})).size(), 1u);
    EXPECT_TRUE(only<command::SealDefinitions>(happens(event::Acked{asking})).empty());
    now = now + seconds(10);
    EXPECT_EQ(only<command::SealDefinitions>(happens(event::Acked{asking})).size(), 1u);
}

// A small world: a buffer that only grows, a broker, a coordinator, and a network that loses, doubles and delays.
class World {
  public:
    explicit World(uint32_t seed) : random_(seed) {
        limits_.messages_max = 2 + pick(15);
        limits_.live_batches_max = 1 + pick(64);
        limits_.backlog_batches_max = 1 + pick(200);
        limits_.fetch_batches = 2 + pick(30);
        limits_.live_waiting_max = 1 + pick(20);
        limits_.flight_bytes_max = 2000 + pick(100'000);
        limits_.backlog_bytes_per_second = pick(3) == 0 ? 0 : 1000 + static_cast<int64_t>(pick(200'000));
        trouble_ = static_cast<double>(pick(30)) / 100;
    }

    void live(int steps) {
        for (int i = 0; i < steps; ++i) {
            if (chance(0.3)) seal(1 + pick(8));
            turn(true);
        }
    }
    std::string describe() const {
        return std::string(to_string(window_.phase)) + " " + window_.reason + " stored " + std::to_string(stored_.mark()) + "/" +
               std::to_string(sealed_) + " tracked " + std::to_string(window_.batches.size()) + " in flight " +
               std::to_string(window_.messages_in_flight) + " of " + std::to_string(receive_maximum_) + "," +
               std::to_string(limits_.messages_max) + " waiting " + std::to_string(window_.alarm.size()) + "+" +
               std::to_string(window_.live.size()) + "+" + std::to_string(window_.backlog.size()) + " fetching " +
               std::to_string(window_.fetching) + " bytes " + std::to_string(window_.flight_bytes) + "/" +
               std::to_string(limits_.flight_bytes_max) + " tokens " + std::to_string(window_.tokens) + " hello wanted " +
               std::to_string(window_.hello_wanted) + " acked " +
               std::to_string(window_.acked.contains(stream) ? window_.acked.at(stream).mark() : 0) + " epoch " +
               std::to_string(window_.epoch) + "/" + std::to_string(epoch_) + " cursor " + std::to_string(window_.backlog_cursor) +
               " ends " + std::to_string(window_.alarm_end) + std::to_string(window_.backlog_end);
    }
    bool becomes_calm() {
        coordinator_up_ = true;
        for (int i = 0; i < 200'000; ++i) {
            // A garden never falls silent, so a coordinator that was restored unheard shows in the ack of the next batch.
            if (i % 1000 == 0) seal(1);
            if (stored_.mark() == sealed_ && window_.batches.empty() && window_.phase == WindowPhase::Open) return true;
            turn(false);
        }
        return false;
    }

  private:
    struct Later {
        MonoTime at;
        WindowEvent event;
        uint64_t connection;  // 0: also after a reconnect (the buffer's answers)
    };
    size_t pick(size_t n) { return random_() % n; }
    bool chance(double p) { return std::uniform_real_distribution<>(0, 1)(random_) < p; }
    Duration soon() { return Duration{static_cast<int64_t>(pick(chance(0.1) ? 5000 : 200))}; }

    void seal(size_t count) {
        event::Sealed e;
        for (size_t i = 0; i < count; ++i) {
            ++sealed_;
            all_.push_back(batch(sealed_, chance(0.1) ? Priority::Alarm : Priority::Normal, static_cast<uint32_t>(50 + pick(1500))));
            e.batches.push_back(all_.back());
        }
        happen(e);
    }
    void happen(const WindowEvent& e) {
        WindowStep s = step(std::move(window_), e, now_, limits_);
        window_ = std::move(s.next);
        check();
        for (const WindowCommand& c : s.commands) std::visit([&](const auto& one) { run(one); }, c);
    }
    // The buffer says what it holds when the welcome comes to it.
    void arrive(WindowEvent e) {
        if (auto* welcome = std::get_if<event::Welcomed>(&e)) welcome->last_id = static_cast<int64_t>(sealed_);
        happen(e);
    }
    void check() {
        const size_t slots = std::min<size_t>(receive_maximum_, limits_.messages_max);
        ASSERT_LE(window_.messages_in_flight, slots);
        ASSERT_LE(window_.live_unacked, limits_.live_batches_max);
        ASSERT_LE(window_.backlog_unacked, limits_.backlog_batches_max);
        ASSERT_LE(window_.alarm.size() + window_.live.size(), limits_.live_waiting_max + limits_.fetch_batches + limits_.fetch_batches / 2);
        size_t sent = 0;
        size_t bytes = 0;
        for (const auto& [id, t] : window_.batches) {
            if (t.where != Window::Where::Sent) continue;
            ++sent;
            bytes += t.ref.bytes;
        }
        ASSERT_EQ(sent, window_.live_unacked + window_.backlog_unacked);
        ASSERT_EQ(bytes, window_.flight_bytes);
        ASSERT_LE(bytes, limits_.flight_bytes_max);
        size_t on_their_way = window_.hello_message != 0 ? 1 : 0;
        for (const auto& [number, m] : window_.messages) on_their_way += m.on_its_way ? 1 : 0;
        ASSERT_EQ(on_their_way, window_.messages_in_flight);
    }
    void run(const command::SendHello& c) {
        if (!connected_) return;
        answer(event::Published{c.message, coordinator_up_ ? 0 : 0x10});
        if (!coordinator_up_ || lost()) return;
        event::Welcomed w{.epoch = epoch_,
                          .acked = {{stream, stored_}},
                          .last_id = static_cast<int64_t>(sealed_),
                          .definitions_wanted = false,
                          .random = std::uniform_real_distribution<>(0, 1)(random_)};
        answer(w);
    }
    void run(const command::Publish& c) {
        if (!connected_) return;
        if (c.lane == Lane::Backlog && window_.phase == WindowPhase::Open && window_.live_unacked < limits_.live_batches_max) {
            // Whatever live batch waits did not fit the memory of what is in flight.
            for (const int64_t id : window_.live) {
                EXPECT_GT(window_.flight_bytes + window_.batches.at(id).ref.bytes, limits_.flight_bytes_max);
                break;
            }
        }
        answer(event::Published{c.message, coordinator_up_ ? 0 : 0x10});
        if (!coordinator_up_ || lost()) return;
        for (const int64_t id : c.ids) stored_.insert(static_cast<uint64_t>(id));
        if (lost()) return;
        const int copies = chance(trouble_) ? 2 : 1;
        for (int i = 0; i < copies; ++i)
            answer(event::Acked{{.epoch = epoch_, .stream = stream, .mark = stored_.mark(), .ranges = stored_.ranges()}});
    }
    void run(const command::Fetch& c) {
        event::Fetched e{.lane = c.lane, .batches = {}, .last_id = c.after_id, .end = true, .number = c.number};
        size_t bytes = 0;
        for (const BatchRef& ref : all_) {
            if (ref.id <= c.after_id || ref.id > c.until_id || (c.lane == Lane::Alarm && ref.priority != Priority::Alarm)) continue;
            if (e.batches.size() >= c.batches_max || bytes >= c.bytes_max) {
                e.end = false;
                break;
            }
            e.last_id = ref.id;
            bytes += ref.bytes;
            e.batches.push_back(ref);
        }
        if (chance(trouble_ / 4)) e = {.lane = c.lane, .batches = {}, .last_id = c.after_id, .end = false, .number = c.number};
        later_.push_back({now_ + soon(), e, 0});
    }
    void run(const command::Forget&) {}
    void run(const command::SealDefinitions&) {}
    void run(const command::Reconnect&) {
        connected_ = false;
        ++connection_;
    }
    bool lost() { return chance(trouble_); }
    void answer(const WindowEvent& e) { later_.push_back({now_ + soon(), e, connection_}); }

    void turn(bool with_trouble) {
        if (!with_trouble) trouble_ = 0;
        if (with_trouble && chance(0.01)) coordinator_up_ = !coordinator_up_;
        if (with_trouble && chance(0.002)) {  // a restored coordinator
            ++epoch_;
            stored_.restore(pick(stored_.mark() + 1), {});
        }
        if (with_trouble && connected_ && chance(0.01)) {
            connected_ = false;
            ++connection_;
            happen(event::Disconnected{});
        }
        if (!connected_) {
            connected_ = true;
            ++connection_;
            receive_maximum_ = static_cast<uint16_t>(1 + pick(30));
            now_ = now_ + soon();
            happen(event::Connected{receive_maximum_});
        }
        // The next thing that is due: an answer (not in the order sent), or the window's own tick.
        MonoTime next = now_ + seconds(1);
        for (const Later& l : later_) next = std::min(next, std::max(l.at, now_));
        if (const auto tick = next_tick(window_, limits_)) next = std::min(next, std::max(*tick, now_));
        now_ = next;
        std::vector<Later> due;
        std::erase_if(later_, [&](const Later& l) {
            if (l.at > now_) return false;
            due.push_back(l);
            return true;
        });
        std::shuffle(due.begin(), due.end(), random_);
        for (const Later& l : due)
            if (l.connection == 0 || l.connection == connection_) arrive(l.event);
        happen(event::Tick{});
    }

    std::mt19937 random_;
    WindowLimits limits_;
    Window window_;
    MonoTime now_{1'000'000};
    std::vector<Later> later_;
    std::vector<BatchRef> all_;
    uint64_t sealed_ = 0;
    SeqSet stored_;
    uint64_t epoch_ = 1;
    bool coordinator_up_ = true;
    bool connected_ = false;
    uint64_t connection_ = 1;
    uint16_t receive_maximum_ = 20;
    double trouble_ = 0;
};

TEST(WindowHistories, EverythingIsAckedInTheEndAndNoBoundIsExceeded) {
    for (uint32_t seed = 1; seed <= 1500; ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        World world(seed);
        world.live(150);
        ASSERT_TRUE(world.becomes_calm()) << world.describe();
        if (::testing::Test::HasFailure()) return;
    }
}

}  // namespace
}  // namespace basmalin::agent
