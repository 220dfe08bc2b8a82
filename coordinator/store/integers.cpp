#include "coordinator/store/integers.h"

#include <algorithm>
#include <bit>

#include "shared/series/codec.h"

namespace basmalin::coordinator {
namespace {

constexpr uint8_t transform_mask = 0x03;  // how often differences were taken: 0, 1, 2
constexpr uint8_t compressed = 0x04;
constexpr size_t compress_from_bytes = 24;

// All arithmetic wraps: any int64 comes back.
std::vector<uint64_t> residuals_of(const std::vector<int64_t>& values, int transform) {
    std::vector<uint64_t> residuals(values.begin(), values.end());
    for (int round = 1; round <= transform; ++round)
        for (size_t i = residuals.size(); i-- > static_cast<size_t>(round);) residuals[i] -= residuals[i - 1];
    return residuals;
}

std::string encode_as(const std::vector<int64_t>& values, int transform, int level) {
    std::vector<uint64_t> residuals = residuals_of(values, transform);
    Writer head;
    Writer leading;
    for (int i = 0; i < transform; ++i) leading.svarint(static_cast<int64_t>(residuals[static_cast<size_t>(i)]));
    residuals.erase(residuals.begin(), residuals.begin() + transform);
    int64_t least = residuals.empty() ? 0 : static_cast<int64_t>(residuals[0]);
    for (const uint64_t r : residuals) least = std::min(least, static_cast<int64_t>(r));
    uint64_t most = 0;
    for (uint64_t& r : residuals) {
        r -= static_cast<uint64_t>(least);
        most = std::max(most, r);
    }
    const size_t width = (static_cast<size_t>(std::bit_width(most)) + 7) / 8;
    std::string planes;
    planes.reserve(residuals.size() * width);
    for (size_t plane = 0; plane < width; ++plane)
        for (const uint64_t r : residuals) planes += static_cast<char>(r >> (8 * plane));
    bool small = false;
    if (planes.size() >= compress_from_bytes) {
        std::string tight = compress(planes, level);
        if (tight.size() < planes.size()) {
            planes = std::move(tight);
            small = true;
        }
    }
    head.u8(static_cast<uint8_t>(transform | (small ? compressed : 0)));
    head.raw(leading.bytes());
    head.svarint(least);
    head.u8(static_cast<uint8_t>(width));
    if (small) head.varint(planes.size());
    head.raw(planes);
    return head.take();
}

// A guess at the bits that a transform leaves, without compressing: the sum of the widths of the residuals' distances.
int guess_transform(const std::vector<int64_t>& values) {
    std::vector<uint64_t> d0(values.begin(), values.end());
    uint64_t cost[3] = {0, 0, 0};
    for (size_t i = 2; i < d0.size(); ++i) {
        const uint64_t first = d0[i] - d0[i - 1];
        const uint64_t second = first - (d0[i - 1] - d0[i - 2]);
        cost[0] += static_cast<uint64_t>(std::bit_width(zigzag(static_cast<int64_t>(d0[i] - d0[0]))));
        cost[1] += static_cast<uint64_t>(std::bit_width(zigzag(static_cast<int64_t>(first))));
        cost[2] += static_cast<uint64_t>(std::bit_width(zigzag(static_cast<int64_t>(second))));
    }
    return static_cast<int>(std::min_element(cost, cost + 3) - cost);
}

}  // namespace

void encode_integers(std::string& out, const std::vector<int64_t>& values, int level) {
    const int transform_max = static_cast<int>(std::min<size_t>(2, values.size()));
    if (level <= 0) {
        out += encode_as(values, std::min(transform_max, guess_transform(values)), 1);
        return;
    }
    std::string best;
    for (int transform = 0; transform <= transform_max; ++transform) {
        std::string next = encode_as(values, transform, level);
        if (best.empty() || next.size() < best.size()) best = std::move(next);
    }
    out += best;
}

Result<std::vector<int64_t>> decode_integers(Reader& in, size_t count) {
    const auto damaged = [] { return fail(Code::Corrupt, "integers: damaged"); };
    const uint8_t form = in.u8();
    const size_t transform = form & transform_mask;
    if (!in.ok() || (form & ~(transform_mask | compressed)) != 0 || transform > 2 || transform > count) return damaged();
    uint64_t leading[2] = {0, 0};
    for (size_t i = 0; i < transform; ++i) leading[i] = static_cast<uint64_t>(in.svarint());
    const auto least = static_cast<uint64_t>(in.svarint());
    const size_t width = in.u8();
    if (!in.ok() || width > 8) return damaged();
    const size_t rows = count - transform;
    std::string room;
    std::string_view planes;
    if ((form & compressed) != 0) {
        auto plain = decompress(in.text(), rows * width);
        if (!plain) return pass(plain, "integers");
        room = std::move(*plain);
        planes = room;
    } else {
        planes = in.raw(rows * width);
    }
    if (!in.ok() || planes.size() != rows * width) return damaged();
    std::vector<int64_t> values(count);
    for (size_t i = 0; i < transform; ++i) values[i] = static_cast<int64_t>(leading[i]);
    for (size_t i = 0; i < rows; ++i) {
        uint64_t r = 0;
        for (size_t plane = 0; plane < width; ++plane)
            r |= static_cast<uint64_t>(static_cast<uint8_t>(planes[plane * rows + i])) << (8 * plane);
        values[transform + i] = static_cast<int64_t>(r + least);
    }
    for (size_t round = transform; round > 0; --round)
        for (size_t i = round; i < count; ++i)
            values[i] = static_cast<int64_t>(static_cast<uint64_t>(values[i]) + static_cast<uint64_t>(values[i - 1]));
    return values;
}

}  // namespace basmalin::coordinator
