// The well-formed sequences of UTF-8: RFC 3629, section 4.
#pragma once

#include <cstddef>
#include <string_view>

namespace basmalin {

// Bytes of the character at the front, 1 to 4; 0 if the text is empty or malformed there.
size_t utf8_length(std::string_view text);

}  // namespace basmalin
