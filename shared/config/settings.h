// Inside shared/config: a TOML file as a plain tree, and one declared setting. No library header is needed to read either.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "shared/base/clock.h"
#include "shared/base/result.h"
#include "shared/config/config.h"

namespace basmalin::config {

struct Node {
    struct Member;
    using Array = std::vector<Node>;
    using Table = std::vector<Member>;  // in the order of the file
    struct Moment {};                                         // a date or a time: no setting takes one
    std::variant<std::string, int64_t, double, bool, Array, Table, Moment> value;
    int64_t line = 0;  // 0: from no file
};
struct Node::Member {
    std::string key;
    Node node;
};

// The top table. An error says `name:line: what`.
Result<Node> parse_toml(std::string_view text, std::string_view name);

// What a value would do if everything is right, or what is wrong with it ("\"lots\" is no size").
using Assign = std::function<void()>;
using Parsed = std::expected<Assign, std::string>;

// Shapes of values. The text of an unreadable value is quoted and cut at 60 bytes.
std::string describe(const Node& node);
std::expected<int64_t, std::string> read_bytes(const Node& node);
std::expected<int64_t, std::string> read_duration_ms(const Node& node);
std::string bytes_text(int64_t bytes);        // 64 MiB
std::string duration_text(Duration duration);  // 10 s
std::string text_literal(std::string_view text);  // "a \"quoted\" text"
std::string number_literal(double number);
// Reads a secret's file; the error never shows its content.
std::expected<std::string, std::string> read_secret(const std::string& file);

// The candidate that `word` was probably meant to be, or an empty string.
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace basmalin::config

namespace basmalin {

struct Schema::Setting {
    std::string section;
    std::string key;
    std::string help;
    std::string range;    // "size, 1 MiB to 1 TiB": for help and example
    std::string expects;  // "give bytes as …": after what is wrong
    std::string first;    // the default as a TOML literal
    bool mandatory = false;  // the default is refused by the setting's own check
    std::function<config::Parsed(const config::Node&)> parse;
    std::function<config::Parsed()> reset;   // to the default; wrong when the default is (R4)
    std::function<std::string()> show;       // the value in force as a TOML literal

    std::string path() const { return section.empty() ? key : section + "." + key; }
};

struct Schema::Impl {
    struct Section {
        std::string name;
        std::string help;
    };
    struct Table {
        std::string name;
        std::string help;
        std::shared_ptr<Rows> rows;
    };
    std::vector<Section> sections;
    std::vector<Setting> settings;
    std::vector<Table> tables;
    std::string section;  // where the next setting goes

    class Loading;

    Setting& add(std::string key, std::string help, std::string range, std::string expects);
    const Setting* find(std::string_view path) const;
    const Table* find_table(std::string_view name) const;
    bool is_section(std::string_view path) const;  // or leads to one
};

}  // namespace basmalin
