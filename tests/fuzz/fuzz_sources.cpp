// links: basmalin_agent_sources
// What devices publish: any history of messages is survived, and what comes out is well-formed, in time and within the budgets.
// Input: lines "<r or anything><topic>\t<payload>\n"; a line that begins with r is a retained message.
#include <cmath>
#include <set>

#include "agent/sources/readings.h"
#include "agent/sources/sources.h"
#include "shared/base/ids.h"
#include "shared/base/log.h"
#include "shared/series/codec.h"
#include "tests/fuzz/property.h"

using namespace basmalin;
using fuzz::holds;

namespace {

constexpr int64_t devices_max = 8;
constexpr int64_t series_max = 6;

agent::SourcesOptions small_garden() {
    agent::SourcesOptions options;
    options.devices_max = devices_max;
    options.series_per_device_max = series_max;
    options.rules = {{"w/+/#", "{1}", "", "d", "", 2, 1}, {"w/+/#", "{2}", "q", "d.a.1", "°C", 1, 0}};
    return options;
}

void check(const agent::SourceOutput& out, bool retained, MonoTime now) {
    holds(!retained || out.samples.empty(), "a retained message is no reading");
    for (const Sample& sample : out.samples) {
        holds(is_label(sample.device) && !sample.measurements.empty(), "a sample has a device and a value");
        holds(sample.time.ms >= 0 && sample.time <= now, "a sample lies between the boot and now");
        std::set<std::string_view> once;
        for (const Measurement& m : sample.measurements) {
            holds(is_label(m.quantity) && is_unit(m.unit), "names are labels, and units such as the wire carries");
            holds(once.insert(m.quantity).second, "a quantity comes once in a sample");
            const auto* number = std::get_if<double>(&m.value);
            holds(number == nullptr || std::isfinite(*number), "numbers are finite");
            const auto* text = std::get_if<std::string>(&m.value);
            holds(text == nullptr || agent::is_text_state(*text), "texts are short and clean");
        }
    }
    for (const agent::DeviceNote& note : out.notes)
        holds(is_label(note.device) && !(retained && note.seen), "notes are about a device that was heard");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    log::set_level(log::Level::Error);
    std::string_view rest = fuzz::text_of(data, size);
    agent::Sources sources(small_garden());
    MonoTime now{1000};
    while (!rest.empty()) {
        const size_t end = rest.find('\n');
        std::string_view line = rest.substr(0, end);
        rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
        if (line.empty()) continue;
        const bool retained = line.front() == 'r';
        line.remove_prefix(1);
        const size_t tab = line.find('\t');
        agent::SourceOutput out;
        now = now + milliseconds(500);
        sources.on_message(line.substr(0, tab), tab == std::string_view::npos ? std::string_view{} : line.substr(tab + 1), retained, now,
                           out);
        check(out, retained, now);
    }
    holds(sources.counts().devices <= devices_max && sources.counts().series <= devices_max * series_max, "the budgets hold");
    return 0;
}
