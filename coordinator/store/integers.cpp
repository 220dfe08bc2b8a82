#include "coordinator/store/integers.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <numeric>

#include "coordinator/store/range_coder.h"
#include "shared/series/codec.h"

namespace basmalin::coordinator {
namespace {

constexpr uint8_t transform_mask = 0x03;  // how often differences were taken: 0, 1, 2
constexpr int form_shift = 2;
enum class Form : uint8_t {
    Planes = 0,      // bytes by their weight
    PlanesZstd = 1,  // the same, in one zstd frame
    Upwards = 2,     // range coded distances from the least
    Around = 3,      // range coded distances from the middle one
};
constexpr uint8_t form_max = 0x0f;
constexpr size_t compress_from_bytes = 24;
constexpr int zstd_level_max = 3;  // planes win where something repeats, which any level finds

// All arithmetic wraps: any int64 comes back.
struct Residuals {
    int transform = 0;
    std::vector<uint64_t> leading;
    std::vector<uint64_t> rest;
};

Residuals residuals_of(const std::vector<int64_t>& values, int transform) {
    Residuals found{transform, {}, {values.begin(), values.end()}};
    for (int round = 1; round <= transform; ++round)
        for (size_t i = found.rest.size(); i-- > static_cast<size_t>(round);) found.rest[i] -= found.rest[i - 1];
    found.leading.assign(found.rest.begin(), found.rest.begin() + transform);
    found.rest.erase(found.rest.begin(), found.rest.begin() + transform);
    return found;
}

Writer head_of(const Residuals& residuals, Form form, int64_t base) {
    Writer head;
    head.u8(static_cast<uint8_t>(residuals.transform | static_cast<int>(form) << form_shift));
    for (const uint64_t value : residuals.leading) head.svarint(static_cast<int64_t>(value));
    head.svarint(base);
    return head;
}

int64_t least_of(const std::vector<uint64_t>& list) {
    int64_t least = list.empty() ? 0 : static_cast<int64_t>(list[0]);
    for (const uint64_t value : list) least = std::min(least, static_cast<int64_t>(value));
    return least;
}

std::string encode_planes(const Residuals& residuals, int level) {
    const auto least = static_cast<uint64_t>(least_of(residuals.rest));
    uint64_t most = 0;
    for (const uint64_t value : residuals.rest) most = std::max(most, value - least);
    const size_t width = (static_cast<size_t>(std::bit_width(most)) + 7) / 8;
    std::string planes;
    planes.reserve(residuals.rest.size() * width);
    for (size_t plane = 0; plane < width; ++plane)
        for (const uint64_t value : residuals.rest) planes += static_cast<char>((value - least) >> (8 * plane));
    Form form = Form::Planes;
    if (planes.size() >= compress_from_bytes) {
        std::string tight = compress(planes, level);
        if (tight.size() < planes.size()) {
            planes = std::move(tight);
            form = Form::PlanesZstd;
        }
    }
    Writer out = head_of(residuals, form, static_cast<int64_t>(least));
    out.u8(static_cast<uint8_t>(width));
    if (form == Form::PlanesZstd) out.varint(planes.size());
    out.raw(planes);
    return out.take();
}

// One distance after the other, with what the two before let expect.
class DistanceModel {
  public:
    template <class Coder>
    SignedSize code(Coder& coder, Form form, SignedSize wanted) {
        const size_t context = std::min<size_t>(static_cast<size_t>(std::bit_width(last_)), 6) * 2 + (before_ > 0 ? 1U : 0U);
        const SignedSize found =
            form == Form::Around ? numbers_.code(coder, context, signs_, wanted) : numbers_.code_size(coder, context, wanted);
        signs_ = (signs_ * 3 + (found.size == 0 ? 0U : found.negative ? 2U : 1U)) % 9;
        before_ = last_;
        last_ = found.size;
        return found;
    }

