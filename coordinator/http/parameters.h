// The query of a request, read strictly: every parameter is declared by asking for it, and what is left over is an error. Pure.
// R1  An unknown parameter is Invalid: the error names it and lists the known ones.
// R2  A value that does not fit is Invalid: the error names the parameter and says what would fit.
// R3  Times: RFC 3339 ("2026-11-22T17:35:00Z", a date alone is its midnight in UTC), milliseconds since 1970, "now", or back from
//     now ("-24h", "-90s", "-7d").
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "shared/base/clock.h"
#include "shared/base/result.h"
#include "shared/http/server.h"

namespace basmalin::coordinator {

Result<WallTime> parse_time(std::string_view text, WallTime now);
// "300s" "5m" "1h" "1d" (also "5min"); at least a second.
Result<Duration> parse_step(std::string_view text);

class Parameters {
  public:
    Parameters(const HttpRequest& request, WallTime now) : request_(request), now_(now) {}

    // Each says what it takes, and returns `otherwise` when it was not given or is wrong: done() tells.
    std::string text(const std::string& name, std::string otherwise = {});
    std::string choice(const std::string& name, const std::vector<std::string>& allowed, std::string otherwise = {});
    int64_t integer(const std::string& name, int64_t least, int64_t most, int64_t otherwise);
    WallTime time(const std::string& name, WallTime otherwise);
    std::optional<Duration> step(const std::string& name);
    // "1,2,3": at most `most` numbers from 1 on.
    std::vector<int64_t> ids(const std::string& name, size_t most);
    bool given(const std::string& name) const { return request_.query.contains(name); }
    void refuse(const std::string& name, const std::string& what, const std::string& hint);

    // After all were asked for: the first thing that is wrong.
    Result<void> done();

  private:
    const std::string* find(const std::string& name);
    const HttpRequest& request_;
    WallTime now_;
    std::vector<std::string> known_;
    std::optional<Error> wrong_;
};

}  // namespace basmalin::coordinator
