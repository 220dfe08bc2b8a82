// How a benchmark measures and says what it found: one JSON object a line on standard output, which tests/bench/run collects.
#pragma once

#include <functional>
#include <optional>
#include <string>

namespace basmalin::bench {

struct Figure {
    std::string what;
    double value = 0;
    std::string unit;
    std::optional<double> at_least = {};  // the target: one of the two, or none
    std::optional<double> at_most = {};
    std::string peer = {};                // who else was measured on the same, and its figure
    std::optional<double> peer_value = {};
};
void report(const Figure& figure);

double seconds_now();  // steady

// Repeats `work` (which says how many things it did) for at least 0.3 s, five times over; the median of things per second.
double median_rate(const std::function<double()>& work);

// Ends the program with the sentence: a benchmark that cannot measure says nothing else.
[[noreturn]] void give_up(const std::string& sentence);

}  // namespace basmalin::bench
