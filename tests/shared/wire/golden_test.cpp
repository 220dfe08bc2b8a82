// The bytes of fleet/1 stay what they are: every kind of message against tests/golden/wire. BASMALIN_REWRITE_GOLDEN=1 rewrites
// the files; what changed is then for the reviewer of the diff, and for shared/wire/README.md.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "tests/shared/wire/examples.h"

namespace basmalin {
namespace {

std::string read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

// 16 bytes a line.
std::string hex_of(std::string_view bytes) {
    std::string out;
    for (size_t i = 0; i < bytes.size(); ++i) {
        char two[3];
        std::snprintf(two, sizeof two, "%02x", static_cast<unsigned>(static_cast<uint8_t>(bytes[i])));
        out += two;
        out += i % 16 == 15 || i + 1 == bytes.size() ? '\n' : ' ';
    }
    return out;
}

// What stands in a file, without its comments (from '#' to the end of a line).
std::string bytes_in(const std::string& hex) {
    std::string digits, bytes, line;
    std::istringstream lines(hex);
    while (std::getline(lines, line))
        for (const char c : line.substr(0, line.find('#')))
            if (std::isxdigit(static_cast<unsigned char>(c)) != 0) digits += c;
    for (size_t i = 0; i + 1 < digits.size(); i += 2) bytes += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
    return bytes;
}

void expect_golden(const std::string& file, const std::string& made, bool binary) {
    const std::string path = std::string(GOLDEN_FOLDER) + "/" + file;
    if ((binary ? bytes_in(read(path)) : read(path)) == made) return;
    if (std::getenv("BASMALIN_REWRITE_GOLDEN") != nullptr) {
        std::ofstream(path, std::ios::binary) << (binary ? hex_of(made) : made);
        return;
    }
    ADD_FAILURE() << path << " holds other bytes; made now:\n" << (binary ? hex_of(made) : made);
}

TEST(Golden, BinaryMessagesAreTheseBytes) {
    for (const auto& [name, bytes] : examples::binary()) expect_golden(name + ".hex", bytes, true);
}

TEST(Golden, JsonMessagesAreTheseTexts) {
    for (const auto& [name, text] : examples::json()) expect_golden(name + ".json", parse_json(text)->dump(true) + "\n", false);
}

// The fenced blocks of the contract that open with "```<language>".
std::vector<std::string> blocks(const std::string& language) {
    std::vector<std::string> found;
    const std::string page = read(CONTRACT_PATH);
    const std::string fence = "\n```" + language + "\n";
    for (size_t at = page.find(fence); at != std::string::npos; at = page.find(fence, at)) {
        at += fence.size();
        const size_t end = page.find("\n```", at);
        found.push_back(page.substr(at, end - at + 1));
        at = end + 4;
    }
    return found;
}

TEST(Golden, TheContractsExamplesAreTheseMessages) {
    EXPECT_NE(read(CONTRACT_PATH).find("```\n" + read(std::string(GOLDEN_FOLDER) + "/body.hex") + "```"), std::string::npos);
    const std::vector<std::string> json = blocks("json");
    ASSERT_EQ(json.size(), 5U);
    EXPECT_EQ(decode_status(json[0]).value(), examples::status());
    EXPECT_EQ(decode_device_health(json[1]).value(), examples::device_health());
    EXPECT_EQ(decode_node_health(json[2]).value(), examples::node_health());
    EXPECT_EQ(decode_hello(json[3]).value(), examples::hello());
    EXPECT_EQ(decode_welcome(json[4]).value(), examples::welcome());
}

TEST(Golden, WhatStandsInTheFilesDecodesToTheExamples) {
    const auto bytes = [](const char* name) { return bytes_in(read(std::string(GOLDEN_FOLDER) + "/" + name + ".hex")); };
    const auto text = [](const char* name) { return read(std::string(GOLDEN_FOLDER) + "/" + name + ".json"); };
    EXPECT_EQ(decode_body(bytes("body"), {}).value(), examples::body());
    EXPECT_EQ(decode_body(bytes("body_odd"), {}).value(), examples::odd_body());
    EXPECT_EQ(open_batch(examples::stream, bytes("batch")).value().header.seq, 7U);
    EXPECT_EQ(decode_gaps(bytes("gaps")).value(), examples::gaps());
    EXPECT_EQ(decode_up(bytes("up")).value().batches.at(0), examples::batch());
    EXPECT_EQ(decode_ack(bytes("ack")).value(), examples::ack());
    EXPECT_EQ(decode_hello(text("hello")).value(), examples::hello());
    EXPECT_EQ(decode_welcome(text("welcome")).value(), examples::welcome());
    EXPECT_EQ(decode_status(text("status")).value(), examples::status());
    EXPECT_EQ(decode_device_health(text("device_health")).value(), examples::device_health());
    EXPECT_EQ(decode_node_health(text("health")).value(), examples::node_health());
}

}  // namespace
}  // namespace basmalin
