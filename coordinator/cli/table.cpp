#include "coordinator/cli/table.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <ctime>

namespace basmalin::coordinator {

std::string printable(std::string_view text) {
    std::string out;
    for (size_t i = 0; i < text.size(); ++i) {
        const auto byte = static_cast<unsigned char>(text[i]);
        const bool c1 = byte == 0xC2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xA0;  // U+0080 to U+009F
        out += byte < 0x20 || byte == 0x7f || c1 ? '?' : text[i];
        if (c1) ++i;
    }
    return out;
}

size_t width_of(std::string_view text) {
    return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

namespace {

const char* colour_of(Shade shade) {
    switch (shade) {
        case Shade::Good: return "\033[32m";
        case Shade::Warn: return "\033[33m";
        case Shade::Bad: return "\033[31m";
        case Shade::Dim: return "\033[2m";
        case Shade::Plain: break;
    }
    return "";
}

}  // namespace

std::string Table::text(bool colours) const {
    std::vector<size_t> widths;
    for (const std::string& heading : headings_) widths.push_back(width_of(heading));
    for (const auto& cells : rows_)
        for (size_t i = 0; i < cells.size() && i < widths.size(); ++i) widths[i] = std::max(widths[i], width_of(cells[i].text));
    std::string out;
    const auto line = [&](const std::vector<Cell>& cells) {
        for (size_t i = 0; i < cells.size() && i < widths.size(); ++i) {
            const std::string cell = printable(cells[i].text);
            const bool shaded = colours && cells[i].shade != Shade::Plain;
            if (shaded) out += colour_of(cells[i].shade);
            out += cell;
            if (shaded) out += "\033[0m";
            const bool last = i + 1 == widths.size() || i + 1 == cells.size();
            if (!last) out.append(widths[i] - width_of(cell) + 2, ' ');
        }
        out += '\n';
    };
    std::vector<Cell> headings;
    for (const std::string& heading : headings_) headings.push_back({heading, Shade::Dim});
    line(headings);
    for (const auto& cells : rows_) line(cells);
    return out;
}

Result<WallTime> parse_rfc3339(std::string_view text) {
    const auto wrong = [&] { return fail(Code::Invalid, "'" + std::string(text) + "' is no time", "write it as 2026-11-22T17:35:00Z"); };
    if (text.size() < 20 || text[4] != '-' || text[7] != '-' || text[10] != 'T' || text[13] != ':' || text[16] != ':' || text.back() != 'Z') return wrong();
    const auto number = [&](size_t at, size_t n, int& into) {
        const auto end = std::from_chars(text.data() + at, text.data() + at + n, into).ptr;
        return end == text.data() + at + n;
    };
    std::tm parts{};
    if (!number(0, 4, parts.tm_year) || !number(5, 2, parts.tm_mon) || !number(8, 2, parts.tm_mday) || !number(11, 2, parts.tm_hour) ||
        !number(14, 2, parts.tm_min) || !number(17, 2, parts.tm_sec))
        return wrong();
    parts.tm_year -= 1900;
    parts.tm_mon -= 1;
    int millis = 0;
    if (text.size() > 20) {
        const size_t digits = text.size() - 21;
        if (text[19] != '.' || digits != 3 || !number(20, 3, millis)) return wrong();
    }
    return WallTime{static_cast<int64_t>(timegm(&parts)) * 1000 + millis};
}

std::string ago(std::string_view rfc3339, WallTime now) {
    if (rfc3339.empty()) return "never";
    const auto then = parse_rfc3339(rfc3339);
    if (!then) return std::string(rfc3339);
    const int64_t whole = (now - *then).ms / 1000;
    const int64_t s = std::abs(whole);
    if (s < 2) return "now";
    const std::string size = s < 120 ? std::to_string(s) + " s" : s < 7200 ? std::to_string(s / 60) + " min" : s < 172'800 ? std::to_string(s / 3600) + " h" : std::to_string(s / 86'400) + " d";
    return whole < 0 ? "in " + size : size + " ago";
}

std::string bytes_text(double bytes) {
    static constexpr const char* names[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    size_t i = 0;
    while (bytes >= 1024 && i + 1 < std::size(names)) {
        bytes /= 1024;
        ++i;
    }
    char out[32];
    std::snprintf(out, sizeof out, i == 0 ? "%.0f %s" : "%.1f %s", bytes, names[i]);
    return out;
}

std::string unit_text(std::string_view unit) {
    static constexpr std::pair<std::string_view, std::string_view> names[] = {
        {"Cel", "°C"}, {"[degF]", "°F"}, {"1", ""}, {"By", "B"}, {"kW.h", "kWh"}, {"W.h", "Wh"}, {"dB[mW]", "dBm"}, {"[ppm]", "ppm"}};
    for (const auto& [name, text] : names)
        if (unit == name) return std::string(text);
    return std::string(unit);
}

std::string value_text(const Json& value, const std::string& unit) {
    std::string out;
    if (value.is_bool())
        out = value.as_bool() ? "on" : "off";
    else if (value.is_string())
        out = value.as_string();
    else if (value.is_null())
        out = "–";
    else if (unit == "By")
        return bytes_text(value.as_double());
    else
        out = value.dump();
    const std::string shown = unit_text(unit);
    return value.is_number() && !shown.empty() ? out + " " + shown : out;
}

}  // namespace basmalin::coordinator
