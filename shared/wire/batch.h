// A sealed batch: header, body, checksum. Immutable once sealed: the same bytes are stored, sent, resent and first stored again.
// The byte format is in shared/wire/README.md. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "shared/base/clock.h"
#include "shared/base/result.h"

namespace basmalin {

enum class BatchKind : uint8_t { Readings = 0, Gaps = 1, Logs = 2, Events = 3 };
enum class Priority : uint8_t { Alarm = 0, Normal = 1, Low = 2 };  // Low is evicted first

struct BatchHeader {
    uint64_t seq = 0;  // from 1
    BatchKind kind = BatchKind::Readings;
    Priority priority = Priority::Normal;
    ClockState clock = ClockState::Unsynced;  // at sealing
    uint32_t boot_no = 0;                     // per stream, from 1
    MonoTime sealed_mono{};
    WallTime sealed_wall{};
    uint32_t readings = 0;  // how many the body holds
    MonoTime first{};       // of the earliest reading; sealed_mono if none
    bool operator==(const BatchHeader&) const = default;
};

struct BatchView {
    BatchHeader header{};
    std::string_view body{};  // into the bytes given
};

// The checksum covers the stream id too: a batch cannot be passed off as another stream's.
std::string seal_batch(uint64_t stream, const BatchHeader& header, std::string_view body);
// Corrupt when the bytes are no batch of this stream; Invalid when they are one of a later version.
Result<BatchView> open_batch(uint64_t stream, std::string_view bytes);

// Batches that will never come: what a Gaps batch's body holds. Reasons are wire values: keep them.
enum class GapReason : uint8_t { Evicted = 0, Damaged = 1, Released = 2 };  // Released: delivered once, no longer held
struct Gap {
    uint64_t stream = 0;  // usually the batch's own stream; an older one of this node after a repair
    uint64_t first_seq = 0;
    uint64_t last_seq = 0;  // inclusive
    uint64_t readings = 0;  // lost with them; a lower bound when `exact` is false
    bool exact = true;
    WallTime from{};  // as known at eviction; 0 if unknown
    WallTime to{};
    GapReason reason = GapReason::Evicted;
    bool operator==(const Gap&) const = default;
};
std::string_view to_string(GapReason reason);  // "evicted" "damaged" "released"
std::string encode_gaps(const std::vector<Gap>& gaps);
Result<std::vector<Gap>> decode_gaps(std::string_view body);

// What is known of a boot's wall clock: wall = mono + offset_ms, give or take error_ms.
struct BootOffset {
    uint32_t boot_no = 0;
    ClockState state = ClockState::Unsynced;
    int64_t offset_ms = 0;
    int64_t error_ms = 0;
    bool operator==(const BootOffset&) const = default;
};

enum class Lane : uint8_t { Alarm = 0, Live = 1, Backlog = 2 };

// The payload of `up`. 32 KiB at most, unless a single batch alone is longer (64 KiB at most).
struct UpMessage {
    uint64_t stream = 0;
    Lane lane = Lane::Live;
    std::vector<BootOffset> boots{};          // offsets of boots that batches sealed unsynced refer to
    std::vector<std::string_view> batches{};  // into the bytes given
};
constexpr size_t up_bytes_max = 32 * 1024;
constexpr size_t up_bytes_hard_max = 64 * 1024;  // what a decoder refuses to look at
constexpr size_t up_batches_max = 4096;
constexpr size_t up_boots_max = 256;
constexpr size_t batch_bytes_max = 60 * 1024;
// Bytes that an UpMessage takes around its batches, at most.
constexpr size_t up_overhead_bytes_max = 32;
constexpr size_t up_overhead_per_batch_bytes = 3;
constexpr size_t up_overhead_per_boot_bytes_max = 25;

std::string encode_up(const UpMessage& message);
Result<UpMessage> decode_up(std::string_view bytes);

constexpr size_t ack_ranges_max = 256;

// The payload of `ack`: what of one stream is stored. Everything up to `mark` and in `ranges` (ascending, disjoint, above it).
struct SeqRange {
    uint64_t first = 0;
    uint64_t last = 0;  // inclusive
    bool operator==(const SeqRange&) const = default;
};
struct Ack {
    uint64_t epoch = 0;
    uint64_t stream = 0;
    uint64_t mark = 0;
    std::vector<SeqRange> ranges{};   // ack_ranges_max at most on the wire: encode_ack() sends the lowest
    bool definitions_wanted = false;  // batches came whose layouts are not known here: define all again
    bool operator==(const Ack&) const = default;
};
std::string encode_ack(const Ack& ack);
Result<Ack> decode_ack(std::string_view bytes);

// A set of sequence numbers kept as a mark and ranges above it: dedup in the centre, bookkeeping on the gateway.
class SeqSet {
  public:
    // False if it was there already. 0 is no sequence number and always there.
    bool insert(uint64_t seq);
    void insert(SeqRange range);
    bool contains(uint64_t seq) const;
    uint64_t mark() const { return mark_; }
    const std::vector<SeqRange>& ranges() const { return ranges_; }
    uint64_t highest() const { return ranges_.empty() ? mark_ : ranges_.back().last; }
    void restore(uint64_t mark, std::vector<SeqRange> ranges);  // sorts, merges
    bool operator==(const SeqSet&) const = default;

  private:
    uint64_t mark_ = 0;
    std::vector<SeqRange> ranges_;
};

}  // namespace basmalin
