#include "tests/bench/gateway_tape.h"

#include "tests/bench/bench_report.h"

namespace basmalin::bench {

std::string GatewayTape::seal(const std::vector<Sample>& samples) {
    const auto body = encode_body(maker_.make(samples), maker_.lookup());
    if (!body) give_up("encode: " + body.error().message());
    ++header_.seq;
    header_.clock = ClockState::Synced;
    header_.boot_no = 1;
    header_.first = samples.front().time;
    header_.sealed_mono = samples.back().time + milliseconds(200);
    header_.sealed_wall = WallTime{header_.sealed_mono.ms + offset_ms_};
    header_.readings = static_cast<uint32_t>(readings_of(samples));
    return seal_batch(stream_, header_, *body);
}

}  // namespace basmalin::bench
