// The JSON messages: strict about what they know, tolerant of what they do not.
#include "shared/wire/messages.h"

#include <gtest/gtest.h>

#include "shared/wire/fields.h"
#include "tests/shared/series/generated.h"
#include "tests/shared/wire/examples.h"

namespace basmalin {
namespace {

using namespace generated;

TEST(Messages, ComeBack) {
    EXPECT_EQ(decode_hello(encode(examples::hello())).value(), examples::hello());
    EXPECT_EQ(decode_welcome(encode(examples::welcome())).value(), examples::welcome());
    EXPECT_EQ(decode_status(encode(examples::status())).value(), examples::status());
    EXPECT_EQ(decode_device_health(encode(examples::device_health())).value(), examples::device_health());
    EXPECT_EQ(decode_node_health(encode(examples::node_health())).value(), examples::node_health());
}

TEST(Messages, WhatIsUnknownIsOmittedAndComesBackUnknown) {
    const DeviceHealth bare{.device = "bed1"};
    EXPECT_EQ(encode(bare), R"({"device":"bed1","state":"ok"})");
    EXPECT_EQ(decode_device_health(encode(bare)).value(), bare);
    EXPECT_EQ(decode_hello(encode(Hello{})).value(), Hello{});
    EXPECT_EQ(decode_welcome(encode(Welcome{})).value(), Welcome{});
    EXPECT_EQ(decode_status(encode(Status{})).value(), Status{});
    EXPECT_EQ(decode_node_health(encode(NodeHealth{})).value(), NodeHealth{});
}

// `text` with the value of one member replaced, or the member removed.
std::string with(const std::string& text, std::string_view key, const std::string& value) {
    Json json = parse_json(text).value();
    return json.set(key, parse_json(value).value()).dump();
}

TEST(Messages, FieldsOfALaterReleaseAreIgnored) {
    EXPECT_EQ(decode_hello(with(encode(examples::hello()), "moon", R"({"phase":[1,2]})")).value(), examples::hello());
    EXPECT_EQ(decode_status(with(encode(examples::status()), "moon", "true")).value(), examples::status());
    EXPECT_EQ(decode_node_health(with(encode(examples::node_health()), "moon", "null")).value(), examples::node_health());
}

TEST(Messages, AWrongFieldIsNamedWithWhatItShouldBe) {
    const std::string hello = encode(examples::hello());
    const auto text_of = [](const auto& result) { return result ? std::string("decoded") : result.error().text; };
    EXPECT_EQ(text_of(decode_hello(with(hello, "boot", "5"))), "hello: \"boot\": should be 16 lower-case hex digits");
    EXPECT_EQ(text_of(decode_hello(with(hello, "boot", "null"))), "hello: \"boot\": missing, should be 16 lower-case hex digits");
    EXPECT_EQ(text_of(decode_hello(with(hello, "boot_no", "-1"))), "hello: \"boot_no\": should be a whole number from 0 to 4294967295");
    EXPECT_EQ(text_of(decode_hello(with(hello, "boot_no", "1.5"))), "hello: \"boot_no\": should be a whole number from 0 to 4294967295");
    EXPECT_EQ(text_of(decode_hello(with(hello, "garden", "\"a/b\""))), "hello: \"garden\": should be 1-64 of a-z A-Z 0-9 . _ -");
    EXPECT_EQ(text_of(decode_hello(with(hello, "streams", "{}"))), "hello: \"streams\": should be an array of at most 8");
    EXPECT_EQ(text_of(decode_hello(with(hello, "streams", "[5]"))), "hello: \"streams\": should be an object");
    EXPECT_EQ(text_of(decode_hello(with(hello, "streams", "[{\"stream\":\"0\"}]"))),
              "hello: \"streams\": \"stream\": should be 16 lower-case hex digits");
    EXPECT_EQ(text_of(decode_hello(with(hello, "clock", "{}"))),
              "hello: \"clock\": \"state\": missing, should be one of \"unsynced\" \"synced\"");
    EXPECT_EQ(text_of(decode_hello(with(hello, "labels", "{\"a\":1}"))),
              "hello: \"labels\": should be an object of texts of at most 256 bytes");
    EXPECT_EQ(text_of(decode_hello("[]")), "hello: should be an object");
    EXPECT_EQ(text_of(decode_status(with(encode(examples::status()), "online", "1"))), "status: \"online\": should be true or false");
    EXPECT_EQ(text_of(decode_status(with(encode(examples::status()), "since", "\"now\""))),
              "status: \"since\": should be a time like 2026-11-22T17:35:00.123Z");
    EXPECT_EQ(text_of(decode_device_health(with(encode(examples::device_health()), "state", "\"good\""))),
              "device health: \"state\": should be one of \"ok\" \"late\" \"silent\" \"fault\"");
    EXPECT_EQ(text_of(decode_device_health(with(encode(examples::device_health()), "battery_volts", "\"3\""))),
              "device health: \"battery_volts\": should be a number");
    EXPECT_EQ(text_of(decode_node_health(with(encode(examples::node_health()), "values", "{\"a\":\"1\"}"))),
              "health: \"values\": should be an object of numbers");
    EXPECT_EQ(text_of(decode_node_health(with(encode(examples::node_health()), "flags", "{\"a\":1}"))),
              "health: \"flags\": should be an object of true and false");
    EXPECT_EQ(decode_hello("{").error().code, Code::Invalid);
}

TEST(Messages, RangesThatDoNotAscendAboveTheMarkAreInvalid) {
    const auto ranges = [](const std::string& text) {
        return decode_welcome(
            R"({"epoch":"0000000000000001","time":"2026-11-22T17:35:00Z","streams":[{"stream":"0000000000000002","mark":5,"ranges":)" +
            text + "}]}");
    };
    EXPECT_TRUE(ranges("[[7,9],[11,11]]"));
    EXPECT_TRUE(ranges("[]"));
    for (const char* wrong :
         {"[[5,6]]", "[[9,7]]", "[[7,9],[9,10]]", "[[11,12],[7,8]]", "[7,9]", "[[7]]", "[[7,8,9]]", "[[7.5,8]]", "[[-7,8]]", "[[\"7\",8]]"})
        EXPECT_FALSE(ranges(wrong)) << wrong;
}

TEST(Messages, WhatIsSentKeepsTheBoundsThatAreChecked) {
    NodeHealth large;
    for (int i = 0; i < 400; ++i) {
        large.values["v" + std::to_string(i)] = 0.1 * i;
        large.texts["t" + std::to_string(i)] = std::string(1000, 'x');
        large.services.push_back({std::string(500, 'u'), std::string(500, 's'), i});
    }
    large.values["nan"] = std::nan("");
    large.values[std::string(100, 'k')] = 1;
    large.texts["kernel"] = "not\xffutf8";
    auto back = decode_node_health(encode(large));
    ASSERT_TRUE(back) << back.error().message();
    EXPECT_FALSE(back->values.contains("nan"));
    Hello hello = examples::hello();
    hello.agent_version = std::string(63, 'v') + "ž";  // cut between characters
    for (int i = 0; i < 100; ++i) hello.labels["l" + std::to_string(i)] = std::string(1000, 'x');
    hello.streams.resize(20);
    auto small = decode_hello(encode(hello));
    ASSERT_TRUE(small) << small.error().message();
    EXPECT_EQ(small->agent_version, std::string(63, 'v'));
    Welcome welcome{.streams = {{1, 0, {}}}};
    for (uint64_t i = 0; i < 1000; ++i) welcome.streams[0].ranges.push_back({2 + 2 * i, 2 + 2 * i});
    EXPECT_EQ(decode_welcome(encode(welcome)).value().streams[0].ranges.size(), ack_ranges_max);
}

TEST(Messages, DamageIsAnsweredAndWhatDecodesEncodesAgain) {
    for_each_seed(2000, [](uint64_t seed) {
        Dice dice(seed);
        for (auto [name, text] : examples::json()) {
            for (uint64_t i = 1 + dice.below(3); i > 0; --i)
                text[dice.below(text.size())] =
                    static_cast<char>(dice.one_in(2) ? dice.below(256) : static_cast<uint64_t>("0\"{}[],:-e."[dice.below(11)]));
            if (auto m = decode_hello(text)) {
                EXPECT_EQ(decode_hello(encode(*m)).value(), *m);
            }
            if (auto m = decode_welcome(text)) {
                EXPECT_TRUE(decode_welcome(encode(*m)));
            }
            if (auto m = decode_status(text)) {
                EXPECT_EQ(decode_status(encode(*m)).value(), *m);
            }
            if (auto m = decode_device_health(text)) {
                EXPECT_EQ(decode_device_health(encode(*m)).value(), *m);
            }
            if (auto m = decode_node_health(text)) {
                EXPECT_EQ(decode_node_health(encode(*m)).value(), *m);
            }
        }
    });
}

TEST(Messages, TooLongIsInvalid) {
    EXPECT_FALSE(decode_status(encode(examples::status()) + std::string(json_message_bytes_max, ' ')));
    EXPECT_FALSE(decode_status(with(encode(examples::status()), "agent_version", "\"" + std::string(65, 'x') + "\"")));
    EXPECT_FALSE(decode_status(std::string(60'000, '[')));
}

TEST(Times, OfRfc3339AreReadExactly) {
    for (const int64_t ms : {int64_t{0}, int64_t{1}, int64_t{1'790'000'000'123}, int64_t{951'782'399'999}, int64_t{253'402'300'799'999}})
        EXPECT_EQ(parse_rfc3339(to_rfc3339({ms})), WallTime{ms});
    EXPECT_EQ(parse_rfc3339("1970-01-01T00:00:01Z"), WallTime{1000});
    EXPECT_EQ(parse_rfc3339("1970-01-01T00:00:01.5Z"), WallTime{1500});
    EXPECT_EQ(parse_rfc3339("1970-01-01T00:00:01.123456789Z"), WallTime{1123});
    for (const char* wrong :
         {"", "now", "1970-01-01", "1970-01-01T00:00:01", "1970-01-01 00:00:01Z", "1970-02-29T00:00:01Z", "1970-13-01T00:00:01Z",
          "1970-01-01T24:00:01Z", "1970-01-01T00:60:01Z", "1970-01-01T00:00:60Z", "1970-01-01T00:00:01.Z",
          "1970-01-01T00:00:01.1234567890Z", "1970-01-01T00:00:01+00:00", "1969-12-31T23:59:59Z", "197x-01-01T00:00:01Z",
          "-970-01-01T00:00:01Z", "1970-01-01T00:00:01.1xZ", "1970-01-01T00:00:01,5Z"})
        EXPECT_FALSE(parse_rfc3339(wrong)) << wrong;
    EXPECT_EQ(json_time({-5}).as_string(), "1970-01-01T00:00:00.000Z");
    EXPECT_EQ(json_time({INT64_MAX}).as_string(), "9999-12-31T23:59:59.999Z");
}

}  // namespace
}  // namespace basmalin
