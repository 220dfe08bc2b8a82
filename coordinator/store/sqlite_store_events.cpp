// What nodes say of themselves (batches of kind Events), and what was found wrong with what they sent: kept for a person, a bounded
// number of bounded length.
#include <map>

#include "coordinator/store/sqlite_store.h"
#include "shared/base/json.h"

namespace basmalin::coordinator {
namespace {

constexpr int64_t events_max = 10'000;
constexpr int64_t events_per_node_max = 1000;  // a node that talks much does not push out what the others said
constexpr int said_per_node_max = 4;           // in one commit
constexpr size_t event_text_bytes_max = 1024;
constexpr size_t event_time_bytes_max = 40;

// At most `bytes` of it, and no character cut in two.
std::string_view shortened(std::string_view text, size_t bytes) {
    if (text.size() <= bytes) return text;
    while (bytes > 0 && (static_cast<uint8_t>(text[bytes]) & 0xc0) == 0x80) --bytes;
    return text.substr(0, bytes);
}

}  // namespace

// Younger than the first files.
Result<void> SqliteStore::make_event_table() {
    constexpr std::string_view schema =
        "CREATE TABLE IF NOT EXISTS event(id INTEGER PRIMARY KEY AUTOINCREMENT, node TEXT NOT NULL, received_ms INTEGER NOT NULL,"
        " time TEXT NOT NULL, text TEXT NOT NULL);"
        "CREATE INDEX IF NOT EXISTS event_by_node ON event(node, id);"
        "CREATE INDEX IF NOT EXISTS dead_by_node ON dead_letter(node, id);";
    if (auto made = fleet_.execute(std::string(schema)); !made) return made;
    return fleet_.expect_schema(schema);
}

Result<Outcome> SqliteStore::take_event(Commit& work, const IncomingBatch& batch, const BatchView& view) {
    const auto json = parse_json(view.body, {.bytes_max = batch_bytes_max, .depth_max = 4, .values_max = 64});
    if (!json) return bury(work, batch, view.header.seq, "an event: " + json.error().text);
    const Json& text = (*json)["text"];
    if (!text.is_string() || text.as_string().empty()) return bury(work, batch, view.header.seq, "an event without a text");
    const Json& time = (*json)["time"];
    if (!time.is_string() || time.as_string().size() > event_time_bytes_max)
        return bury(work, batch, view.header.seq, "an event without a time, or with one that is too long");
    sql_.insert_event.bind(1, std::string_view(batch.node)).bind(2, batch.received.ms);
    sql_.insert_event.bind(3, std::string_view(time.as_string()));
    sql_.insert_event.bind(4, shortened(text.as_string(), event_text_bytes_max));
    if (auto done = sql_.insert_event.run(); !done) return pass(done);
    work.told.insert(batch.node);
    work.result.bytes_stored += batch.bytes.size();
    return Outcome::Stored;
}

// Once a commit: trimming costs a look at as many rows as are kept.
Result<void> SqliteStore::keep_events(Commit& work, WallTime now) {
    std::map<std::string, int> kept;
    const std::string time = to_rfc3339(now);
    for (const auto& [node, what] : work.said) {
        if (++kept[node] > said_per_node_max) continue;
        sql_.insert_event.bind(1, std::string_view(node)).bind(2, now.ms).bind(3, std::string_view(time));
        sql_.insert_event.bind(4, shortened(what, event_text_bytes_max));
        if (auto done = sql_.insert_event.run(); !done) return done;
        work.told.insert(node);
    }
    if (work.told.empty()) return {};
    for (const std::string& node : work.told) {
        sql_.trim_events_of_node.bind(1, std::string_view(node)).bind(2, events_per_node_max);
        if (auto done = sql_.trim_events_of_node.run(); !done) return done;
    }
    sql_.trim_events.bind(1, events_max);
    return sql_.trim_events.run();
}

}  // namespace basmalin::coordinator
