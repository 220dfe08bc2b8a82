// Fills a store through its own interface, as ingest would, and says how fast and at what size.
//   fill_store FOLDER stations DAYS     one node, 10 devices of 5 quantities each 10 s, for so many days up to now; compacted as they go
//   fill_store FOLDER hot               100 nodes of 50 quantities each second, for the last hour: 18 million readings, all hot
//   fill_store FOLDER new NODES         so many nodes of 50 series, each a batch: all series are new to the store
//   fill_store FOLDER rest CSV.GZ       library1 as 20 gardens measured it, each with noise of its own in time; compacted
#include <sys/stat.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <random>

#include "coordinator/store/store.h"
#include "shared/base/clock.h"
#include "shared/base/ids.h"
#include "tests/bench/bench_report.h"
#include "tests/bench/gateway_tape.h"
#include "tests/bench/made_up_garden.h"

namespace basmalin::bench {
namespace {

using coordinator::IncomingBatch;
using coordinator::Outcome;
using coordinator::Store;

constexpr int64_t day_ms = 86'400'000;

class Filler {
  public:
    explicit Filler(const std::string& folder, size_t batches_a_commit = 64) : batches_a_commit_(batches_a_commit) {
        coordinator::StoreOptions options;
        options.folder = folder;
        auto opened = coordinator::open_sqlite_store(options);
        if (!opened) give_up("open: " + opened.error().message());
        store_ = std::move(*opened);
    }
    void add(const std::string& node, GatewayTape& tape, const std::vector<Sample>& samples, WallTime received) {
        IncomingBatch batch;
        batch.node = node;
        batch.bytes = tape.seal(samples);
        batch.stream = tape.stream();
        batch.received = received;
        given_ += tape.readings();
        pending_.push_back(std::move(batch));
        if (pending_.size() >= batches_a_commit_) commit();
    }
    void commit() {
        if (pending_.empty()) return;
        const double began = seconds_now();
        const auto result = store_->commit(pending_);
        if (!result) give_up("commit: " + result.error().message());
        for (const auto outcome : result->outcomes)
            if (outcome != Outcome::Stored) give_up("a batch was not stored");
        commit_seconds_ += seconds_now() - began;
        stored_ += result->readings_stored;
        pending_.clear();
    }
    void compact(WallTime now) {
        commit();
        for (;;) {
            const double began = seconds_now();
            const auto more = store_->maintain(now);
            const double took = seconds_now() - began;
            if (!more) give_up("maintain: " + more.error().message());
            compact_seconds_ += took;
            longest_step_ = std::max(longest_step_, took);
            if (!*more) return;
        }
    }
    void end(const std::string& what) {
        commit();
        if (stored_ != given_) give_up(std::to_string(given_) + " readings were given, " + std::to_string(stored_) + " stored");
        const auto stats = store_->stats();
        if (!stats) give_up("stats: " + stats.error().message());
        report({what + ": readings", static_cast<double>(stored_), "readings"});
        report({what + ": committed", static_cast<double>(stored_) / commit_seconds_, "readings/s"});
        if (compact_seconds_ > 0) {
            report({what + ": compacted", static_cast<double>(stored_) / compact_seconds_, "readings/s"});
            report({what + ": longest step of compaction", longest_step_ * 1000, "ms", {}, 200});
        }
        hot_batches_ = stats->hot_batches;
        store_.reset();
    }
    int64_t hot_batches() const { return hot_batches_; }
    double readings() const { return static_cast<double>(stored_); }

  private:
    const size_t batches_a_commit_;
    std::unique_ptr<Store> store_;
    std::vector<IncomingBatch> pending_;
    uint64_t given_ = 0;
    uint64_t stored_ = 0;
    int64_t hot_batches_ = 0;
    double commit_seconds_ = 0;
    double compact_seconds_ = 0;
    double longest_step_ = 0;
};

// Devices that report five quantities together, as a weather station does; values walk by tenths.
class Stations {
  public:
    Stations(uint32_t seed, size_t devices) : random_(seed) {
        for (size_t i = 0; i < devices; ++i) values_.push_back({200, 550, 10130, 30, 412});
    }
    Sample next(size_t device, MonoTime at) {
        static constexpr const char* names[] = {"temperature", "humidity", "pressure", "wind_speed", "battery"};
        static constexpr const char* units[] = {"Cel", "%", "hPa", "m/s", "V"};
        static constexpr double places[] = {10, 10, 10, 10, 100};
        Sample sample{"station" + std::to_string(device + 1), at, {}, false};
        for (size_t q = 0; q < 5; ++q) {
            auto& value = values_[device][q];
            value += static_cast<int64_t>(random_() % 5) - 2;
            sample.measurements.push_back({names[q], units[q], static_cast<double>(value) / places[q]});
        }
        return sample;
    }

