// Fills an agent's buffer with a backlog, as an agent does that was offline for long, through the buffer's own interface:
//   make_backlog STATE_FOLDER READINGS READINGS_A_BATCH
// Reading i (from 0) of device "backlog", quantity "count", has a value v with floor(v / 1000) = i: each can be told from all
// others, and the noise below makes it cost what a measured one does. One a second, give or take half of one, until now.
#include <sys/stat.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <random>
#include <string_view>

#include "agent/buffer/batcher.h"
#include "agent/buffer/buffer.h"
#include "shared/base/clock.h"
#include "shared/base/ids.h"

namespace basmalin::agent {
namespace {

constexpr size_t drafts_a_transaction = 256;

int complain(const Error& error) {
    std::fprintf(stderr, "make_backlog: %s\n", error.message().c_str());
    return 1;
}

int make(const std::string& folder, int64_t readings, size_t readings_a_batch) {
    const SystemClock clock;
    const WallTime now = clock.wall();
    if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST)
        return complain({Code::Unavailable, "make " + folder + ": " + std::to_string(errno), {}});
    auto opened = Buffer::open(folder + "/buffer.db", {.bytes_max = int64_t{8} << 30, .disk_reserve_bytes = 0}, random_u64(), now);
    if (!opened) return complain(opened.error());
    Buffer& buffer = **opened;
    Batcher batcher({.readings_max = readings_a_batch,
                     .seal_after = hours(24 * 400),
                     .pending_readings_max = drafts_a_transaction * readings_a_batch + 1});
    auto layouts = buffer.layouts();
    if (!layouts) return complain(layouts.error());
    batcher.restore(*layouts, buffer.last_layout_id());

    std::mt19937_64 dice(1);
    const WallTime began = now - seconds(readings);
    const auto seal = [&](MonoTime at, bool everything) -> Result<void> {
        const auto drafts = batcher.take(at, everything);
        if (drafts.empty()) return {};
        auto sealed = buffer.seal(drafts, {at, began + Duration{at.ms}, ClockState::Synced});
        if (!sealed) return pass(sealed, "seal");
        return {};
    };
    for (int64_t i = 0; i < readings; ++i) {
        const MonoTime at{1000 * i + static_cast<int64_t>(dice() % 1000)};
        const auto value = static_cast<double>(1000 * i + static_cast<int64_t>(dice() % 1000));
        batcher.add({.device = "backlog", .time = at, .measurements = {{.quantity = "count", .unit = "", .value = value}}},
                    Priority::Normal, at);
        if (batcher.pending_readings() < drafts_a_transaction * readings_a_batch && i + 1 < readings) continue;
        if (auto done = seal(at, i + 1 == readings); !done) return complain(done.error());
    }
    const BufferStats stats = buffer.stats();
    std::printf("%lld readings in %lld batches, %lld bytes\n", static_cast<long long>(stats.readings),
                static_cast<long long>(stats.batches), static_cast<long long>(stats.bytes));
    if (auto closed = buffer.close(); !closed) return complain(closed.error());
    return 0;
}

bool read(std::string_view text, int64_t& number) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    return error == std::errc() && end == text.data() + text.size() && number > 0;
}

}  // namespace
}  // namespace basmalin::agent

int main(int count, char** arguments) {
    int64_t readings = 0;
    int64_t readings_a_batch = 0;
    if (count != 4 || !basmalin::agent::read(arguments[2], readings) || !basmalin::agent::read(arguments[3], readings_a_batch)) {
        std::fputs("usage: make_backlog STATE_FOLDER READINGS READINGS_A_BATCH\n", stderr);
        return 2;
    }
    return basmalin::agent::make(arguments[1], readings, static_cast<size_t>(readings_a_batch));
}
