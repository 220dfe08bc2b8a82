// JSON as a plain value, so that no heavy header is needed where JSON is read or written. Parsing is nlohmann/json's
// (nlohmann_json.cpp), with bounds on size, depth and the number of values: hostile input costs an error, not memory.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "shared/base/result.h"

namespace basmalin {

class Json {
  public:
    using Array = std::vector<Json>;
    using Object = std::vector<std::pair<std::string, Json>>;  // in the order written

    Json() = default;
    Json(std::nullptr_t) {}
    Json(bool v) : value_(v) {}
    Json(int v) : value_(int64_t{v}) {}
    Json(int64_t v) : value_(v) {}
    Json(uint64_t v);  // beyond 2^63 it becomes a double
    Json(double v) : value_(v) {}
    Json(const char* v) : value_(std::string(v)) {}
    Json(std::string_view v) : value_(std::string(v)) {}
    Json(std::string v) : value_(std::move(v)) {}
    Json(Array v) : value_(std::move(v)) {}
    Json(Object v) : value_(std::move(v)) {}
    static Json object() { return Json(Object{}); }
    static Json array() { return Json(Array{}); }

    bool is_null() const { return std::holds_alternative<std::monostate>(value_); }
    bool is_bool() const { return std::holds_alternative<bool>(value_); }
    bool is_integer() const { return std::holds_alternative<int64_t>(value_); }
    bool is_number() const { return is_integer() || std::holds_alternative<double>(value_); }
    bool is_string() const { return std::holds_alternative<std::string>(value_); }
    bool is_array() const { return std::holds_alternative<Array>(value_); }
    bool is_object() const { return std::holds_alternative<Object>(value_); }

    // Each returns `otherwise` (or an empty one) when the value is of another type.
    bool as_bool(bool otherwise = false) const;
    int64_t as_int(int64_t otherwise = 0) const;      // a double with no fraction counts
    double as_double(double otherwise = 0) const;
    const std::string& as_string() const;             // empty string otherwise
    const Array& as_array() const;
    const Object& as_object() const;

    // The member of an object, or null (of anything): json["a"]["b"] never fails. First of a duplicate key wins.
    const Json& operator[](std::string_view key) const;
    bool has(std::string_view key) const;
    // Adds or replaces. Aborts unless this is an object (or null, which becomes one).
    Json& set(std::string_view key, Json value);
    Json& push(Json value);  // likewise for arrays

    // Compact, or with an indent of two spaces. Numbers are shortest round-trip; NaN and infinities become null.
    std::string dump(bool pretty = false) const;

    bool operator==(const Json&) const = default;

  private:
    std::variant<std::monostate, bool, int64_t, double, std::string, Array, Object> value_;
};

struct JsonLimits {
    size_t bytes_max = 1 << 20;
    size_t depth_max = 32;
    size_t values_max = 100'000;
};

// Invalid with the byte offset on any violation of RFC 8259 (or of the limits).
Result<Json> parse_json(std::string_view text, const JsonLimits& limits = {});

// Appends a JSON string literal, quotes included; bytes that are not UTF-8 become U+FFFD.
void append_json_string(std::string& out, std::string_view text);
// Appends the shortest decimal that parses back to the same double ("null" for NaN and infinities).
void append_json_number(std::string& out, double value);

}  // namespace basmalin
