// The messages around batches: `up` and `ack`.
#include <algorithm>

#include "shared/base/bytes.h"
#include "shared/wire/batch.h"

namespace basmalin {
namespace {

constexpr uint8_t up_version = 0xB1;  // high half: what it is; low half: the version
constexpr uint8_t ack_version = 0xA1;
constexpr uint8_t ack_definitions_wanted = 0x01;

// A wrong first byte: a later version of the same message is Invalid and says so, anything else Corrupt.
std::unexpected<Error> not_this(const char* name, uint8_t first, uint8_t known) {
    if (first >> 4 == known >> 4)
        return fail(Code::Invalid,
                    std::string(name) + ": version " + std::to_string(first & 0x0f) + ", this program knows version " +
                        std::to_string(known & 0x0f),
                    "a later release sent it: update this program");
    return fail(Code::Corrupt, std::string(name) + ": not such a message");
}

}  // namespace

std::string encode_up(const UpMessage& message) {
    Writer w;
    w.u8(up_version);
    w.u64(message.stream);
    w.varint(uint64_t{message.boots.size()} << 2 | static_cast<uint8_t>(message.lane));
    for (const BootOffset& boot : message.boots) {
        w.varint(uint64_t{boot.boot_no} << 1 | static_cast<uint8_t>(boot.state));
        w.svarint(boot.offset_ms);
        w.varint(static_cast<uint64_t>(std::max<int64_t>(boot.error_ms, 0)));
    }
    for (const std::string_view batch : message.batches) w.text(batch);
    return w.take();
}

Result<UpMessage> decode_up(std::string_view bytes) {
    const auto damaged = [](const char* what) { return fail(Code::Corrupt, std::string("up: ") + what); };
    if (bytes.size() > up_bytes_hard_max) return damaged("longer than 64 KiB");
    Reader in(bytes);
    const uint8_t first = in.u8();
    if (!in.ok()) return damaged("empty");
    if (first != up_version) return not_this("up", first, up_version);
    UpMessage message;
    message.stream = in.u64();
    const uint64_t packed = in.varint();
    if (!in.ok()) return damaged("cut short");
    if ((packed & 3) > static_cast<uint8_t>(Lane::Backlog)) return damaged("unknown lane");
    if (packed >> 2 > up_boots_max || packed >> 2 > in.left() / 3) return damaged("too many boots");
    message.lane = static_cast<Lane>(packed & 3);
    message.boots.resize(static_cast<size_t>(packed >> 2));
    for (BootOffset& boot : message.boots) {
        const uint64_t number = in.varint();
        boot.offset_ms = in.svarint();
        const uint64_t error = in.varint();
        if (number >> 1 > UINT32_MAX || error > INT64_MAX) return damaged("a boot's number or error is out of range");
        boot.boot_no = static_cast<uint32_t>(number >> 1);
        boot.state = static_cast<ClockState>(number & 1);
        boot.error_ms = static_cast<int64_t>(error);
    }
    while (in.ok() && !in.at_end()) {
        if (message.batches.size() == up_batches_max) return damaged("too many batches");
        message.batches.push_back(in.text());
        if (in.ok() && message.batches.back().empty()) return damaged("an empty batch");
    }
    if (!in.ok()) return damaged("cut short");
    return message;
}

std::string encode_ack(const Ack& ack) {
    SeqSet known;
    known.restore(ack.mark, ack.ranges);
    const size_t count = std::min(known.ranges().size(), ack_ranges_max);
    Writer w;
    w.u8(ack_version);
    w.u8(ack.definitions_wanted ? ack_definitions_wanted : 0);
    w.u64(ack.epoch);
    w.u64(ack.stream);
    w.varint(known.mark());
    w.varint(count);
    uint64_t previous = known.mark();
    for (size_t i = 0; i < count; ++i) {
        const SeqRange& range = known.ranges()[i];
        w.varint(range.first - previous - 2);
        w.varint(range.last - range.first);
        previous = range.last;
    }
    return w.take();
}

Result<Ack> decode_ack(std::string_view bytes) {
    const auto damaged = [](const char* what) { return fail(Code::Corrupt, std::string("ack: ") + what); };
    Reader in(bytes);
    const uint8_t first = in.u8();
    if (!in.ok()) return damaged("empty");
    if (first != ack_version) return not_this("ack", first, ack_version);
    const uint8_t flags = in.u8();
    if (flags > ack_definitions_wanted) return damaged("unknown flags");
    Ack ack;
    ack.definitions_wanted = flags == ack_definitions_wanted;
    ack.epoch = in.u64();
    ack.stream = in.u64();
    ack.mark = in.varint();
    const size_t count = in.count(2);
    if (!in.ok()) return damaged("cut short");
    if (count > ack_ranges_max) return damaged("too many ranges");
    ack.ranges.resize(count);
    uint64_t previous = ack.mark;
    for (SeqRange& range : ack.ranges) {
        const uint64_t skip = in.varint();
        const uint64_t length = in.varint();
        const uint64_t room = UINT64_MAX - previous;  // how far the range may end above the previous one
        if (room < 2 || skip > room - 2 || length > room - 2 - skip) return damaged("a range that overflows");
        range.first = previous + 2 + skip;
        range.last = range.first + length;
        previous = range.last;
    }
    if (!in.ok()) return damaged("cut short");
    if (!in.at_end()) return damaged("bytes behind the last range");
    return ack;
}

}  // namespace basmalin
