#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "shared/base/file.h"
#include "shared/base/ids.h"
#include "shared/config/settings.h"

namespace basmalin::config {
namespace {

struct Unit {
    std::string_view name;
    int64_t size;
};
// The largest first, and of one size the one to print.
constexpr Unit byte_units[] = {{"TiB", 1LL << 40},         {"TB", 1'000'000'000'000}, {"GiB", 1 << 30}, {"GB", 1'000'000'000},
                               {"MiB", 1 << 20},           {"MB", 1'000'000},         {"KiB", 1 << 10}, {"KB", 1'000},
                               {"kB", 1'000},              {"B", 1}};
constexpr Unit duration_units[] = {{"d", 86'400'000}, {"h", 3'600'000}, {"min", 60'000}, {"s", 1'000}, {"ms", 1}};

template <size_t N>
std::expected<int64_t, std::string> read_quantity(const Node& node, const Unit (&units)[N], int64_t bare_unit, std::string_view what) {
    const auto wrong = [&] { return std::unexpected(describe(node) + " is no " + std::string(what)); };
    double number = 0;
    int64_t unit = bare_unit;
    if (const auto* whole = std::get_if<int64_t>(&node.value)) {
        int64_t product = 0;
        if (__builtin_mul_overflow(*whole, bare_unit, &product)) return wrong();
        return product;
    }
    if (const auto* text = std::get_if<std::string>(&node.value)) {
        const char* end = text->data() + text->size();
        const auto [rest, error] = std::from_chars(text->data(), end, number, std::chars_format::fixed);
        if (error != std::errc{}) return wrong();
        std::string_view name(rest, static_cast<size_t>(end - rest));
        while (name.starts_with(' ')) name.remove_prefix(1);
        const auto* found = std::find_if(std::begin(units), std::end(units), [&](const Unit& u) { return u.name == name; });
        if (found == std::end(units)) return wrong();
        unit = found->size;
    } else if (const auto* fraction = std::get_if<double>(&node.value)) {
        number = *fraction;
    } else {
        return wrong();
    }
    const double product = number * static_cast<double>(unit);
    if (!(std::abs(product) < 9.0e18)) return wrong();  // NaN too
    return std::llround(product);
}

template <size_t N>
std::string quantity_text(int64_t amount, const Unit (&units)[N]) {
    for (const Unit& unit : units)
        if (amount != 0 && amount % unit.size == 0) return std::to_string(amount / unit.size) + " " + std::string(unit.name);
    return "0 " + std::string(units[N - 1].name);
}

size_t distance(std::string_view a, std::string_view b) {
    std::vector<size_t> row(b.size() + 1);
    for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
    for (size_t i = 1; i <= a.size(); ++i) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.size(); ++j) {
            const size_t above = row[j];
            row[j] = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0u : 1u)});
            diagonal = above;
        }
    }
    return row[b.size()];
}

}  // namespace

std::string describe(const Node& node) {
    struct Describe {
        std::string operator()(const std::string& text) const {
            if (text.size() <= 60) return text_literal(text);
            size_t cut = 60;
            while (cut > 0 && !is_utf8(std::string_view(text).substr(0, cut))) --cut;
            return text_literal(text.substr(0, cut)) + "…";
        }
        std::string operator()(int64_t v) const { return std::to_string(v); }
        std::string operator()(double v) const { return number_literal(v); }
        std::string operator()(bool v) const { return v ? "true" : "false"; }
        std::string operator()(const Node::Array&) const { return "an array"; }
        std::string operator()(const Node::Table&) const { return "a table"; }
        std::string operator()(const Node::Moment&) const { return "a date or time"; }
    };
    return std::visit(Describe{}, node.value);
}

std::expected<int64_t, std::string> read_bytes(const Node& node) { return read_quantity(node, byte_units, 1, "size"); }
std::expected<int64_t, std::string> read_duration_ms(const Node& node) { return read_quantity(node, duration_units, 1000, "duration"); }

std::string bytes_text(int64_t bytes) { return quantity_text(bytes, byte_units); }
std::string duration_text(Duration duration) { return duration.ms == 0 ? "0 s" : quantity_text(duration.ms, duration_units); }

std::string text_literal(std::string_view text) {
    static constexpr char hex[] = "0123456789abcdef";
    std::string out = "\"";
    for (const char c : text) {
        const auto u = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (c == '\n') {
            out += "\\n";
        } else if (u < 0x20 || u == 0x7f) {
            out += "\\u00";
            out += hex[u >> 4];
            out += hex[u & 15];
        } else {
            out += c;
        }
    }
    return out + "\"";
}

std::string number_literal(double number) {
    if (std::isnan(number)) return "nan";
    if (std::isinf(number)) return number < 0 ? "-inf" : "inf";
    char digits[32];
    std::string out(digits, std::to_chars(digits, digits + sizeof digits, number).ptr);
    if (out.find_first_of(".e") == std::string::npos) out += ".0";
    return out;
}

std::expected<std::string, std::string> read_secret(const std::string& file) {
    if (file.empty()) return std::string();
    std::string path = file;
    if (constexpr std::string_view credential = "credential:"; path.starts_with(credential)) {
        const std::string name = path.substr(credential.size());
        const char* folder = std::getenv("CREDENTIALS_DIRECTORY");
        if (!is_name(name)) return std::unexpected(text_literal(file) + " names no credential");
        if (folder == nullptr)
            return std::unexpected(text_literal(file) + " needs a credential of systemd, which gave none; add LoadCredential=" + name +
                                   ":/path to the unit");
        path = std::string(folder) + "/" + name;
    }
    struct stat status{};
    if (::stat(path.c_str(), &status) == 0) {
        if (!S_ISREG(status.st_mode)) return std::unexpected(text_literal(path) + " is no regular file");
        if ((status.st_mode & (S_IROTH | S_IWOTH)) != 0)
            return std::unexpected(text_literal(path) + " can be read or written by every user of this machine; run chmod 600 on it");
    }
    auto content = read_file(path, 4096);
    if (!content) return std::unexpected("the secret cannot be read: " + content.error().text);
    while (content->ends_with('\n') || content->ends_with('\r')) content->pop_back();
    if (content->empty()) return std::unexpected(text_literal(path) + " is empty");
    return std::move(*content);
}

std::string nearest(std::string_view word, const std::vector<std::string>& candidates) {
    std::string best;
    if (word.size() > 64) return best;
    size_t least = std::max<size_t>(2, word.size() / 3) + 1;
    for (const std::string& candidate : candidates) {
        if (candidate.size() > 64) continue;
        const size_t d = distance(word, candidate);
        if (d < least) {
            least = d;
            best = candidate;
        }
    }
    return best;
}

}  // namespace basmalin::config
