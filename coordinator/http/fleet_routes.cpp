// Gardens, nodes and devices, from the fleet in memory. A page costs what it shows and what its filter passes over;
// both are bounded.
#include "coordinator/http/documents.h"
#include "coordinator/http/parts.h"

namespace basmalin::coordinator {
namespace {

std::string lower(std::string text) {
    for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    return text;
}

bool mentions(const std::string& text, const std::string& wanted) { return lower(text).find(wanted) != std::string::npos; }

struct NodeFilter {
    std::string garden;
    std::string presence;
    std::string q;  // lower case
    bool fits(const Node& node) const {
        if (!garden.empty() && node.garden != garden) return false;
        if (!presence.empty() && to_string(node.presence) != presence) return false;
        if (q.empty() || mentions(node.id, q) || mentions(node.garden, q) || mentions(node.agent_version, q)) return true;
        for (const auto& [key, value] : node.labels) {
            if (mentions(value, q)) return true;
        }
        return false;
    }
};

struct DeviceFilter {
    std::string state;
    std::string device;
    std::string q;  // lower case
    bool fits(const Node& node, const Device& one) const {
        if (!device.empty() && one.device != device) return false;
        if (!state.empty() && device_state(one) != state) return false;
        if (q.empty() || mentions(one.device, q) || mentions(node.id, q)) return true;
        return one.health && (mentions(one.health->name, q) || mentions(one.health->model, q) || mentions(one.health->dialect, q));
    }
};

Result<HttpResponse> list_gardens(const Api::Parts& parts, const HttpRequest& request) {
    Parameters asked(request, parts.now());
    const int64_t limit = asked.integer("limit", 1, list_max, list_default);
    const std::string after = asked.text("after");
    if (auto good = asked.done(); !good) return pass(good);
    const auto& gardens = parts.sources.fleet.gardens();
    ListPage page(limit);
    for (auto at = asked.given("after") ? gardens.upper_bound(after) : gardens.begin(); at != gardens.end(); ++at) {
        if (!page.add(at->first, [&] { return garden_json(at->second); })) break;
    }
    return page.response();
}

Result<HttpResponse> list_nodes(const Api::Parts& parts, const HttpRequest& request) {
    Parameters asked(request, parts.now());
    const int64_t limit = asked.integer("limit", 1, list_max, list_default);
    const std::string after = asked.text("after");
    NodeFilter filter;
    filter.garden = asked.text("garden");
    filter.presence = asked.choice("presence", {"online", "offline", "lost", "unknown"});
    filter.q = lower(asked.text("q"));
    if (auto good = asked.done(); !good) return pass(good);
    const auto& nodes = parts.sources.fleet.nodes();
    ListPage page(limit);
    for (auto at = after.empty() ? nodes.begin() : nodes.upper_bound(after); at != nodes.end(); ++at) {
        const bool more = filter.fits(at->second) ? page.add(at->first, [&] { return node_json(at->second); }) : page.pass_over(at->first);
        if (!more) break;
    }
    return page.response();
}

// A device's key is "<node>/<device>": neither name holds a '/'.
std::string last_key(const Node& node) { return node.id + '/' + (node.devices.empty() ? "" : node.devices.rbegin()->first); }

Result<HttpResponse> list_devices(const Api::Parts& parts, const HttpRequest& request) {
    Parameters asked(request, parts.now());
    const int64_t limit = asked.integer("limit", 1, list_max, list_default);
    const std::string after = asked.text("after");
    NodeFilter of_node;
    of_node.garden = asked.text("garden");
    const std::string only = asked.text("node");
    DeviceFilter filter;
    filter.device = asked.text("device");
    filter.state = asked.choice("state", {"ok", "late", "silent", "fault", "unknown"});
    filter.q = lower(asked.text("q"));
    const size_t slash = after.find('/');
    if (!after.empty() && slash == std::string::npos) asked.refuse("after", "no key of a device", "take it from the page before");
    if (auto good = asked.done(); !good) return pass(good);
    const auto& nodes = parts.sources.fleet.nodes();
    const std::string after_node = after.substr(0, std::min(slash, after.size()));
    ListPage page(limit);
    for (auto at = nodes.lower_bound(std::max(only, after_node)); at != nodes.end(); ++at) {
        const Node& node = at->second;
        if (!only.empty() && node.id != only) break;
        if (!of_node.fits(node)) {
            if (!page.pass_over(last_key(node))) break;
            continue;
        }
        const bool resume = !after.empty() && node.id == after_node;
        for (auto device = resume ? node.devices.upper_bound(after.substr(slash + 1)) : node.devices.begin(); device != node.devices.end();
             ++device) {
            const std::string key = node.id + '/' + device->first;
            const bool fits = filter.fits(node, device->second);
            if (!(fits ? page.add(key, [&] { return device_json(node, device->second); }) : page.pass_over(key))) return page.response();
        }
    }
    return page.response();
}

}  // namespace

void add_fleet_routes(Api::Parts& parts) {
    parts.get_list("/api/gardens", list_gardens);
    parts.get("/api/gardens/{id}", [&parts](const HttpRequest& request) -> Result<HttpResponse> {
        if (auto good = Parameters(request, parts.now()).done(); !good) return pass(good);
        const auto& gardens = parts.sources.fleet.gardens();
        const auto found = gardens.find(request.captures.at("id"));
        if (found == gardens.end()) return fail(Code::NotFound, "no garden " + request.captures.at("id"), "GET /api/gardens lists them");
        HttpResponse response = HttpResponse::json(garden_json(found->second));
        response.etag = true;
        return response;
    });
    parts.get_list("/api/nodes", list_nodes);
    parts.get("/api/nodes/{id}", [&parts](const HttpRequest& request) -> Result<HttpResponse> {
        if (auto good = Parameters(request, parts.now()).done(); !good) return pass(good);
        const Node* node = parts.sources.fleet.node(request.captures.at("id"));
        if (node == nullptr) return fail(Code::NotFound, "no node " + request.captures.at("id"), "GET /api/nodes lists them");
        HttpResponse response = HttpResponse::json(node_detail_json(*node));
        response.etag = true;
        return response;
    });
    parts.get_list("/api/devices", list_devices);
}

}  // namespace basmalin::coordinator
