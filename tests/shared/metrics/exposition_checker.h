// A strict reader of an exposition, for tests: families stand together, metadata comes once and first, no series twice.
#pragma once

#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace basmalin::testing {

struct Exposed {
    std::vector<std::string> wrong;
    std::vector<std::string> families;
    std::map<std::string, double> samples;  // "name{labels}" -> value
};

inline std::string family_of(const std::string& sample, const std::string& family, const std::string& type) {
    for (const char* suffix : {"", "_total", "_bucket", "_sum", "_count"}) {
        const bool fits = std::string(suffix).empty() || (type == "counter" && std::string(suffix) == "_total") ||
                          (type == "histogram" && std::string(suffix) != "_total");
        if (fits && sample == family + suffix) return family;
    }
    return {};
}

inline Exposed check_exposition(const std::string& text, bool openmetrics) {
    Exposed found;
    std::set<std::string> closed;
    std::string family;
    std::string type;
    std::istringstream lines(text);
    std::string line;
    bool ended = false;
    const auto complain = [&](const std::string& what) { found.wrong.push_back(what + ": " + line); };
    while (std::getline(lines, line)) {
        if (ended) complain("text after the end");
        if (line == "# EOF") {
            ended = true;
            continue;
        }
        if (line.starts_with("# ")) {
            std::istringstream words(line.substr(2));
            std::string keyword;
            std::string name;
            words >> keyword >> name;
            if (keyword == "HELP") {
                if (!family.empty()) closed.insert(family);
                if (closed.contains(name)) complain("family comes twice");
                family = name;
                type.clear();
                found.families.push_back(name);
            } else if (keyword == "TYPE") {
                if (name != family || !type.empty()) complain("TYPE does not follow its HELP");
                words >> type;
            } else if (keyword == "UNIT") {
                std::string unit;
                words >> unit;
                if (!openmetrics || name != family || !name.ends_with("_" + unit)) complain("UNIT out of place");
            } else {
                complain("unknown comment");
            }
            continue;
        }
        const size_t space = line.rfind(' ');
        const std::string series = line.substr(0, space);
        const std::string name = series.substr(0, series.find('{'));
        if (family_of(name, family, type).empty()) complain("sample outside its family");
        if (!found.samples.emplace(series, std::stod(line.substr(space + 1))).second) complain("series comes twice");
    }
    if (openmetrics != ended) found.wrong.push_back("# EOF missing or unasked for");
    return found;
}

}  // namespace basmalin::testing
