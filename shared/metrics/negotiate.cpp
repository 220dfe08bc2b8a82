// Which exposition a scraper's Accept header prefers (RFC 9110, section 12.5.1). OpenMetrics has to be named and preferred;
// everything else, an empty header included, gets Prometheus text.
#include <algorithm>
#include <cctype>
#include <charconv>
#include <vector>

#include "shared/metrics/registry.h"

namespace basmalin {
namespace {

std::string_view trim(std::string_view text) {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
    return text;
}

std::vector<std::string_view> split(std::string_view text, char at) {
    std::vector<std::string_view> parts;
    for (;;) {
        const size_t end = text.find(at);
        parts.push_back(trim(text.substr(0, end)));
        if (end == std::string_view::npos) return parts;
        text.remove_prefix(end + 1);
    }
}

std::string lower(std::string_view text) {
    std::string out(text);
    std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return out;
}

struct Range {
    std::string type;
    std::string version;
    double quality = 1;
};

Range parse_range(std::string_view text) {
    const auto parts = split(text, ';');
    Range range;
    range.type = lower(parts.front());
    for (size_t i = 1; i < parts.size(); ++i) {
        const size_t equals = parts[i].find('=');
        if (equals == std::string_view::npos) continue;
        const std::string key = lower(trim(parts[i].substr(0, equals)));
        const std::string_view value = trim(parts[i].substr(equals + 1));
        if (key == "version") range.version = value;
        if (key == "q") {
            const auto read = std::from_chars(value.data(), value.data() + value.size(), range.quality);
            const bool good = read.ec == std::errc() && read.ptr == value.data() + value.size() && range.quality >= 0 && range.quality <= 1;
            if (!good) range.quality = 0;
        }
    }
    return range;
}

}  // namespace

Exposition Registry::negotiate(std::string_view accept) {
    double open = 0;
    double text = 0;
    int text_precision = 0;  // 3 text/plain, 2 text/*, 1 */*: the most precise range decides
    const auto ranges = split(accept.substr(0, std::min<size_t>(accept.size(), 4096)), ',');
    for (const std::string_view one : ranges) {
        const Range range = parse_range(one);
        const bool version_known = range.version.empty() || range.version == "1.0.0" || range.version == "0.0.1";
        if (range.type == "application/openmetrics-text" && version_known) open = std::max(open, range.quality);
        const int precision = range.type == "text/plain" ? 3 : range.type == "text/*" ? 2 : range.type == "*/*" ? 1 : 0;
        if (precision == 0 || precision < text_precision) continue;
        if (precision == 3 && !range.version.empty() && range.version != "0.0.4") continue;
        text = precision > text_precision ? range.quality : std::max(text, range.quality);
        text_precision = precision;
    }
    return open > text ? Exposition::OpenMetrics : Exposition::Prometheus;
}

}  // namespace basmalin
