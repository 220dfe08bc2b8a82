#include "shared/config/config.h"

#include <algorithm>
#include <cmath>

#include "shared/config/settings.h"

namespace basmalin {

using config::Assign;
using config::Node;
using config::Parsed;

namespace {

std::string quoted(const std::string& text) { return "\"" + text + "\""; }

std::string list(const std::vector<std::string>& texts, std::string_view separator) {
    std::string out;
    for (const std::string& text : texts) {
        if (!out.empty()) out += separator;
        out += config::text_literal(text);
    }
    return out;
}

std::string array_literal(const std::vector<std::string>& texts) { return "[" + list(texts, ", ") + "]"; }

// Joins a field to its setting: `read` makes a value of a node, `show` a literal of the field's value.
template <class T, class Read, class Show>
void join(Schema::Setting& setting, T& field, Read read, Show show) {
    setting.first = show(field);
    setting.show = [&field, show] { return show(field); };
    setting.reset = [&field, first = field]() -> Parsed { return Assign([&field, first] { field = first; }); };
    setting.parse = [&field, read](const Node& node) -> Parsed {
        std::expected<T, std::string> value = read(node);
        if (!value) return std::unexpected(std::move(value.error()));
        return Assign([&field, kept = std::move(*value)] { field = kept; });
    };
}

template <class T>
std::expected<T, std::string> within(const Node& node, T value, T least, T most) {
    if (!(value >= least && value <= most)) return std::unexpected(config::describe(node) + " is out of bounds");
    return value;
}

std::expected<std::string, std::string> read_text(const Node& node) {
    if (const auto* text = std::get_if<std::string>(&node.value)) return *text;
    return std::unexpected(config::describe(node) + " is no text");
}

}  // namespace

Schema::Schema() : impl_(std::make_unique<Impl>()) {}
Schema::~Schema() = default;
Schema::Schema(Schema&&) noexcept = default;
Schema& Schema::operator=(Schema&&) noexcept = default;

Schema::Setting& Schema::Impl::add(std::string key, std::string help, std::string range, std::string expects) {
    const auto named = [this](const Section& s) { return s.name == section; };
    if (std::none_of(sections.begin(), sections.end(), named)) sections.insert(sections.begin(), {section, ""});
    Setting& setting = settings.emplace_back();
    setting.section = section;
    setting.key = std::move(key);
    setting.help = std::move(help);
    setting.range = std::move(range);
    setting.expects = std::move(expects);
    return setting;
}

const Schema::Setting* Schema::Impl::find(std::string_view path) const {
    for (const Setting& setting : settings)
        if (setting.path() == path) return &setting;
    return nullptr;
}

const Schema::Impl::Table* Schema::Impl::find_table(std::string_view name) const {
    for (const Table& table : tables)
        if (table.name == name) return &table;
    return nullptr;
}

bool Schema::Impl::is_section(std::string_view path) const {
    const std::string leading = std::string(path) + ".";
    const auto leads = [&](const std::string& name) { return name == path || name.starts_with(leading); };
    return std::any_of(sections.begin(), sections.end(), [&](const Section& s) { return leads(s.name); }) ||
           std::any_of(tables.begin(), tables.end(), [&](const Table& t) { return t.name.starts_with(leading); });
}

void Schema::section(std::string name, std::string help) {
    const auto same = [&](const Impl::Section& s) { return s.name == name; };
    const auto known = std::find_if(impl_->sections.begin(), impl_->sections.end(), same);
    if (known != impl_->sections.end()) {
        if (!help.empty()) known->help = std::move(help);
    } else {
        // TOML wants the settings of the top of the file before any section.
        impl_->sections.insert(name.empty() ? impl_->sections.begin() : impl_->sections.end(), {name, std::move(help)});
    }
    impl_->section = std::move(name);
}

void Schema::text(std::string key, std::string& field, std::string help) { text(std::move(key), field, std::move(help), nullptr); }

void Schema::text(std::string key, std::string& field, std::string help, std::function<std::string(const std::string&)> check) {
    Setting& setting = impl_->add(std::move(key), std::move(help), "text", "give a text in quotes");
    const auto read = [check](const Node& node) -> std::expected<std::string, std::string> {
        auto value = read_text(node);
        if (!value || !check) return value;
        if (std::string wrong = check(*value); !wrong.empty()) return std::unexpected(config::describe(node) + ": " + wrong);
        return value;
    };
    join(setting, field, read, config::text_literal);
    setting.mandatory = check && !check(field).empty();
    if (!setting.mandatory) return;
    setting.reset = [first = field, check]() -> Parsed { return std::unexpected("must be set: " + check(first)); };
}

void Schema::choice(std::string key, std::string& field, std::vector<std::string> allowed, std::string help) {
    Setting& setting = impl_->add(std::move(key), std::move(help), "one of " + list(allowed, ", "), "give one of " + list(allowed, ", "));
    const auto read = [allowed](const Node& node) -> std::expected<std::string, std::string> {
        auto value = read_text(node);
        if (!value || std::find(allowed.begin(), allowed.end(), *value) != allowed.end()) return value;
        const std::string meant = config::nearest(*value, allowed);
        return std::unexpected(config::describe(node) + " is not among the choices" + (meant.empty() ? "" : "; did you mean " + quoted(meant) + "?"));
    };
    join(setting, field, read, config::text_literal);
}

void Schema::flag(std::string key, bool& field, std::string help) {
    Setting& setting = impl_->add(std::move(key), std::move(help), "true or false", "give true or false, without quotes");
    const auto read = [](const Node& node) -> std::expected<bool, std::string> {
        if (const auto* value = std::get_if<bool>(&node.value)) return *value;
        return std::unexpected(config::describe(node) + " is neither true nor false");
    };
    join(setting, field, read, [](bool v) { return std::string(v ? "true" : "false"); });
}

void Schema::integer(std::string key, int64_t& field, int64_t least, int64_t most, std::string help) {
    const std::string range = std::to_string(least) + " to " + std::to_string(most);
    Setting& setting = impl_->add(std::move(key), std::move(help), "whole number, " + range, "give a whole number from " + range);
    const auto read = [least, most](const Node& node) -> std::expected<int64_t, std::string> {
        if (const auto* value = std::get_if<int64_t>(&node.value)) return within(node, *value, least, most);
        return std::unexpected(config::describe(node) + " is no whole number");
    };
    join(setting, field, read, [](int64_t v) { return std::to_string(v); });
}

void Schema::number(std::string key, double& field, double least, double most, std::string help) {
    const std::string range = config::number_literal(least) + " to " + config::number_literal(most);
    Setting& setting = impl_->add(std::move(key), std::move(help), "number, " + range, "give a number from " + range);
    const auto read = [least, most](const Node& node) -> std::expected<double, std::string> {
        if (const auto* value = std::get_if<double>(&node.value)) return within(node, *value, least, most);
        if (const auto* whole = std::get_if<int64_t>(&node.value)) return within(node, static_cast<double>(*whole), least, most);
        return std::unexpected(config::describe(node) + " is no number");
    };
    join(setting, field, read, config::number_literal);
}

void Schema::duration(std::string key, Duration& field, Duration least, Duration most, std::string help) {
    const std::string range = config::duration_text(least) + " to " + config::duration_text(most);
    Setting& setting = impl_->add(std::move(key), std::move(help), "duration, " + range,
                                  "give a duration as \"500 ms\" \"10 s\" \"5 min\" \"24 h\" \"7 d\" or a number of seconds from " + range);
    const auto read = [least, most](const Node& node) -> std::expected<Duration, std::string> {
        auto value = config::read_duration_ms(node);
        if (!value) return std::unexpected(std::move(value.error()));
        return within(node, Duration{*value}, least, most);
    };
    join(setting, field, read, [](Duration v) { return quoted(config::duration_text(v)); });
}

void Schema::bytes(std::string key, int64_t& field, int64_t least, int64_t most, std::string help) {
    const std::string range = config::bytes_text(least) + " to " + config::bytes_text(most);
    Setting& setting = impl_->add(std::move(key), std::move(help), "size, " + range, "give bytes as \"64 MiB\" or a number from " + range);
    const auto read = [least, most](const Node& node) -> std::expected<int64_t, std::string> {
        auto value = config::read_bytes(node);
        if (!value) return value;
        return within(node, *value, least, most);
    };
    join(setting, field, read, [](int64_t v) { return quoted(config::bytes_text(v)); });
}

void Schema::port(std::string key, uint16_t& field, std::string help) {
    const int64_t least = field == 0 ? 0 : 1;
    const std::string range = std::to_string(least) + " to 65535";
    Setting& setting = impl_->add(std::move(key), std::move(help), "port, " + range, "give a port from " + range);
    const auto read = [least](const Node& node) -> std::expected<uint16_t, std::string> {
        const auto* value = std::get_if<int64_t>(&node.value);
        if (value == nullptr || *value < least || *value > 65535) return std::unexpected(config::describe(node) + " is no port");
        return static_cast<uint16_t>(*value);
    };
    join(setting, field, read, [](uint16_t v) { return std::to_string(v); });
}

void Schema::secret(std::string key, Secret& field, std::string help) {
    Setting& setting = impl_->add(std::move(key), std::move(help), "path of a file with the secret, or \"credential:NAME\"",
                                  "give the path of a file that holds the secret and that only its owner can read, or \"credential:NAME\"");
    const auto read = [](const Node& node) -> std::expected<Secret, std::string> {
        const auto* file = std::get_if<std::string>(&node.value);
        if (file == nullptr) return std::unexpected("no text was given");  // R6: what stands there may be the secret itself
        auto value = config::read_secret(*file);
        if (!value) return std::unexpected(std::move(value.error()));
        return Secret{*file, std::move(*value)};
    };
    join(setting, field, read, [](const Secret& s) { return std::string(s.file.empty() && s.value.empty() ? "\"\"" : "\"***\""); });
    setting.first = config::text_literal(field.file);
    if (field.file.empty()) return;
    setting.reset = [parse = setting.parse, file = field.file] { return parse(Node{file, 0}); };
}

void Schema::texts(std::string key, std::vector<std::string>& field, std::string help) {
    Setting& setting = impl_->add(std::move(key), std::move(help), "array of texts", "give texts as [\"one\", \"two\"]");
    const auto read = [](const Node& node) -> std::expected<std::vector<std::string>, std::string> {
        const auto* items = std::get_if<Node::Array>(&node.value);
        if (items == nullptr) return std::unexpected(config::describe(node) + " is no array of texts");
        std::vector<std::string> out;
        for (const Node& item : *items) {
            auto text = read_text(item);
            if (!text) return std::unexpected(std::move(text.error()));
            out.push_back(std::move(*text));
        }
        return out;
    };
    join(setting, field, read, array_literal);
}

void Schema::add_table(std::string name, std::string help, std::shared_ptr<Rows> rows) {
    impl_->tables.push_back({std::move(name), std::move(help), std::move(rows)});
}

}  // namespace basmalin
