#include "shared/metrics/registry.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <type_traits>
#include <utility>
#include <variant>

#include "shared/base/ids.h"
#include "shared/base/result.h"
#include "shared/metrics/names.h"

namespace basmalin {
namespace {

constexpr std::string_view other = "_other";

std::string clean(std::string_view text) {
    std::string out(text);
    if (is_utf8(out)) return out;
    for (char& c : out) {
        if (static_cast<unsigned char>(c) >= 0x80) c = '?';
    }
    return out;
}

void append_escaped(std::string& out, std::string_view text, bool quotes) {
    for (const char c : text) {
        if (c == '\\') out += "\\\\";
        else if (c == '\n') out += "\\n";
        else if (c == '"' && quotes) out += "\\\"";
        else out += c;
    }
}

void append_number(std::string& out, double v) {
    if (std::isnan(v)) {
        out += "NaN";
        return;
    }
    if (std::isinf(v)) {
        out += v > 0 ? "+Inf" : "-Inf";
        return;
    }
    std::array<char, 40> text;
    constexpr double whole_max = 1e15;
    const bool whole = std::abs(v) < whole_max && v == std::floor(v);
    const auto end = whole ? std::to_chars(text.data(), text.data() + text.size(), static_cast<int64_t>(v))
                           : std::to_chars(text.data(), text.data() + text.size(), v);
    out.append(text.data(), end.ptr);
}

// OpenMetrics wants the canonical "1.0" for whole bounds; Prometheus' own clients write "1".
std::string bound_text(double bound, Exposition format) {
    std::string text;
    append_number(text, bound);
    if (format == Exposition::OpenMetrics && text.find_first_of(".eIN") == std::string::npos) text += ".0";
    return text;
}

void append_sample(std::string& out, std::string_view name, std::string_view labels, double value) {
    out += name;
    if (!labels.empty()) {
        out += '{';
        out += labels;
        out += '}';
    }
    out += ' ';
    append_number(out, value);
    out += '\n';
}

void append_histogram(std::string& out, const std::string& name, const std::string& labels, const Histogram& histogram,
                      const std::vector<std::string>& bounds) {
    uint64_t total = 0;
    for (size_t i = 0; i < bounds.size(); ++i) {
        total += histogram.counts()[i];
        out += name;
        out += "_bucket{";
        out += labels;
        if (!labels.empty()) out += ',';
        out += "le=\"";
        out += bounds[i];
        out += "\"} ";
        append_number(out, static_cast<double>(total));
        out += '\n';
    }
    append_sample(out, name + "_sum", labels, histogram.sum());
    append_sample(out, name + "_count", labels, static_cast<double>(total));
}

template <class T>
void append_children(std::string& out, const Registry::Family<T>& family, const std::vector<double>& bounds, Exposition format) {
    const std::string& name = family.options().name;
    if constexpr (std::is_same_v<T, Histogram>) {
        std::vector<std::string> texts;
        for (const double bound : bounds) texts.push_back(bound_text(bound, format));
        texts.emplace_back("+Inf");
        for (const auto& [values, child] : family.children()) append_histogram(out, name, child.labels, child.metric, texts);
    } else {
        for (const auto& [values, child] : family.children()) append_sample(out, name, child.labels, child.metric.value());
    }
}

}  // namespace

void Histogram::observe(double v) {
    if (std::isnan(v)) return;
    const auto bucket = std::lower_bound(bounds_->begin(), bounds_->end(), v);
    ++counts_[static_cast<size_t>(bucket - bounds_->begin())];
    sum_ += v;
}

struct Registry::Entry {
    const char* type = "";
    std::variant<std::unique_ptr<Family<Counter>>, std::unique_ptr<Family<Gauge>>, std::unique_ptr<Family<Histogram>>,
                 std::unique_ptr<ReadGauge>>
        family;
};

Registry::Registry() = default;
Registry::~Registry() = default;

std::string Registry::labels_of(const std::vector<std::string>& names, const std::vector<std::string>& values) {
    std::string labels;
    for (size_t i = 0; i < values.size() && i < names.size(); ++i) {
        if (i > 0) labels += ',';
        labels += names[i];
        labels += "=\"";
        append_escaped(labels, clean(values[i]), true);
        labels += '"';
    }
    return labels;
}

template <class T>
T& Registry::Family<T>::add(const std::vector<std::string>& values) {
    std::string labels = labels_of(options_.label_names, values);
    if constexpr (std::is_same_v<T, Histogram>) {
        return children_.emplace(values, Child{Histogram(bounds_), std::move(labels)}).first->second.metric;
    } else {
        return children_.emplace(values, Child{T{}, std::move(labels)}).first->second.metric;
    }
}

template <class T>
T& Registry::Family<T>::with(const std::vector<std::string>& values) {
    if (const auto found = children_.find(values); found != children_.end()) return found->second.metric;
    if (values.size() != options_.label_names.size()) {
        broken_invariant("metric " + options_.name + ": one value for each label is needed");
    }
    std::vector<std::string> wanted;
    for (const std::string& value : values) wanted.push_back(clean(value));
    if (wanted != values) {  // the rare value that is not UTF-8: two of them may share a child
        if (const auto found = children_.find(wanted); found != children_.end()) return found->second.metric;
    }
    if (options_.children_max == 0 || children_.size() - overflow_children_ < options_.children_max) return add(wanted);
    for (size_t i = 0; i < wanted.size(); ++i) {
        if (options_.label_names[i] == options_.overflow_label) wanted[i] = other;
    }
    if (const auto found = children_.find(wanted); found != children_.end()) return found->second.metric;
    if (overflow_children_ >= options_.children_max) {
        for (std::string& value : wanted) value = other;
        if (const auto found = children_.find(wanted); found != children_.end()) return found->second.metric;
    }
    ++overflow_children_;
    return add(wanted);
}

// R2
void Registry::claim(const FamilyOptions& options, const char* type) {
    if (const std::string wrong = metric_names::wrong_with(options, type); !wrong.empty()) {
        broken_invariant("metric " + options.name + ": " + wrong);
    }
    for (std::string& name : metric_names::samples_of(options.name, type)) {
        const auto at = std::lower_bound(sample_names_.begin(), sample_names_.end(), name);
        if (at != sample_names_.end() && *at == name) broken_invariant("metric " + options.name + ": another family exposes " + name);
        sample_names_.insert(at, std::move(name));
    }
}

void Registry::gauge(FamilyOptions options, std::function<void(const Sample&)> read) {
    claim(options, "gauge");
    auto entry = std::make_unique<Entry>();
    entry->type = "gauge";
    std::string name = options.name;
    entry->family = std::make_unique<ReadGauge>(std::move(options), std::move(read));
    entries_.emplace(std::move(name), std::move(entry));
}

template <class T>
Registry::Family<T>& Registry::declare(FamilyOptions options, std::vector<double> bounds, const char* type) {
    claim(options, type);
    if (!std::is_sorted(bounds.begin(), bounds.end(), std::less_equal<>()) || std::any_of(bounds.begin(), bounds.end(), [](double b) {
            return !std::isfinite(b);
        })) {
        broken_invariant("metric " + options.name + ": bounds ascend and are finite");
    }
    const std::string name = options.name;
    auto family = std::unique_ptr<Family<T>>(new Family<T>(std::move(options), std::move(bounds)));
    Family<T>& declared = *family;
    auto entry = std::make_unique<Entry>();
    entry->type = type;
    entry->family = std::move(family);
    entries_.emplace(name, std::move(entry));
    return declared;
}

Registry::Family<Counter>& Registry::counter(FamilyOptions options) { return declare<Counter>(std::move(options), {}, "counter"); }
Registry::Family<Gauge>& Registry::gauge(FamilyOptions options) { return declare<Gauge>(std::move(options), {}, "gauge"); }
Registry::Family<Histogram>& Registry::histogram(FamilyOptions options, std::vector<double> bounds) {
    return declare<Histogram>(std::move(options), std::move(bounds), "histogram");
}

std::string Registry::expose(Exposition format) {
    for (const auto& refresh : refresh_) refresh();
    std::string out;
    out.reserve(last_bytes_ + last_bytes_ / 8 + 4096);
    const bool open = format == Exposition::OpenMetrics;
    const auto begin = [&](const FamilyOptions& options, const char* type) {
        const std::string shown = open ? metric_names::family_in_openmetrics(options.name, type) : options.name;
        out += "# HELP " + shown + ' ';
        append_escaped(out, options.help, open);
        out += "\n# TYPE " + shown + ' ' + type + '\n';
        if (const std::string_view unit = metric_names::unit_of(shown); open && !unit.empty())
            out += "# UNIT " + shown + ' ' + std::string(unit) + '\n';
    };
    const auto expose_read = [&](const ReadGauge& gauge, const char* type) {
        bool begun = false;
        gauge.read([&](std::string_view labels, double value) {
            if (!std::exchange(begun, true)) begin(gauge.options, type);
            append_sample(out, gauge.options.name, labels, value);
        });
    };
    for (const auto& [name, entry] : entries_) {
        std::visit(
            [&](const auto& family) {
                if constexpr (std::is_same_v<decltype(family), const std::unique_ptr<ReadGauge>&>) {
                    expose_read(*family, entry->type);
                } else {
                    if (family->children().empty()) return;
                    begin(family->options(), entry->type);
                    append_children(out, *family, family->bounds_, format);
                }
            },
            entry->family);
    }
    if (open) out += "# EOF\n";
    last_bytes_ = out.size();
    return out;
}

std::string Registry::content_type(Exposition format) {
    return format == Exposition::OpenMetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                                             : "text/plain; version=0.0.4; charset=utf-8";
}

template class Registry::Family<Counter>;
template class Registry::Family<Gauge>;
template class Registry::Family<Histogram>;

}  // namespace basmalin
