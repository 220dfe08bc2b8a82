// A body that is sent more than once, and what is derived from it: made when first asked for, once. Threads: any.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <utility>

namespace basmalin {

class PreparedBody {
  public:
    explicit PreparedBody(std::string bytes) : bytes_(std::move(bytes)) {}
    const std::string& bytes() const { return bytes_; }
    const std::string& etag() const;
    const std::string& gzipped() const;

  private:
    const std::string bytes_;
    mutable std::once_flag tagged_, packed_;
    mutable std::string etag_, gzipped_;
};
using SharedBody = std::shared_ptr<const PreparedBody>;

}  // namespace basmalin
