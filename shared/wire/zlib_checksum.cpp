#include <zlib.h>

#include "shared/wire/checksum.h"

namespace basmalin {

uint32_t checksum(uint64_t stream, std::string_view bytes) {
    unsigned char id[8];
    for (int i = 0; i < 8; ++i) id[i] = static_cast<unsigned char>(stream >> (8 * i));
    uLong crc = crc32_z(0, id, sizeof id);
    crc = crc32_z(crc, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
    return static_cast<uint32_t>(crc);
}

}  // namespace basmalin
