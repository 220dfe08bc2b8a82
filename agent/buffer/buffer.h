// What waits for the coordinator: sealed batches in one SQLite file. What seal() returned survives a power cut.
// R1  A sealed batch never changes; (stream, seq) has no gaps and is never used twice. A seal is one transaction that writes
//     one page as a rule: next_seq is max(id) + 1, and the floor is persisted whenever rows are deleted.
// R2  Only the coordinator's ack releases a batch. Acks move forward within one (stream, epoch); they are persisted with a
//     later seal, once a minute at most, and at close(): losing them costs a resend, never a reading.
// R3  Acked batches stay for acked_keep, space permitting, then go in bulk.
// R4  Bounds: bytes_max, age_max, disk_reserve_bytes. What is given up and was not acked becomes a gap row in the same
//     transaction (eviction.h). Below the disk's reserve the file only stops to grow; it shrinks, little by little, where that has lasted
//     and can be ended so. Gap rows travel as a Gaps batch, sealed in the transaction that removes the rows.
//     Age is told by a wall clock that was synced and has not jumped for an hour, and even by that no more goes in an hour than
//     512 batches or four times what grows old in one: a clock that says 2099 costs days of the oldest, not the buffer.
// R5  A welcome is the coordinator's word on what it has: acked marks are replaced by it. What it lacks and is still held is
//     sent again; what is no longer held becomes a Gap with reason Released.
// R6  A coordinator that has more of our stream than we ever sealed means that this file went back in time: a new stream
//     begins, and what is not known to be acked is sealed again under it. Nothing is sent before a welcome, so more than was
//     sealed before the last one is more, however much was sealed since.
// R7  A damaged file is set aside and a new one begins at once, with a new stream. The old file's sound rows follow in slices
//     (salvage()): every page of it is searched, whatever leads to it (page_rescue.h), its log too, and rows keep their (stream,
//     seq). When all are there, what is missing becomes a Gap with reason Damaged; until then nothing is told of these streams'
//     holes, and a power cut at any moment goes on with the slice it broke. A row that is damaged inside a sound file becomes such
//     a Gap likewise. What the disk cannot read is damage too; where it does not take writes, the file is built anew on other
//     places of it (buffer_shell.h). The streams' ids are kept twice; rows whose stream's id is lost all the same are told as a
//     gap of a stream of their own. A batch without its layout is a gap, too; layouts whose first batch was lost are defined again.
//     The file set aside does not count as the buffer's (R4), but gives way first where the disk is short.
// R8  A full or failing disk is an error of seal(), never the end: the caller keeps the draft and tries again. What can be read is
//     still sent: a welcome that tells nothing new needs no write, and a damaged row that cannot be dropped yet hides only itself.
//     What a seal that failed may have left in the file is not there for a process that opens or builds it anew (Promised).
// R9  Two agents never share a file: the second open() is a Conflict.
// R10 A layout is defined in the first batch that uses it, again when that batch is given up, and all of them at once by
//     seal_definitions() when the coordinator asks.
// Thread: one (a Worker); every call may block on the disk.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/buffer/batcher.h"
#include "shared/base/clock.h"
#include "shared/base/result.h"
#include "shared/config/config.h"
#include "shared/wire/batch.h"
#include "shared/wire/messages.h"

