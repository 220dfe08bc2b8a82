// Strict reading of a JSON message's fields. The first wrong field is remembered with its name and what it should be; after
// it every read returns an empty value, so that a decoder is a list of fields. Fields that nobody asks for are ignored: a
// later release may add some. Private to this room.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "shared/base/clock.h"
#include "shared/base/json.h"
#include "shared/base/result.h"

namespace basmalin {

// "2026-11-22T17:35:00.123Z", the fraction optional, years 1970-9999; nothing else.
std::optional<WallTime> parse_rfc3339(std::string_view text);

class Fields {
  public:
    // `path` names the message in errors: "hello".
    Fields(const Json& json, std::string path);

    // Required.
    std::string text(std::string_view key, size_t bytes_max);
    bool boolean(std::string_view key);
    int64_t integer(std::string_view key, int64_t least, int64_t most);
    uint64_t sequence(std::string_view key);  // 0 … 2^63 - 1
    uint64_t id(std::string_view key);        // 16 hex digits
    WallTime time(std::string_view key);
    size_t choice(std::string_view key, std::initializer_list<std::string_view> choices);  // its place among them
    const Json::Array& array(std::string_view key, size_t items_max);
    const Json& object(std::string_view key);

    // Absent or null is allowed: empty, false, or the empty optional.
    std::string optional_text(std::string_view key, size_t bytes_max);
    bool optional_boolean(std::string_view key);
    std::optional<double> optional_number(std::string_view key);
    std::optional<WallTime> optional_time(std::string_view key);
    const Json::Array& optional_array(std::string_view key, size_t items_max);
    const Json::Object& optional_object(std::string_view key, size_t members_max);  // keys: 1-64 bytes

    // "hello: "boot": should be 16 hex digits"
    void wrong(std::string_view key, std::string_view should);
    // Takes over what was wrong inside a part.
    void absorb(const Fields& part);
    bool good() const { return !error_; }
    std::unexpected<Error> error() const { return std::unexpected(*error_); }
    const std::string& path() const { return path_; }

  private:
    bool absent(std::string_view key) const;
    std::optional<WallTime> time_of(std::string_view key);
    const Json& json_;
    std::string path_;
    std::optional<Error> error_;
};

// What goes out keeps the bounds that the decoder checks: cut at a character; text that is not UTF-8 becomes ASCII with '?'.
std::string bounded(std::string_view text, size_t bytes_max);
Json json_time(WallTime time);          // RFC 3339; outside of 1970-9999 the nearest of it
Json json_sequence(uint64_t sequence);  // at most 2^63 - 1

// A message is at most json_message_bytes_max long, and nested less than 8 deep.
Result<Json> parse_message(std::string_view json, std::string_view name);

}  // namespace basmalin
