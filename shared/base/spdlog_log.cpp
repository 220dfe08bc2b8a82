#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <cstdlib>
#include <mutex>

#include "shared/base/log.h"

namespace basmalin::log {
namespace {

spdlog::level::level_enum to_spdlog(Level level) {
    switch (level) {
        case Level::Debug: return spdlog::level::debug;
        case Level::Info: return spdlog::level::info;
        case Level::Warn: return spdlog::level::warn;
        case Level::Error: return spdlog::level::err;
    }
    return spdlog::level::info;
}

// Values with blanks, quotes or control characters are quoted, so that one line stays one line.
void append_value(std::string& out, std::string_view value) {
    bool plain = !value.empty();
    for (const char c : value) plain = plain && c > ' ' && c != '"' && c != '=' && c != 0x7f;
    if (plain) {
        out += value;
        return;
    }
    out += '"';
    for (const char c : value) {
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (c == '\n') {
            out += "\\n";
        } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
            out += '?';
        } else {
            out += c;
        }
    }
    out += '"';
}

spdlog::logger& logger() {
    static const std::shared_ptr<spdlog::logger> one = [] {
        auto made = std::make_shared<spdlog::logger>("basmalin", std::make_shared<spdlog::sinks::stderr_sink_mt>());
        // systemd reads the priority from "<n>" and stamps the time itself.
        made->set_pattern(std::getenv("JOURNAL_STREAM") != nullptr ? "%v" : "%Y-%m-%dT%H:%M:%S.%e %l %v");
        made->flush_on(spdlog::level::debug);
        return made;
    }();
    return *one;
}

}  // namespace

Field::Field(std::string_view k, double v) : key(k), value(fmt::format("{:.6g}", v)) {}

void start(Level least) { set_level(least); }
void set_level(Level least) { logger().set_level(to_spdlog(least)); }

Level level_from(std::string_view name, Level otherwise) {
    if (name == "debug") return Level::Debug;
    if (name == "info") return Level::Info;
    if (name == "warn") return Level::Warn;
    if (name == "error") return Level::Error;
    return otherwise;
}

void write(Level level, std::string_view event, std::initializer_list<Field> fields) {
    const spdlog::level::level_enum at = to_spdlog(level);
    if (!logger().should_log(at)) return;
    std::string line;
    if (std::getenv("JOURNAL_STREAM") != nullptr) {
        static constexpr std::string_view prefixes[] = {"<7>", "<6>", "<4>", "<3>"};
        line += prefixes[static_cast<int>(level)];
    }
    line += event;
    for (const Field& field : fields) {
        line += ' ';
        line += field.key;
        line += '=';
        append_value(line, field.value);
    }
    logger().log(at, "{}", line);
}

}  // namespace basmalin::log
