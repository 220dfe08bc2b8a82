// Topics of fleet/1: text() and parse() are each other's inverse.
#include "shared/wire/topics.h"

#include <gtest/gtest.h>

#include "shared/base/ids.h"
#include "tests/shared/series/generated.h"

namespace basmalin {
namespace {

using namespace generated;

TEST(Topic, TextsAreThoseOfTheContract) {
    EXPECT_EQ((Topic{"g1", Topic::Kind::Up, ""}.text()), "fleet/1/g1/up");
    EXPECT_EQ((Topic{"g1", Topic::Kind::Ack, ""}.text()), "fleet/1/g1/ack");
    EXPECT_EQ((Topic{"g1", Topic::Kind::Hello, ""}.text()), "fleet/1/g1/hello");
    EXPECT_EQ((Topic{"g1", Topic::Kind::Welcome, ""}.text()), "fleet/1/g1/welcome");
    EXPECT_EQ((Topic{"g1", Topic::Kind::Status, ""}.text()), "fleet/1/g1/status");
    EXPECT_EQ((Topic{"g1", Topic::Kind::Health, ""}.text()), "fleet/1/g1/health");
    EXPECT_EQ((Topic{"g1", Topic::Kind::DeviceHealth, "bed 1"}.text()), "fleet/1/g1/device/bed 1/health");
    EXPECT_EQ((Topic{"g1", Topic::Kind::Desired, ""}.text()), "fleet/1/g1/desired");
    EXPECT_EQ((Topic{"g1", Topic::Kind::Reported, ""}.text()), "fleet/1/g1/reported");
    EXPECT_EQ((Topic{"g1", Topic::Kind::Command, ""}.text()), "fleet/1/g1/command");
    EXPECT_EQ((Topic{"g1", Topic::Kind::Result, ""}.text()), "fleet/1/g1/result");
}

TEST(Topic, FiltersAreThoseOfTheContract) {
    EXPECT_EQ(Topic::filter(Topic::Kind::Up), "fleet/1/+/up");
    EXPECT_EQ(Topic::filter(Topic::Kind::Ack, "g1"), "fleet/1/g1/ack");
    EXPECT_EQ(Topic::filter(Topic::Kind::DeviceHealth), "fleet/1/+/device/+/health");
    EXPECT_EQ(Topic::shared_filter("coordinator", Topic::Kind::Up), "$share/coordinator/fleet/1/+/up");
}

TEST(Topic, EveryLabelComesBack) {
    for_each_seed(3000, [](uint64_t seed) {
        Dice dice(seed);
        std::string device;
        for (uint64_t i = 1 + dice.below(20); i > 0; --i) device += static_cast<char>(dice.one_in(3) ? '%' : dice.between(0x20, 0x7e));
        device = to_label(device + "ž°");
        const Topic topic{word(dice, 64), Topic::Kind::DeviceHealth, device};
        ASSERT_EQ(topic.text().find('+'), std::string::npos);
        auto back = Topic::parse(topic.text());
        ASSERT_TRUE(back) << topic.text();
        ASSERT_EQ(*back, topic);
    });
}

TEST(Topic, AForbiddenCharacterNeverMakesALevelOrAWildcard) {
    EXPECT_EQ((Topic{"g1", Topic::Kind::DeviceHealth, std::string("a/+#%\n\0", 7)}.text()), "fleet/1/g1/device/a%2F%2B%23%25%0A%00/health");
}

TEST(Topic, AnythingElseIsInvalid) {
    for (const char* text : {"",
                             "fleet/1/",
                             "fleet/1/g1",
                             "fleet/1/g1/",
                             "fleet/2/g1/up",
                             "/fleet/1/g1/up",
                             "fleet/1/g1/up/",
                             "fleet/1/g1/UP",
                             "fleet/1//up",
                             "fleet/1/g 1/up",
                             "fleet/1/+/up",
                             "fleet/1/g1/#",
                             "fleet/1/g1/device",
                             "fleet/1/g1/device/health",
                             "fleet/1/g1/device//health",
                             "fleet/1/g1/device/a/b/health",
                             "fleet/1/g1/device/a%2Fb/health",
                             "fleet/1/g1/device/%41/health",
                             "fleet/1/g1/device/%2/health",
                             "fleet/1/g1/device/%25%/health",
                             "fleet/1/g1/device/\xff/health",
                             "fleet/1/g1/device/a\n/health",
                             "$share/x/fleet/1/g1/up"}) {
        auto topic = Topic::parse(text);
        ASSERT_FALSE(topic) << text;
        EXPECT_EQ(topic.error().code, Code::Invalid);
    }
    EXPECT_FALSE(Topic::parse("fleet/1/" + std::string(65, 'a') + "/up"));
    EXPECT_FALSE(Topic::parse("fleet/1/g1/device/" + std::string(129, 'a') + "/health"));
}

}  // namespace
}  // namespace basmalin
