// links: basmalin_wire
// JSON messages and topics: any text is answered, and what decodes encodes and decodes to the same.
#include "shared/base/json.h"
#include "shared/wire/messages.h"
#include "shared/wire/topics.h"
#include "tests/fuzz/property.h"

using namespace basmalin;
using fuzz::holds;

namespace {

void check_messages(std::string_view text) {
    if (auto m = decode_hello(text)) holds(decode_hello(encode(*m)) == *m, "a hello comes back");
    if (auto m = decode_welcome(text)) {
        auto normal = decode_welcome(encode(*m));  // ranges that touch each other are merged
        holds(normal && decode_welcome(encode(*normal)) == *normal, "a welcome comes back");
    }
    if (auto m = decode_status(text)) holds(decode_status(encode(*m)) == *m, "a status comes back");
    if (auto m = decode_device_health(text)) holds(decode_device_health(encode(*m)) == *m, "a device's health comes back");
    if (auto m = decode_node_health(text)) holds(decode_node_health(encode(*m)) == *m, "a node's health comes back");
}

void check_json(std::string_view text) {
    auto json = parse_json(text);
    if (!json) return;
    auto again = parse_json(json->dump());
    holds(again.has_value(), "what was written parses");
    holds(again->dump() == json->dump(), "JSON is written the same again");
    holds(parse_json(json->dump(true)).has_value(), "what was written prettily parses");
}

void check_topic(std::string_view text) {
    if (auto topic = Topic::parse(text)) holds(topic->text() == text, "a topic is the only one that means the same");
    const Topic device{"g1", Topic::Kind::DeviceHealth, std::string(text)};
    if (auto back = Topic::parse(device.text())) holds(*back == device, "a device's topic comes back");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string_view text = fuzz::text_of(data, size);
    check_json(text);
    check_messages(text);
    check_topic(text);
    return 0;
}
