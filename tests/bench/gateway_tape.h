// A gateway that seals samples at given times, without a buffer or a network: what a store is filled with.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "shared/wire/batch.h"
#include "tests/bench/made_up_garden.h"

namespace basmalin::bench {

class GatewayTape {
  public:
    // wall = time since boot + offset_ms.
    GatewayTape(uint64_t stream, int64_t offset_ms) : stream_(stream), offset_ms_(offset_ms) {}
    // One batch of these samples, which are in order of time, sealed 200 ms after the last; its bytes.
    std::string seal(const std::vector<Sample>& samples);

    uint64_t stream() const { return stream_; }
    uint64_t batches() const { return header_.seq; }
    uint32_t readings() const { return header_.readings; }        // of the last batch
    WallTime sealed_wall() const { return header_.sealed_wall; }  // of the last batch
    MonoTime sealed_mono() const { return header_.sealed_mono; }

  private:
    uint64_t stream_;
    int64_t offset_ms_;
    BatchHeader header_{};
    BodyMaker maker_;
};

}  // namespace basmalin::bench
