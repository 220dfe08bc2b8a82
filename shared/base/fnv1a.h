// FNV-1a, 64 bit (RFC 9923): tells whether bytes are the same as before. No protection against somebody who wants them to look so.
#pragma once

#include <cstdint>
#include <string_view>

namespace basmalin {

constexpr uint64_t fnv1a(std::string_view bytes) {
    uint64_t hash = 14695981039346656037ULL;
    for (const char c : bytes) hash = (hash ^ static_cast<uint8_t>(c)) * 1099511628211ULL;
    return hash;
}

}  // namespace basmalin
