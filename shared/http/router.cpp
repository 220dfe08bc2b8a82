#include "shared/http/router.h"

#include <algorithm>

namespace basmalin {
namespace {

bool is_capture(const std::string& segment) { return segment.size() > 2 && segment.front() == '{' && segment.back() == '}'; }

std::vector<std::string> segments_of(const std::string& pattern) {
    if (!pattern.starts_with('/')) broken_invariant("route " + pattern + ": a pattern starts with /");
    std::vector<std::string> segments;
    for (size_t from = 1;;) {
        const size_t to = std::min(pattern.find('/', from), pattern.size());
        segments.push_back(pattern.substr(from, to - from));
        const std::string& last = segments.back();
        if ((last.empty() && pattern != "/") || last == "{}") broken_invariant("route " + pattern + ": a segment is empty");
        if (to == pattern.size()) return segments;
        from = to + 1;
    }
}

// Literals first, segment by segment.
bool more_exact(const std::vector<std::string>& a, const std::vector<std::string>& b) {
    for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
        if (is_capture(a[i]) != is_capture(b[i])) return is_capture(b[i]);
    }
    return false;
}

}  // namespace

void Router::add(const std::string& method, const std::string& pattern, HttpHandler handler) {
    auto found = std::find_if(routes_.begin(), routes_.end(), [&](const Route& route) { return route.pattern == pattern; });
    if (found == routes_.end()) {
        Route route{pattern, segments_of(pattern), {}};
        const auto place = std::find_if(routes_.begin(), routes_.end(), [&](const Route& other) {
            return more_exact(route.segments, other.segments);
        });
        found = routes_.insert(place, std::move(route));
    }
    if (!found->handlers.emplace(method, std::move(handler)).second) broken_invariant("route " + method + ' ' + pattern + " comes twice");
}

bool Router::fits(const Route& route, const std::vector<std::string>& segments) {
    if (route.segments.size() != segments.size()) return false;
    for (size_t i = 0; i < segments.size(); ++i) {
        if (is_capture(route.segments[i]) ? segments[i].empty() : route.segments[i] != segments[i]) return false;
    }
    return true;
}

Router::Match Router::find(const std::string& method, const std::vector<std::string>& segments) const {
    Match match;
    for (const Route& route : routes_) {
        if (!fits(route, segments)) continue;
        match.pattern = route.pattern;
        for (size_t i = 0; i < segments.size(); ++i) {
            const std::string& name = route.segments[i];
            if (is_capture(name)) match.captures[name.substr(1, name.size() - 2)] = segments[i];
        }
        for (const auto& [known, handler] : route.handlers) {
            match.methods.push_back(known);
            if (known == "GET") match.methods.emplace_back("HEAD");
            if (known == method || (method == "HEAD" && known == "GET")) match.handler = &handler;
        }
        return match;
    }
    return match;
}

}  // namespace basmalin
