// What a dialect is to Sources: it names its filters and answers for each message whether it took it. Every dialect is one .cpp
// file; nobody but sources.cpp and the tests sees them. Dialects keep bounded state, do no I/O and hold no clock.
// R1  A dialect that answers NotMine or NotUnderstood has added neither samples nor notes (events are allowed).
// R2  A JSON payload is parsed once, whoever asks, within 64 KiB, depth 16 and 2,000 values.
// Thread: one.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "agent/sources/sources.h"
#include "shared/base/json.h"

namespace basmalin::agent {

inline constexpr size_t topic_bytes_max = 1024;
inline constexpr size_t topic_levels_max = 32;
inline constexpr size_t text_bytes_max = 256;  // a text state

enum class Verdict {
    Taken,          // mine, and read (or rightly ignored)
    NotMine,        // the topic is not of this dialect
    NotUnderstood,  // the topic is, the payload is not
};

// What all dialects of one Sources share.
struct Shared {
    explicit Shared(const SourcesOptions& given) : options(given) {}
    const SourcesOptions& options;
    uint64_t not_a_value = 0;
    uint64_t templates_refused = 0;

    // Whether this is the first time `key` is told. Bounded: after told_max keys nothing new is told.
    bool once(std::string key) {
        static constexpr size_t told_max = 4096;
        if (told.size() >= told_max) return false;
        return told.insert(std::move(key)).second;
    }
    std::set<std::string, std::less<>> told;
};

// One message with what is worth computing only once. Views: valid during the call.
class Message {
  public:
    Message(std::string_view topic, std::string_view payload, bool retained, MonoTime now);
    std::string_view topic;
    std::string_view payload;
    bool retained;
    MonoTime now;
    std::vector<std::string_view> levels;  // of the topic; empty if there are more than topic_levels_max

    // The payload as an object or array; null if it is anything else, garbage, or too large (R2).
    const Json* json() const;
    size_t size() const { return levels.size(); }
    std::string_view level(size_t i) const { return i < levels.size() ? levels[i] : std::string_view{}; }

  private:
    mutable bool parsed_ = false;
    mutable std::optional<Json> json_;
};

class Dialect {
  public:
    virtual ~Dialect() = default;
    virtual std::string_view name() const = 0;
    virtual std::vector<std::string> filters() const = 0;
    virtual Verdict try_message(const Message& message, SourceOutput& out) = 0;
    // The device whose state this topic would carry, as try_message would name it; empty if the topic is not of this dialect.
    // Tells Sources that a device which Home Assistant discovery describes is the one this dialect knows by another name.
    virtual std::string device_of(const Message&) const { return {}; }
    // Asks once more for all it asked for so far: there are other filters, and other dialects beside it.
    virtual void ask_again(SourceOutput&) {}
};

// Tells Sources which device a discovered state topic belongs to.
using OnStateTopic = std::function<void(std::string_view topic, const std::string& device)>;

std::unique_ptr<Dialect> make_rules(Shared& shared);
std::unique_ptr<Dialect> make_home_assistant(Shared& shared, OnStateTopic on_state_topic);
std::unique_ptr<Dialect> make_zigbee2mqtt(Shared& shared);
std::unique_ptr<Dialect> make_tasmota(Shared& shared);
std::unique_ptr<Dialect> make_homie(Shared& shared);
std::unique_ptr<Dialect> make_esphome(Shared& shared);
std::unique_ptr<Dialect> make_senml(Shared& shared);

// A bad rule's fault and remedy; empty if the rule is right.
std::string fault_of(const Rule& rule);

}  // namespace basmalin::agent
