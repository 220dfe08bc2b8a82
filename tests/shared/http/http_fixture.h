// A server with a few routes, for the tests of what it does with requests.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <vector>

#include "tests/shared/http/http_bench.h"

namespace basmalin::testing {

class HttpServerFixture : public ::testing::Test {
  protected:
    void make(HttpLimits limits = {}) {
        running_ = std::make_unique<RunningServer>(limits);
        HttpServer& server = *running_->server;
        server.route("GET", "/hello", [](const HttpRequest&) { return HttpResponse::text("hello"); });
        server.route("POST", "/echo", [](const HttpRequest& request) { return HttpResponse::text(request.body); });
        server.route("GET", "/items/{id}", [](const HttpRequest& request) -> Result<HttpResponse> {
            if (request.captures.at("id") == "none") return fail(Code::NotFound, "no item", "look elsewhere");
            return HttpResponse::text(request.captures.at("id"));
        });
        server.route("GET", "/big", [](const HttpRequest& request) {
            HttpResponse response = HttpResponse::text(std::string(static_cast<size_t>(std::stoi(request.query.at("n"))), 'x'));
            response.etag = request.query.contains("etag");
            return response;
        });
        server.route("GET", "/shared", [this](const HttpRequest&) {
            HttpResponse response = HttpResponse::text("");
            response.shared = shared_;
            response.etag = true;
            return response;
        });
        server.route("GET", "/kept", [this](const HttpRequest& request) {
            HttpResponse response = stream(request);
            response.at_hand = [this] { return kept_; };
            response.keep = [this](const SharedBody& body) { kept_ = body; };
            return response;
        });
        server.route("GET", "/stream", [this](const HttpRequest& request) { return stream(request); });
        server.observe([this](const HttpObservation& seen) {
            const std::lock_guard lock(mutex_);
            seen_.push_back(seen);
        });
    }
    // ?pieces=n of ?bytes=b each; ?break=k: an error instead of piece k (from 0).
    HttpResponse stream(const HttpRequest& request) {
        const auto number = [&](const char* key, int otherwise) {
            return request.query.contains(key) ? std::stoi(request.query.at(key)) : otherwise;
        };
        HttpResponse response = HttpResponse::text("");
        response.brief = request.query.contains("brief");
        response.stream = [this, pieces = number("pieces", 3), bytes = number("bytes", 4), broken = number("break", -1),
                           at = 0](std::string& out) mutable -> Result<bool> {
            ++asked_;
            if (at == broken) return fail(Code::Unavailable, "the store went away");
            out.append(static_cast<size_t>(bytes), static_cast<char>('a' + at % 26));
            return ++at < pieces;
        };
        return response;
    }
    BareClient client() { return BareClient(running_->port); }
    std::vector<HttpObservation> seen() {
        const std::lock_guard lock(mutex_);
        return seen_;
    }
    std::unique_ptr<RunningServer> running_;
    std::mutex mutex_;
    std::vector<HttpObservation> seen_;
    std::atomic<int> asked_ = 0;
    const SharedBody shared_ = std::make_shared<const PreparedBody>(std::string(200'000, 's'));
    SharedBody kept_;  // the stream worker's
    void TearDown() override { running_.reset(); }
};

}  // namespace basmalin::testing
