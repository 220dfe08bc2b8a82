#include "coordinator/cli/client.h"

#include <algorithm>

#include "shared/base/file.h"

namespace basmalin::coordinator {

std::string percent_encode(std::string_view text) {
    static constexpr char digits[] = "0123456789ABCDEF";
    std::string out;
    for (const char c : text) {
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
        if (plain) {
            out += c;
            continue;
        }
        const auto byte = static_cast<unsigned char>(c);
        out += '%';
        out += digits[byte >> 4];
        out += digits[byte & 15];
    }
    return out;
}

Result<std::string> read_token(const std::string& file) {
    if (file.empty()) return std::string();
    auto token = read_file(file, 4096);
    if (!token) {
        Error error = std::move(token.error()).context("token");
        error.hint = error.code == Code::Denied ? "read it as the user who runs the coordinator" : "name the coordinator's token file with --token-file or BASMALIN_TOKEN_FILE";
        return std::unexpected(std::move(error));
    }
    while (!token->empty() && (token->back() == '\n' || token->back() == '\r' || token->back() == ' ')) token->pop_back();
    return token;
}

static std::string target_of(const std::string& path, const Parameters& parameters) {
    std::string target = path;
    char separator = '?';
    for (const auto& [name, value] : parameters) {
        target += separator;
        target += percent_encode(name) + '=' + percent_encode(value);
        separator = '&';
    }
    return target;
}

// "GET /api/devices?node=g1 lists them" is for who speaks HTTP: here it is "basmalin devices --node g1 lists them".
static std::string in_words_of_the_command(const std::string& hint) {
    constexpr std::string_view get = "GET /api/";
    if (!hint.starts_with(get) || !hint.ends_with(" lists them")) return hint;
    std::string command = "basmalin " + hint.substr(get.size());
    if (const size_t query = command.find("?node="); query != std::string::npos) command.replace(query, 6, " --node ");
    return command;
}

// The API's {"error":{"code","message","hint"}}, or what can be said without one.
static Error refusal(const HttpAnswer& answer, const std::string& url) {
    const auto json = parse_json(answer.body);
    const Json& error = json ? (*json)["error"] : Json();
    Error refused;
    refused.code = answer.status == 404 ? Code::NotFound : answer.status == 401 || answer.status == 403 ? Code::Denied : answer.status >= 500 ? Code::Unavailable : Code::Invalid;
    refused.text = error["message"].as_string();
    refused.hint = in_words_of_the_command(error["hint"].as_string());
    if (refused.text.empty()) {
        refused.text = url + " answered with status " + std::to_string(answer.status);
        refused.hint = "is this address a coordinator's? name it with --url or BASMALIN_URL";
    }
    if (answer.status == 401) refused.hint = "name the coordinator's token file with --token-file or BASMALIN_TOKEN_FILE";
    return refused;
}

Result<HttpAnswer> Client::ask(const std::string& path, const Parameters& parameters, const std::vector<int>& also, const OnPiece& on_piece) {
    auto answer = transport_->get(target_of(path, parameters), token_, on_piece);
    if (!answer) return pass(answer);
    const bool good = (answer->status >= 200 && answer->status < 300) || std::find(also.begin(), also.end(), answer->status) != also.end();
    if (!good) return std::unexpected(refusal(*answer, url_));
    return answer;
}

Result<Json> Client::get(const std::string& path, const Parameters& parameters, std::vector<int> also) {
    auto answer = ask(path, parameters, also);
    if (!answer) return pass(answer);
    auto json = parse_json(answer->body, {.bytes_max = 256 << 20, .depth_max = 32, .values_max = 20'000'000});
    if (!json) return pass(json, url_ + path);
    return json;
}

Result<void> Client::get_text(const std::string& path, const Parameters& parameters, const OnPiece& on_piece) {
    auto answer = ask(path, parameters, {}, on_piece);
    if (!answer) return pass(answer);
    return {};
}

Result<void> Client::each_item(const std::string& path, Parameters parameters, const std::function<bool(const Json&)>& each) {
    for (;;) {
        auto page = get(path, parameters);
        if (!page) return pass(page);
        for (const Json& item : (*page)["items"].as_array())
            if (!each(item)) return {};
        const Json& next = (*page)["next"];
        if (!next.is_string() || next.as_string().empty()) return {};
        std::erase_if(parameters, [](const auto& parameter) { return parameter.first == "after"; });
        parameters.emplace_back("after", next.as_string());
    }
}

}  // namespace basmalin::coordinator
