#include "coordinator/app/settings.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>

#include "shared/base/file.h"
#include "shared/base/ids.h"
#include "shared/base/log.h"

namespace basmalin::coordinator {

namespace {

constexpr size_t token_characters_least = 16;
constexpr size_t token_file_bytes_max = 4096;
constexpr rlim_t files_besides = 256;  // of the store, the broker, the log

}  // namespace

HttpLimits HttpSettings::limits() const {
    HttpLimits limits;
    limits.connections_max = static_cast<size_t>(connections_max);
    limits.connections_per_address_max = static_cast<size_t>(connections_per_address_max);
    limits.header_bytes_max = static_cast<size_t>(header_bytes_max);
    limits.body_bytes_max = static_cast<size_t>(body_bytes_max);
    limits.idle_deadline = idle_deadline;
    return limits;
}

void declare(Schema& schema, Settings& settings) {
    declare(schema, settings.broker);
    declare(schema, settings.store);
    declare(schema, settings.ingest);
    declare(schema, settings.fleet);
    declare(schema, settings.metrics);
    HttpSettings& http = settings.http;
    schema.section("http", "The API, the metrics and the health checks.");
    schema.text("address", http.address, "Where to listen. Beyond this machine, put a proxy with TLS before it.");
    schema.integer("connections_max", http.connections_max, 8, 100'000, "Connections at once; further ones get a 503.");
    schema.integer("connections_per_address_max", http.connections_per_address_max, 1, 100'000, "Connections at once of one address.");
    schema.bytes("header_bytes_max", http.header_bytes_max, 1024, 1 << 20, "The longest header of a request.");
    schema.bytes("body_bytes_max", http.body_bytes_max, 1024, 64 << 20, "The longest body of a request.");
    schema.duration("idle_deadline", http.idle_deadline, seconds(1), hours(1), "A connection without a request is closed after it.");
    schema.integer("port", http.port, 0, 65'535, "Its port; 0: the kernel chooses, and the first line of the output says which.");
    schema.text("token_file", http.token_file, "The token that clients send; made at the first start. Empty: token in the store's folder.");
    schema.section("health", "When /api/health is not healthy.");
    schema.bytes("disk_reserve", settings.health.disk_reserve_bytes, 0, 1LL << 50, "Less free space than this at the store is not healthy.");
    schema.bytes("memory_limit", settings.health.memory_limit_bytes, 16 << 20, 1LL << 50, "More memory in use than this is not healthy.");
    schema.section("log", "To standard error, for the journal.");
    schema.choice("level", settings.log_level, {"debug", "info", "warn", "error"}, "The least that is logged; a SIGHUP reads it again.");
}

Result<void> check(const Settings& settings) {
    std::string wrong;
    const auto say = [&](const std::string& sentence) { wrong += (wrong.empty() ? "" : "\n") + sentence; };
    const auto readable = [&](const char* key, const std::string& path) {
        if (!path.empty() && ::access(path.c_str(), R_OK) != 0) say(std::string("broker.") + key + ": cannot be read: " + path);
    };
    const SubscriberOptions& broker = settings.broker;
    if (broker.tls && broker.ca_file.empty()) say("broker.ca_file: needed with tls; name the authority's PEM file, or set tls = false");
    if (broker.certificate_file.empty() != broker.key_file.empty()) say("broker.certificate_file and broker.key_file: both or none");
    if (broker.tls) {
        readable("ca_file", broker.ca_file);
        readable("certificate_file", broker.certificate_file);
        readable("key_file", broker.key_file);
    }
    if (!wrong.empty()) return fail(Code::Invalid, wrong);
    return {};
}

void make_room_for_connections(HttpSettings& http) {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    const auto wanted = static_cast<rlim_t>(http.connections_max) + files_besides;
    if (limit.rlim_cur < wanted) {
        limit.rlim_cur = std::min(wanted, limit.rlim_max);
        if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    }
    if (limit.rlim_cur >= wanted) return;
    http.connections_max = limit.rlim_cur > files_besides + 8 ? static_cast<int64_t>(limit.rlim_cur - files_besides) : 8;
    log::warn("connections_max_lowered",
              {{"open_files_max", static_cast<int64_t>(limit.rlim_cur)}, {"now", http.connections_max}, {"remedy", "raise LimitNOFILE"}});
}

Result<std::string> api_token(const std::string& path) {
    auto text = read_file(path, token_file_bytes_max);
    if (text) {
        while (!text->empty() && (text->back() == '\n' || text->back() == '\r' || text->back() == ' ')) text->pop_back();
        const bool plain = std::ranges::all_of(*text, [](char c) { return c > ' ' && c < '\x7f'; });
        if (text->size() < token_characters_least || !plain) {
            return fail(Code::Invalid, "API token " + path + ": not a token",
                        "16 or more visible ASCII characters on one line; remove the file and a new one is made");
        }
        return text;
    }
    if (text.error().code != Code::NotFound) return pass(text, "API token");
    std::string token;
    for (int i = 0; i < 4; ++i) token += to_hex(random_u64());
    if (auto made = make_folders(folder_of(path)); !made) return pass(made, "API token");
    if (auto written = replace_file(path, token + "\n", 0600); !written) return pass(written, "API token");
    return token;
}

}  // namespace basmalin::coordinator
