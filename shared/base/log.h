// Structured logging: one line per state change, `level event key=value …`. error = a person must act, warn = degraded and
// retrying, info = a state changed, debug = for developers. No secret and no reading of a garden ever goes into a log.
// Threads: any.
#pragma once

#include <concepts>
#include <initializer_list>
#include <string>
#include <string_view>
#include <cstdint>

#include "shared/base/clock.h"

namespace basmalin::log {

enum class Level { Debug, Info, Warn, Error };

struct Field {
    std::string_view key;
    std::string value;
    Field(std::string_view k, std::string_view v) : key(k), value(v) {}
    Field(std::string_view k, const char* v) : key(k), value(v) {}
    Field(std::string_view k, const std::string& v) : key(k), value(v) {}
    Field(std::string_view k, bool v) : key(k), value(v ? "true" : "false") {}
    template <std::integral T>
    Field(std::string_view k, T v) : key(k), value(std::to_string(v)) {}
    Field(std::string_view k, double v);
};

// To standard error, as systemd's journal wants it (`<4>` priority prefixes when JOURNAL_STREAM is set, else with time).
void start(Level least);
void set_level(Level least);
Level level_from(std::string_view name, Level otherwise);  // "debug" "info" "warn" "error"

void write(Level level, std::string_view event, std::initializer_list<Field> fields = {});
inline void debug(std::string_view event, std::initializer_list<Field> f = {}) { write(Level::Debug, event, f); }
inline void info(std::string_view event, std::initializer_list<Field> f = {}) { write(Level::Info, event, f); }
inline void warn(std::string_view event, std::initializer_list<Field> f = {}) { write(Level::Warn, event, f); }
inline void error(std::string_view event, std::initializer_list<Field> f = {}) { write(Level::Error, event, f); }

// Lets one line through per interval and counts the rest: `if (gate.open(now)) log::warn(…, {{"suppressed", gate.suppressed()}})`.
// Thread: one.
class Gate {
  public:
    explicit Gate(Duration interval) : interval_(interval) {}
    bool open(MonoTime now) {
        if (opened_ && now - last_ < interval_) {
            ++held_;
            return false;
        }
        suppressed_ = held_;
        held_ = 0;
        opened_ = true;
        last_ = now;
        return true;
    }
    uint64_t suppressed() const { return suppressed_; }

  private:
    Duration interval_;
    MonoTime last_{};
    bool opened_ = false;
    uint64_t held_ = 0;
    uint64_t suppressed_ = 0;
};

}  // namespace basmalin::log
