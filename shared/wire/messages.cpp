// hello and welcome: what a node and the coordinator tell each other on every connect.
#include "shared/wire/messages.h"

#include <algorithm>

#include "shared/base/ids.h"
#include "shared/wire/fields.h"

namespace basmalin {
namespace {

constexpr size_t streams_max = 8;
constexpr size_t labels_max = 32;
constexpr size_t version_bytes_max = 64;
constexpr size_t name_bytes_max = 64;
constexpr size_t label_key_bytes_max = 64;
constexpr size_t label_bytes_max = 256;

Json clock_json(const BootOffset& clock) {
    Json json = Json::object();
    json.set("state", to_string(clock.state)).set("offset_ms", clock.offset_ms).set("error_ms", clock.error_ms);
    return json;
}

BootOffset clock_of(Fields& in, uint32_t boot_no) {
    Fields part(in.object("clock"), in.path() + ": \"clock\"");
    BootOffset clock;
    clock.boot_no = boot_no;
    clock.state = part.choice("state", {"unsynced", "synced"}) == 1 ? ClockState::Synced : ClockState::Unsynced;
    clock.offset_ms = part.integer("offset_ms", INT64_MIN, INT64_MAX);
    clock.error_ms = part.integer("error_ms", 0, INT64_MAX);
    in.absorb(part);
    return clock;
}

std::string garden_of(Fields& in) {
    std::string garden = in.optional_text("garden", name_bytes_max);
    if (!garden.empty() && !is_name(garden)) in.wrong("garden", "1-64 of a-z A-Z 0-9 . _ -");
    return garden;
}

// Ascending, disjoint and above the mark, or the message is wrong.
std::vector<SeqRange> ranges_of(Fields& in, uint64_t mark) {
    std::vector<SeqRange> ranges;
    for (const Json& item : in.optional_array("ranges", ack_ranges_max)) {
        const Json::Array& pair = item.as_array();
        const bool whole = pair.size() == 2 && pair[0].is_integer() && pair[1].is_integer() && pair[0].as_int() > 0;
        const uint64_t above = ranges.empty() ? mark : ranges.back().last;
        if (!whole || static_cast<uint64_t>(pair[0].as_int()) <= above || pair[1].as_int() < pair[0].as_int()) {
            in.wrong("ranges", "pairs [first, last] that ascend above the mark");
            return {};
        }
        ranges.push_back({static_cast<uint64_t>(pair[0].as_int()), static_cast<uint64_t>(pair[1].as_int())});
    }
    return ranges;
}

}  // namespace

std::string encode(const Hello& hello) {
    Json json = Json::object();
    json.set("garden", bounded(hello.garden, name_bytes_max));
    json.set("agent_version", bounded(hello.agent_version, version_bytes_max));
    json.set("boot", to_hex(hello.boot)).set("boot_no", static_cast<int64_t>(hello.boot_no)).set("clock", clock_json(hello.clock));
    Json streams = Json::array();
    for (size_t i = 0; i < std::min(hello.streams.size(), streams_max); ++i) {
        const Hello::Stream& s = hello.streams[i];
        Json one = Json::object();
        one.set("stream", to_hex(s.stream)).set("next_seq", json_sequence(s.next_seq)).set("oldest_seq", json_sequence(s.oldest_seq));
        streams.push(std::move(one.set("acked", json_sequence(s.acked))));
    }
    json.set("streams", std::move(streams)).set("gaps_pending", hello.gaps_pending);
    Json labels = Json::object();
    for (const auto& [key, value] : hello.labels)
        if (labels.as_object().size() < labels_max && !key.empty() && key.size() <= label_key_bytes_max)
            labels.set(key, bounded(value, label_bytes_max));
    json.set("labels", std::move(labels));
    return json.dump();
}

Result<Hello> decode_hello(std::string_view text) {
    auto json = parse_message(text, "hello");
    if (!json) return pass(json);
    Fields in(*json, "hello");
    Hello hello;
    hello.garden = garden_of(in);
    hello.agent_version = in.text("agent_version", version_bytes_max);
    hello.boot = in.id("boot");
    hello.boot_no = static_cast<uint32_t>(in.integer("boot_no", 0, UINT32_MAX));
    hello.clock = clock_of(in, hello.boot_no);
    for (const Json& item : in.array("streams", streams_max)) {
        Fields part(item, "hello: \"streams\"");
        Hello::Stream stream;
        stream.stream = part.id("stream");
        stream.next_seq = part.sequence("next_seq");
        stream.oldest_seq = part.sequence("oldest_seq");
        stream.acked = part.sequence("acked");
        in.absorb(part);
        hello.streams.push_back(stream);
    }
    if (!(*json)["gaps_pending"].is_null()) hello.gaps_pending = in.integer("gaps_pending", 0, INT64_MAX);
    for (const auto& [key, value] : in.optional_object("labels", labels_max)) {
        if (!value.is_string() || value.as_string().size() > label_bytes_max) in.wrong("labels", "an object of texts of at most 256 bytes");
        hello.labels.emplace(key, value.as_string());
    }
    if (!in.good()) return in.error();
    return hello;
}

std::string encode(const Welcome& welcome) {
    Json json = Json::object();
    json.set("epoch", to_hex(welcome.epoch)).set("time", json_time(welcome.time));
    Json streams = Json::array();
    for (size_t i = 0; i < std::min(welcome.streams.size(), streams_max); ++i) {
        SeqSet known;
        known.restore(welcome.streams[i].mark, welcome.streams[i].ranges);
        Json ranges = Json::array();
        for (const SeqRange& range : known.ranges()) {
            if (ranges.as_array().size() == ack_ranges_max) break;
            ranges.push(Json(Json::Array{json_sequence(range.first), json_sequence(range.last)}));
        }
        Json one = Json::object();
        one.set("stream", to_hex(welcome.streams[i].stream)).set("mark", json_sequence(known.mark()));
        streams.push(std::move(one.set("ranges", std::move(ranges))));
    }
    json.set("streams", std::move(streams)).set("definitions_wanted", welcome.definitions_wanted);
    return json.dump();
}

Result<Welcome> decode_welcome(std::string_view text) {
    auto json = parse_message(text, "welcome");
    if (!json) return pass(json);
    Fields in(*json, "welcome");
    Welcome welcome;
    welcome.epoch = in.id("epoch");
    welcome.time = in.time("time");
    for (const Json& item : in.array("streams", streams_max)) {
        Fields part(item, "welcome: \"streams\"");
        Welcome::Stream stream;
        stream.stream = part.id("stream");
        stream.mark = part.sequence("mark");
        stream.ranges = ranges_of(part, stream.mark);
        in.absorb(part);
        welcome.streams.push_back(std::move(stream));
    }
    welcome.definitions_wanted = in.optional_boolean("definitions_wanted");
    if (!in.good()) return in.error();
    return welcome;
}

}  // namespace basmalin
