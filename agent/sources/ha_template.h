// The subset of Home Assistant's templates that devices really use in discovery, and nothing else:
//     {{ value }}   {{ value_json.a.b }}   {{ value_json['a'] }}   {{ value_json["a"].b[0] }}
// with the filters float, int, round(n), is_defined, default(x) and their usual arguments.
// R1  Anything else is refused when it is compiled, with a word on what: an expression that is half understood is a wrong reading.
// R2  What is undefined renders to nothing (no reading), unless default(x) says otherwise. The fallback of float(x) or int(x) is
//     accepted and not used: a number that does not parse is no reading, not an invented one.
// R3  Compiled once, bounded: 512 bytes, 16 steps, 8 filters.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "shared/base/json.h"

namespace basmalin::agent {

class Template {
  public:
    static Result<Template> compile(std::string_view text);  // an empty text is the whole payload
    // Null when the payload does not say it. `json` is the parsed payload, null if it is no JSON; then a payload that is a bare
    // JSON scalar is still value_json.
    std::optional<Json> render(std::string_view payload, const Json* json) const;
    bool whole() const { return !json_ && filters_.empty(); }

  private:
    enum class Filter { Float, Int, Round, IsDefined, Default };
    struct Step {
        std::string key;
        int64_t index = -1;  // an array's, when key is empty
    };
    struct Applied {
        Filter filter;
        Json argument;
    };
    class Parser;
    bool json_ = false;  // value_json rather than value
    std::vector<Step> steps_;
    std::vector<Applied> filters_;
};

}  // namespace basmalin::agent
