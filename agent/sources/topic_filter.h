// MQTT topic filters: '+' is one level, '#' (last) is the rest; a wildcard in the first level does not match topics that begin
// with '$'. Source: MQTT 5.0, section 4.7.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace basmalin::agent {

// 1-1024 bytes, '+' alone in its level, '#' alone in the last one.
bool is_filter(std::string_view filter);
// `captures`, if given, receives what each '+' matched and, last, what '#' did.
bool filter_matches(std::string_view filter, std::string_view topic, std::vector<std::string>* captures = nullptr);
// Every topic that `inner` matches, `outer` matches too.
bool filter_contains(std::string_view outer, std::string_view inner);
// Without duplicates and without filters that another one contains, in order: a broker may deliver a message once per
// matching subscription (Mosquitto 2.0.11 does).
std::vector<std::string> without_contained(const std::vector<std::string>& filters);

}  // namespace basmalin::agent
