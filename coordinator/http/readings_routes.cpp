// /api/readings: which series, which time, which shape; the rest is reading_stream's.
#include "coordinator/http/reading_stream.h"
#include "shared/http/message.h"

namespace basmalin::coordinator {
namespace {

constexpr int64_t readings_default = 10'000;
constexpr int64_t readings_max = 1'000'000;
constexpr Duration from_default = hours(24);
constexpr Duration chart_good_for = seconds(10);

struct Which {
    std::vector<int64_t> ids;
    std::string node;
    std::string device;
    std::string quantity;
};

Which asked_series(Parameters& asked) {
    Which which;
    which.ids = asked.ids("series", series_per_query_max);
    which.node = asked.text("node");
    which.device = asked.text("device");
    which.quantity = asked.text("quantity");
    const bool by_name = asked.given("node") || asked.given("device") || asked.given("quantity");
    const char* hint = "either series=1,2 (ids of /api/series), or node=, device= and quantity=";
    if (asked.given("series") && by_name) asked.refuse("series", "does not go with node, device or quantity", hint);
    if (!asked.given("series") && which.node.empty()) asked.refuse("series", "missing, and so is node", hint);
    return which;
}

// The series meant, by id. NotFound names what does not exist.
Result<std::map<SeriesId, SeriesInfo>> resolve(const Fleet& fleet, const Which& which) {
    std::map<SeriesId, SeriesInfo> found;
    for (const int64_t id : which.ids) {
        const Series* series = fleet.series(id);
        if (series == nullptr) return fail(Code::NotFound, "no series " + std::to_string(id), "GET /api/series lists them");
        found[id] = series->info;
    }
    if (!which.ids.empty()) return found;
    const Node* node = fleet.node(which.node);
    if (node == nullptr) return fail(Code::NotFound, "no node " + which.node, "GET /api/nodes lists them");
    if (!which.device.empty() && !node->devices.contains(which.device)) {
        return fail(Code::NotFound, "no device " + which.device + " at node " + which.node,
                    "GET /api/devices?node=" + which.node + " lists them");
    }
    for (const auto& [name, device] : node->devices) {
        if (!which.device.empty() && name != which.device) continue;
        for (const SeriesId id : device.series) {
            const Series* series = fleet.series(id);
            if (series == nullptr || (!which.quantity.empty() && series->info.quantity != which.quantity)) continue;
            if (found.size() == series_per_query_max) {
                return fail(Code::Invalid, "more than " + std::to_string(series_per_query_max) + " series at once",
                            "name a device or a quantity too");
            }
            found[id] = series->info;
        }
    }
    if (found.empty()) return fail(Code::NotFound, "no such series yet", "GET /api/series?node=" + which.node + " lists them");
    return found;
}

bool prefers_csv(const HttpRequest& request) {
    const std::string accept = request.header("accept");
    return http_message::quality_of(accept, "text/csv").value_or(0) > http_message::quality_of(accept, "application/json").value_or(0);
}

// What was stored of these series, as far as the fleet knows. What is re-timed, retired or defined late shows once chart_good_for is over.
std::string state_of(const Fleet& fleet, const std::map<SeriesId, SeriesInfo>& series) {
    std::string state;
    std::string last;
    for (const auto& [id, info] : series) {
        if (info.node == last) continue;
        last = info.node;
        const Node* node = fleet.node(info.node);
        if (node == nullptr) continue;
        for (const uint64_t part : {node->batches_total, node->readings_total, node->boot, static_cast<uint64_t>(node->clock.offset_ms)})
            state += std::to_string(part) + ' ';
    }
    return state;
}

// Charts of the same series, steps and time are drawn once while nothing new comes of them. Whole steps: "the last 24 hours" asked for a
// second later is the same chart.
void draw_once(const Api::Parts& parts, ReadingPlan& plan, HttpResponse& response) {
    response.brief = true;
    const int64_t step = plan.step->ms;
    const auto whole = [step](int64_t ms) { return ms - (ms % step + step) % step; };
    plan.query.from.ms = whole(plan.query.from.ms);
    plan.query.to.ms = whole(plan.query.to.ms + step - 1);
    std::string question = plan.cursor + (plan.csv ? " csv" : " json");
    for (const int64_t part : {step, plan.query.from.ms, plan.query.to.ms, plan.limit}) question += ' ' + std::to_string(part);
    for (const SeriesId id : plan.query.series) question += ' ' + std::to_string(id);
    const std::string state = state_of(parts.sources.fleet, plan.series);
    response.at_hand = [slot = parts.reader, question, state] {
        return slot->charts().find(question, state, SystemClock().mono());
    };
    response.keep = [slot = parts.reader, question, state](const SharedBody& body) {
        slot->charts().keep(question, state, SystemClock().mono(), chart_good_for, body);
    };
}

Result<HttpResponse> readings(const Api::Parts& parts, const HttpRequest& request) {
    const WallTime now = parts.now();
    Parameters asked(request, now);
    const Which which = asked_series(asked);
    ReadingPlan plan;
    plan.query.from = asked.time("from", now - from_default);
    plan.query.to = asked.time("to", now + future_tolerance);
    plan.step = asked.step("step");
    plan.csv = asked.choice("format", {"json", "csv"}, prefers_csv(request) ? "csv" : "json") == "csv";
    plan.limit = asked.integer("limit", 1, readings_max, plan.csv ? INT64_MAX : readings_default);
    plan.cursor = asked.text("after");
    if (plan.query.from > plan.query.to) asked.refuse("from", "later than to", "from is where the time begins");
    if (plan.step && !plan.cursor.empty()) {
        if (auto cursor = parse_bucket_cursor(plan.cursor); !cursor) asked.refuse("after", cursor.error().text, cursor.error().hint);
    }
    if (auto good = asked.done(); !good) return pass(good);
    auto series = resolve(parts.sources.fleet, which);
    if (!series) return pass(series);
    plan.series = std::move(*series);
    for (const auto& [id, info] : plan.series) plan.query.series.push_back(id);
    const auto count = static_cast<int64_t>(plan.series.size());
    if (plan.step && (plan.query.to - plan.query.from).ms / plan.step->ms * count > buckets_per_query_max) {
        return fail(Code::Invalid, "parameter step: too small for so long a time", "ask for a longer step, a shorter time or fewer series");
    }
    HttpResponse response;
    response.content_type = plan.csv ? "text/csv; charset=utf-8" : "application/json";
    if (plan.step) draw_once(parts, plan, response);
    response.stream = stream_readings(std::move(plan), parts.reader);
    return response;
}

}  // namespace

void add_readings_routes(Api::Parts& parts) {
    parts.get("/api/readings", [&parts](const HttpRequest& request) { return readings(parts, request); });
}

}  // namespace basmalin::coordinator
