#include "agent/sources/names.h"

#include <algorithm>

#include "shared/base/ids.h"

namespace basmalin::agent {
namespace {

constexpr size_t name_bytes_max = 64;

bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
char lower(char c) { return is_upper(c) ? static_cast<char>(c - 'A' + 'a') : c; }
bool is_word(char c) { return is_upper(c) || is_lower(c) || is_digit(c) || static_cast<unsigned char>(c) >= 0x80; }

}  // namespace

std::string slug(std::string_view text) {
    std::string clean = is_utf8(text) ? std::string(text) : to_label(text);
    std::string out;
    size_t word = 0;  // letters since the last boundary: "eCO2" stays one word, "DewPoint" is two
    for (size_t i = 0; i < clean.size(); ++i) {
        const char c = clean[i];
        if (!is_word(c)) {
            if (!out.empty() && out.back() != '_') out += '_';
            word = 0;
            continue;
        }
        if (is_upper(c) && word >= 2 && i > 0 && is_lower(clean[i - 1])) {
            out += '_';
            word = 0;
        }
        out += lower(c);
        ++word;
    }
    if (out.size() > name_bytes_max) {
        size_t end = name_bytes_max;
        while (end > 0 && (static_cast<unsigned char>(out[end]) & 0xC0) == 0x80) --end;  // not within a character
        out.resize(end);
    }
    while (!out.empty() && out.back() == '_') out.pop_back();
    return is_label(out) ? out : to_label(out);
}

std::string join_names(std::string_view first, std::string_view second) {
    if (first.empty()) return std::string(second);
    if (second.empty() || second == first) return std::string(first);
    if (second.size() > first.size() && second.starts_with(first) && second[first.size()] == '_') return std::string(second);
    return std::string(first) + '_' + std::string(second);
}

std::string without_prefix(std::string_view name, std::string_view prefix) {
    if (!prefix.empty() && name.size() > prefix.size() + 1 && name.starts_with(prefix) && name[prefix.size()] == '_')
        return std::string(name.substr(prefix.size() + 1));
    return std::string(name);
}

bool is_readable(std::string_view name) {
    if (name.starts_with("0x")) return false;
    size_t run = 0;
    size_t longest = 0;
    bool beyond_hex = false;
    for (const char c : name) {
        const bool letter = is_lower(c) || is_upper(c) || static_cast<unsigned char>(c) >= 0x80;
        run = letter ? run + 1 : 0;
        longest = std::max(longest, run);
        beyond_hex = beyond_hex || (letter && !(lower(c) >= 'a' && lower(c) <= 'f'));
    }
    return longest >= 2 && beyond_hex;
}

bool equal_ignoring_case(std::string_view a, std::string_view b) {
    return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return lower(x) == lower(y); });
}

std::string_view trimmed(std::string_view text) {
    constexpr std::string_view blank = " \t\r\n";
    const size_t first = text.find_first_not_of(blank);
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(blank) - first + 1);
}

}  // namespace basmalin::agent
