// Runs a program with a limit on its time and on its output, and ends it (with its children) when it exceeds one. It inherits no
// descriptor but /dev/null and the pipe, and a minimal environment. Thread: one; run() blocks up to the limit.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "shared/base/clock.h"
#include "shared/base/result.h"

namespace basmalin::agent {

class BoundedCommand {
  public:
    BoundedCommand() = default;
    ~BoundedCommand();
    BoundedCommand(const BoundedCommand&) = delete;
    BoundedCommand& operator=(const BoundedCommand&) = delete;

    // What it wrote to standard output. Timeout, Full, or Unavailable when it cannot start, ends in failure, or one that was
    // killed before has still not gone (a sick disk): there is never more than one.
    Result<std::string> run(const std::vector<std::string>& arguments, Duration limit, size_t bytes_max);

  private:
    bool reap(MonoTime deadline, int& status);

    std::optional<pid_t> child_;
};

}  // namespace basmalin::agent
