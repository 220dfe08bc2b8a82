#include "shared/base/ids.h"

#include <sys/random.h>

#include <charconv>

#include "shared/base/file.h"
#include "shared/base/utf8.h"

namespace basmalin {

uint64_t random_u64() {
    uint64_t v = 0;
    while (getrandom(&v, sizeof v, 0) != sizeof v) {
    }
    return v;
}

double random_unit() { return static_cast<double>(random_u64() >> 11) * 0x1.0p-53; }

std::string to_hex(uint64_t id) {
    static constexpr char digits[] = "0123456789abcdef";
    std::string out(16, '0');
    for (size_t i = 16; i-- > 0; id >>= 4) out[i] = digits[id & 15];
    return out;
}

Result<uint64_t> from_hex(std::string_view text) {
    uint64_t v = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), v, 16);
    if (text.size() != 16 || error != std::errc{} || end != text.data() + text.size()) return fail(Code::Invalid, "not 16 hex digits");
    return v;
}

bool is_name(std::string_view text) {
    if (text.empty() || text.size() > 64 || text == "." || text == "..") return false;
    for (const char c : text) {
        const bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
        if (!good) return false;
    }
    return true;
}

bool is_utf8(std::string_view text) {
    while (!text.empty()) {
        const size_t n = utf8_length(text);
        if (n == 0) return false;
        text.remove_prefix(n);
    }
    return true;
}

static bool allowed_in_label(char c) {
    const auto u = static_cast<uint8_t>(c);
    return u >= 0x20 && u != 0x7f && c != '/' && c != '+' && c != '#';
}

bool is_label(std::string_view text) {
    if (text.empty() || text.size() > 128 || !is_utf8(text)) return false;
    for (const char c : text)
        if (!allowed_in_label(c)) return false;
    return true;
}

std::string to_label(std::string_view text) {
    std::string out;
    while (!text.empty()) {
        const size_t n = utf8_length(text);
        const bool good = n > 1 || (n == 1 && allowed_in_label(text.front()));
        const size_t grow = good ? n : 1;
        if (out.size() + grow > 128) break;
        if (good)
            out += text.substr(0, n);
        else
            out += '_';
        text.remove_prefix(n == 0 ? 1 : n);
    }
    return out;
}

Result<uint64_t> boot_id() {
    auto text = read_file("/proc/sys/kernel/random/boot_id", 64);
    if (!text) return pass(text, "boot id");
    std::string digits;
    for (const char c : *text)
        if (c != '-' && digits.size() < 16) digits += c;
    return from_hex(digits);
}

}  // namespace basmalin
