// One spelling per unit, UCUM where it has one. The table (README.md shows it) maps what firmware writes to it.
// R1  normal_unit(): a known spelling becomes ours; an unknown one passes as it is, as far as the wire lets it (is_unit): at most 64
//     bytes of UTF-8 without control characters.
// R2  convert(): exact between units of one kind, so that a quantity keeps the unit it began with.
// R3  usual_unit(): what a well-known quantity of a dialect without units is measured in; empty when that is a guess.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace basmalin::agent {

std::string normal_unit(std::string_view text);
std::optional<double> convert(double value, std::string_view from, std::string_view to);  // both normal units
std::string_view usual_unit(std::string_view quantity);                                   // "temperature" -> "Cel"

}  // namespace basmalin::agent
