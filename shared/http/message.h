// The parts of HTTP that need no socket: targets, escapes, ETags, content codings, the head of a response. Pure.
// R1  A target is decoded after it is split, so an escaped '/' stays inside its segment.
// R2  Bad escapes, NUL and bytes that are no UTF-8 are errors, never guessed at.
// R3  No header value carries a line break out.
// Sources: RFC 9110 (8.8.3, 12.5.3, 13.1.2), RFC 9112 (2.1, 3.2).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "shared/base/result.h"
#include "shared/http/server.h"

namespace basmalin::http_message {

struct Target {
    std::string path;                   // decoded
    std::vector<std::string> segments;  // of the path, decoded one by one: "/a/b" is {"a", "b"}
    std::map<std::string, std::string> query;
};
Result<Target> parse_target(std::string_view target);
Result<std::string> percent_decode(std::string_view text, bool plus_is_space);

// "\"<16 hex>\"" of the body (FNV-1a, 64 bit).
std::string etag_of(std::string_view body);
// Whether an If-None-Match names this tag; the gzip variant of a tag counts as the tag.
bool etag_matches(std::string_view if_none_match, std::string_view etag);
// The tag of the gzipped variant: another strong tag, as RFC 9110 asks.
std::string gzip_etag(const std::string& etag);

// How much a list of preferences ("text/csv;q=0.5, */*") wants what it names `name` (in lower case): 0 to 1, 1 without a q. Nothing
// where it does not name it.
std::optional<double> quality_of(std::string_view header, std::string_view name);
bool accepts_gzip(std::string_view accept_encoding);
bool is_compressible(std::string_view content_type);

struct HeadOptions {
    bool keep_alive = true;
    bool chunked = false;
    bool with_length = true;
    size_t length = 0;
    std::string date;  // IMF-fixdate
};
// Status line and headers with the empty line that ends them.
std::string render_head(const HttpResponse& response, const HeadOptions& options);
std::string http_date(int64_t unix_seconds);
std::string lower(std::string_view text);

}  // namespace basmalin::http_message
