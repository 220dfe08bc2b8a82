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

#include "shared/base/ids.h"
#include "shared/config/settings.h"

namespace basmalin::config {
namespace {

constexpr size_t bytes_max = 1 << 20;
constexpr size_t dots_max = 32;  // in one line, outside texts: a.b.c nests tables, and tables are freed recursively

// Dots that may nest tables. A line with a multi-line text's quotes counts whole: where such a text ends cannot be seen here.
size_t dots_in(std::string_view line) {
    const bool multi = line.contains("\"\"\"") || line.contains("'''");
    size_t dots = 0;
    char quote = 0;
    for (size_t i = 0; i < line.size(); ++i) {
        const char c = line[i];
        if (multi) {
            dots += c == '.' ? 1 : 0;
        } else if (quote == '"' && c == '\\') {
            ++i;
        } else if (quote != 0) {
            if (c == quote) quote = 0;
        } else if (c == '"' || c == '\'') {
            quote = c;
        } else if (c == '#') {
            return dots;
        } else if (c == '.') {
            ++dots;
        }
    }
    return dots;
}

std::string at(std::string_view name, int64_t line, std::string_view what) {
    return std::string(name) + ":" + std::to_string(line) + ": " + std::string(what);
}

// R5: what the parser itself does not bound.
Result<void> check_bounds(std::string_view text, std::string_view name) {
    if (text.size() > bytes_max) return fail(Code::Invalid, std::string(name) + ": longer than 1 MiB");
    int64_t line = 1;
    for (size_t begin = 0; begin < text.size(); ++line) {
        const size_t end = std::min(text.find('\n', begin), text.size());
        const std::string_view here = text.substr(begin, end - begin);
        if (dots_in(here) > dots_max) return fail(Code::Invalid, at(name, line, "too many dots in one line"));
        if (!is_utf8(here)) return fail(Code::Invalid, at(name, line, "no valid UTF-8; save the file as UTF-8"));
        begin = end + 1;
    }
    return {};
}

Node convert(const toml::node& from);

Node::Table convert_table(const toml::table& table) {
    Node::Table out;
    for (const auto& [key, value] : table) out.emplace_back(std::string(key.str()), convert(value));
    // toml++ sorts by name; problems are reported in the order of the file.
    std::stable_sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.second.line < b.second.line; });
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
        node.value = std::string(text->get());
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
        return convert(toml::parse(text));
    } catch (const toml::parse_error& error) {
        std::string what(error.description());
        std::replace_if(what.begin(), what.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, ' ');
        return fail(Code::Invalid, at(name, error.source().begin.line, is_utf8(what) ? what : "not valid TOML"));
    } catch (const std::exception& error) {
        return fail(Code::Invalid, std::string(name) + ": " + error.what());
    }
}

}  // namespace basmalin::config
