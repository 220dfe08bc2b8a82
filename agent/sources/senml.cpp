// SenML JSON packs on the topics of sources.senml_topics. Source: RFC 8428, sections 4 and 5; units of RFC 8428 and RFC 8798.
// R1  Base fields carry over: name bn+n, value bv+v, time bt+t, unit u or bu.
// R2  The device is bn (without urn:dev: and trailing separators) and n the quantity; without bn the name is parted at its last
//     ':' or '/'; a name without either is a quantity of the device that the topic names.
// R3  A time below 2^28 s is relative to now, and moves a reading back (never before this boot, never forward). An absolute time
//     is a device's clock, which is not believed: the latest of the pack is now, the others keep their distance from it.
// R4  v is a number, vb a boolean, vs a text; s is <quantity>_sum; vd is ignored.
// R5  A field we must understand and do not (its name ends in '_'), or a bver above 10, refuses the pack, as the RFC asks.
#include <algorithm>
#include <cmath>
#include <tuple>

#include "agent/sources/dialect.h"
#include "agent/sources/names.h"
#include "agent/sources/readings.h"
#include "agent/sources/topic_filter.h"
#include "agent/sources/units.h"
#include "shared/base/ids.h"

namespace basmalin::agent {
namespace {

constexpr double relative_below = 268435456;  // 2^28
constexpr double version_max = 10;

struct Record {
    std::string device;
    std::string quantity;
    std::string unit;
    double time = 0;
    Value value;
};

class SenMl final : public Dialect {
  public:
    explicit SenMl(Shared& shared) : shared_(shared) {}

    std::string_view name() const override { return "senml"; }
    std::vector<std::string> filters() const override { return shared_.options.senml_topics; }

    Verdict try_message(const Message& message, SourceOutput& out) override {
        const auto& topics = shared_.options.senml_topics;
        if (std::none_of(topics.begin(), topics.end(), [&](const std::string& filter) { return filter_matches(filter, message.topic); }))
            return Verdict::NotMine;
        const Json* json = message.json();
        if (json == nullptr || !json->is_array()) return Verdict::NotUnderstood;
        std::vector<Record> records;
        Readings readings(message, shared_);
        if (!read(*json, device_by(message), records, readings)) return Verdict::NotUnderstood;
        double latest = 0;
        for (const Record& record : records) latest = std::max(latest, record.time);
        for (Record& record : records) {
            const double ago = record.time >= relative_below ? latest - record.time : std::max(0.0, -record.time);
            const auto back = static_cast<int64_t>(std::llround(std::min(ago * 1000, static_cast<double>(message.now.ms))));
            readings.add_at(message.now - milliseconds(std::max<int64_t>(0, back)), record.device, record.quantity, record.unit,
                            std::move(record.value));
        }
        readings.deliver(out);
        std::sort(out.samples.begin(), out.samples.end(),
                  [](const Sample& a, const Sample& b) { return std::tie(a.time, a.device) < std::tie(b.time, b.device); });
        return Verdict::Taken;
    }

  private:
    // The first level that is not the word senml.
    static std::string device_by(const Message& message) {
        for (size_t i = 0; i < message.size(); ++i)
            if (message.level(i) != "senml" && !message.level(i).empty()) return to_label(message.level(i));
        return "senml";
    }

    struct Base {
        std::string name;
        std::string unit;
        double time = 0;
        double value = 0;
        double sum = 0;
    };

    static bool read(const Json& pack, const std::string& fallback, std::vector<Record>& out, Readings& readings) {
        Base base;
        for (const Json& record : pack.as_array()) {
            if (!record.is_object()) return false;
            for (const auto& [key, value] : record.as_object()) {
                if (key.ends_with('_') || (key == "bver" && value.as_double() > version_max)) return false;
                if (key == "bn") base.name = value.as_string();
                if (key == "bu") base.unit = value.as_string();
                if (key == "bt") base.time = value.as_double();
                if (key == "bv") base.value = value.as_double();
                if (key == "bs") base.sum = value.as_double();
            }
            one(record, base, fallback, out, readings);
        }
        return true;
    }

    static void one(const Json& record, const Base& base, const std::string& fallback, std::vector<Record>& out, Readings& readings) {
        Record r;
        name(base.name, record["n"].as_string(), fallback, r);
        r.unit = normal_unit(record.has("u") ? record["u"].as_string() : base.unit);
        r.time = base.time + record["t"].as_double();
        if (!std::isfinite(r.time)) r.time = 0;
        if (r.device.empty() || r.quantity.empty()) {
            if (record.has("v") || record.has("vb") || record.has("vs")) readings.not_a_value();
            return;
        }
        if (record["s"].is_number()) {
            Record sum = r;
            sum.quantity += "_sum";
            sum.value = base.sum + record["s"].as_double();
            out.push_back(std::move(sum));
        }
        if (record["v"].is_number())
            r.value = base.value + record["v"].as_double();
        else if (record["vb"].is_bool())
            r.value = record["vb"].as_bool();
        else if (record["vs"].is_string())
            r.value = record["vs"].as_string();
        else
            return;
        if (!std::holds_alternative<double>(r.value)) r.unit.clear();
        out.push_back(std::move(r));
    }

    static std::string device_name(std::string_view text) {
        if (text.starts_with("urn:dev:")) text.remove_prefix(8);
        while (!text.empty() && std::string_view(":/_.-").find(text.back()) != std::string_view::npos) text.remove_suffix(1);
        return to_label(text);
    }

    // R2
    static void name(std::string_view base, std::string_view own, const std::string& fallback, Record& out) {
        if (!base.empty() && !own.empty() && !device_name(base).empty()) {
            out.device = device_name(base);
            out.quantity = slug(own);
            return;
        }
        const std::string whole = std::string(base) + std::string(own);
        const size_t cut = whole.find_last_of(":/");
        if (cut == std::string::npos || device_name(std::string_view(whole).substr(0, cut)).empty()) {
            out.device = fallback;
            out.quantity = slug(whole);
        } else {
            out.device = device_name(std::string_view(whole).substr(0, cut));
            out.quantity = slug(std::string_view(whole).substr(cut + 1));
        }
    }

    Shared& shared_;
};

}  // namespace

std::unique_ptr<Dialect> make_senml(Shared& shared) { return std::make_unique<SenMl>(shared); }

}  // namespace basmalin::agent
