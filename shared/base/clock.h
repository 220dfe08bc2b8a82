// Two clocks that never mix. MonoTime: milliseconds since this boot (CLOCK_BOOTTIME), never steps, orders everything.
// WallTime: milliseconds since 1970 UTC, may be wrong on a gateway without network; for people only.
#pragma once

#include <compare>
#include <cstdint>
#include <string>

namespace basmalin {

struct Duration {
    int64_t ms = 0;
    auto operator<=>(const Duration&) const = default;
};
constexpr Duration milliseconds(int64_t n) { return {n}; }
constexpr Duration seconds(int64_t n) { return {n * 1000}; }
constexpr Duration minutes(int64_t n) { return {n * 60'000}; }
constexpr Duration hours(int64_t n) { return {n * 3'600'000}; }
constexpr Duration operator+(Duration a, Duration b) { return {a.ms + b.ms}; }
constexpr Duration operator-(Duration a, Duration b) { return {a.ms - b.ms}; }
constexpr Duration operator*(Duration a, int64_t n) { return {a.ms * n}; }

struct MonoTime {
    int64_t ms = 0;
    auto operator<=>(const MonoTime&) const = default;
};
constexpr MonoTime operator+(MonoTime t, Duration d) { return {t.ms + d.ms}; }
constexpr MonoTime operator-(MonoTime t, Duration d) { return {t.ms - d.ms}; }
constexpr Duration operator-(MonoTime a, MonoTime b) { return {a.ms - b.ms}; }

struct WallTime {
    int64_t ms = 0;
    auto operator<=>(const WallTime&) const = default;
};
constexpr WallTime operator+(WallTime t, Duration d) { return {t.ms + d.ms}; }
constexpr WallTime operator-(WallTime t, Duration d) { return {t.ms - d.ms}; }
constexpr Duration operator-(WallTime a, WallTime b) { return {a.ms - b.ms}; }

// Whether the wall clock can be believed. Wire values: keep them.
enum class ClockState : uint8_t {
    Unsynced = 0,  // never set since boot, as far as the kernel knows
    Synced = 1,    // the kernel says NTP disciplines it (adjtimex: STA_UNSYNC clear)
};
std::string to_string(ClockState state);

// Threads: any. Tests use ManualClock.
class Clock {
  public:
    virtual ~Clock() = default;
    virtual MonoTime mono() const = 0;
    virtual WallTime wall() const = 0;
};

class SystemClock final : public Clock {
  public:
    MonoTime mono() const override;
    WallTime wall() const override;
};

class ManualClock final : public Clock {
  public:
    MonoTime mono() const override { return mono_; }
    WallTime wall() const override { return wall_; }
    void advance(Duration d) {
        mono_ = mono_ + d;
        wall_ = wall_ + d;
    }
    void step_wall(Duration d) { wall_ = wall_ + d; }
    void set(MonoTime mono, WallTime wall) {
        mono_ = mono;
        wall_ = wall;
    }

  private:
    MonoTime mono_{1'000};
    WallTime wall_{1'790'000'000'000};
};

// RFC 3339 with milliseconds, UTC: "2026-11-22T17:35:00.123Z".
std::string to_rfc3339(WallTime time);

}  // namespace basmalin
