// Counters, gauges and histograms, and their exposition: Prometheus text 0.0.4 and OpenMetrics 1.0.
// A family is declared once with its help; children are found by label values; a family with a budget gathers the children
// beyond it under one replaced label value. Threads: one (the loop's); worker threads hand their counts to the loop.
// R1  A family's samples stand together, under one HELP and one TYPE; no two series are the same.
// R2  A name that promtool or OpenMetrics would refuse, or that clashes with another family's samples, aborts when declared.
// R3  A family with a budget never has more than twice children_max + 1 children, whatever label values come.
// R4  Label values are any bytes: escaped, and what is not UTF-8 becomes '?'.
// Sources: prometheus/docs exposition_formats.md; OpenMetrics 1.0.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace basmalin {

using Labels = std::vector<std::pair<std::string, std::string>>;  // in the family's declared order

class Counter {
  public:
    void add(double n = 1) { value_ += n; }
    // For a count kept elsewhere (a library's, the kernel's): never goes down.
    void set_at_least(double total) { value_ = total > value_ ? total : value_; }
    double value() const { return value_; }

  private:
    double value_ = 0;
};

class Gauge {
  public:
    void set(double v) { value_ = v; }
    void add(double n) { value_ += n; }
    double value() const { return value_; }

  private:
    double value_ = 0;
};

class Histogram {
  public:
    // `bounds` (ascending, without +Inf) belong to the family and outlive this.
    explicit Histogram(const std::vector<double>& bounds) : bounds_(&bounds), counts_(bounds.size() + 1) {}
    void observe(double v);  // NaN is ignored
    const std::vector<double>& bounds() const { return *bounds_; }
    const std::vector<uint64_t>& counts() const { return counts_; }  // per bucket, not cumulative; last is +Inf
    double sum() const { return sum_; }

  private:
    const std::vector<double>* bounds_;
    std::vector<uint64_t> counts_;
    double sum_ = 0;
};

enum class Exposition { Prometheus, OpenMetrics };

// What a family is. `label_names` order is the order of `with()`'s values.
struct FamilyOptions {
    std::string name;  // counters end in _total
    std::string help;
    std::vector<std::string> label_names = {};
    // At most so many children; further ones share children whose label `overflow_label` reads "_other" (at most as many again:
    // beyond those, every label reads "_other"). 0: no bound.
    size_t children_max = 0;
    std::string overflow_label = {};
};

class Registry {
  public:
    template <class T>
    class Family {
      public:
        // The child stays where it is: a caller may keep the reference. Aborts unless there is one value a label.
        T& with(const std::vector<std::string>& values);
        T& get() { return with({}); }
        size_t size() const { return children_.size(); }
        const FamilyOptions& options() const { return options_; }
        struct Child {
            T metric;
            std::string labels;  // as exposed, without braces: rendered once
        };
        const std::map<std::vector<std::string>, Child>& children() const { return children_; }

      private:
        friend class Registry;
        Family(FamilyOptions options, std::vector<double> bounds) : options_(std::move(options)), bounds_(std::move(bounds)) {}
        T& add(const std::vector<std::string>& values);
        FamilyOptions options_;
        std::vector<double> bounds_;
        std::map<std::vector<std::string>, Child> children_;
        size_t overflow_children_ = 0;
    };

    // Aborts on a name declared twice, or on one that promtool would refuse.
    Family<Counter>& counter(FamilyOptions options);
    Family<Gauge>& gauge(FamilyOptions options);
    Family<Histogram>& histogram(FamilyOptions options, std::vector<double> bounds);
    // A gauge with many children that is read from the state it describes at each exposition, instead of being kept: `read` calls what
    // it is given once for each child, with its labels as labels_of() renders them. R4 holds; R1 and R3 are the reader's to keep.
    using Sample = std::function<void(std::string_view labels, double value)>;
    void gauge(FamilyOptions options, std::function<void(const Sample&)> read);
    static std::string labels_of(const std::vector<std::string>& names, const std::vector<std::string>& values);
    // Called at the start of every exposition: sets gauges from the state they describe.
    void before_exposition(std::function<void()> refresh) { refresh_.push_back(std::move(refresh)); }

    std::string expose(Exposition format);
    static std::string content_type(Exposition format);
    // What a scraper's Accept header prefers.
    static Exposition negotiate(std::string_view accept);

  private:
    struct Entry;
    struct ReadGauge {
        FamilyOptions options;
        std::function<void(const Sample&)> read;
    };
    template <class T>
    Family<T>& declare(FamilyOptions options, std::vector<double> bounds, const char* type);
    void claim(const FamilyOptions& options, const char* type);
    std::map<std::string, std::unique_ptr<Entry>> entries_;
    std::vector<std::string> sample_names_;  // every name that a family may expose, sorted
    std::vector<std::function<void()>> refresh_;
    size_t last_bytes_ = 0;

  public:
    Registry();
    ~Registry();
};

}  // namespace basmalin
