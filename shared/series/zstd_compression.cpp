#include <zstd.h>

#include <memory>

#include "shared/series/codec.h"

namespace basmalin {
namespace {

struct FreeCompression {
    void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
};
struct FreeDecompression {
    void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

}  // namespace

// Contexts are kept per thread: making one costs more than compressing a batch.
std::string compress(std::string_view bytes, int level) {
    thread_local const std::unique_ptr<ZSTD_CCtx, FreeCompression> context(ZSTD_createCCtx());
    if (!context) broken_invariant("no memory for compression");
    std::string out(ZSTD_compressBound(bytes.size()), '\0');
    const size_t n = ZSTD_compressCCtx(context.get(), out.data(), out.size(), bytes.data(), bytes.size(), level);
    if (ZSTD_isError(n) != 0) broken_invariant("zstd refused to compress into a buffer of its own bound");
    out.resize(n);
    return out;
}

Result<std::string> decompress(std::string_view bytes, size_t bytes_max) {
    const unsigned long long size = ZSTD_getFrameContentSize(bytes.data(), bytes.size());
    if (size == ZSTD_CONTENTSIZE_UNKNOWN || size == ZSTD_CONTENTSIZE_ERROR)
        return fail(Code::Corrupt, "compressed bytes: no zstd frame of known size");
    if (size > bytes_max)
        return fail(Code::Corrupt, "compressed bytes: " + std::to_string(size) + " bytes inside, at most " + std::to_string(bytes_max));
    if (const size_t frame = ZSTD_findFrameCompressedSize(bytes.data(), bytes.size()); ZSTD_isError(frame) != 0 || frame != bytes.size())
        return fail(Code::Corrupt, "compressed bytes: not one whole zstd frame");
    thread_local const std::unique_ptr<ZSTD_DCtx, FreeDecompression> context(ZSTD_createDCtx());
    if (!context) broken_invariant("no memory for decompression");
    std::string out(static_cast<size_t>(size), '\0');
    const size_t n = ZSTD_decompressDCtx(context.get(), out.data(), out.size(), bytes.data(), bytes.size());
    if (ZSTD_isError(n) != 0 || n != out.size()) return fail(Code::Corrupt, "compressed bytes: damaged");
    return out;
}

}  // namespace basmalin
