#include "agent/sources/ha_template.h"

#include <algorithm>
#include <cmath>

#include "agent/sources/names.h"
#include "agent/sources/readings.h"

namespace basmalin::agent {
namespace {

constexpr size_t steps_max = 16;
constexpr size_t filters_max = 8;
constexpr size_t text_max = 512;

bool is_identifier(char c, bool first) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (!first && c >= '0' && c <= '9');
}

}  // namespace

class Template::Parser {
  public:
    explicit Parser(std::string_view text) : rest_(text) {}

    Result<Template> parse() {
        Template out;
        const std::string_view name = identifier();
        if (name == "value_json")
            out.json_ = true;
        else if (name != "value")
            return refuse("it begins with neither value nor value_json");
        if (out.json_ && !steps(out)) return refuse("a step of its path");
        if (!filters(out)) return refuse("a filter beyond float, int, round, is_defined, default");
        blanks();
        if (!rest_.empty()) return refuse("an expression");
        return out;
    }

  private:
    static std::unexpected<Error> refuse(std::string what) { return fail(Code::Invalid, "template not understood: " + std::move(what)); }

    void blanks() {
        while (!rest_.empty() && (rest_.front() == ' ' || rest_.front() == '\t' || rest_.front() == '\n' || rest_.front() == '\r'))
            rest_.remove_prefix(1);
    }
    bool take(char c) {
        blanks();
        if (rest_.empty() || rest_.front() != c) return false;
        rest_.remove_prefix(1);
        return true;
    }
    std::string_view identifier() {
        blanks();
        size_t n = 0;
        while (n < rest_.size() && is_identifier(rest_[n], n == 0)) ++n;
        const std::string_view word = rest_.substr(0, n);
        rest_.remove_prefix(n);
        return word;
    }
    // A quoted text without escapes, or nothing.
    std::optional<std::string> quoted() {
        blanks();
        if (rest_.empty() || (rest_.front() != '\'' && rest_.front() != '"')) return std::nullopt;
        const size_t end = rest_.find(rest_.front(), 1);
        if (end == std::string_view::npos) return std::nullopt;
        std::string text(rest_.substr(1, end - 1));
        if (text.find('\\') != std::string::npos) return std::nullopt;
        rest_.remove_prefix(end + 1);
        return text;
    }
    std::optional<double> number() {
        blanks();
        size_t n = 0;
        while (n < rest_.size() && ((rest_[n] >= '0' && rest_[n] <= '9') || rest_[n] == '.' || (n == 0 && rest_[n] == '-'))) ++n;
        const auto value = parse_number(rest_.substr(0, n));
        if (value) rest_.remove_prefix(n);
        return value;
    }

    bool steps(Template& out) {
        for (;;) {
            if (out.steps_.size() > steps_max) return false;
            if (!rest_.empty() && rest_.front() == '.') {
                rest_.remove_prefix(1);
                const std::string_view key = identifier();
                if (key.empty()) return false;
                out.steps_.push_back({std::string(key), -1});
            } else if (!rest_.empty() && rest_.front() == '[') {
                rest_.remove_prefix(1);
                if (auto key = quoted()) {
                    if (key->empty()) return false;
                    out.steps_.push_back({std::move(*key), -1});
                } else if (const auto index = number(); index && *index >= 0 && *index < 10'000 && std::trunc(*index) == *index) {
                    out.steps_.push_back({{}, static_cast<int64_t>(*index)});
                } else {
                    return false;
                }
                if (!take(']')) return false;
            } else {
                // A method call or a second word is not a path.
                return rest_.empty() || rest_.front() != '(';
            }
        }
    }

    bool filters(Template& out) {
        while (take('|')) {
            if (out.filters_.size() >= filters_max) return false;
            const std::string_view name = identifier();
            Json argument;
            bool given = false;
            if (take('(')) {
                if (!take(')')) {
                    given = true;
                    if (!literal(argument) || !take(')')) return false;
                }
            }
            if (name == "float")
                out.filters_.push_back({Filter::Float, {}});
            else if (name == "int")
                out.filters_.push_back({Filter::Int, {}});
            else if (name == "round" && (!given || argument.is_number()))
                out.filters_.push_back({Filter::Round, std::move(argument)});
            else if (name == "is_defined" && !given)
                out.filters_.push_back({Filter::IsDefined, {}});
            else if ((name == "default" || name == "d") && given)
                out.filters_.push_back({Filter::Default, std::move(argument)});
            else
                return false;
        }
        return true;
    }

    bool literal(Json& out) {
        if (auto text = quoted()) {
            out = Json(std::move(*text));
            return true;
        }
        if (const auto value = number()) {
            out = Json(*value);
            return true;
        }
        const std::string_view word = identifier();
        if (word == "true" || word == "True")
            out = Json(true);
        else if (word == "false" || word == "False")
            out = Json(false);
        else if (word == "none" || word == "None")
            out = Json();
        else
            return false;
        return true;
    }

    std::string_view rest_;
};

Result<Template> Template::compile(std::string_view text) {
    text = trimmed(text);
    if (text.empty()) return Template{};
    if (text.size() > text_max) return fail(Code::Invalid, "template not understood: longer than 512 bytes");
    if (!text.starts_with("{{") || !text.ends_with("}}") || text.size() < 4)
        return fail(Code::Invalid, "template not understood: more than one {{ }}");
    text.remove_prefix(2);
    text.remove_suffix(2);
    if (text.starts_with('-')) text.remove_prefix(1);
    if (text.ends_with('-')) text.remove_suffix(1);
    return Parser(text).parse();
}

std::optional<Json> Template::render(std::string_view payload, const Json* json) const {
    std::optional<Json> value;
    if (!json_) {
        value = Json(std::string(payload.substr(0, 4096)));
    } else {
        Json scalar;
        if (json == nullptr) {
            auto read = parse_json(trimmed(payload).substr(0, 4096), {.bytes_max = 4096, .depth_max = 1, .values_max = 1});
            if (!read) return std::nullopt;
            scalar = std::move(*read);
            json = &scalar;
        }
        const Json* at = json;
        for (const Step& step : steps_) {
            if (!step.key.empty())
                at = at->has(step.key) ? &(*at)[step.key] : nullptr;
            else
                at = static_cast<size_t>(step.index) < at->as_array().size() ? &at->as_array()[static_cast<size_t>(step.index)] : nullptr;
            if (at == nullptr) break;
        }
        if (at != nullptr && !at->is_object() && !at->is_array()) value = *at;
    }
    for (const Applied& applied : filters_) {
        if (applied.filter == Filter::Default) {
            if (!value) value = applied.argument;
            continue;
        }
        if (!value || applied.filter == Filter::IsDefined) continue;
        double number = 0;
        if (value->is_number()) {
            number = value->as_double();
        } else if (const auto parsed = parse_number(to_plain_text(*value))) {
            number = *parsed;
        } else {
            return Json("nan");  // said, and not a number
        }
        if (applied.filter == Filter::Int) number = std::trunc(number);
        if (applied.filter == Filter::Round) {
            const double places = std::clamp(applied.argument.as_double(0), -9.0, 15.0);
            const double scale = std::pow(10.0, std::trunc(places));
            const double scaled = std::nearbyint(number * scale) / scale;
            if (std::isfinite(scaled)) number = scaled;
        }
        value = Json(number);
    }
    return value;
}

}  // namespace basmalin::agent
