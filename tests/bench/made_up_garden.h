// Gardens to measure with. The made-up one: devices that report soil moisture, temperature and humidity once a minute with some
// jitter, in turn; values walk as a garden's do. The same seed makes the same garden. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "shared/series/codec.h"
#include "shared/series/reading.h"

namespace basmalin::bench {

class MadeUpGarden {
  public:
    static constexpr int64_t report_every_ms = 60'000;
    explicit MadeUpGarden(uint32_t seed, size_t devices = 20, MonoTime from = MonoTime{1'000'000});
    Sample next();  // three readings of the next device

  private:
    struct Device {
        double moisture;
        double temperature;
        double humidity;
    };
    std::mt19937 random_;
    std::vector<Device> devices_;
    size_t at_ = 0;
    int64_t time_ms_;
};

// Samples in columns, as a batch's body holds them: one layout a device, defined in the first body that uses it.
class BodyMaker {
  public:
    Body make(const std::vector<Sample>& samples);
    LayoutLookup lookup() const;

  private:
    std::map<std::string, Layout> layouts_;  // by device
    std::map<uint32_t, const Layout*> by_id_;
};

size_t readings_of(const std::vector<Sample>& samples);

// The measured garden (library1.csv.gz): what each mote sent, in the order it came; empty when the file is not there.
std::vector<Sample> measured_garden(const std::string& path);

}  // namespace basmalin::bench
