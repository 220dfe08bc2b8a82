// A reading is (device, quantity, unit, time, value). Sources make Samples: what one device said at one moment.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "shared/base/clock.h"

namespace basmalin {

using Value = std::variant<double, bool, std::string>;

enum class ValueKind : uint8_t { Number = 0, Boolean = 1, Text = 2 };  // wire values: keep them
inline ValueKind kind_of(const Value& value) { return static_cast<ValueKind>(value.index()); }

// One quantity's value. Units are UCUM-style ("Cel", "%", "hPa", "V", "lx", "L/min", "1" for none known as a count, "" unknown).
struct Measurement {
    std::string quantity;  // is_label: "temperature"
    std::string unit;
    Value value;
};

struct Sample {
    std::string device;  // is_label: "bed1"
    MonoTime time;       // when the gateway received it
    std::vector<Measurement> measurements;
    bool alarm = false;  // seal at once, alarm lane
};

}  // namespace basmalin
