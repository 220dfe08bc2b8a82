#include <algorithm>
#include <map>

#include "shared/base/file.h"
#include "shared/base/ids.h"
#include "shared/config/settings.h"

namespace basmalin {

using config::Assign;
using config::Node;
using config::Parsed;

// One load: problems and assignments are gathered; nothing is assigned before commit().
class Schema::Impl::Loading {
  public:
    Loading(const Impl& schema, std::string name, std::string prefix) : schema_(schema), name_(std::move(name)), prefix_(std::move(prefix)) {}

    void walk(const Node::Table& table, const std::string& above);
    void override_one(const std::string& text);
    void defaults();
    // Takes over what another load of the same schema found; its values win.
    void adopt(Loading& later);
    bool right() const { return count_ == 0; }
    std::string problems() const;
    void commit() const {
        for (const auto& [path, assign] : assigns_) assign();
    }

  private:
    static constexpr size_t problems_max = 50;

    void problem(int64_t line, const std::string& path, const std::string& what) {
        if (++count_ > problems_max) return;
        problems_.push_back(name_ + (line > 0 ? ":" + std::to_string(line) : "") + ": " + prefix_ + path + ": " + what);
    }
    void adopt_problems(Loading& other) {
        count_ += other.count_;
        for (std::string& one : other.problems_)
            if (problems_.size() < problems_max) problems_.push_back(std::move(one));
    }
    void take(const Setting& setting, const Node& node);
    void rows(const Table& table, const Node& node);
    void unknown(const std::string& above, const std::string& key, const Node& node);
    std::string suggestion(const std::string& above, const std::string& key) const;

    const Impl& schema_;
    const std::string name_;    // of the file
    const std::string prefix_;  // "device[2]." in a row
    std::map<std::string, Assign> assigns_;
    std::vector<std::string> seen_;  // paths with a value or a problem of their own
    std::vector<std::string> problems_;
    size_t count_ = 0;
};

namespace {

bool plain_key(std::string_view key) { return is_name(key) && !key.contains('.'); }

std::string join_path(const std::string& above, const std::string& key) { return above.empty() ? key : above + "." + key; }

// A key as it may be shown: hostile ones are quoted and cut.
std::string shown(const std::string& key) { return plain_key(key) ? key : config::describe(Node{key, 0}); }

}  // namespace

void Schema::Impl::Loading::take(const Setting& setting, const Node& node) {
    const std::string path = setting.path();
    seen_.push_back(path);
    Parsed parsed = setting.parse(node);
    if (parsed)
        assigns_[path] = std::move(*parsed);
    else
        problem(node.line, path, parsed.error() + "; " + setting.expects);
}

void Schema::Impl::Loading::walk(const Node::Table& table, const std::string& above) {
    for (const auto& [key, node] : table) {
        const std::string path = join_path(above, key);
        if (!plain_key(key)) {
            unknown(above, key, node);
        } else if (const Setting* setting = schema_.find(path)) {
            take(*setting, node);
        } else if (const Table* declared = schema_.find_table(path)) {
            rows(*declared, node);
        } else if (!schema_.is_section(path)) {
            unknown(above, key, node);
        } else if (const auto* inner = std::get_if<Node::Table>(&node.value)) {
            walk(*inner, path);
        } else {
            problem(node.line, path, config::describe(node) + " is no section; write [" + path + "] and its settings below");
        }
    }
}

void Schema::Impl::Loading::rows(const Table& table, const Node& node) {
    const auto* items = std::get_if<Node::Array>(&node.value);
    if (items == nullptr) return problem(node.line, table.name, config::describe(node) + " is no list of rows; write [[" + table.name + "]]");
    table.rows->begin();
    for (size_t i = 0; i < items->size(); ++i) {
        const Node& item = (*items)[i];
        const std::string name = table.name + "[" + std::to_string(i + 1) + "]";
        const auto* fields = std::get_if<Node::Table>(&item.value);
        if (fields == nullptr) {
            problem(item.line, name, config::describe(item) + " is no row; write [[" + table.name + "]]");
            continue;
        }
        Schema& row = table.rows->add();
        Loading loading(*row.impl_, name_, prefix_ + name + ".");
        loading.walk(*fields, "");
        loading.defaults();
        loading.commit();  // into a row that is not in force yet
        adopt_problems(loading);
    }
    seen_.push_back(table.name);
    assigns_[table.name] = [kept = table.rows] { kept->keep(); };
}

std::string Schema::Impl::Loading::suggestion(const std::string& above, const std::string& key) const {
    std::vector<std::string> here;
    for (const Setting& setting : schema_.settings)
        if (setting.section == above) here.push_back(setting.key);
    if (const std::string meant = config::nearest(key, here); !meant.empty()) return "did you mean " + join_path(above, meant) + "?";
    for (const Setting& setting : schema_.settings)
        if (setting.key == key) return "did you mean " + setting.path() + "?";
    std::vector<std::string> headings;
    for (const Section& one : schema_.sections)
        if (!one.name.empty()) headings.push_back(one.name);
    for (const Table& table : schema_.tables) headings.push_back(table.name);
    if (const std::string meant = config::nearest(join_path(above, key), headings); !meant.empty()) return "did you mean [" + meant + "]?";
    std::string known;
    for (const std::string& one : above.empty() && here.empty() ? headings : here) known += (known.empty() ? "" : ", ") + one;
    if (known.empty()) return "nothing is known here";
    return known.size() <= 200 ? "known here: " + known : "see --help for what is known";
}

void Schema::Impl::Loading::unknown(const std::string& above, const std::string& key, const Node& node) {
    if (count_ >= problems_max) {
        ++count_;
        return;
    }
    const bool is_table = std::holds_alternative<Node::Table>(node.value);
    problem(node.line, join_path(above, shown(key)), std::string(is_table ? "no such section; " : "no such setting; ") + suggestion(above, key));
}

void Schema::Impl::Loading::override_one(const std::string& text) {
    if (!is_utf8(text)) return problem(0, "a setting", "no valid UTF-8");
    const size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0) return problem(0, config::describe(Node{text, 0}), "write section.key=value");
    const std::string path = text.substr(0, equals);
    const std::string value = text.substr(equals + 1);
    const Setting* setting = schema_.find(path);
    if (setting == nullptr) {
        if (!is_name(path)) return problem(0, config::describe(Node{path, 0}), "no such setting; write section.key=value");
        if (schema_.find_table(path) != nullptr) return problem(0, path, "rows can be given only in the file");
        const size_t dot = path.rfind('.');
        const std::string above = dot == std::string::npos ? "" : path.substr(0, dot);
        const std::string key = dot == std::string::npos ? path : path.substr(dot + 1);
        return problem(0, path, "no such setting; " + suggestion(above, key));
    }
    auto toml = config::parse_toml("x = " + value, "override");
    const auto* top = toml ? std::get_if<Node::Table>(&toml->value) : nullptr;
    Node bare{value, 0};
    if (top == nullptr || top->size() != 1) return take(*setting, bare);
    Node typed = top->front().node;
    typed.line = 0;
    if (setting->parse(typed)) return take(*setting, typed);
    // The wrong type as TOML (a node named 12), unless the text is wrong too: then the error is about what was written.
    take(*setting, setting->parse(bare) ? bare : typed);
}

