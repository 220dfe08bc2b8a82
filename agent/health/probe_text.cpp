#include "agent/health/probe_text.h"

#include <charconv>
#include <cmath>
#include <limits>

#include "shared/base/file.h"
#include "shared/base/ids.h"

namespace basmalin::agent {

std::vector<std::string_view> words(std::string_view line, size_t most) {
    constexpr std::string_view blanks = " \t\r";
    std::vector<std::string_view> out;
    while (out.size() < most) {
        const size_t begin = line.find_first_not_of(blanks);
        if (begin == std::string_view::npos) break;
        line.remove_prefix(begin);
        const size_t end = line.find_first_of(blanks);
        out.push_back(line.substr(0, end));
        if (end == std::string_view::npos) break;
        line.remove_prefix(end);
    }
    return out;
}

std::optional<uint64_t> whole_number(std::string_view text) {
    uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 10);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return std::nullopt;
    return value;
}

std::optional<double> decimal_number(std::string_view text) {
    if (text.size() > 1 && text.back() == '.') text.remove_suffix(1);
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
    if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
    return value;
}

std::optional<uint32_t> hex_number(std::string_view text) {
    if (text.starts_with("0x") || text.starts_with("0X")) text.remove_prefix(2);
    uint32_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return value;
}

bool is_shown_text(std::string_view text) {
    if (text.empty() || text.size() > 128 || !is_utf8(text)) return false;
    for (const char c : text)
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return false;
    return true;
}

std::optional<std::string> read_text(const std::string& path, size_t bytes_max) {
    auto read = read_file(path, bytes_max);
    if (!read) return std::nullopt;
    return std::move(*read);
}

std::optional<std::string> read_word(const std::string& path) {
    auto text = read_text(path, 4096);
    if (!text) return std::nullopt;
    constexpr const char* blanks = " \t\r\n";
    const size_t begin = text->find_first_not_of(blanks);
    if (begin == std::string::npos) return std::nullopt;
    return text->substr(begin, text->find_last_not_of(blanks) - begin + 1);
}

}  // namespace basmalin::agent
