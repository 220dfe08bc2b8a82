// The gzip content coding, in pieces (zlib_gzip.cpp). Thread: one at a time.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace basmalin {

class Gzip {
  public:
    Gzip();
    ~Gzip();
    // Appends the coding of `bytes`, flushed so that the reader can decode all of it; `last` ends the stream.
    void add(std::string_view bytes, bool last, std::string& out);

  private:
    struct State;
    std::unique_ptr<State> state_;
};

std::string gzip(std::string_view bytes);

}  // namespace basmalin
