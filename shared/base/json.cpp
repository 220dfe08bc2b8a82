#include "shared/base/json.h"

#include <charconv>
#include <cmath>

#include "shared/base/utf8.h"

namespace basmalin {

static const Json null_value;

Json::Json(uint64_t v) {
    if (v <= static_cast<uint64_t>(INT64_MAX))
        value_ = static_cast<int64_t>(v);
    else
        value_ = static_cast<double>(v);
}

bool Json::as_bool(bool otherwise) const { return is_bool() ? std::get<bool>(value_) : otherwise; }

int64_t Json::as_int(int64_t otherwise) const {
    if (is_integer()) return std::get<int64_t>(value_);
    if (const auto* d = std::get_if<double>(&value_); d != nullptr && std::trunc(*d) == *d && std::abs(*d) < 9.0e18)
        return static_cast<int64_t>(*d);
    return otherwise;
}

double Json::as_double(double otherwise) const {
    if (is_integer()) return static_cast<double>(std::get<int64_t>(value_));
    if (const auto* d = std::get_if<double>(&value_)) return *d;
    return otherwise;
}

const std::string& Json::as_string() const {
    static const std::string empty;
    return is_string() ? std::get<std::string>(value_) : empty;
}

const Json::Array& Json::as_array() const {
    static const Array empty;
    return is_array() ? std::get<Array>(value_) : empty;
}

const Json::Object& Json::as_object() const {
    static const Object empty;
    return is_object() ? std::get<Object>(value_) : empty;
}

const Json& Json::operator[](std::string_view key) const {
    for (const auto& [name, value] : as_object())
        if (name == key) return value;
    return null_value;
}

bool Json::has(std::string_view key) const {
    for (const auto& [name, value] : as_object())
        if (name == key) return true;
    return false;
}

Json& Json::set(std::string_view key, Json value) {
    if (is_null()) value_ = Object{};
    if (!is_object()) broken_invariant("Json::set on a value that is no object");
    auto& members = std::get<Object>(value_);
    for (auto& [name, old] : members) {
        if (name == key) {
            old = std::move(value);
            return *this;
        }
    }
    members.emplace_back(std::string(key), std::move(value));
    return *this;
}

Json& Json::push(Json value) {
    if (is_null()) value_ = Array{};
    if (!is_array()) broken_invariant("Json::push on a value that is no array");
    std::get<Array>(value_).push_back(std::move(value));
    return *this;
}

void append_json_string(std::string& out, std::string_view text) {
    static constexpr char hex[] = "0123456789abcdef";
    out += '"';
    while (!text.empty()) {
        const auto c = static_cast<uint8_t>(text.front());
        size_t n = 1;
        if (c == '"' || c == '\\') {
            out += '\\';
            out += static_cast<char>(c);
        } else if (c == '\n') {
            out += "\\n";
        } else if (c < 0x20 || c == 0x7f) {
            out += "\\u00";
            out += hex[c >> 4];
            out += hex[c & 15];
        } else {
            n = utf8_length(text);
            if (n == 0) {
                out += "\xEF\xBF\xBD";
                n = 1;
            } else {
                out += text.substr(0, n);
            }
        }
        text.remove_prefix(n);
    }
    out += '"';
}

void append_json_number(std::string& out, double value) {
    if (!std::isfinite(value)) {
        out += "null";
        return;
    }
    if (value == 0 && std::signbit(value)) {
        out += "-0.0";  // "-0" would be read as the integer 0
        return;
    }
    char digits[32];
    const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
    out.append(digits, static_cast<size_t>(end - digits));
}

namespace {

void write(std::string& out, const Json& json, bool pretty, int depth) {
    const auto newline = [&](int level) {
        if (!pretty) return;
        out += '\n';
        out.append(static_cast<size_t>(level) * 2, ' ');
    };
    if (json.is_null()) {
        out += "null";
    } else if (json.is_bool()) {
        out += json.as_bool() ? "true" : "false";
    } else if (json.is_integer()) {
        out += std::to_string(json.as_int());
    } else if (json.is_number()) {
        append_json_number(out, json.as_double());
    } else if (json.is_string()) {
        append_json_string(out, json.as_string());
    } else if (json.is_array()) {
        out += '[';
        bool first = true;
        for (const Json& item : json.as_array()) {
            if (!first) out += ',';
            first = false;
            newline(depth + 1);
            write(out, item, pretty, depth + 1);
        }
        if (!first) newline(depth);
        out += ']';
    } else {
        out += '{';
        bool first = true;
        for (const auto& [name, value] : json.as_object()) {
            if (!first) out += ',';
            first = false;
            newline(depth + 1);
            append_json_string(out, name);
            out += pretty ? ": " : ":";
            write(out, value, pretty, depth + 1);
        }
        if (!first) newline(depth);
        out += '}';
    }
}

}  // namespace

std::string Json::dump(bool pretty) const {
    std::string out;
    write(out, *this, pretty, 0);
    return out;
}

}  // namespace basmalin
