// FNV-1a: tells accidents, not malice.
#pragma once

#include <cstdint>
#include <string_view>

namespace basmalin::coordinator {

inline uint32_t checksum_of(std::string_view bytes) {
    uint32_t hash = 2166136261U;
    for (const char c : bytes) hash = (hash ^ static_cast<uint8_t>(c)) * 16777619U;
    return hash;
}

}  // namespace basmalin::coordinator
