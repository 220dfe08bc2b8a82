#include "shared/series/columns.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <limits>

namespace basmalin {
namespace columns {
namespace {

constexpr std::array<double, decimals_max + 1> powers = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                                         1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};

uint64_t bits_of(double v) {
    uint64_t bits = 0;
    std::memcpy(&bits, &v, 8);
    return bits;
}

void append_u64(std::string& out, uint64_t v) {
    for (int i = 0; i < 8; ++i) out += static_cast<char>(static_cast<uint8_t>(v >> (8 * i)));
}

// Differences wrap around in 64 bits, so that every pair of int64 has one.
int64_t difference(int64_t a, int64_t b) { return static_cast<int64_t>(static_cast<uint64_t>(a) - static_cast<uint64_t>(b)); }
int64_t sum(int64_t a, int64_t b) { return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b)); }

}  // namespace

void append_varint(std::string& out, uint64_t v) {
    while (v >= 0x80) {
        out += static_cast<char>(static_cast<uint8_t>(v | 0x80));
        v >>= 7;
    }
    out += static_cast<char>(static_cast<uint8_t>(v));
}

bool scale(double value, int decimals, int64_t& n) {
    const double power = powers[static_cast<size_t>(decimals)];
    const double product = value * power;
    const double size = std::abs(product);
    if (!(size < static_cast<double>(scaled_bound))) return false;  // NaN too
    // From 2^52 on doubles are whole already, and adding a half would round to even.
    n = static_cast<int64_t>(size < 4503599627370496.0 ? product + std::copysign(0.5, product) : product);
    return bits_of(static_cast<double>(n) / power) == bits_of(value);
}

bool all_scale(const Numbers& values, int decimals) {
    int64_t n = 0;
    for (const double v : values)
        if (!scale(v, decimals, n)) return false;
    return true;
}

bool all_same_bits(const Numbers& values) {
    for (const double v : values)
        if (bits_of(v) != bits_of(values.front())) return false;
    return true;
}

void append_differences(std::string& out, const Numbers& values, int decimals, int64_t& last) {
    for (const double v : values) {
        int64_t n = 0;
        if (!scale(v, decimals, n)) broken_invariant("a value that is no scaled integer in a scaled column");
        append_svarint(out, n - last);
        last = n;
    }
}

bool read_differences(Reader& in, Numbers& values, int decimals, int64_t& last) {
    const double power = powers[static_cast<size_t>(decimals)];
    int64_t n = last;
    for (double& v : values) {
        n = sum(n, in.svarint());
        if (n <= -scaled_bound || n >= scaled_bound) return false;
        v = static_cast<double>(n) / power;
    }
    last = n;
    return in.ok();
}

void append_times(std::string& out, const std::vector<int64_t>& times_ms, int64_t previous) {
    int64_t step = 0;
    for (size_t i = 0; i < times_ms.size(); ++i) {
        const int64_t next_step = difference(times_ms[i], previous);
        append_svarint(out, i == 0 ? next_step : difference(next_step, step));
        if (i > 0) step = next_step;
        previous = times_ms[i];
    }
}

bool read_times(Reader& in, std::vector<int64_t>& times_ms, int64_t previous) {
    int64_t step = 0;
    for (size_t i = 0; i < times_ms.size(); ++i) {
        const int64_t coded = in.svarint();
        if (i > 0) step = sum(step, coded);
        previous = sum(previous, i == 0 ? coded : step);
        times_ms[i] = previous;
    }
    return in.ok();
}

}  // namespace columns

using namespace columns;

int decimals_of(double value) {
    int64_t n = 0;
    if (!std::isfinite(value) || (value == 0 && std::signbit(value))) return -1;
    for (int d = 0; d <= decimals_max; ++d) {
        if (scale(value, d, n)) return d;
        if (std::abs(value) * powers[static_cast<size_t>(d)] >= static_cast<double>(scaled_bound)) return -1;
    }
    return -1;
}

