// Bounded reading and writing of bytes: little-endian integers, LEB128 varints, zig-zag. A Reader never reads past its end:
// after the first failed read ok() is false for good and every further read returns zero.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace basmalin {

constexpr uint64_t zigzag(int64_t v) { return (static_cast<uint64_t>(v) << 1) ^ static_cast<uint64_t>(v >> 63); }
constexpr int64_t unzigzag(uint64_t v) { return static_cast<int64_t>(v >> 1) ^ -static_cast<int64_t>(v & 1); }

class Writer {
  public:
    void u8(uint8_t v) { out_ += static_cast<char>(v); }
    void u32(uint32_t v) { fixed(v, 4); }
    void u64(uint64_t v) { fixed(v, 8); }
    void varint(uint64_t v) {
        while (v >= 0x80) {
            u8(static_cast<uint8_t>(v | 0x80));
            v >>= 7;
        }
        u8(static_cast<uint8_t>(v));
    }
    void svarint(int64_t v) { varint(zigzag(v)); }
    void f64(double v) {
        uint64_t bits = 0;
        std::memcpy(&bits, &v, 8);
        u64(bits);
    }
    void raw(std::string_view bytes) { out_ += bytes; }
    void text(std::string_view bytes) {  // length, then the bytes
        varint(bytes.size());
        raw(bytes);
    }
    size_t size() const { return out_.size(); }
    const std::string& bytes() const { return out_; }
    std::string take() { return std::move(out_); }

  private:
    void fixed(uint64_t v, int n) {
        for (int i = 0; i < n; ++i) u8(static_cast<uint8_t>(v >> (8 * i)));
    }
    std::string out_;
};

class Reader {
  public:
    explicit Reader(std::string_view bytes) : in_(bytes) {}
    bool ok() const { return ok_; }
    bool at_end() const { return in_.empty(); }
    size_t left() const { return in_.size(); }
    uint8_t u8() {
        if (in_.empty()) return spoil();
        const auto v = static_cast<uint8_t>(in_.front());
        in_.remove_prefix(1);
        return v;
    }
    uint32_t u32() { return static_cast<uint32_t>(fixed(4)); }
    uint64_t u64() { return fixed(8); }
    uint64_t varint() {
        uint64_t v = 0;
        for (int shift = 0; shift < 64; shift += 7) {
            const uint8_t b = u8();
            if (!ok_) return 0;
            if (shift == 63 && b > 1) return spoil();  // would not fit in 64 bits
            v |= static_cast<uint64_t>(b & 0x7f) << shift;
            if ((b & 0x80) == 0) return v;
        }
        return spoil();
    }
    int64_t svarint() { return unzigzag(varint()); }
    // A count of things that each take at least `least_bytes` more bytes: refuses a count the message cannot hold.
    size_t count(size_t least_bytes) {
        const uint64_t n = varint();
        if (!ok_ || (least_bytes > 0 && n > in_.size() / least_bytes)) return spoil();
        return static_cast<size_t>(n);
    }
    double f64() {
        const uint64_t bits = u64();
        double v = 0;
        std::memcpy(&v, &bits, 8);
        return v;
    }
    std::string_view raw(size_t n) {
        if (n > in_.size()) {
            spoil();
            return {};
        }
        const std::string_view bytes = in_.substr(0, n);
        in_.remove_prefix(n);
        return bytes;
    }
    std::string_view text() { return raw(count(1)); }

  private:
    uint64_t fixed(int n) {
        const std::string_view b = raw(static_cast<size_t>(n));
        uint64_t v = 0;
        for (size_t i = 0; i < b.size(); ++i) v |= static_cast<uint64_t>(static_cast<uint8_t>(b[i])) << (8 * i);
        return v;
    }
    uint8_t spoil() {
        ok_ = false;
        in_ = {};
        return 0;
    }
    std::string_view in_;
    bool ok_ = true;
};

}  // namespace basmalin
