// A list of integers in as few bytes as we know how: the better of plain, differences and differences of differences; each less its
// minimum, cut into byte planes (all low bytes, then all next ones …), zstd when smaller. Planes keep the noise of a low byte from
// hiding the quiet of a high one. The length is not part of it. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "shared/base/bytes.h"
#include "shared/base/result.h"

namespace basmalin::coordinator {

// Level 0: the first fair guess, at zstd's fastest: for what is rewritten soon.
void encode_integers(std::string& out, const std::vector<int64_t>& values, int level);
// Corrupt when the bytes are not `count` integers. The caller bounds `count`.
Result<std::vector<int64_t>> decode_integers(Reader& in, size_t count);

}  // namespace basmalin::coordinator