void Schema::Impl::Loading::adopt(Loading& later) {
    adopt_problems(later);
    seen_.insert(seen_.end(), later.seen_.begin(), later.seen_.end());
    for (auto& [path, assign] : later.assigns_) assigns_[path] = std::move(assign);
}

void Schema::Impl::Loading::defaults() {
    for (const Setting& setting : schema_.settings) {
        const std::string path = setting.path();
        if (std::find(seen_.begin(), seen_.end(), path) != seen_.end()) continue;
        Parsed first = setting.reset();
        if (first)
            assigns_[path] = std::move(*first);
        else
            problem(0, path, first.error() + "; " + setting.expects);
    }
    for (const Table& table : schema_.tables)
        if (std::find(seen_.begin(), seen_.end(), table.name) == seen_.end()) assigns_[table.name] = [kept = table.rows] { kept->keep_first(); };
}

std::string Schema::Impl::Loading::problems() const {
    std::string out;
    for (const std::string& one : problems_) out += (out.empty() ? "" : "\n") + one;
    if (count_ > problems_.size()) out += "\nand " + std::to_string(count_ - problems_.size()) + " more";
    return out;
}

Result<void> Schema::load(const std::string& path, const std::vector<std::string>& overrides) {
    if (path.empty()) return load_text("", "settings", overrides);
    auto text = read_file(path, 1 << 20);
    if (!text) {
        text.error().hint = text.error().code == Code::NotFound ? "give the path of a settings file; --help shows every setting" : "";
        return pass(text, "settings");
    }
    return load_text(*text, path, overrides);
}

Result<void> Schema::load_text(std::string_view toml, std::string_view name, const std::vector<std::string>& overrides) {
    auto top = config::parse_toml(toml, name);
    if (!top) return pass(top);
    Impl::Loading loading(*impl_, std::string(name), "");
    loading.walk(std::get<Node::Table>(top->value), "");
    Impl::Loading given(*impl_, "override", "");
    for (const std::string& one : overrides) given.override_one(one);
    loading.adopt(given);
    loading.defaults();
    if (!loading.right()) return fail(Code::Invalid, loading.problems());
    loading.commit();
    return {};
}

}  // namespace basmalin
