// A property that must hold for any input: says which one did not, and aborts, which a fuzzer reports as a finding.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "shared/base/result.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace basmalin::fuzz {

inline void holds(bool property, std::string_view sentence) {
    if (!property) broken_invariant(sentence);
}

inline std::string_view text_of(const uint8_t* data, size_t size) { return {reinterpret_cast<const char*>(data), size}; }

}  // namespace basmalin::fuzz
