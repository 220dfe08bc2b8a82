// Random ids and the rule for names that travel in topics, labels and URLs.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "shared/base/result.h"

namespace basmalin {

uint64_t random_u64();      // from the kernel (getrandom); for ids and jitter
double random_unit();       // uniform in [0, 1)
std::string to_hex(uint64_t id);  // 16 lower-case hex digits
Result<uint64_t> from_hex(std::string_view text);

// Node and garden names: 1-64 of a-z A-Z 0-9 . _ - (safe in MQTT topics, file names, certificates and URLs).
bool is_name(std::string_view text);
// Device and quantity names: 1-128 bytes of valid UTF-8 without control characters, '/', '+', '#'.
bool is_label(std::string_view text);
// Any text to such a label: forbidden bytes become '_', too long is cut at a character; empty stays empty.
std::string to_label(std::string_view text);
bool is_utf8(std::string_view text);

// This boot's id: the first 64 bits of /proc/sys/kernel/random/boot_id.
Result<uint64_t> boot_id();

}  // namespace basmalin
