// What was lost, what nodes told and what could not be understood, from the store: the newest first, a page a request, read on the
// stream worker.
#include "coordinator/http/documents.h"
#include "coordinator/http/parts.h"

namespace basmalin::coordinator {
namespace {

struct Asked {
    std::string node;
    size_t limit = 0;
    int64_t after = 0;  // the row that the page before ended with; 0: from the newest
};

Result<Asked> asked_rows(const Api::Parts& parts, const HttpRequest& request, bool by_node) {
    Parameters asked(request, parts.now());
    Asked rows;
    rows.limit = static_cast<size_t>(asked.integer("limit", 1, list_max, list_default));
    rows.after = asked.integer("after", 1, INT64_MAX, 0);
    if (by_node) rows.node = asked.text("node");
    if (auto good = asked.done(); !good) return pass(good);
    return rows;
}

// {"items":[…],"next":"…"|null} of what `read` gives; it is asked for one row more than the page holds.
template <class Read, class ToJson>
HttpResponse list_rows(const Api::Parts& parts, const Asked& asked, Read read, ToJson to_json) {
    HttpResponse response;
    response.content_type = "application/json";
    response.brief = true;
    response.stream = [slot = parts.reader, asked, read, to_json](std::string& out) -> Result<bool> {
        auto reader = slot->reader();
        if (!reader) return pass(reader);
        const auto found = read(**reader, asked.limit + 1);
        if (!found) return std::unexpected(Error(found.error()).context("read a list"));
        const size_t count = std::min(found->size(), asked.limit);
        out += "{\"items\":[";
        for (size_t i = 0; i < count; ++i) out += (i > 0 ? ",\n" : "") + to_json((*found)[i]).dump();
        out += found->size() > count ? "],\"next\":\"" + std::to_string((*found)[count - 1].id) + "\"}\n" : "],\"next\":null}\n";
        return false;
    };
    return response;
}

Result<HttpResponse> gaps(const Api::Parts& parts, const HttpRequest& request) {
    auto asked = asked_rows(parts, request, true);
    if (!asked) return pass(asked);
    if (!asked->node.empty() && parts.sources.fleet.node(asked->node) == nullptr)
        return fail(Code::NotFound, "no node " + asked->node, "GET /api/nodes lists them");
    return list_rows(
        parts, *asked, [asked = *asked](StoreReader& reader, size_t limit) { return reader.gaps(asked.node, limit, asked.after); },
        gap_json);
}

Result<HttpResponse> dead_letters(const Api::Parts& parts, const HttpRequest& request) {
    auto asked = asked_rows(parts, request, false);
    if (!asked) return pass(asked);
    return list_rows(
        parts, *asked, [asked = *asked](StoreReader& reader, size_t limit) { return reader.dead_letters(limit, asked.after); },
        dead_letter_json);
}

// Of a node that the fleet does not know (any more) too: an event may be the only thing that is left of it.
Result<HttpResponse> events(const Api::Parts& parts, const HttpRequest& request) {
    auto asked = asked_rows(parts, request, true);
    if (!asked) return pass(asked);
    return list_rows(
        parts, *asked, [asked = *asked](StoreReader& reader, size_t limit) { return reader.events(asked.node, limit, asked.after); },
        event_json);
}

}  // namespace

void add_store_routes(Api::Parts& parts) {
    parts.get("/api/gaps", [&parts](const HttpRequest& request) { return gaps(parts, request); });
    parts.get("/api/events", [&parts](const HttpRequest& request) { return events(parts, request); });
    parts.get("/api/dead-letters", [&parts](const HttpRequest& request) { return dead_letters(parts, request); });
}

}  // namespace basmalin::coordinator
