// The measured rows of 19 motes, when the data stands beside the sources.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace basmalin {

struct MoteRow {
    int64_t time_ms = 0;
    int node = 0;
    std::vector<double> values;  // case_temperature, battery_voltage, humidity, temperature, par, tsr
};

// Empty when there is no such file.
std::vector<MoteRow> read_library1(const std::string& path);

}  // namespace basmalin