  private:
    std::mt19937 random_;
    std::vector<std::array<int64_t, 5>> values_;
};

double bytes_of(const std::string& folder) {
    double sum = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        struct stat info{};
        if (::stat(entry.path().c_str(), &info) == 0) sum += static_cast<double>(info.st_blocks) * 512;
    }
    return sum;
}

void fill_stations(const std::string& folder, int days) {
    constexpr size_t devices = 10;
    constexpr int64_t every_ms = 10'000;
    const int64_t to = SystemClock().wall().ms;
    const int64_t from = to - days * day_ms;
    const MonoTime boot{1'000'000};
    Filler filler(folder);
    GatewayTape tape(0x5eed0001, from - boot.ms);
    Stations stations(1, devices);
    std::vector<Sample> samples;
    int64_t compacted = from;
    for (int64_t at = from; at < to; at += every_ms) {
        for (size_t d = 0; d < devices; ++d) {
            const auto jitter = static_cast<int64_t>(d * 700 % 900);
            samples.push_back(stations.next(d, boot + Duration{at - from + jitter}));
        }
        if (samples.size() < 50) continue;
        filler.add("stations", tape, samples, tape.sealed_wall());
        samples.clear();
        if (at - compacted < day_ms / 4) continue;
        filler.compact(WallTime{at});
        compacted = at;
    }
    filler.compact(WallTime{to});
    const std::string what = std::to_string(days) + " days of 50 series at 10 s";
    filler.end(what);
    report({what + ": at rest", bytes_of(folder) / filler.readings(), "B/reading"});
}

void fill_hot(const std::string& folder) {
    constexpr size_t nodes = 100;
    constexpr size_t devices = 10;
    const int64_t to = SystemClock().wall().ms;
    const int64_t from = to - 3'600'000;
    const MonoTime boot{1'000'000};
    Filler filler(folder);
    std::vector<GatewayTape> tapes;
    std::vector<Stations> stations;
    for (size_t n = 0; n < nodes; ++n) {
        tapes.emplace_back(0x5eed0001 + n, from - boot.ms);
        stations.emplace_back(static_cast<uint32_t>(n + 1), devices);
    }
    // Sealed each 5 s, as a gateway with 50 readings a second does.
    for (int64_t at = from; at + 5000 <= to; at += 5000) {
        for (size_t n = 0; n < nodes; ++n) {
            std::vector<Sample> samples;
            for (int64_t s = 0; s < 5; ++s)
                for (size_t d = 0; d < devices; ++d)
                    samples.push_back(stations[n].next(d, boot + Duration{at - from + s * 1000 + static_cast<int64_t>(d)}));
            filler.add("hot-" + std::to_string(n + 1), tapes[n], samples, WallTime{at + 5000});
        }
    }
    filler.end("an hour of 5,000 readings/s");
    if (filler.hot_batches() < 70'000) give_up("the hour is not hot: " + std::to_string(filler.hot_batches()) + " batches");
}

// 256 batches a commit, as ingest gathers when they keep coming.
void fill_new(const std::string& folder, size_t nodes) {
    constexpr size_t devices = 10;
    const int64_t now = SystemClock().wall().ms;
    const MonoTime boot{1'000'000};
    Filler filler(folder, 256);
    for (size_t n = 0; n < nodes; ++n) {
        GatewayTape tape(random_u64(), now - boot.ms);
        Stations stations(static_cast<uint32_t>(n + 1), devices);
        std::vector<Sample> samples;
        for (size_t d = 0; d < devices; ++d) samples.push_back(stations.next(d, boot));
        filler.add("new-" + std::to_string(n + 1), tape, samples, WallTime{now + 200});
    }
    filler.end(std::to_string(nodes) + " nodes of 50 new series");
}

void fill_rest(const std::string& folder, const std::string& path) {
    const auto garden = measured_garden(path);
    if (garden.empty()) give_up("no measured data: " + path);
    constexpr size_t gardens = 20;
    const int64_t length = garden.back().time.ms;
    const int64_t now = SystemClock().wall().ms;
    Filler filler(folder);
    for (size_t g = 0; g < gardens; ++g) {
        // Every garden has a time of its own within the day, so that no two are the same bytes.
        const auto shift = static_cast<int64_t>(g) * 3'137'003;
        GatewayTape tape(0x5eed0001 + g, now - length - 5 * day_ms + shift);
        std::vector<Sample> samples;
        size_t readings = 0;
        const auto flush = [&] {
            if (!samples.empty()) filler.add("garden-" + std::to_string(g + 1), tape, samples, WallTime{now - 3 * day_ms});
            samples.clear();
            readings = 0;
        };
        for (const Sample& sample : garden) {
            if (readings + sample.measurements.size() > 256) flush();
            samples.push_back(sample);
            readings += sample.measurements.size();
        }
        flush();
    }
    filler.compact(WallTime{now});
    filler.end("library1 of 20 gardens");
    if (filler.hot_batches() != 0) give_up("not all was compacted: " + std::to_string(filler.hot_batches()) + " batches are hot");
    report({"library1 of 20 gardens: at rest after compaction, every file of the store",
            bytes_of(folder) / filler.readings(),
            "B/reading",
            {},
            0.6});
}

int run(int count, char** arguments) {
    const std::string what = count > 2 ? arguments[2] : "";
    if (what == "stations" && count == 4)
        fill_stations(arguments[1], std::atoi(arguments[3]));
    else if (what == "hot" && count == 3)
        fill_hot(arguments[1]);
    else if (what == "new" && count == 4)
        fill_new(arguments[1], static_cast<size_t>(std::max(1, std::atoi(arguments[3]))));
    else if (what == "rest" && count == 4)
        fill_rest(arguments[1], arguments[3]);
    else
        give_up("usage: fill_store FOLDER stations DAYS | hot | new NODES | rest CSV.GZ");
    return 0;
}

}  // namespace
}  // namespace basmalin::bench

int main(int count, char** arguments) { return basmalin::bench::run(count, arguments); }
