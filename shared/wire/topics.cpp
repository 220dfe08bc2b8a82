#include "shared/wire/topics.h"

#include <array>
#include <utility>

#include "shared/base/ids.h"

namespace basmalin {
namespace {

constexpr std::string_view root = "fleet/1/";
constexpr std::string_view device_level = "device/";
constexpr std::string_view device_health_level = "/health";

// What follows "fleet/1/<node>/".
constexpr std::array<std::pair<Topic::Kind, std::string_view>, 10> leaves = {{
    {Topic::Kind::Up, "up"},
    {Topic::Kind::Ack, "ack"},
    {Topic::Kind::Hello, "hello"},
    {Topic::Kind::Welcome, "welcome"},
    {Topic::Kind::Status, "status"},
    {Topic::Kind::Health, "health"},
    {Topic::Kind::Desired, "desired"},
    {Topic::Kind::Reported, "reported"},
    {Topic::Kind::Command, "command"},
    {Topic::Kind::Result, "result"},
}};

std::string tail(Topic::Kind kind, std::string_view device) {
    for (const auto& [k, leaf] : leaves)
        if (k == kind) return std::string(leaf);
    return std::string(device_level) + std::string(device) + std::string(device_health_level);
}

bool must_be_encoded(char c) { return c == '/' || c == '+' || c == '#' || c == '%' || static_cast<uint8_t>(c) < 0x20 || c == 0x7f; }

std::string encode_level(std::string_view text) {
    static constexpr char digits[] = "0123456789ABCDEF";
    std::string out;
    for (const char c : text) {
        if (must_be_encoded(c)) {
            out += '%';
            out += digits[static_cast<uint8_t>(c) >> 4];
            out += digits[static_cast<uint8_t>(c) & 15];
        } else {
            out += c;
        }
    }
    return out;
}

int hex_digit(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; }

// Whatever is no encoding stays as it is; parse() compares with what encode_level() would have written.
std::string decode_level(std::string_view text) {
    std::string out;
    for (size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '%' && i + 2 < text.size() && hex_digit(text[i + 1]) >= 0 && hex_digit(text[i + 2]) >= 0) {
            out += static_cast<char>(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2]));
            i += 2;
        } else {
            out += text[i];
        }
    }
    return out;
}

}  // namespace

std::string Topic::text() const { return std::string(root) + node + "/" + tail(kind, encode_level(device)); }

Result<Topic> Topic::parse(std::string_view text) {
    const auto wrong = [](const char* what) { return fail(Code::Invalid, std::string("topic: ") + what); };
    if (!text.starts_with(root)) return wrong("does not begin with fleet/1/");
    text.remove_prefix(root.size());
    const size_t slash = text.find('/');
    if (slash == std::string_view::npos) return wrong("ends behind the node");
    Topic topic;
    topic.node = text.substr(0, slash);
    if (!is_name(topic.node)) return wrong("the node is no name (1-64 of a-z A-Z 0-9 . _ -)");
    text.remove_prefix(slash + 1);
    for (const auto& [kind, leaf] : leaves) {
        if (text != leaf) continue;
        topic.kind = kind;
        return topic;
    }
    if (!text.starts_with(device_level) || !text.ends_with(device_health_level) ||
        text.size() <= device_level.size() + device_health_level.size())
        return wrong("unknown behind the node");
    text = text.substr(device_level.size(), text.size() - device_level.size() - device_health_level.size());
    topic.kind = Kind::DeviceHealth;
    topic.device = decode_level(text);
    if (!is_label(topic.device)) return wrong("the device is no label");
    if (encode_level(topic.device) != text) return wrong("the device is not encoded as it should be");
    return topic;
}

std::string Topic::filter(Kind kind, std::string_view node) { return std::string(root) + std::string(node) + "/" + tail(kind, "+"); }

std::string Topic::shared_filter(std::string_view group, Kind kind) { return "$share/" + std::string(group) + "/" + filter(kind); }

}  // namespace basmalin
