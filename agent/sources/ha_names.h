// What the entities of one device are called. Pure.
// R1  An entity is called by its quantity. Of several that want the same one, the first by component (sensor, binary_sensor,
//     switch, …), then by config topic, then by key, has it.
// R2  Of the others, in the same order, each has its component behind it, then a number: door_binary_sensor, door_2.
// R3  The same set of entities has the same names, in whatever order it was described: brokers replay configs in any order, and a
//     series must not change its name with a restart.
#pragma once

#include <string_view>
#include <vector>

#include "agent/sources/ha_config.h"

namespace basmalin::agent {

struct Described {
    std::string_view topic;  // of its config
    Entity* entity;
};
// Sets the name of each. `described`: all entities of one device.
void name_entities(std::vector<Described> described);

}  // namespace basmalin::agent
