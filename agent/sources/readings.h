// Collects what one payload says, device by device, and turns text and JSON into values.
// R1  Numbers are strict: blanks trimmed, one leading '+' allowed, all of it a decimal number, finite.
// R2  nan, unavailable, unknown, none, null, n/a and the empty text are not values: counted, never read.
// R3  A text state is at most text_bytes_max bytes of UTF-8 without control characters; else it is not a value.
// R4  All that a payload says about one device at one moment is one Sample; of a quantity said twice the first counts.
// R5  Batteries and signal strength are notes about the device as well as readings.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/sources/dialect.h"

namespace basmalin::agent {

std::optional<double> parse_number(std::string_view text);  // R1
std::optional<bool> parse_switch(std::string_view text);    // on off true false yes no, any case
std::optional<bool> parse_presence(std::string_view text);  // online offline, any case, blanks trimmed
bool is_no_value(std::string_view text);                    // R2
bool is_text_state(std::string_view text);                  // R3
// What a JSON scalar is called as plain text: true is "true", 21.50 is "21.5". Empty for null, arrays and objects.
std::string to_plain_text(const Json& json);

class Readings {
  public:
    Readings(const Message& message, Shared& shared) : message_(message), shared_(shared) {}

    void add(std::string_view device, std::string_view quantity, std::string_view unit, Value value) {
        add_at(message_.now, device, quantity, unit, std::move(value));
    }
    void add_at(MonoTime time, std::string_view device, std::string_view quantity, std::string_view unit, Value value);
    // The text as a number, a switch word (if `switches`) or a text state; else counted as no value.
    void add_text(std::string_view device, std::string_view quantity, std::string_view unit, std::string_view text, bool switches);
    // A number or nothing: what is no number is counted.
    void add_number(std::string_view device, std::string_view quantity, std::string_view unit, std::string_view text);
    // A JSON scalar by its type; a string by add_text's rules, but never as a number unless `text_numbers`.
    void add_json(std::string_view device, std::string_view quantity, std::string_view unit, const Json& value, bool text_numbers = false);
    void not_a_value() {
        if (live()) ++shared_.not_a_value;
    }
    MonoTime now() const { return message_.now; }
    bool live() const { return !message_.retained; }

    // The note about a device, made when asked for. Valid until the next call.
    DeviceNote& note(std::string_view device);
    void deliver(SourceOutput& out);

  private:
    const Message& message_;
    Shared& shared_;
    std::vector<Sample> samples_;
    std::vector<DeviceNote> notes_;
    std::map<std::pair<int64_t, std::string>, size_t> sample_of_;
    std::map<std::string, size_t, std::less<>> note_of_;
};

// R5, by the quantity's name and unit.
void observe(DeviceNote& note, std::string_view quantity, std::string_view unit, double value);

}  // namespace basmalin::agent
