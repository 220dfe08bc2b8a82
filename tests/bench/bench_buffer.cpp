// The gateway's buffer on a real disk: how fast it seals, what a reading costs the card, how fast a backlog can be read for sending.
//   bench_buffer FOLDER [damage]   (on the disk to measure; a tmpfs writes nothing and makes the figures meaningless)
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <string>
#include <vector>

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

// What the disk does, not what memory remembers of it.
void forget_cached(const std::string& path) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    if (fd < 0 || ::fsync(fd) != 0 || ::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) != 0) give_up("forget " + path);
    ::close(fd);
}

// A buffer as large as it gets is damaged in the middle: when the agent can seal again, how long a seal waits while the rest comes
// back, and how long that takes.
void measure_damage(const std::string& path) {
    {
        Gateway gateway(path, 40, full_batches());
        while (gateway.buffer->stats().file_bytes < int64_t{250} << 20) gateway.seal(512);
        if (auto closed = gateway.buffer->close(); !closed) give_up("close: " + closed.error().message());
    }
    agent::BufferOptions options;
    options.disk_reserve_bytes = 1 << 20;
    const auto start = [&](const char* what) {
        forget_cached(path);
        const double began = seconds_now();
        auto opened = agent::Buffer::open(path, options, 2, wall_base);
        if (!opened) give_up("open: " + opened.error().message());
        agent::Draft event{.kind = BatchKind::Events, .body = "{}"};
        if (const auto sealed = (*opened)->seal({event}, moment(MonoTime{1})); !sealed) give_up("seal: " + sealed.error().message());
        report({std::string("buffer: start until the first seal, 250 MB, ") + what, seconds_now() - began, "s", {}, 5.0});
        return std::move(*opened);
    };
    start("sound");
    const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    const std::string garbage(4096, 'g');
    if (fd < 0 || ::pwrite(fd, garbage.data(), garbage.size(), 0) < 0 || ::pwrite(fd, garbage.data(), garbage.size(), 120 << 20) < 0)
        give_up("damage " + path);
    ::close(fd);
    const std::string aside = path + ".damaged-" + std::to_string(wall_base.ms);
    {
        auto buffer = start("damaged");
        const double began = seconds_now();
        double slowest = 0;
        for (bool more = true; more;) {
            const double slice_began = seconds_now();
            const auto step = buffer->salvage(moment(MonoTime{2}));
            if (!step) give_up("salvage: " + step.error().message());
            more = step->more;
            slowest = std::max(slowest, seconds_now() - slice_began);
        }
        report({"buffer: salvage of 250 MB, without its pauses", seconds_now() - began, "s"});
        report({"buffer: the longest slice of it, which a seal may wait for", slowest, "s"});
        report({"buffer: batches held after it", static_cast<double>(buffer->stats().batches), "batches"});
    }
    for (const char* end : {"", "-wal", "-shm"}) ::unlink((aside + end).c_str());
}

int run(const std::string& folder, bool damage_alone) {
    const std::string base = folder + "/bench_buffer." + std::to_string(::getpid());
    if (!damage_alone) {
        measure_writes(base + ".20.db", agent::BatcherLimits{}.seal_after, 150);
        measure_writes(base + ".10.db", seconds(10), {});
        measure_seal_and_drain(base + ".drain.db");
    }
    measure_damage(base + ".damage.db");
    for (const char* name : {".20.db", ".10.db", ".drain.db", ".damage.db"})
        for (const char* end : {"", "-wal", "-shm", ".lock"}) ::unlink((base + name + end).c_str());
    return 0;
}

}  // namespace
}  // namespace basmalin::bench

int main(int count, char** arguments) {
    const bool damage_alone = count == 3 && std::string(arguments[2]) == "damage";
    if (count != 2 && !damage_alone) basmalin::bench::give_up("usage: bench_buffer FOLDER [damage]");
    return basmalin::bench::run(arguments[1], damage_alone);
}
