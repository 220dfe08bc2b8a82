#include <stdexcept>

// toml++ 3.3 asserts what hostile input breaks ("[ =]"), and without assertions assumes it, which is undefined behaviour:
// here a broken assertion is an exception, whatever the build type.
#undef NDEBUG
namespace {
[[noreturn]] void parser_gave_up() { throw std::runtime_error("not valid TOML"); }
}  // namespace
#define TOML_ASSERT(expr) (static_cast<bool>(expr) ? static_cast<void>(0) : parser_gave_up())
#define TOML_EXCEPTIONS 1
#define TOML_HEADER_ONLY 1
#define TOML_MAX_NESTED_VALUES 16
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

#include <algorithm>
#include <charconv>

#include "shared/base/ids.h"
#include "shared/config/settings.h"

namespace basmalin::config {
namespace {

constexpr size_t bytes_max = 1 << 20;
constexpr size_t dots_max = 32;  // in one line, outside texts: a.b.c nests tables, and tables are freed recursively

std::string at(std::string_view name, int64_t line, std::string_view what) {
    return std::string(name) + ":" + std::to_string(line) + ": " + std::string(what);
}

// Follows texts and comments through a file, so that what stands outside them can be judged before the parser sees it.
class Outside {
  public:
    // True when the byte at the front of `left` is outside texts and comments; takes what belongs to it off `left`.
    bool next(std::string_view& left) {
        const char c = left.front();
        const size_t quotes = c == '"' || c == '\'' ? std::min(left.find_first_not_of(c), left.size()) : 0;
        size_t taken = 1;
        bool outside = false;
        if (quote_ == 0) {
            outside = !comment_;
            if (comment_) {
                comment_ = c != '\n';
            } else if (c == '#') {
                comment_ = true;
            } else if (quotes > 0) {
                quote_ = c;
                multi_ = quotes >= 3;
                taken = multi_ ? 3 : 1;
            }
        } else if (c == '\\' && quote_ == '"' && left.size() > 1) {
            taken = 2;
        } else if (c == quote_ && (!multi_ || quotes >= 3)) {
            taken = multi_ ? std::min<size_t>(quotes, 5) : 1;  // up to two quotes belong to the text
            quote_ = 0;
        } else if (c == '\n' && !multi_) {
            quote_ = 0;  // the parser stops here
        }
        left.remove_prefix(taken);
        return outside;
    }

  private:
    char quote_ = 0;
    bool multi_ = false;
    bool comment_ = false;
};

// to_ascii() needs ~ for itself.
bool escapes_tilde(std::string_view line) {
    for (size_t i = 0; i + 1 < line.size(); ++i) {
        if (line[i] != '\\') continue;
        const std::string_view escape = line.substr(++i);  // an escaped backslash begins nothing
        for (const char* tilde : {"u007e", "u007E", "U0000007e", "U0000007E"})
            if (escape.starts_with(tilde)) return true;
    }
    return false;
}

// R5: what the parser does not bound: keys like a.b.c nest tables, and tables are freed recursively.
Result<void> check_bounds(std::string_view text, std::string_view name) {
    if (text.size() > bytes_max) return fail(Code::Invalid, std::string(name) + ": longer than 1 MiB");
    Outside outside;
    int64_t line = 1;
    size_t dots = 0;
    for (std::string_view left = text; !left.empty();) {
        const std::string_view before = left;
        const bool is_outside = outside.next(left);
        const std::string_view taken = before.substr(0, before.size() - left.size());
        dots += is_outside && taken == "." ? 1 : 0;
        if (dots > dots_max) return fail(Code::Invalid, at(name, line, "too many dots in one line"));
        if (taken.contains('\n')) {
            ++line;
            dots = 0;
        }
    }
    for (line = 1; !text.empty(); ++line) {
        const size_t end = std::min(text.find('\n'), text.size());
        const std::string_view here = text.substr(0, end);
        if (!is_utf8(here)) return fail(Code::Invalid, at(name, line, "no valid UTF-8; save the file as UTF-8"));
        if (escapes_tilde(here)) return fail(Code::Invalid, at(name, line, "write ~ as it is, not as an escape"));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return {};
}

// toml++ 3.3 asks of any character outside texts whether it is white space, which is undefined behaviour for many beyond
// ASCII. So it sees only ASCII: other bytes travel as ~xx, and come back from the texts and keys that it read. Outside texts
// a ~ is an error like they are.
std::string to_ascii(std::string_view text) {
    static constexpr char hex[] = "0123456789abcdef";
    if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
    std::string out;
    out.reserve(text.size());
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        out += byte >= 0x80 ? '~' : c;
        if (byte >= 0x80 || c == '~') {
            out += hex[byte >> 4];
            out += hex[byte & 15];
        }
    }
    return out;
}

std::string from_ascii(std::string_view text) {
    std::string out;
    for (size_t i = 0; i < text.size(); ++i) {
        unsigned byte = 0;
        const bool code = text[i] == '~' && i + 2 < text.size() && std::from_chars(&text[i + 1], &text[i + 1] + 2, byte, 16).ptr == &text[i + 1] + 2;
        out += code ? static_cast<char>(byte) : text[i];
        i += code ? 2 : 0;
    }
    return out;
}

Node convert(const toml::node& from);

Node::Table convert_table(const toml::table& table) {
    Node::Table out;
    for (const auto& [key, value] : table) out.push_back({from_ascii(key.str()), convert(value)});
    // toml++ sorts by name; problems are reported in the order of the file.
    std::stable_sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.node.line < b.node.line; });
    return out;
}

Node convert(const toml::node& from) {
    Node node;
    node.line = from.source().begin.line;
    if (const auto* table = from.as_table()) {
        node.value = convert_table(*table);
    } else if (const auto* array = from.as_array()) {
        Node::Array items;
        for (const auto& item : *array) items.push_back(convert(item));
        node.value = std::move(items);
    } else if (const auto* text = from.as_string()) {
        node.value = from_ascii(text->get());
    } else if (const auto* integer = from.as_integer()) {
        node.value = int64_t{integer->get()};
    } else if (const auto* number = from.as_floating_point()) {
        node.value = double{number->get()};
    } else if (const auto* flag = from.as_boolean()) {
        node.value = bool{flag->get()};
    } else {
        node.value = Node::Moment{};
    }
    return node;
}

}  // namespace

Result<Node> parse_toml(std::string_view text, std::string_view name) {
    if (auto bounded = check_bounds(text, name); !bounded) return pass(bounded);
    try {
        return convert(toml::parse(to_ascii(text)));
    } catch (const toml::parse_error& error) {
        std::string what = from_ascii(error.description());
        std::replace_if(what.begin(), what.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, ' ');
        return fail(Code::Invalid, at(name, error.source().begin.line, is_utf8(what) ? what : "not valid TOML"));
    } catch (const std::exception& error) {
        return fail(Code::Invalid, std::string(name) + ": " + error.what());
    }
}

}  // namespace basmalin::config
