// What a metric may be called, by promtool's rules and OpenMetrics 1.0, and what it is called where. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "shared/metrics/registry.h"

namespace basmalin::metric_names {

// What is wrong with a declaration, as a sentence; empty when nothing is.
std::string wrong_with(const FamilyOptions& options, std::string_view type);
// Every name that stands for this family in either format: no other family may expose one of them.
std::vector<std::string> samples_of(const std::string& name, std::string_view type);
// A counter's family loses "_total" there.
std::string family_in_openmetrics(const std::string& name, std::string_view type);
// The unit that the family's name ends in ("seconds"); empty when it ends in none.
std::string_view unit_of(std::string_view family);

}  // namespace basmalin::metric_names
