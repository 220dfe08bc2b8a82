// Which handler answers a path: patterns of literal segments and {captures}. A literal wins over a capture. Pure.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "shared/http/server.h"

namespace basmalin {

class Router {
  public:
    // Aborts on a pattern that does not start with '/', has an empty segment or name, or is added twice for one method.
    void add(const std::string& method, const std::string& pattern, HttpHandler handler);

    struct Match {
        const HttpHandler* handler = nullptr;         // null: no route, or not with this method
        std::string pattern = "unmatched";
        std::map<std::string, std::string> captures;
        std::vector<std::string> methods;             // that the path answers to; empty: no such path
    };
    // HEAD is found where GET is.
    Match find(const std::string& method, const std::vector<std::string>& segments) const;

  private:
    struct Route {
        std::string pattern;
        std::vector<std::string> segments;
        std::map<std::string, HttpHandler> handlers;  // by method
    };
    static bool fits(const Route& route, const std::vector<std::string>& segments);
    std::vector<Route> routes_;
};

}  // namespace basmalin
