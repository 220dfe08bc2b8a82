#include <httplib.h>

#include "coordinator/cli/client.h"

namespace basmalin::coordinator {
namespace {

class HttplibTransport final : public Transport {
  public:
    explicit HttplibTransport(const std::string& url) : url_(url), client_(url) {
        client_.set_connection_timeout(5);
        client_.set_read_timeout(60);
        client_.set_keep_alive(true);
        client_.set_tcp_nodelay(true);
    }
    bool valid() const { return client_.is_valid(); }

    Result<HttpAnswer> get(const std::string& target, const std::string& token, const OnPiece& on_piece) override {
        httplib::Headers headers;
        if (!token.empty()) headers.emplace("Authorization", "Bearer " + token);
        HttpAnswer answer;
        const auto on_head = [&](const httplib::Response& response) {
            answer.status = response.status;
            return true;
        };
        const auto on_body = [&](const char* bytes, size_t count) {
            const std::string_view piece(bytes, count);
            on_piece && answer.status / 100 == 2 ? on_piece(piece) : void(answer.body += piece);
            return true;
        };
        const httplib::Result result = client_.Get(target.c_str(), headers, on_head, on_body);
        if (result) return answer;
        const httplib::Error error = result.error();
        if (error == httplib::Error::SSLConnection)
            return fail(Code::Unavailable, url_ + ": there is no TLS", "write it with http:// if it is a coordinator without a proxy before it");
        if (error == httplib::Error::SSLServerVerification || error == httplib::Error::SSLLoadingCerts)
            return fail(Code::Denied, url_ + ": its TLS certificate is not trusted here", "install the certificate's authority on this machine");
        const bool late = error == httplib::Error::Read || error == httplib::Error::ConnectionTimeout;
        const std::string why = error == httplib::Error::Connection ? "nobody listens there, or the name is not known"
                                : error == httplib::Error::Read     ? "it hung up, or took too long"
                                                                    : httplib::to_string(error);
        return fail(late ? Code::Timeout : Code::Unavailable, "no answer from " + url_ + ": " + why,
                    "is the coordinator running? name its address with --url or BASMALIN_URL");
    }

  private:
    std::string url_;
    httplib::Client client_;
};

}  // namespace

Result<std::unique_ptr<Transport>> make_httplib_transport(const std::string& given) {
    const std::string url = given.ends_with('/') ? given.substr(0, given.size() - 1) : given;  // as a browser copies it
    const auto wrong = [&] { return fail(Code::Invalid, "'" + url + "' is no address of a coordinator", "write it as http://127.0.0.1:8080"); };
    const size_t scheme = url.find("://");
    if (scheme == std::string::npos || (url.substr(0, scheme) != "http" && url.substr(0, scheme) != "https")) return wrong();
    if (url.find('/', scheme + 3) != std::string::npos) return wrong();
    auto transport = std::make_unique<HttplibTransport>(url);
    if (!transport->valid()) return wrong();
    return transport;
}

}  // namespace basmalin::coordinator
