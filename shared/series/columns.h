// One column at a time: the pieces that bodies and chunks are made of. Private to this room.
#pragma once

#include <cstdint>
#include <string>

#include "shared/base/bytes.h"
#include "shared/series/codec.h"

namespace basmalin::columns {

constexpr int decimals_max = 15;
constexpr int64_t scaled_bound = int64_t{1} << 53;  // every scaled value lies strictly between -bound and bound

// The first byte of a column that says its own encoding. Wire values: keep them.
constexpr uint8_t scaled = 0x00;           // + decimals: the first value, then differences
constexpr uint8_t scaled_constant = 0x10;  // + decimals: one value for all rows
constexpr uint8_t scaled_patched = 0x20;   // + decimals: scaled, but for some rows that are given as 8 bytes
constexpr uint8_t raw = 0x30;              // 8 bytes a value
constexpr uint8_t raw_constant = 0x31;     // 8 bytes for all rows
constexpr uint8_t raw_single = 0x32;       // 4 bytes a value: doubles that came from a single
constexpr uint8_t as_layout = 0x40;        // in a body only: like a plain group's column

void append_varint(std::string& out, uint64_t v);
inline void append_svarint(std::string& out, int64_t v) { append_varint(out, zigzag(v)); }

// True when `value` is n / 10^decimals for a whole n below 2^53, bit for bit.
bool scale(double value, int decimals, int64_t& n);
bool all_scale(const Numbers& values, int decimals);
bool all_same_bits(const Numbers& values);

// Differences of scaled values, the first from `last`, which becomes the column's last. All must scale().
void append_differences(std::string& out, const Numbers& values, int decimals, int64_t& last);
// False, and the reader or the value is bad, when a sum leaves the bound.
bool read_differences(Reader& in, Numbers& values, int decimals, int64_t& last);

// `previous` is what the first time is a difference to.
void append_times(std::string& out, const std::vector<int64_t>& times_ms, int64_t previous);
bool read_times(Reader& in, std::vector<int64_t>& times_ms, int64_t previous);

}  // namespace basmalin::columns
