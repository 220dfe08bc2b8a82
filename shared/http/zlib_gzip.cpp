#include <zlib.h>

#include <algorithm>
#include <array>

#include "shared/base/result.h"
#include "shared/http/gzip.h"

namespace basmalin {

struct Gzip::State {
    z_stream stream{};
};

Gzip::Gzip() : state_(std::make_unique<State>()) {
    constexpr int level = 4;
    constexpr int window_bits_gzip = 15 + 16;
    constexpr int memory_level = 8;
    if (deflateInit2(&state_->stream, level, Z_DEFLATED, window_bits_gzip, memory_level, Z_DEFAULT_STRATEGY) != Z_OK) {
        broken_invariant("zlib does not start");
    }
}

Gzip::~Gzip() { deflateEnd(&state_->stream); }

void Gzip::add(std::string_view bytes, bool last, std::string& out) {
    z_stream& stream = state_->stream;
    std::array<char, 16 * 1024> piece;
    do {
        const size_t n = std::min<size_t>(bytes.size(), 1u << 30);
        stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
        stream.avail_in = static_cast<uInt>(n);
        bytes.remove_prefix(n);
        const int flush = !bytes.empty() ? Z_NO_FLUSH : last ? Z_FINISH : Z_SYNC_FLUSH;
        do {
            stream.next_out = reinterpret_cast<Bytef*>(piece.data());
            stream.avail_out = static_cast<uInt>(piece.size());
            if (deflate(&stream, flush) == Z_STREAM_ERROR) broken_invariant("zlib lost its state");
            out.append(piece.data(), piece.size() - stream.avail_out);
        } while (stream.avail_out == 0);
    } while (!bytes.empty());
}

std::string gzip(std::string_view bytes) {
    std::string out;
    out.reserve(bytes.size() / 4 + 64);
    Gzip().add(bytes, true, out);
    return out;
}

}  // namespace basmalin
