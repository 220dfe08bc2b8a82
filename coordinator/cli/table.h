// Tables and times for people at a terminal. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "shared/base/clock.h"
#include "shared/base/json.h"
#include "shared/base/result.h"

namespace basmalin::coordinator {

enum class Shade { Plain, Good, Warn, Bad, Dim };

struct Cell {
    std::string text;
    Shade shade = Shade::Plain;
};

// Control characters become '?': a name or a text from a garden cannot move the cursor.
std::string printable(std::string_view text);
size_t width_of(std::string_view text);  // characters, not bytes

// Columns as wide as their widest cell, two spaces between, the last one free; cells are made printable.
class Table {
  public:
    explicit Table(std::vector<std::string> headings) : headings_(std::move(headings)) {}
    void row(std::vector<Cell> cells) { rows_.push_back(std::move(cells)); }
    bool empty() const { return rows_.empty(); }
    std::string text(bool colours) const;

  private:
    std::vector<std::string> headings_;
    std::vector<std::vector<Cell>> rows_;
};

// "now" "12 s ago" "5 min ago" "3 h ago" "2 d ago"; "in 3 min" for the future; "never" for an empty time.
std::string ago(std::string_view rfc3339, WallTime now);
// "512 B" "1.4 KiB" "3.0 GiB"
std::string bytes_text(double bytes);
// A value of a reading: the shortest number, "on"/"off" for a boolean, a text as it is; with the unit.
std::string value_text(const Json& value, const std::string& unit);
// "Cel" → "°C": what people write for a unit's UCUM-style name.
std::string unit_text(std::string_view unit);
// "2026-11-22T17:35:00.123Z" to milliseconds since 1970. Invalid for anything else.
Result<WallTime> parse_rfc3339(std::string_view text);

}  // namespace basmalin::coordinator
