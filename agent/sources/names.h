// Names of quantities from what people and firmware call things.
// R1  slug(): lower-case, words joined by '_', "DewPoint" is dew_point, "PM2.5" is pm2_5, letters beyond ASCII stay; at most
//     64 bytes, always a label or empty.
// R2  A device keeps its own spelling (to_label): it is an identity, not a word.
#pragma once

#include <string>
#include <string_view>

namespace basmalin::agent {

std::string slug(std::string_view text);
// "bed1" + "moisture" is bed1_moisture; an empty side, or a name that already begins so, is not repeated.
std::string join_names(std::string_view first, std::string_view second);
// Without `prefix` and the '_' behind it, if something is left.
std::string without_prefix(std::string_view name, std::string_view prefix);
// Whether a person can read it: it has a word of two letters, and is not an address (0x00158d…, a4cf12ab34cd).
bool is_readable(std::string_view name);
bool equal_ignoring_case(std::string_view a, std::string_view b);
std::string_view trimmed(std::string_view text);

}  // namespace basmalin::agent
