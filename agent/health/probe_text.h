// Strict reading of the kernel's small text files. A word that is not exactly what is expected is no value: the probes leave
// it out. Pure except for read_word(); no allocation beyond the file read.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace basmalin::agent {

// The words of a line, between blanks and tabs; at most `most` of them.
std::vector<std::string_view> words(std::string_view line, size_t most = 64);

// Decimal digits alone, below 2^63.
std::optional<uint64_t> whole_number(std::string_view text);
// Finite, with an optional sign and fraction; no exponent. A trailing dot is allowed, as /proc/net/wireless writes it.
std::optional<double> decimal_number(std::string_view text);
// Hexadecimal digits, with or without 0x, 32 bits.
std::optional<uint32_t> hex_number(std::string_view text);

// 1-128 bytes of UTF-8 without control characters.
bool is_shown_text(std::string_view text);

// The file's content without white space around it; nothing when it is missing, longer than 4 KiB or empty.
std::optional<std::string> read_word(const std::string& path);
// The whole file, nothing when missing or longer than bytes_max.
std::optional<std::string> read_text(const std::string& path, size_t bytes_max);

template <class Each>
void each_line(std::string_view text, Each each) {
    while (!text.empty()) {
        const size_t end = text.find('\n');
        each(text.substr(0, end));
        if (end == std::string_view::npos) return;
        text.remove_prefix(end + 1);
    }
}

}  // namespace basmalin::agent
