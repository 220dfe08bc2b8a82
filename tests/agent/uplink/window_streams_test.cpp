// R11 of the window: a file that was built anew has a stream of which the coordinator knows nothing yet.
#include "tests/agent/uplink/window_story.h"

namespace basmalin::agent {
namespace {

constexpr uint64_t later_stream = 78;

class WindowOfTwoStreams : public WindowStory {
  protected:
    static BatchRef later(uint64_t seq) {
        return {.id = static_cast<int64_t>(1000 + seq), .stream = later_stream, .seq = seq, .bytes = 120};
    }
    std::vector<WindowCommand> name_both(int64_t last_id) {
        return happens(event::Welcomed{
            .epoch = epoch, .acked = {{stream, {}}, {later_stream, {}}}, .last_id = last_id, .definitions_wanted = false, .random = 0});
    }
    // Answers what is asked; returns what is sent then.
    std::vector<command::Publish> fetched(const std::vector<BatchRef>& batches) {
        happens(event::Fetched{.lane = Lane::Alarm, .batches = {}, .last_id = 0, .end = true, .number = window.fetching});
        auto commands =
            happens(event::Fetched{.lane = Lane::Backlog, .batches = batches, .last_id = 0, .end = true, .number = window.fetching});
        for (WindowCommand& c : tick_at(milliseconds(200))) commands.push_back(std::move(c));
        return only<command::Publish>(commands);
    }
};

TEST_F(WindowOfTwoStreams, WhatIsSealedIntoAStreamThatNoWelcomeNamedWaitsForIt) {  // R11
    open();
    const auto commands = happens(event::Sealed{{later(1)}});
    EXPECT_TRUE(only<command::Publish>(commands).empty());
    ASSERT_EQ(only<command::Forget>(commands).size(), 1u) << "the buffer has it";
    EXPECT_EQ(seal(1).size(), 1u) << "the other stream goes on";
    name_both(1001);
    const auto sent = fetched({batch(1), later(1)});
    ASSERT_EQ(sent.size(), 1u) << "1 of the other stream is on its way already";
    EXPECT_EQ(sent[0].stream, later_stream);
    EXPECT_EQ(only<command::Publish>(happens(event::Sealed{{later(2)}})).size(), 1u);
}

TEST_F(WindowOfTwoStreams, WhatIsReadOfAStreamThatNoWelcomeNamedWaitsForIt) {  // R11
    open();
    happens(event::Grown{.last_id = 1001});
    EXPECT_TRUE(fetched({later(1)}).empty());
    name_both(1001);
    EXPECT_EQ(fetched({later(1)}).size(), 1u);
}

TEST_F(WindowOfTwoStreams, AWelcomeThatIsLostIsAskedForAgain) {  // R11
    open();
    const auto hellos = [this](const std::vector<WindowCommand>& commands) { return only<command::SendHello>(commands); };
    const auto first = hellos(happens(event::GreetAgain{}));
    ASSERT_EQ(first.size(), 1u);
    happens(event::Published{.message = first[0].message, .reason = 0});
    // The coordinator was restarted just then: no welcome comes.
    size_t asked = 0;
    for (int i = 1; i <= 10; ++i) {
        auto commands = happens(event::Sealed{{later(static_cast<uint64_t>(i))}});
        for (const auto& hello : hellos(commands)) {
            ++asked;
            happens(event::Published{.message = hello.message, .reason = 0});
        }
        tick_at(seconds(20 * i));
    }
    EXPECT_GE(asked, 9u);
    asked = 0;
    for (uint64_t i = 20; i < 40; ++i) asked += hellos(happens(event::Sealed{{later(i)}})).size();
    EXPECT_LE(asked, 1u) << "not with every batch";
}

TEST_F(WindowOfTwoStreams, AnAckNamesNoStream) {  // R11
    open();
    happens(event::Acked{{.epoch = epoch, .stream = later_stream, .mark = 1, .ranges = {}}});
    EXPECT_TRUE(only<command::Publish>(happens(event::Sealed{{later(2)}})).empty());
}

}  // namespace
}  // namespace basmalin::agent
