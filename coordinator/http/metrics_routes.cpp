#include "coordinator/http/parts.h"

namespace basmalin::coordinator {

void add_metrics_routes(Api::Parts& parts) {
    for (const char* path : {"/metrics", "/api/metrics"}) {
        parts.get(path, [&parts](const HttpRequest& request) {
            const Exposition format = Registry::negotiate(request.header("accept"));
            HttpResponse response;
            response.content_type = Registry::content_type(format);
            response.body = parts.sources.registry.expose(format);
            return response;
        });
    }
}

}  // namespace basmalin::coordinator
