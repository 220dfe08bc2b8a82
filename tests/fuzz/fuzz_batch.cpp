// links: basmalin_wire
// Batches, gaps, `up` and `ack`: any bytes are answered, and what decodes encodes and decodes to the same.
#include <algorithm>

#include "shared/base/bytes.h"
#include "shared/wire/batch.h"
#include "shared/wire/checksum.h"
#include "tests/fuzz/property.h"

using namespace basmalin;
using fuzz::holds;

namespace {

constexpr uint64_t stream = 0x0123456789abcdef;

void check_batch(std::string_view bytes) {
    auto opened = open_batch(stream, bytes);
    if (!opened) return;
    const std::string again = seal_batch(stream, opened->header, opened->body);
    auto second = open_batch(stream, again);
    holds(second && second->header == opened->header && second->body == opened->body, "a batch comes back");
}

void check_up(std::string_view bytes) {
    auto first = decode_up(bytes);
    if (!first) return;
    const std::string again = encode_up(*first);
    auto second = decode_up(again);
    holds(second && second->stream == first->stream && second->lane == first->lane && second->boots == first->boots &&
              second->batches == first->batches,
          "an up message comes back");
}

void check_ack(std::string_view bytes) {
    auto first = decode_ack(bytes);
    if (!first) return;
    auto second = decode_ack(encode_ack(*first));
    holds(second && *second == *first, "an ack comes back");
    SeqSet set;
    set.restore(first->mark, first->ranges);
    holds(set.mark() == first->mark && set.ranges() == first->ranges, "an ack's ranges are in their least form");
}

void check_gaps(std::string_view bytes) {
    auto first = decode_gaps(bytes);
    if (!first) return;
    auto second = decode_gaps(encode_gaps(*first));
    holds(second && *second == *first, "gaps come back");
}

// Small numbers, two bytes a step, against a table of what was inserted.
void check_seq_set(std::string_view bytes) {
    SeqSet set;
    bool inserted[512] = {};
    for (size_t i = 0; i + 1 < bytes.size() && i < 200; i += 2) {
        const uint64_t first = 1 + static_cast<uint8_t>(bytes[i]);
        const uint64_t last = first + (static_cast<uint8_t>(bytes[i + 1]) & 15);
        const bool fresh = !inserted[first];
        if (first == last)
            holds(set.insert(first) == fresh, "insert says whether the number is new");
        else
            set.insert({first, last});
        std::fill(inserted + first, inserted + last + 1, true);
    }
    for (uint64_t seq = 1; seq < 300; ++seq) holds(set.contains(seq) == inserted[seq], "the set holds what was inserted");
    holds(!set.contains(set.mark() + 1), "the mark is the last before the first that is missing");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string_view bytes = fuzz::text_of(data, size);
    check_batch(bytes);
    Writer sealed;  // the same with a right checksum, which chance does not find
    sealed.raw(bytes);
    sealed.u32(checksum(stream, bytes));
    check_batch(sealed.bytes());
    check_up(bytes);
    check_ack(bytes);
    check_gaps(bytes);
    check_seq_set(bytes);
    return 0;
}
