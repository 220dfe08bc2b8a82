#include "shared/config/settings.h"

namespace basmalin {
namespace {

constexpr size_t columns = 100;

size_t width_of(std::string_view text) {
    size_t characters = 0;
    for (const char c : text) characters += (static_cast<unsigned char>(c) & 0xC0) != 0x80 ? 1 : 0;
    return characters;
}

// Words of `text` in lines of at most `columns`, each line after `lead`.
void wrap(std::string& out, std::string_view text, const std::string& lead) {
    std::string line;
    const auto flush = [&] {
        if (!line.empty()) out += lead + line + "\n";
        line.clear();
    };
    while (!text.empty()) {
        const size_t blank = std::min(text.find_first_of(" \n"), text.size());
        const std::string_view word = text.substr(0, blank);
        if (!line.empty() && width_of(lead) + width_of(line) + 1 + width_of(word) > columns) flush();
        if (!word.empty()) line += (line.empty() ? "" : " ") + std::string(word);
        if (blank < text.size() && text[blank] == '\n') flush();
        text.remove_prefix(std::min(blank + 1, text.size()));
    }
    flush();
}

std::string range_of(const Schema::Setting& setting) { return setting.range + (setting.mandatory ? "; must be set" : ""); }

void help_of(std::string& out, const Schema::Setting& setting) {
    out += "  " + setting.key + " = " + setting.first + "\n";
    wrap(out, setting.help + " (" + range_of(setting) + ")", "      ");
}

void example_of(std::string& out, const Schema::Setting& setting, const std::string& mark) {
    out += "\n";
    wrap(out, setting.help, "# ");
    wrap(out, "(" + range_of(setting) + ")", "# ");
    out += mark + setting.key + " = " + setting.first + "\n";
}

}  // namespace

std::string Schema::help() const {
    std::string out;
    for (const Impl::Section& section : impl_->sections) {
        if (!section.name.empty()) out += (out.empty() ? "[" : "\n[") + section.name + "]\n";
        wrap(out, section.help, "  ");
        for (const Setting& setting : impl_->settings)
            if (setting.section == section.name) help_of(out, setting);
    }
    for (const Impl::Table& table : impl_->tables) {
        out += (out.empty() ? "[[" : "\n[[") + table.name + "]]  (any number of them)\n";
        wrap(out, table.help, "  ");
        table.rows->sample([&](const Schema& row) {
            for (const Setting& setting : row.impl_->settings) help_of(out, setting);
        });
    }
    return out;
}

// Settings stand as `#key = default`, so that a file made from this follows the defaults of later versions; what explains
// begins with "# ".
std::string Schema::example() const {
    std::string out;
    for (const Impl::Section& section : impl_->sections) {
        if (!out.empty()) out += "\n";
        wrap(out, section.help, "# ");
        if (!section.name.empty()) out += "[" + section.name + "]\n";
        for (const Setting& setting : impl_->settings)
            if (setting.section == section.name) example_of(out, setting, "#");
    }
    for (const Impl::Table& table : impl_->tables) {
        out += "\n";
        wrap(out, table.help, "# ");
        out += "# [[" + table.name + "]]\n";
        table.rows->sample([&](const Schema& row) {
            for (const Setting& setting : row.impl_->settings) example_of(out, setting, "# ");
        });
    }
    return out;
}

std::string Schema::dump() const {
    std::string out;
    for (const Impl::Section& section : impl_->sections) {
        if (!section.name.empty()) out += "[" + section.name + "]\n";
        for (const Setting& setting : impl_->settings)
            if (setting.section == section.name) out += setting.key + " = " + setting.show() + "\n";
    }
    for (const Impl::Table& table : impl_->tables) {
        table.rows->each([&](const Schema& row) {
            out += "[[" + table.name + "]]\n";
            for (const Setting& setting : row.impl_->settings) out += setting.key + " = " + setting.show() + "\n";
        });
    }
    return out;
}

}  // namespace basmalin