namespace {

bool is_single(double v) {
    if (std::isfinite(v) && std::abs(v) > static_cast<double>(std::numeric_limits<float>::max())) return false;
    return bits_of(static_cast<double>(static_cast<float>(v))) == bits_of(v);
}

std::string as_scaled(const Numbers& values, int decimals) {
    std::string out(1, static_cast<char>(scaled + decimals));
    int64_t last = 0;
    append_differences(out, values, decimals, last);
    return out;
}

std::string as_raw(const Numbers& values) {
    bool singles = true;
    for (const double v : values) singles = singles && is_single(v);
    std::string out(1, static_cast<char>(singles ? raw_single : raw));
    for (const double v : values) {
        if (singles) {
            const auto single = static_cast<float>(v);
            uint32_t bits = 0;
            std::memcpy(&bits, &single, 4);
            for (int i = 0; i < 4; ++i) out += static_cast<char>(static_cast<uint8_t>(bits >> (8 * i)));
        } else {
            append_u64(out, bits_of(v));
        }
    }
    return out;
}

// Scaled by `decimals` where that is exact; the other rows follow as position and 8 bytes.
std::string as_patched(const Numbers& values, int decimals) {
    std::string positions, patches;
    Numbers rest;
    size_t count = 0;
    size_t next = 0;  // a position is counted from here
    int64_t n = 0;
    for (size_t i = 0; i < values.size(); ++i) {
        if (scale(values[i], decimals, n)) {
            rest.push_back(values[i]);
            continue;
        }
        append_varint(positions, i - next);
        append_u64(patches, bits_of(values[i]));
        next = i + 1;
        ++count;
    }
    std::string out(1, static_cast<char>(scaled_patched + decimals));
    append_varint(out, count);
    out += positions;
    out += patches;
    int64_t last = 0;
    append_differences(out, rest, decimals, last);
    return out;
}

std::string as_constant(double value, uint8_t decimals_hint) {
    int64_t n = 0;
    int d = scale(value, decimals_hint, n) ? decimals_hint : decimals_of(value);
    std::string out;
    if (d < 0) {
        out += static_cast<char>(raw_constant);
        append_u64(out, bits_of(value));
    } else {
        scale(value, d, n);
        out += static_cast<char>(scaled_constant + d);
        append_svarint(out, n);
    }
    return out;
}

// The shortest of: scaled by the most decimals any value needs, scaled by the most usual number of decimals with patches, raw.
std::string shortest(const Numbers& values) {
    std::array<size_t, decimals_max + 1> needs{};
    int most = -1;
    for (const double v : values) {
        const int d = decimals_of(v);
        if (d < 0) continue;
        ++needs[static_cast<size_t>(d)];
        most = std::max(most, d);
    }
    std::string best = as_raw(values);
    const auto consider = [&](std::string candidate) {
        if (candidate.size() < best.size()) best = std::move(candidate);
    };
    if (most < 0) return best;
    const int usual = static_cast<int>(std::max_element(needs.begin(), needs.end()) - needs.begin());
    if (all_scale(values, most)) consider(as_scaled(values, most));
    consider(as_patched(values, most));
    if (usual != most) consider(as_patched(values, usual));
    return best;
}

Result<Numbers> damaged(const char* what) { return fail(Code::Corrupt, std::string("number column: ") + what); }

Result<Numbers> decode_patched(Reader& in, size_t count, int decimals) {
    const size_t patches = in.count(9);
    if (!in.ok() || patches > count || count - patches > in.left()) return damaged("more values than bytes");
    std::vector<size_t> positions(patches);
    size_t next = 0;
    for (size_t& position : positions) {
        const uint64_t skip = in.varint();
        if (!in.ok() || next >= count || skip >= count - next) return damaged("a patch beyond the last row");
        position = next + static_cast<size_t>(skip);
        next = position + 1;
    }
    Numbers patched(patches);
    for (double& v : patched) v = in.f64();
    Numbers rest(count - patches);
    int64_t last = 0;
    if (!read_differences(in, rest, decimals, last)) return damaged("cut short or out of range");
    Numbers values;
    values.reserve(count);
    size_t from = 0;
    for (size_t i = 0; i < patches; ++i) {
        const size_t until = positions[i] - i;
        values.insert(values.end(), rest.begin() + static_cast<std::ptrdiff_t>(from), rest.begin() + static_cast<std::ptrdiff_t>(until));
        values.push_back(patched[i]);
        from = until;
    }
    values.insert(values.end(), rest.begin() + static_cast<std::ptrdiff_t>(from), rest.end());
    return values;
}

Result<Numbers> decode_raw(Reader& in, size_t count, size_t bytes_each) {
    if (count > in.left() / bytes_each) return damaged("more values than bytes");
    Numbers values(count);
    for (double& v : values) {
        if (bytes_each == 8) {
            v = in.f64();
            continue;
        }
        const uint32_t bits = in.u32();
        float single = 0;
        std::memcpy(&single, &bits, 4);
        v = static_cast<double>(single);
    }
    return values;
}

}  // namespace

void encode_numbers(std::string& out, const Numbers& values, uint8_t decimals_hint) {
    const auto hint = static_cast<uint8_t>(std::min<int>(decimals_hint, decimals_max));
    if (values.empty())
        out += static_cast<char>(scaled);
    else if (values.size() > 1 && all_same_bits(values))
        out += as_constant(values.front(), hint);
    else if (all_scale(values, hint))
        out += as_scaled(values, hint);
    else
        out += shortest(values);
}

Result<Numbers> decode_numbers(Reader& in, size_t count) {
    const uint8_t encoding = in.u8();
    if (!in.ok()) return damaged("cut short");
    const int decimals = encoding & 0x0f;
    if (encoding == raw) return decode_raw(in, count, 8);
    if (encoding == raw_single) return decode_raw(in, count, 4);
    if (encoding == raw_constant) {
        const double value = in.f64();
        if (!in.ok()) return damaged("cut short");
        return Numbers(count, value);
    }
    switch (encoding & 0xf0) {
        case scaled: {
            if (count > in.left()) return damaged("more values than bytes");
            Numbers values(count);
            int64_t last = 0;
            if (!read_differences(in, values, decimals, last)) return damaged("cut short or out of range");
            return values;
        }
        case scaled_constant: {
            const int64_t n = in.svarint();
            if (!in.ok() || n <= -scaled_bound || n >= scaled_bound) return damaged("cut short or out of range");
            return Numbers(count, static_cast<double>(n) / powers[static_cast<size_t>(decimals)]);
        }
        case scaled_patched: return decode_patched(in, count, decimals);
        default: return damaged("unknown encoding");
    }
}

void encode_times(std::string& out, const std::vector<int64_t>& times_ms) { append_times(out, times_ms, 0); }

Result<std::vector<int64_t>> decode_times(Reader& in, size_t count) {
    if (count > in.left()) return fail(Code::Corrupt, "time column: more times than bytes");
    std::vector<int64_t> times_ms(count);
    if (!read_times(in, times_ms, 0)) return fail(Code::Corrupt, "time column: cut short");
    return times_ms;
}

}  // namespace basmalin
