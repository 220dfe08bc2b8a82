// What the `basmalin` command asks the coordinator: GET requests with the bearer token, JSON answers, pages followed.
// Errors are for a person at a terminal: what happened, and what to do. Thread: one.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "shared/base/json.h"
#include "shared/base/result.h"

namespace basmalin::coordinator {

using Parameters = std::vector<std::pair<std::string, std::string>>;

struct HttpAnswer {
    int status = 0;
    std::string body;
};

using OnPiece = std::function<void(std::string_view)>;

// One HTTP GET; Unavailable or Timeout when no answer came. With `on_piece` the body of a 2xx answer goes there as it comes, however
// long it is. httplib_transport.cpp implements it; tests give their own.
class Transport {
  public:
    virtual ~Transport() = default;
    virtual Result<HttpAnswer> get(const std::string& target, const std::string& token, const OnPiece& on_piece) = 0;
};

// `url` is "http://host:port" or "https://host:port", with nothing behind it.
Result<std::unique_ptr<Transport>> make_httplib_transport(const std::string& url);

class Client {
  public:
    Client(std::unique_ptr<Transport> transport, std::string url, std::string token)
        : transport_(std::move(transport)), url_(std::move(url)), token_(std::move(token)) {}

    // The body of a 2xx answer (or of a status in `also`), as JSON. The API's own error otherwise, with its hint.
    Result<Json> get(const std::string& path, const Parameters& parameters = {}, std::vector<int> also = {});
    // The body as text, piece by piece.
    Result<void> get_text(const std::string& path, const Parameters& parameters, const OnPiece& on_piece);
    // Every item of a paged list, page by page, until `each` returns false.
    Result<void> each_item(const std::string& path, Parameters parameters, const std::function<bool(const Json&)>& each);

  private:
    Result<HttpAnswer> ask(const std::string& path, const Parameters& parameters, const std::vector<int>& also, const OnPiece& on_piece = {});
    std::unique_ptr<Transport> transport_;
    std::string url_;
    std::string token_;
};

// The token: the file's content without the newline at its end.
Result<std::string> read_token(const std::string& file);
std::string percent_encode(std::string_view text);

}  // namespace basmalin::coordinator
