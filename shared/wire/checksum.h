// CRC-32 (IEEE 802.3, as in zlib and gzip) of the stream's id, 8 bytes little-endian, followed by the bytes. Private to this room.
#pragma once

#include <cstdint>
#include <string_view>

namespace basmalin {

uint32_t checksum(uint64_t stream, std::string_view bytes);

}  // namespace basmalin
