#include "shared/base/result.h"

#include <cstdio>
#include <cstdlib>

namespace basmalin {

std::string_view to_string(Code code) {
    switch (code) {
        case Code::Invalid: return "invalid";
        case Code::NotFound: return "not_found";
        case Code::Conflict: return "conflict";
        case Code::Unavailable: return "unavailable";
        case Code::Timeout: return "timeout";
        case Code::Corrupt: return "corrupt";
        case Code::Full: return "full";
        case Code::Denied: return "denied";
    }
    return "invalid";
}

void broken_invariant(std::string_view sentence) {
    std::fprintf(stderr, "broken invariant: %.*s\n", static_cast<int>(sentence.size()), sentence.data());
    std::fflush(stderr);
    std::abort();
}

}  // namespace basmalin
