#include "shared/wire/batch.h"

#include "shared/base/bytes.h"
#include "shared/wire/checksum.h"

namespace basmalin {
namespace {

constexpr uint8_t batch_version = 1;
constexpr size_t checksum_bytes = 4;

// A gap's first byte.
constexpr uint8_t gap_exact = 0x01;
constexpr uint8_t gap_reason_shift = 1;  // two bits
constexpr uint8_t gap_same_stream = 0x08;

// Differences wrap around in 64 bits: every pair of int64 has one.
int64_t difference(int64_t a, int64_t b) { return static_cast<int64_t>(static_cast<uint64_t>(a) - static_cast<uint64_t>(b)); }
int64_t sum(int64_t a, int64_t b) { return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b)); }

std::unexpected<Error> damaged(const char* what) { return fail(Code::Corrupt, std::string("batch: ") + what); }

}  // namespace

std::string seal_batch(uint64_t stream, const BatchHeader& header, std::string_view body) {
    Writer w;
    w.u8(static_cast<uint8_t>(batch_version << 4 | static_cast<uint8_t>(header.kind)));
    w.u8(static_cast<uint8_t>(static_cast<uint8_t>(header.priority) | static_cast<uint8_t>(header.clock) << 2));
    w.varint(header.seq);
    w.varint(header.boot_no);
    w.svarint(header.sealed_mono.ms);
    w.svarint(header.sealed_wall.ms);
    w.varint(header.readings);
    w.svarint(difference(header.sealed_mono.ms, header.first.ms));
    w.raw(body);
    w.u32(checksum(stream, w.bytes()));
    return w.take();
}

Result<BatchView> open_batch(uint64_t stream, std::string_view bytes) {
    if (bytes.size() < checksum_bytes + 8) return damaged("too short");
    const std::string_view sealed = bytes.substr(0, bytes.size() - checksum_bytes);
    if (Reader(bytes.substr(sealed.size())).u32() != checksum(stream, sealed))
        return damaged("its checksum is wrong, or it is another stream's");
    Reader in(sealed);
    const uint8_t first = in.u8();
    if (first >> 4 != batch_version)
        return fail(Code::Invalid,
                    "batch: version " + std::to_string(first >> 4) + ", this program knows version " + std::to_string(batch_version),
                    "a later release sent it: update this program");
    const uint8_t second = in.u8();
    BatchView view;
    BatchHeader& header = view.header;
    header.seq = in.varint();
    const uint64_t boot_no = in.varint();
    header.sealed_mono.ms = in.svarint();
    header.sealed_wall.ms = in.svarint();
    const uint64_t readings = in.varint();
    header.first.ms = difference(header.sealed_mono.ms, in.svarint());
    if (!in.ok()) return damaged("its header is cut short");
    if ((first & 0x0f) > static_cast<uint8_t>(BatchKind::Events)) return damaged("unknown kind");
    if ((second & 0x03) > static_cast<uint8_t>(Priority::Low) || second >> 3 != 0) return damaged("unknown priority or clock state");
    if (header.seq == 0) return damaged("seq 0");
    if (boot_no > UINT32_MAX || readings > UINT32_MAX) return damaged("a boot number or a count of readings beyond 32 bits");
    header.kind = static_cast<BatchKind>(first & 0x0f);
    header.priority = static_cast<Priority>(second & 0x03);
    header.clock = static_cast<ClockState>(second >> 2 & 1);
    header.boot_no = static_cast<uint32_t>(boot_no);
    header.readings = static_cast<uint32_t>(readings);
    view.body = in.raw(in.left());
    return view;
}

std::string_view to_string(GapReason reason) {
    switch (reason) {
        case GapReason::Evicted: return "evicted";
        case GapReason::Damaged: return "damaged";
        case GapReason::Released: return "released";
    }
    return "unknown";
}

std::string encode_gaps(const std::vector<Gap>& gaps) {
    Writer w;
    w.varint(gaps.size());
    const Gap* previous = nullptr;
    for (const Gap& gap : gaps) {
        const bool same = previous != nullptr && previous->stream == gap.stream;
        w.u8(static_cast<uint8_t>((gap.exact ? gap_exact : 0) | static_cast<uint8_t>(gap.reason) << gap_reason_shift |
                                  (same ? gap_same_stream : 0)));
        if (!same) w.u64(gap.stream);
        w.varint(gap.first_seq);
        w.varint(gap.last_seq - gap.first_seq);
        w.varint(gap.readings);
        w.svarint(gap.from.ms);
        w.svarint(difference(gap.to.ms, gap.from.ms));
        previous = &gap;
    }
    return w.take();
}

Result<std::vector<Gap>> decode_gaps(std::string_view body) {
    const auto damaged_gaps = [](const char* what) { return fail(Code::Corrupt, std::string("gaps: ") + what); };
    Reader in(body);
    const size_t count = in.count(6);
    if (!in.ok()) return damaged_gaps("cut short");
    std::vector<Gap> gaps(count);
    for (size_t i = 0; i < count; ++i) {
        Gap& gap = gaps[i];
        const uint8_t flags = in.u8();
        const uint8_t reason = flags >> gap_reason_shift & 0x03;
        if (flags >> 4 != 0 || reason > static_cast<uint8_t>(GapReason::Released)) return damaged_gaps("unknown reason");
        gap.exact = (flags & gap_exact) != 0;
        gap.reason = static_cast<GapReason>(reason);
        if ((flags & gap_same_stream) == 0)
            gap.stream = in.u64();
        else if (i > 0)
            gap.stream = gaps[i - 1].stream;
        else
            return damaged_gaps("the first one names no stream");
        gap.first_seq = in.varint();
        const uint64_t length = in.varint();
        if (length > UINT64_MAX - gap.first_seq) return damaged_gaps("a range that overflows");
        gap.last_seq = gap.first_seq + length;
        gap.readings = in.varint();
        gap.from.ms = in.svarint();
        gap.to.ms = sum(gap.from.ms, in.svarint());
    }
    if (!in.ok()) return damaged_gaps("cut short");
    if (!in.at_end()) return damaged_gaps("bytes behind the last one");
    return gaps;
}

}  // namespace basmalin
