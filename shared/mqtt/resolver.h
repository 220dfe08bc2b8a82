// Looks up the addresses of a name without blocking the loop: getaddrinfo on a thread of its own, one at a time. A look-up
// that hangs holds nobody: the thread is let go of, and what it finds later is dropped.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "shared/base/result.h"
#include "shared/loop/loop.h"

namespace basmalin {

// True for "192.0.2.1" and "2001:db8::1".
bool is_address(const std::string& host);

class Resolver {
  public:
    static constexpr size_t addresses_max = 8;
    using Found = std::function<void(Result<std::vector<std::string>>)>;  // at least one address, none twice

    explicit Resolver(Loop& loop) : loop_(loop) {}
    ~Resolver();  // thread: the loop's
    Resolver(const Resolver&) = delete;
    Resolver& operator=(const Resolver&) = delete;

    // Thread: the loop's, and `found` comes on it, later. A call before the last has answered takes over its look-up when
    // the name is the same.
    void resolve(const std::string& host, Found found);
    void forget();  // what was asked for is not wanted any more

  private:
    struct LookUp;
    Loop& loop_;
    std::shared_ptr<LookUp> look_up_;
};

}  // namespace basmalin
