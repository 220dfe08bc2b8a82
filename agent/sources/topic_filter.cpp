#include "agent/sources/topic_filter.h"

namespace basmalin::agent {
namespace {

// Takes the first level off `rest`; false when nothing is left.
bool next_level(std::string_view& rest, bool& more, std::string_view& level) {
    if (!more) return false;
    const size_t slash = rest.find('/');
    level = rest.substr(0, slash);
    more = slash != std::string_view::npos;
    rest = more ? rest.substr(slash + 1) : std::string_view{};
    return true;
}

}  // namespace

bool is_filter(std::string_view filter) {
    if (filter.empty() || filter.size() > 1024) return false;
    bool more = true;
    std::string_view level;
    while (next_level(filter, more, level)) {
        if (level.find('\0') != std::string_view::npos) return false;
        const bool wild = level.find_first_of("+#") != std::string_view::npos;
        if (wild && level.size() != 1) return false;
        if (level == "#" && more) return false;
    }
    return true;
}

bool filter_matches(std::string_view filter, std::string_view topic, std::vector<std::string>* captures) {
    if (topic.empty() || filter.empty()) return false;
    if (topic.front() == '$' && (filter.front() == '+' || filter.front() == '#')) return false;
    bool more_filter = true;
    bool more_topic = true;
    std::string_view wanted;
    std::string_view level;
    while (next_level(filter, more_filter, wanted)) {
        if (wanted == "#") {
            if (captures != nullptr && more_topic) captures->emplace_back(topic);
            return true;  // "a/#" matches "a" as well
        }
        if (!next_level(topic, more_topic, level)) return false;
        if (wanted == "+") {
            if (captures != nullptr) captures->emplace_back(level);
        } else if (wanted != level) {
            return false;
        }
    }
    return !more_topic;
}

bool filter_contains(std::string_view outer, std::string_view inner) {
    bool more_outer = true;
    bool more_inner = true;
    std::string_view a;
    std::string_view b;
    if (!outer.empty() && (outer.front() == '+' || outer.front() == '#') && !inner.empty() && inner.front() == '$') return false;
    while (next_level(outer, more_outer, a)) {
        if (a == "#") return true;
        if (!next_level(inner, more_inner, b)) return false;
        if (b == "#") return false;
        if (a != "+" && a != b) return false;
    }
    return !more_inner;
}

std::vector<std::string> without_contained(const std::vector<std::string>& filters) {
    std::vector<std::string> kept;
    for (size_t i = 0; i < filters.size(); ++i) {
        bool contained = false;
        for (size_t j = 0; j < filters.size() && !contained; ++j)
            contained = i != j && filter_contains(filters[j], filters[i]) && (j < i || !filter_contains(filters[i], filters[j]));
        if (!contained) kept.push_back(filters[i]);
    }
    return kept;
}

}  // namespace basmalin::agent
