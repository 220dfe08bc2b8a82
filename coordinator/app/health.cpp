#include "coordinator/app/health.h"

#include <unistd.h>

#include <charconv>

#include "shared/base/file.h"

namespace basmalin::coordinator {

namespace {

std::string mebibytes(int64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }
std::string in_seconds(Duration duration) { return std::to_string(duration.ms / 1000) + " s"; }

// The second number of /proc/self/statm: resident pages.
std::optional<int64_t> resident_bytes() {
    const auto text = read_file("/proc/self/statm", 256);
    if (!text) return std::nullopt;
    const size_t space = text->find(' ');
    if (space == std::string::npos) return std::nullopt;
    int64_t pages = 0;
    const auto [stop, error] = std::from_chars(text->data() + space + 1, text->data() + text->size(), pages);
    if (error != std::errc()) return std::nullopt;
    return pages * ::sysconf(_SC_PAGESIZE);
}

}  // namespace

MachineState machine_state(const std::string& folder) {
    MachineState state;
    if (const auto space = disk_space(folder)) state.disk_free_bytes = space->free_bytes;
    state.memory_bytes = resident_bytes();
    return state;
}

std::vector<HealthCheck> health_checks(const IngestStats& ingest, const MachineState& machine, const HealthSettings& settings) {
    std::vector<HealthCheck> checks;
    checks.push_back({"database", ingest.since_written <= written_within, "last write " + in_seconds(ingest.since_written) + " ago"});
    checks.push_back({"broker", ingest.connected,
                      ingest.connected ? "connected, " + std::to_string(ingest.reconnects) + " reconnects" : "not connected"});
    const bool room = ingest.queue_fullness < queue_has_room_below;
    const bool moves = ingest.writer_silence <= writer_moves_within;
    std::string queue = std::to_string(ingest.queue_messages) + " messages wait, last progress " + in_seconds(ingest.writer_silence) + " ago";
    if (!room) queue = "the queue is full: " + queue;
    if (!moves) queue = "the writer is stuck: " + queue;
    if (ingest.commit_retrying) queue += ", a commit is tried again";
    checks.push_back({"ingest", room && moves, std::move(queue)});
    const int64_t disk_free = machine.disk_free_bytes.value_or(-1);
    checks.push_back({"disk_space", disk_free >= settings.disk_reserve_bytes,
                      disk_free < 0 ? "cannot be asked"
                                    : mebibytes(disk_free) + " free, reserve " + mebibytes(settings.disk_reserve_bytes)});
    const int64_t memory = machine.memory_bytes.value_or(0);
    checks.push_back({"memory", memory <= settings.memory_limit_bytes,
                      mebibytes(memory) + " in use, limit " + mebibytes(settings.memory_limit_bytes)});
    return checks;
}

}  // namespace basmalin::coordinator
