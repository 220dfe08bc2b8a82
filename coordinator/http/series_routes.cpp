// Series and their last values, from the fleet in memory; pages go by the series' id.
#include <algorithm>
#include <charconv>

#include "coordinator/http/documents.h"
#include "coordinator/http/parts.h"

namespace basmalin::coordinator {
namespace {

struct SeriesFilter {
    std::string device;
    std::string quantity;
    bool fits(const SeriesInfo& info) const {
        return (device.empty() || info.device == device) && (quantity.empty() || info.quantity == quantity);
    }
};

// A node's own series, by id: its devices know them, so a node's list does not pass over the whole fleet's.
std::vector<SeriesId> series_of(const Node& node, const std::string& device) {
    std::vector<SeriesId> ids;
    for (const auto& [name, one] : node.devices) {
        if (device.empty() || name == device) ids.insert(ids.end(), one.series.begin(), one.series.end());
    }
    std::sort(ids.begin(), ids.end());
    return ids;
}

Result<HttpResponse> list_series(const Api::Parts& parts, const HttpRequest& request) {
    Parameters asked(request, parts.now());
    const int64_t limit = asked.integer("limit", 1, list_max, list_default);
    const SeriesId after = asked.integer("after", 0, INT64_MAX, 0);
    const std::string node_id = asked.text("node");
    SeriesFilter filter;
    filter.device = asked.text("device");
    filter.quantity = asked.text("quantity");
    if (auto good = asked.done(); !good) return pass(good);
    const Fleet& fleet = parts.sources.fleet;
    ListPage page(limit);
    const auto add = [&](const Series& series) {
        const std::string key = std::to_string(series.info.id);
        return filter.fits(series.info) ? page.add(key, [&] { return series_json(series); }) : page.pass_over(key);
    };
    if (!node_id.empty()) {
        const Node* node = fleet.node(node_id);
        for (const SeriesId id : node == nullptr ? std::vector<SeriesId>() : series_of(*node, filter.device)) {
            const Series* series = id > after ? fleet.series(id) : nullptr;
            if (series != nullptr && !add(*series)) break;
        }
        return page.response();
    }
    for (auto at = fleet.series().upper_bound(after); at != fleet.series().end(); ++at) {
        if (!add(at->second)) break;
    }
    return page.response();
}

}  // namespace

void add_series_routes(Api::Parts& parts) {
    parts.get_list("/api/series", list_series);
}

}  // namespace basmalin::coordinator
