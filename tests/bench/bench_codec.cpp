// The codec: bytes a reading on the wire (whole `up` messages of one batch: header, checksum and definitions included), and how fast
// bodies are encoded and decoded on one core.
//   bench_codec [library1.csv.gz]
#include <cstdio>

#include "shared/wire/batch.h"
#include "tests/bench/bench_report.h"
#include "tests/bench/made_up_garden.h"

namespace basmalin::bench {
namespace {

using Batches = std::vector<std::vector<Sample>>;

Batches cut(const std::vector<Sample>& samples, size_t readings_a_batch) {
    Batches out;
    std::vector<Sample> batch;
    for (const auto& s : samples) {
        batch.push_back(s);
        if (readings_of(batch) >= readings_a_batch) out.push_back(std::exchange(batch, {}));
    }
    if (!batch.empty()) out.push_back(std::move(batch));
    return out;
}

struct Total {
    double bytes = 0;
    double readings = 0;
};

Total wire_bytes(const Batches& batches) {
    BodyMaker maker;
    Total out;
    uint64_t seq = 0;
    constexpr uint64_t stream = 0x0123456789abcdef;
    for (const auto& samples : batches) {
        auto body = encode_body(maker.make(samples), maker.lookup());
        if (!body) give_up("encode: " + body.error().message());
        BatchHeader header;
        header.seq = ++seq;
        header.clock = ClockState::Synced;
        header.boot_no = 1;
        header.first = samples.front().time;
        header.sealed_mono = samples.back().time;
        header.sealed_wall = WallTime{1'790'000'000'000 + samples.back().time.ms};
        header.readings = static_cast<uint32_t>(readings_of(samples));
        const std::string sealed = seal_batch(stream, header, *body);
        UpMessage up;
        up.stream = stream;
        up.batches = {sealed};
        out.bytes += static_cast<double>(encode_up(up).size());
        out.readings += header.readings;
    }
    return out;
}

double json_bytes(const Batches& batches) {
    double bytes = 0;
    double readings = 0;
    for (const auto& batch : batches)
        for (const auto& s : batch)
            for (const auto& m : s.measurements) {
                char text[256];
                bytes +=
                    std::snprintf(text, sizeof text, R"({"device":"%s","quantity":"%s","time":%lld,"value":%.15g})", s.device.c_str(),
                                  m.quantity.c_str(), static_cast<long long>(1'790'000'000'000 + s.time.ms), std::get<double>(m.value));
                ++readings;
            }
    return bytes / readings;
}

void measure_size(const std::string& what, const Batches& batches, std::optional<double> at_most) {
    const Total total = wire_bytes(batches);
    report({"codec: wire, " + what, total.bytes / total.readings, "B/reading", {}, at_most, "JSON, uncompressed", json_bytes(batches)});
}

void measure_speed(const std::string& what, const Batches& batches) {
    BodyMaker maker;
    std::vector<Body> bodies;
    std::vector<std::string> encoded;
    double values = 0;
    for (const auto& b : batches) {
        if (bodies.size() == 400) break;
        bodies.push_back(maker.make(b));
        values += static_cast<double>(readings_of(b));
        encoded.push_back(encode_body(bodies.back(), maker.lookup()).value_or(""));
    }
    const double encode = median_rate([&] {
        size_t bytes = 0;
        for (const auto& body : bodies) bytes += encode_body(body, maker.lookup()).value_or("").size();
        return bytes > 0 ? values : 0;
    });
    const double decode = median_rate([&] {
        for (const auto& bytes : encoded)
            if (!decode_body(bytes, maker.lookup())) give_up("a body does not decode");
        return values;
    });
    report({"codec: encode, " + what, encode / 1e6, "million values/s"});
    report({"codec: decode, " + what, decode / 1e6, "million values/s"});
}

int run(const std::string& measured_path) {
    MadeUpGarden garden(1);
    std::vector<Sample> samples;
    for (int i = 0; i < 50'000; ++i) samples.push_back(garden.next());
    measure_size("made-up garden of 20 devices, batches of 60", cut(samples, 60), 3.0);
    measure_size("made-up garden of 20 devices, batches of 256", cut(samples, 256), 3.0);

    const auto measured = measured_garden(measured_path);
    if (measured.empty()) {
        std::fprintf(stderr, "%s: not there; only the made-up garden was measured\n", measured_path.c_str());
    } else {
        measure_size("library1, 19 motes by one gateway, batches of 60 messages", cut(measured, 360), 3.0);
        measure_size("library1, 19 motes by one gateway, batches of 60 readings", cut(measured, 60), 3.0);
        Total total;
        std::map<std::string, std::vector<Sample>> by_mote;
        for (const auto& s : measured) by_mote[s.device].push_back(s);
        for (const auto& [mote, sent] : by_mote) {
            const Total one = wire_bytes(cut(sent, 60));
            total.bytes += one.bytes;
            total.readings += one.readings;
        }
        report({"codec: wire, library1, a gateway for each mote, batches of 60 readings",
                total.bytes / total.readings,
                "B/reading",
                {},
                3.0,
                "JSON, uncompressed",
                json_bytes({measured})});
        measure_speed("library1, batches of 60 messages", cut(measured, 360));
    }
    measure_speed("made-up garden, batches of 256", cut(samples, 256));
    return 0;
}

}  // namespace
}  // namespace basmalin::bench

int main(int count, char** arguments) { return basmalin::bench::run(count > 1 ? arguments[1] : "../shared/data/library1.csv.gz"); }
