#include "agent/uplink/retained.h"

#include <gtest/gtest.h>

#include <vector>

namespace basmalin::agent {
namespace {

class RetainedStory : public ::testing::Test {
  protected:
    void status(const std::string& payload) { retained.put({"g1", Topic::Kind::Status, {}}, payload); }
    void health(const std::string& payload) { retained.put({"g1", Topic::Kind::Health, {}}, payload); }
    void device(const std::string& name, const std::string& payload) { retained.put({"g1", Topic::Kind::DeviceHealth, name}, payload); }
    std::string next() {
        if (retained.empty()) return "nothing";
        std::string payload = retained.next().payload;
        retained.drop_next();
        return payload;
    }
    std::vector<std::string> all() {
        std::vector<std::string> payloads;
        while (!retained.empty()) payloads.push_back(next());
        return payloads;
    }

    Retained retained{4};
};

TEST_F(RetainedStory, TheNodeGoesBeforeItsDevices) {  // R1
    device("bed1", "bed1 ok");
    health("node");
    status("online");
    EXPECT_EQ(retained.next().topic, "fleet/1/g1/status");
    EXPECT_EQ(all(), (std::vector<std::string>{"online", "node", "bed1 ok"}));
}

TEST_F(RetainedStory, DevicesHaveTheirTurnsHoweverOftenOneChanges) {  // R1, R2
    device("a", "a 1");
    device("b", "b 1");
    EXPECT_EQ(next(), "a 1");
    device("a", "a 2");
    device("b", "b 2");
    device("a", "a 3");
    EXPECT_EQ(all(), (std::vector<std::string>{"b 2", "a 3"}));
}

TEST_F(RetainedStory, TooManyDevicesLeaveRoomForTheNode) {  // R3
    for (const char* name : {"a", "b", "c", "d", "e"}) device(name, name);
    status("online");
    device("d", "d 2");
    EXPECT_EQ(all(), (std::vector<std::string>{"online", "a", "b", "c", "d 2"}));
}

}  // namespace
}  // namespace basmalin::agent
