// What was lost, what nodes told and what could not be understood, from the store: one piece a node, read on the stream worker.
#include "coordinator/http/documents.h"
#include "coordinator/http/parts.h"

namespace basmalin::coordinator {
namespace {

// {"items":[…],"next":null}: each call of `read` gives more items, until it says that it was the last.
using ReadItems = std::function<Result<bool>(StoreReader&, Json::Array& items)>;

HttpResponse stream_items(std::shared_ptr<ReaderSlot> slot, ReadItems read) {
    HttpResponse response;
    response.stream = [slot = std::move(slot), read = std::move(read), sent = size_t{0},
                       begun = false](std::string& out) mutable -> Result<bool> {
        auto reader = slot->reader();
        if (!reader) return pass(reader);
        Json::Array items;
        const auto more = read(**reader, items);
        if (!more) return more;
        if (!begun) out += "{\"items\":[";
        begun = true;
        for (const Json& item : items) {
            if (sent++ > 0) out += ",\n";
            out += item.dump();
        }
        if (!*more) out += "],\"next\":null}\n";
        return *more;
    };
    return response;
}

Result<HttpResponse> gaps(const Api::Parts& parts, const HttpRequest& request) {
    Parameters asked(request, parts.now());
    const auto limit = static_cast<size_t>(asked.integer("limit", 1, list_max, list_default));
    const std::string only = asked.text("node");
    if (auto good = asked.done(); !good) return pass(good);
    const Fleet& fleet = parts.sources.fleet;
    if (!only.empty() && fleet.node(only) == nullptr) return fail(Code::NotFound, "no node " + only, "GET /api/nodes lists them");
    std::vector<std::string> nodes;
    if (!only.empty()) nodes.push_back(only);
    for (const auto& [id, node] : fleet.nodes()) {
        if (only.empty() && node.gaps_total > 0) nodes.push_back(id);
    }
    return stream_items(
        parts.reader,
        [nodes = std::move(nodes), at = size_t{0}, left = limit](StoreReader& reader, Json::Array& items) mutable -> Result<bool> {
            if (at == nodes.size()) return false;
            const auto found = reader.gaps(nodes[at++], left);
            if (!found) return std::unexpected(Error(found.error()).context("read gaps"));
            for (const GapRecord& record : *found) items.push_back(gap_json(record));
            left -= std::min(left, items.size());
            return at < nodes.size() && left > 0;
        });
}

Result<HttpResponse> dead_letters(const Api::Parts& parts, const HttpRequest& request) {
    Parameters asked(request, parts.now());
    const auto limit = static_cast<size_t>(asked.integer("limit", 1, list_max, list_default));
    if (auto good = asked.done(); !good) return pass(good);
    return stream_items(parts.reader, [limit](StoreReader& reader, Json::Array& items) -> Result<bool> {
        const auto found = reader.dead_letters(limit);
        if (!found) return std::unexpected(Error(found.error()).context("read dead letters"));
        for (const StoreReader::DeadLetter& letter : *found) items.push_back(dead_letter_json(letter));
        return false;
    });
}

// Of a node that the fleet does not know (any more) too: an event may be the only thing that is left of it.
Result<HttpResponse> events(const Api::Parts& parts, const HttpRequest& request) {
    Parameters asked(request, parts.now());
    const auto limit = static_cast<size_t>(asked.integer("limit", 1, list_max, list_default));
    const std::string only = asked.text("node");
    if (auto good = asked.done(); !good) return pass(good);
    return stream_items(parts.reader, [only, limit](StoreReader& reader, Json::Array& items) -> Result<bool> {
        const auto found = reader.events(only, limit);
        if (!found) return std::unexpected(Error(found.error()).context("read events"));
        for (const StoreReader::Event& event : *found) items.push_back(event_json(event));
        return false;
    });
}

}  // namespace

void add_store_routes(Api::Parts& parts) {
    parts.get("/api/gaps", [&parts](const HttpRequest& request) { return gaps(parts, request); });
    parts.get("/api/events", [&parts](const HttpRequest& request) { return events(parts, request); });
    parts.get("/api/dead-letters", [&parts](const HttpRequest& request) { return dead_letters(parts, request); });
}

}  // namespace basmalin::coordinator