namespace basmalin::agent {

// What a process knows of the numbers it has given: a seal that failed may have left its batches in the file, and a disk may have lost
// others.
struct Promised {
    uint64_t stream = 0;  // 0: nothing is known
    int64_t stream_no = 0;
    uint64_t next_seq = 1;  // nobody was given this one or one beyond
    bool welcomed = false;  // what lies below may be with the coordinator
};

struct BufferOptions {
    int64_t bytes_max = int64_t{256} << 20;
    int64_t disk_reserve_bytes = int64_t{256} << 20;  // left free on the file system for everyone else
    Duration age_max = hours(24 * 400);
    Duration acked_keep = hours(24);
    // For the check at start. What lies beyond shows when it is read.
    Duration check_deadline = seconds(2);
    Duration salvage_at_start = seconds(1);          // of a damaged file: a small one is whole before it is used
    int64_t salvage_slice_bytes = int64_t{1} << 20;  // read, and written at most, between two seals
    Promised promised = {};                          // by this process, of a file that it opens again
    std::string rebuild_because = {};      // not empty: open() repairs the file, whatever its check says
};

// The clocks when something is sealed.
struct Moment {
    MonoTime mono;
    WallTime wall;
    ClockState clock = ClockState::Unsynced;
};

// A batch as it is stored. Ids order all batches of all streams by age.
struct Held {
    int64_t id = 0;
    uint64_t stream = 0;
    BatchHeader header;
    std::shared_ptr<const std::string> bytes;
};

struct Page {
    std::vector<Held> batches;
    int64_t last_id = 0;  // where the next fetch goes on
    bool end = false;     // nothing more up to the bound asked
};

struct OpenReport {
    bool created = false;
    std::string set_aside;       // path of the damaged file, if it was one
    int64_t salvaged_batches = 0;  // so far
    int64_t missing_batches = 0;   // known missing when all are salvaged
    bool salvaging = false;      // more is to come
    std::string complaint;       // what was wrong with it
};

struct SalvageStep {
    bool more = false;
    bool finished = false;  // with this step; the counts are those of the whole
    int64_t salvaged_batches = 0;
    int64_t missing_batches = 0;
    int64_t last_id = 0;    // no salvaged batch is beyond
};

struct BufferStats {
    int64_t batches = 0;         // held, acked ones included
    int64_t readings = 0;
    int64_t bytes = 0;           // of batches
    int64_t file_bytes = 0;      // pages in use
    int64_t unacked_batches = 0;
    uint64_t stream = 0;
    uint64_t sealed_seq = 0;     // of the current stream
    uint64_t acked_mark = 0;
    uint64_t epoch = 0;
    int64_t oldest_wall_ms = 0;  // of the oldest unacked batch, 0 if none or unknown
    int64_t gaps_pending = 0;
    uint64_t sealed_batches_total = 0;   // since the start of the process, like the next ones
    uint64_t sealed_readings_total = 0;
    uint64_t sealed_bytes_total = 0;
    uint64_t evicted_batches_total = 0;  // unacked ones
    uint64_t evicted_readings_total = 0;
    uint64_t damaged_batches_total = 0;
    uint64_t refused_readings_total = 0; // drafts that could not be encoded
    size_t streams = 1;
    bool writable = true;
    bool salvaging = false;              // batches of a damaged file are still to come (R7)
    bool operator==(const BufferStats&) const = default;
};

struct StreamAcks {
    uint64_t stream = 0;
    int64_t first_id = 0;  // id of (stream, seq) is first_id + seq - 1
    SeqSet acked;
};

struct WelcomeOutcome {
    std::vector<StreamAcks> streams;  // oldest first, the current one last
    int64_t last_id = 0;              // of the newest batch held
    bool new_stream = false;          // R6
    uint64_t released_batches = 0;    // R5
};

class Buffer {
  public:
    // `path` of the file; `boot` is this boot's id. Conflict: another process has it. Any other error: the folder itself
    // cannot be used (a damaged file is repaired, R7).
    static Result<std::unique_ptr<Buffer>> open(const std::string& path, const BufferOptions& options, uint64_t boot, WallTime now);
    // Builds the file anew on other places of the disk (R7) and opens that. Where it fails, `old` still reads what it holds, if it is not
    // null: then open() goes on with what was begun.
    static Result<std::unique_ptr<Buffer>> rebuild(std::unique_ptr<Buffer>& old, uint64_t boot, WallTime now, const std::string& why);
    ~Buffer();  // closes without persisting acks; see close()
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;

    const OpenReport& opened() const;
    Promised promised() const;
    // For Batcher::restore: those that can be read, and the highest id that ever was given.
    Result<std::vector<Layout>> layouts() const;
    uint32_t last_layout_id() const;
    uint32_t boot_no() const;

    // One transaction for all drafts. Full and Unavailable: try again later (R8). Corrupt: close and open again.
    Result<std::vector<Held>> seal(const std::vector<Draft>& drafts, const Moment& now);
    // A batch of definitions that the coordinator may lack: all of them, or those not acked. Nothing when there are none.
    Result<std::vector<Held>> seal_definitions(bool all, const Moment& now);
    // Gap rows as a Gaps batch; nothing when there are none.
    Result<std::optional<Held>> seal_gaps(const Moment& now);

    // Unacked batches with after_id < id <= until_id in order of id, of every priority or of one.
    Result<Page> fetch(int64_t after_id, int64_t until_id, size_t bytes_max, size_t batches_max, std::optional<Priority> only = {});
    // False when the ack speaks of another epoch, of an unknown stream or of batches never sealed: greet again.
    bool on_ack(const Ack& ack);
    Result<WelcomeOutcome> on_welcome(const Welcome& welcome, const Moment& now);

    std::vector<Hello::Stream> hello_streams() const;
    std::vector<BootOffset> boots() const;  // those known to be synced, and this boot
    Result<void> set_boot_offset(const BootOffset& offset);

    // Enforces the bounds and the grace. True when there is more to do now.
    Result<bool> tend(const Moment& now);
    // Writes the log back where SQLite, which tries after seals and says nothing, seems not to. Unavailable: the file takes nothing.
    Result<void> tend_log();
    bool log_is_long() const;  // soon longer than what is read of it after a repair
    // A slice of R7, of some 50 ms. An error costs nothing: the next call tries again.
    Result<SalvageStep> salvage(const Moment& now);
    Result<void> close();
    BufferStats stats() const;
    void set_options(const BufferOptions& options);

    struct Impl;

  private:
    explicit Buffer(std::unique_ptr<Impl> impl);
    static Result<std::unique_ptr<Buffer>> begin(std::unique_ptr<Impl> impl, WallTime now);
    std::unique_ptr<Impl> impl_;
};

}  // namespace basmalin::agent