  private:
    NumberModel<14, 9> numbers_;
    uint64_t last_ = 0;
    uint64_t before_ = 0;
    size_t signs_ = 0;
};

SignedSize distance(uint64_t value, uint64_t base, Form form) {
    const uint64_t up = value - base;
    const bool negative = form == Form::Around && static_cast<int64_t>(up) < 0;
    return {negative ? 0 - up : up, negative};
}

std::string encode_coded(const Residuals& residuals, Form form) {
    int64_t base = least_of(residuals.rest);
    if (form == Form::Around && !residuals.rest.empty()) {
        std::vector<int64_t> sorted(residuals.rest.begin(), residuals.rest.end());
        const auto middle = sorted.begin() + static_cast<ptrdiff_t>(sorted.size() / 2);
        std::nth_element(sorted.begin(), middle, sorted.end());
        base = *middle;
    }
    // A sensor's coarse steps: everything is a multiple of one.
    uint64_t unit = 0;
    for (const uint64_t value : residuals.rest)
        if (unit != 1) unit = std::gcd(unit, distance(value, static_cast<uint64_t>(base), form).size);
    Writer out = head_of(residuals, form, base);
    out.varint(unit);
    if (unit == 0) return out.take();
    DistanceModel model;
    RangeWriter coder;
    for (const uint64_t value : residuals.rest) {
        SignedSize wanted = distance(value, static_cast<uint64_t>(base), form);
        wanted.size /= unit;
        model.code(coder, form, wanted);
    }
    out.text(coder.take());
    return out.take();
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

std::unexpected<Error> damaged() { return fail(Code::Corrupt, "integers: damaged"); }

Result<void> decode_planes(Reader& in, Form form, uint64_t least, std::vector<uint64_t>& rest) {
    const size_t width = in.u8();
    if (!in.ok() || width > 8) return damaged();
    std::string room;
    std::string_view planes;
    if (form == Form::PlanesZstd) {
        auto plain = decompress(in.text(), rest.size() * width);
        if (!plain) return pass(plain, "integers");
        room = std::move(*plain);
        planes = room;
    } else {
        planes = in.raw(rest.size() * width);
    }
    if (!in.ok() || planes.size() != rest.size() * width) return damaged();
    for (size_t i = 0; i < rest.size(); ++i) {
        uint64_t value = 0;
        for (size_t plane = 0; plane < width; ++plane)
            value |= static_cast<uint64_t>(static_cast<uint8_t>(planes[plane * rest.size() + i])) << (8 * plane);
        rest[i] = value + least;
    }
    return {};
}

Result<void> decode_coded(Reader& in, Form form, uint64_t base, std::vector<uint64_t>& rest) {
    const uint64_t unit = in.varint();
    if (unit == 0) {
        std::fill(rest.begin(), rest.end(), base);
        return in.ok() ? Result<void>{} : damaged();
    }
    const std::string_view bytes = in.text();
    if (!in.ok()) return damaged();
    DistanceModel model;
    RangeReader coder(bytes);
    for (uint64_t& value : rest) {
        const SignedSize found = model.code(coder, form, {});
        value = found.negative ? base - found.size * unit : base + found.size * unit;
    }
    return {};
}

}  // namespace

void encode_integers(std::string& out, const std::vector<int64_t>& values, int level) {
    const int transform_max = static_cast<int>(std::min<size_t>(2, values.size()));
    if (level <= 0) {
        out += encode_coded(residuals_of(values, std::min(transform_max, guess_transform(values))), Form::Around);
        return;
    }
    std::string best;
    const auto offer = [&](std::string&& next) {
        if (best.empty() || next.size() < best.size()) best = std::move(next);
    };
    for (int transform = 0; transform <= transform_max; ++transform) {
        const Residuals residuals = residuals_of(values, transform);
        offer(encode_coded(residuals, Form::Around));
        if (transform == 0) offer(encode_coded(residuals, Form::Upwards));
        offer(encode_planes(residuals, std::min(level, zstd_level_max)));
    }
    out += best;
}

Result<std::vector<int64_t>> decode_integers(Reader& in, size_t count) {
    const uint8_t head = in.u8();
    const size_t transform = head & transform_mask;
    if (!in.ok() || head > form_max || transform > 2 || transform > count) return damaged();
    const auto form = static_cast<Form>(head >> form_shift);
    uint64_t leading[2] = {0, 0};
    for (size_t i = 0; i < transform; ++i) leading[i] = static_cast<uint64_t>(in.svarint());
    const auto base = static_cast<uint64_t>(in.svarint());
    if (!in.ok()) return damaged();
    std::vector<uint64_t> rest(count - transform);
    const bool coded = form == Form::Upwards || form == Form::Around;
    if (auto decoded = coded ? decode_coded(in, form, base, rest) : decode_planes(in, form, base, rest); !decoded) return pass(decoded);
    std::vector<int64_t> values(leading, leading + transform);
    values.insert(values.end(), rest.begin(), rest.end());
    for (size_t round = transform; round > 0; --round)
        for (size_t i = round; i < count; ++i)
            values[i] = static_cast<int64_t>(static_cast<uint64_t>(values[i]) + static_cast<uint64_t>(values[i - 1]));
    return values;
}

}  // namespace basmalin::coordinator
