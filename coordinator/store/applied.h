// Which batches of a stream a history file has: 4096 sequence numbers a row, a bit each, one byte when all are there. Pure.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

namespace basmalin::coordinator {

constexpr uint64_t applied_per_block = 4096;
constexpr size_t applied_bytes = applied_per_block / 8;
inline const std::string applied_all(1, '\0');  // no row of bits ends with a zero byte

constexpr int64_t applied_block(uint64_t seq) { return static_cast<int64_t>(seq / applied_per_block); }

inline bool is_applied(std::string_view bits, uint64_t seq) {
    if (bits == applied_all) return true;
    const uint64_t at = seq % applied_per_block;
    return at / 8 < bits.size() && (static_cast<uint8_t>(bits[at / 8]) >> (at % 8) & 1) != 0;
}

// Rows are as short as their last set bit allows.
inline void set_applied(std::string& bits, uint64_t seq) {
    if (bits == applied_all) return;
    const uint64_t at = seq % applied_per_block;
    if (bits.size() <= at / 8) bits.resize(at / 8 + 1, '\0');
    bits[at / 8] = static_cast<char>(static_cast<uint8_t>(bits[at / 8]) | 1U << (at % 8));
    if (bits.size() == applied_bytes && std::all_of(bits.begin(), bits.end(), [](char c) { return c == '\xff'; })) bits = applied_all;
}

}  // namespace basmalin::coordinator
