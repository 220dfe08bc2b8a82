#include "shared/http/message.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <ctime>

#include "shared/base/fnv1a.h"
#include "shared/base/ids.h"
#include "shared/base/json.h"

namespace basmalin {

int http_status(Code code) {
    switch (code) {
        case Code::Invalid: return 400;
        case Code::NotFound: return 404;
        case Code::Conflict: return 409;
        case Code::Unavailable: return 503;
        case Code::Timeout: return 504;
        case Code::Corrupt: return 500;
        case Code::Full: return 429;
        case Code::Denied: return 403;
    }
    return 500;
}

HttpResponse error_response(const Error& error, int status) {
    Json inner = Json::object();
    inner.set("code", to_string(error.code)).set("message", error.text).set("hint", error.hint);
    return HttpResponse::json(Json::object().set("error", std::move(inner)), status == 0 ? http_status(error.code) : status);
}

HttpResponse HttpResponse::json(const Json& value, int status) {
    HttpResponse response;
    response.status = status;
    response.body = value.dump() + "\n";
    return response;
}

HttpResponse HttpResponse::text(std::string body, int status) {
    HttpResponse response;
    response.status = status;
    response.content_type = "text/plain; charset=utf-8";
    response.body = std::move(body);
    return response;
}

namespace http_message {
namespace {

int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

std::string_view trim(std::string_view text) {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
    return text;
}

// Calls `each` with every trimmed part between the separators.
template <class Each>
void for_each_part(std::string_view text, char separator, Each each) {
    while (true) {
        const size_t end = text.find(separator);
        each(trim(text.substr(0, end)));
        if (end == std::string_view::npos) return;
        text.remove_prefix(end + 1);
    }
}

std::string_view reason_phrase(int status) {
    switch (status) {
        case 200: return "OK";
        case 201: return "Created";
        case 202: return "Accepted";
        case 204: return "No Content";
        case 304: return "Not Modified";
        case 400: return "Bad Request";
        case 401: return "Unauthorized";
        case 403: return "Forbidden";
        case 404: return "Not Found";
        case 405: return "Method Not Allowed";
        case 409: return "Conflict";
        case 413: return "Content Too Large";
        case 429: return "Too Many Requests";
        case 431: return "Request Header Fields Too Large";
        case 500: return "Internal Server Error";
        case 501: return "Not Implemented";
        case 503: return "Service Unavailable";
        case 504: return "Gateway Timeout";
        case 505: return "HTTP Version Not Supported";
        default: return "Status";
    }
}

std::string on_one_line(std::string_view text) {
    std::string out(text);
    std::replace_if(out.begin(), out.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, ' ');
    return out;
}

Result<void> parse_query(std::string_view text, std::map<std::string, std::string>& query) {
    if (text.empty()) return {};
    Result<void> done;
    for_each_part(text, '&', [&](std::string_view pair) {
        if (pair.empty() || !done) return;
        const size_t equals = pair.find('=');
        auto key = percent_decode(pair.substr(0, equals), true);
        auto value = percent_decode(equals == std::string_view::npos ? std::string_view() : pair.substr(equals + 1), true);
        if (!key)
            done = pass(key, "query");
        else if (!value)
            done = pass(value, "query: " + *key);
        else
            query[std::move(*key)] = std::move(*value);
    });
    return done;
}

}  // namespace

std::string lower(std::string_view text) {
    std::string out(text);
    std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return out;
}

Result<std::string> percent_decode(std::string_view text, bool plus_is_space) {
    std::string out;
    out.reserve(text.size());
    for (size_t i = 0; i < text.size(); ++i) {
        char c = text[i];
        if (c == '%') {
            const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
            const int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
            if (high < 0 || low < 0) return fail(Code::Invalid, "an escape is not % and two hex digits", "write a literal % as %25");
            c = static_cast<char>(high * 16 + low);
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        if (c == '\0') return fail(Code::Invalid, "a NUL byte is not allowed");
        out += c;
    }
    if (!is_utf8(out)) return fail(Code::Invalid, "not UTF-8", "escape text as UTF-8");
    return out;
}

Result<Target> parse_target(std::string_view target) {
    if (!target.starts_with('/')) {  // the absolute form, as to a proxy
        const size_t scheme = target.find("://");
        const size_t path = scheme == std::string_view::npos ? scheme : target.find('/', scheme + 3);
        if (path == std::string_view::npos) return fail(Code::Invalid, "the target is no path", "ask for a path like /api/nodes");
        target.remove_prefix(path);
    }
    target = target.substr(0, target.find('#'));
    const size_t mark = target.find('?');
    Target out;
    const std::string_view path = target.substr(0, mark);
    Result<void> done;
    for_each_part(path.substr(1), '/', [&](std::string_view segment) {
        auto decoded = percent_decode(segment, false);
        if (!decoded && done) done = pass(decoded, "path");
        if (decoded) out.segments.push_back(std::move(*decoded));
    });
    if (!done) return pass(done);
    for (const std::string& segment : out.segments) out.path += '/' + segment;
    if (mark != std::string_view::npos) {
        if (auto parsed = parse_query(target.substr(mark + 1), out.query); !parsed) return pass(parsed);
    }
    return out;
}

std::string etag_of(std::string_view body) { return '"' + to_hex(fnv1a(body)) + '"'; }

std::string gzip_etag(const std::string& etag) { return etag.substr(0, etag.size() - 1) + "-gzip\""; }

bool etag_matches(std::string_view if_none_match, std::string_view etag) {
    if (trim(if_none_match) == "*") return true;
    const std::string gzipped = gzip_etag(std::string(etag));
    bool found = false;
    for_each_part(if_none_match, ',', [&](std::string_view tag) {
        if (tag.starts_with("W/")) tag.remove_prefix(2);
        found = found || tag == etag || tag == gzipped;
    });
    return found;
}

std::optional<double> quality_of(std::string_view header, std::string_view name) {
    std::optional<double> found;
    for_each_part(header, ',', [&](std::string_view one) {
        const size_t semicolon = one.find(';');
        if (lower(trim(one.substr(0, semicolon))) != name) return;
        double quality = 1;
        if (semicolon != std::string_view::npos) {
            for_each_part(one.substr(semicolon + 1), ';', [&](std::string_view parameter) {
                if (parameter.empty()) quality = 0;
                if (lower(parameter.substr(0, 2)) != "q=") return;
                const std::string_view value = parameter.substr(2);
                if (std::from_chars(value.data(), value.data() + value.size(), quality).ec != std::errc()) quality = 0;
            });
        }
        found = quality;
    });
    return found;
}

bool accepts_gzip(std::string_view accept_encoding) {
    auto quality = quality_of(accept_encoding, "gzip");
    if (!quality) quality = quality_of(accept_encoding, "x-gzip");
    if (!quality) quality = quality_of(accept_encoding, "*");
    return quality.value_or(0) > 0;
}

bool is_compressible(std::string_view content_type) {
    const std::string type = lower(trim(content_type.substr(0, content_type.find(';'))));
    if (type == "text/event-stream") return false;
    for (const std::string_view end : {"json", "yaml", "xml", "javascript", "openmetrics-text"}) {
        if (type.ends_with(end)) return true;
    }
    return type.starts_with("text/");
}

std::string render_head(const HttpResponse& response, const HeadOptions& options) {
    std::string out;
    out.reserve(256);
    out += "HTTP/1.1 " + std::to_string(response.status) + ' ';
    out += reason_phrase(response.status);
    out += "\r\nDate: " + options.date + "\r\n";
    const bool bodiless = response.status == 204 || response.status == 304 || response.status < 200;
    if (!bodiless) out += "Content-Type: " + on_one_line(response.content_type) + "\r\n";
    if (options.chunked)
        out += "Transfer-Encoding: chunked\r\n";
    else if (options.with_length && !bodiless)
        out += "Content-Length: " + std::to_string(options.length) + "\r\n";
    out += "X-Content-Type-Options: nosniff\r\n";
    bool cache = false;
    for (const auto& [name, value] : response.headers) {
        out += on_one_line(name) + ": " + on_one_line(value) + "\r\n";
        cache = cache || lower(name) == "cache-control";
    }
    if (!cache) out += response.etag ? "Cache-Control: no-cache\r\n" : "Cache-Control: no-store\r\n";
    out += options.keep_alive ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n";
    return out;
}

std::string http_date(int64_t unix_seconds) {
    static constexpr const char* days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static constexpr const char* months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    const auto when = static_cast<std::time_t>(unix_seconds);
    std::tm parts{};
    if (gmtime_r(&when, &parts) == nullptr) return "Thu, 01 Jan 1970 00:00:00 GMT";
    char rest[32];
    const size_t n = std::strftime(rest, sizeof rest, " %Y %H:%M:%S GMT", &parts);
    std::string day = std::to_string(100 + parts.tm_mday).substr(1);
    return std::string(days[parts.tm_wday]) + ", " + day + ' ' + months[parts.tm_mon] + std::string(rest, n);
}

}  // namespace http_message
}  // namespace basmalin
