#include "coordinator/http/api.h"

#include "coordinator/http/parts.h"

namespace basmalin::coordinator {
namespace {

// Takes as long for a wrong token as for the right one, whatever they share.
bool same_secret(std::string_view given, std::string_view wanted) {
    unsigned difference = given.size() == wanted.size() ? 0 : 1;
    for (size_t i = 0; i < wanted.size(); ++i) {
        const char c = i < given.size() ? given[i] : '\0';
        difference |= static_cast<unsigned>(static_cast<unsigned char>(c ^ wanted[i]));
    }
    return difference == 0;
}

std::string_view bearer(std::string_view header) {
    constexpr std::string_view scheme = "bearer ";
    if (header.size() <= scheme.size()) return {};
    for (size_t i = 0; i < scheme.size(); ++i) {
        const char c = header[i];
        if ((c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c) != scheme[i]) return {};
    }
    header.remove_prefix(scheme.size());
    while (header.starts_with(' ')) header.remove_prefix(1);
    return header;
}

HttpGuard make_guard(std::string token) {
    return [token = std::move(token)](const HttpRequest& request, std::string_view route) -> Result<void> {
        if (is_open_route(route)) return {};
        if (token.empty())
            return fail(Code::Denied, "no token is configured, so nothing but health is answered", "give the coordinator a token file");
        const std::string header = request.header("authorization");
        if (same_secret(bearer(header), token)) return {};
        return fail(Code::Denied, header.empty() ? "a bearer token is needed" : "this bearer token is not the right one",
                    "send 'Authorization: Bearer <token>' with what the coordinator's token file holds");
    };
}

}  // namespace

Api::Api(HttpServer& server, ApiSources sources) : parts_(std::make_unique<Parts>(server, std::move(sources))) {
    server.guard(make_guard(parts_->sources.token));
    add_health_routes(*parts_);
    add_metrics_routes(*parts_);
    add_fleet_routes(*parts_);
    add_series_routes(*parts_);
    add_readings_routes(*parts_);
    add_store_routes(*parts_);
    parts_->get("/api/openapi.yaml", [](const HttpRequest&) {
        HttpResponse response = HttpResponse::text(std::string(openapi()));
        response.content_type = "application/yaml";
        response.etag = true;
        return response;
    });
}

Api::~Api() = default;

const std::vector<std::string>& Api::routes() const { return parts_->routes; }

}  // namespace basmalin::coordinator
