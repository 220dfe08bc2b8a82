// The gateway's buffer on a real disk: how fast it seals, what a reading costs the card, how fast a backlog can be read for sending.
//   bench_buffer FOLDER          (on the disk to measure; a tmpfs writes nothing and makes the figures meaningless)
#include <unistd.h>

#include <charconv>
#include <cstdio>

#include "agent/buffer/batcher.h"
#include "agent/buffer/buffer.h"
#include "shared/base/file.h"
#include "tests/bench/bench_report.h"
#include "tests/bench/made_up_garden.h"

namespace basmalin::bench {
namespace {

constexpr WallTime wall_base{1'790'000'000'000};

agent::Moment moment(MonoTime at) { return {at, wall_base + Duration{at.ms}, ClockState::Synced}; }

// What this process made the disk write so far: proc(5), /proc/pid/io.
double bytes_written() {
    const auto text = read_file("/proc/self/io", 4096);
    const size_t at = text ? text->find("\nwrite_bytes: ") : std::string::npos;
    if (at == std::string::npos) give_up("/proc/self/io has no write_bytes");
    double value = 0;
    std::from_chars(text->data() + at + 14, text->data() + text->size(), value);
    return value;
}

struct Gateway {
    Gateway(const std::string& path, size_t devices, const agent::BatcherLimits& limits) : garden(1, devices), batcher(limits) {
        agent::BufferOptions options;
        options.bytes_max = int64_t{8} << 30;
        options.disk_reserve_bytes = 1 << 20;
        auto opened = agent::Buffer::open(path, options, 1, wall_base);
        if (!opened) give_up("open: " + opened.error().message());
        buffer = std::move(*opened);
    }
    // Seals this many batches in one transaction; how many readings they held.
    double seal(size_t batches) {
        std::vector<agent::Draft> drafts;
        MonoTime now{};
        while (drafts.size() < batches) {
            const Sample sample = garden.next();
            now = sample.time;
            batcher.add(sample, Priority::Normal, now);
            for (auto& draft : batcher.take(now)) drafts.push_back(std::move(draft));
        }
        double readings = 0;
        for (const auto& draft : drafts) readings += draft.readings;
        if (const auto sealed = buffer->seal(drafts, moment(now)); !sealed) give_up("seal: " + sealed.error().message());
        return readings;
    }
    MadeUpGarden garden;
    agent::Batcher batcher;
    std::unique_ptr<agent::Buffer> buffer;
};

agent::BatcherLimits full_batches() {
    agent::BatcherLimits limits;
    limits.readings_max = 256;
    limits.seal_after = hours(1);
    return limits;
}

// A garden of 40 devices makes 2 readings a second.
void measure_writes(const std::string& path, Duration seal_after, std::optional<double> at_most) {
    agent::BatcherLimits limits;
    limits.seal_after = seal_after;
    Gateway gateway(path, 40, limits);
    for (int i = 0; i < 10; ++i) gateway.seal(1);
    const double before = bytes_written();
    double readings = 0;
    double sealed = 0;
    for (; sealed < 1500; ++sealed) readings += gateway.seal(1);
    if (auto closed = gateway.buffer->close(); !closed) give_up("close: " + closed.error().message());
    const auto a_batch = static_cast<int>(readings / sealed + 0.5);
    report({"buffer: written to disk at 2 readings/s, sealed each " + std::to_string(seal_after.ms / 1000) + " s (" +
                std::to_string(a_batch) + " readings a batch)",
            (bytes_written() - before) / readings,
            "B/reading",
            {},
            at_most,
            "a commit a reading, same SQLite",
            8460});
}

void measure_seal_and_drain(const std::string& path) {
    Gateway gateway(path, 20, full_batches());
    double readings = 0;
    const double began = seconds_now();
    while (seconds_now() - began < 5) readings += gateway.seal(1);
    report({"buffer: seal, 256 readings a batch, a transaction each", readings / (seconds_now() - began), "readings/s"});
    while (readings < 1'500'000) readings += gateway.seal(64);

    const auto hello = gateway.buffer->hello_streams();
    if (hello.empty()) give_up("the buffer names no stream");
    Welcome welcome;
    welcome.epoch = 1;
    welcome.streams = {{hello.front().stream, 0, {}}};
    const auto greeted = gateway.buffer->on_welcome(welcome, moment(MonoTime{1'000'000'000}));
    if (!greeted) give_up("welcome: " + greeted.error().message());
    double drained = 0;
    double messages = 0;
    int64_t after = 0;
    const double drain_began = seconds_now();
    for (bool end = false; !end;) {
        const auto page = gateway.buffer->fetch(after, greeted->last_id, up_bytes_max - up_overhead_bytes_max, 64);
        if (!page) give_up("fetch: " + page.error().message());
        UpMessage up;
        up.stream = hello.front().stream;
        up.lane = Lane::Backlog;
        for (const auto& held : page->batches) {
            up.batches.push_back(*held.bytes);
            drained += held.header.readings;
        }
        end = page->end;
        after = page->last_id;
        if (page->batches.empty()) continue;
        messages += encode_up(up).empty() ? 0 : 1;
        gateway.buffer->on_ack(Ack{1, hello.front().stream, page->batches.back().header.seq, {}, false});
    }
    const double took = seconds_now() - drain_began;
    if (drained < readings || messages == 0) give_up("the drain gave back less than was sealed");
    report({"buffer: drain into messages, 256 readings a batch", drained / took, "readings/s", 200'000});
}

int run(const std::string& folder) {
    const std::string base = folder + "/bench_buffer." + std::to_string(::getpid());
    measure_writes(base + ".10.db", seconds(10), 150);
    measure_writes(base + ".30.db", seconds(30), {});
    measure_seal_and_drain(base + ".drain.db");
    for (const char* name : {".10.db", ".30.db", ".drain.db"})
        for (const char* end : {"", "-wal", "-shm", ".lock"}) ::unlink((base + name + end).c_str());
    return 0;
}

}  // namespace
}  // namespace basmalin::bench

int main(int count, char** arguments) {
    if (count != 2) basmalin::bench::give_up("usage: bench_buffer FOLDER");
    return basmalin::bench::run(arguments[1]);
}
