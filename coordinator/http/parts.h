// What the files of the API share. Thread: the loop's, but for a ReaderSlot.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/http/answer_cache.h"
#include "coordinator/http/api.h"
#include "coordinator/http/parameters.h"
#include "shared/base/json.h"

namespace basmalin::coordinator {

// The one reader of the API, and what was drawn with it. Thread: the server's stream worker.
class ReaderSlot {
  public:
    explicit ReaderSlot(std::function<Result<std::unique_ptr<StoreReader>>()> open) : open_(std::move(open)) {}
    Result<StoreReader*> reader() {
        if (!reader_) {
            auto opened = open_();
            if (!opened) return pass(opened, "open the store for reading");
            reader_ = std::move(*opened);
        }
        return reader_.get();
    }
    AnswerCache& charts() { return charts_; }

  private:
    std::function<Result<std::unique_ptr<StoreReader>>()> open_;
    std::unique_ptr<StoreReader> reader_;
    AnswerCache charts_;
};

struct Api::Parts {
    Parts(HttpServer& http, ApiSources given)
        : server(http),
          sources(std::move(given)),
          started(sources.clock.mono()),
          reader(std::make_shared<ReaderSlot>(sources.open_reader)) {}

    void get(const std::string& pattern, HttpHandler handler) {
        routes.push_back("GET " + pattern);
        server.route("GET", pattern, std::move(handler));
    }
    // A list that is made of the fleet alone: answered again as it is until anything of the fleet changes.
    template <class Make>
    void get_list(const std::string& pattern, Make make) {
        get(pattern, [this, make](const HttpRequest& request) -> Result<HttpResponse> {
            std::string question = request.path;
            for (const auto& [key, value] : request.query) question += '\0' + key + '\0' + value;  // neither holds a NUL
            const std::string state = std::to_string(sources.fleet.version());
            HttpResponse response;
            response.etag = true;
            response.shared = pages.find(question, state, sources.clock.mono());
            if (response.shared) return response;
            auto made = make(*this, request);
            if (!made) return made;
            response.shared = std::make_shared<const PreparedBody>(std::move(made->body));
            pages.keep(question, state, sources.clock.mono(), hours(24), response.shared);
            return response;
        });
    }
    WallTime now() const { return sources.clock.wall(); }

    HttpServer& server;
    const ApiSources sources;
    const MonoTime started;
    const std::shared_ptr<ReaderSlot> reader;
    std::vector<std::string> routes;
    AnswerCache pages;
};

constexpr int64_t list_default = 100;
constexpr int64_t list_max = 1000;
constexpr size_t passed_over_max = 20'000;

// {"items":[…],"next":"…"|null}, filled to a limit. What a filter passes over is bounded too, as all of this is done on the loop: a
// page may hold less than its limit, or nothing, and have a next one.
class ListPage {
  public:
    explicit ListPage(int64_t limit) : limit_(static_cast<size_t>(limit)) {}
    // False when the page is full already: `item` belongs to the next one, which starts after the last key.
    template <class Make>
    bool add(const std::string& key, Make make) {
        if (items_.size() >= limit_) {
            more_ = true;
            return false;
        }
        items_.push_back(make());
        last_ = key;
        return true;
    }
    // False when enough was passed over for one page: the next one starts after `key`.
    bool pass_over(const std::string& key) {
        if (++passed_over_ < passed_over_max) return true;
        last_ = key;
        more_ = true;
        return false;
    }
    HttpResponse response() {
        Json out = Json::object();
        out.set("items", Json(std::move(items_))).set("next", more_ ? Json(last_) : Json());
        HttpResponse response = HttpResponse::json(out);
        response.etag = true;
        return response;
    }

  private:
    size_t limit_;
    size_t passed_over_ = 0;
    Json::Array items_;
    std::string last_;
    bool more_ = false;
};

void add_health_routes(Api::Parts& parts);
void add_metrics_routes(Api::Parts& parts);
void add_fleet_routes(Api::Parts& parts);
void add_series_routes(Api::Parts& parts);
void add_readings_routes(Api::Parts& parts);
void add_store_routes(Api::Parts& parts);
bool is_open_route(std::string_view route);  // needs no token

}  // namespace basmalin::coordinator
