#include "agent/buffer/wal_rescue.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <unordered_map>

namespace basmalin::agent {
namespace {

constexpr size_t wal_header_bytes = 32;
constexpr size_t frame_header_bytes = 24;
constexpr size_t frame_bytes = frame_header_bytes + page_bytes;

uint32_t page_number(std::string_view wal, size_t frame) {
    uint32_t v = 0;
    for (size_t i = 0; i < 4; ++i) v = v << 8 | static_cast<uint8_t>(wal[frame + i]);
    return v;
}

}  // namespace

std::string read_wal(const std::string& path) {
    const int fd = ::open((path + "-wal").c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return {};
    struct stat what{};
    const bool sized = ::fstat(fd, &what) == 0 && what.st_size > 0;
    std::string bytes(sized ? std::min(static_cast<size_t>(what.st_size), wal_bytes_max) : 0, '\0');
    read_around(fd, 0, bytes);
    ::close(fd);
    return bytes;
}

size_t frames_of(std::string_view wal) { return wal.size() < wal_header_bytes ? 0 : (wal.size() - wal_header_bytes) / frame_bytes; }

void each_row_of_log(std::string_view wal, const PageOf& main, const std::function<void(const RawRow&)>& each, size_t first, size_t end) {
    std::unordered_map<uint32_t, size_t> latest;
    for (size_t at = wal_header_bytes; at + frame_bytes <= wal.size(); at += frame_bytes)
        latest[page_number(wal, at)] = at + frame_header_bytes;
    const PageOf overflow = [&](uint32_t number) {
        const auto found = latest.find(number);
        return found != latest.end() ? wal.substr(found->second, page_bytes) : main ? main(number) : std::string_view{};
    };
    for (size_t frame = first; frame < std::min(end, frames_of(wal)); ++frame)
        each_row(wal.substr(wal_header_bytes + frame * frame_bytes + frame_header_bytes, page_bytes), overflow, each);
}

std::map<int64_t, Rescued> rescue_batches(std::string_view wal, uint64_t stream, int64_t first_id, int64_t end_id) {
    std::map<int64_t, Rescued> found;
    each_row_of_log(wal, {}, [&](const RawRow& row) {
        if (row.rowid < first_id || row.rowid >= end_id || found.contains(row.rowid)) return;
        if (auto rescued = batch_of(row, stream)) found[row.rowid] = std::move(*rescued);
    });
    return found;
}

}  // namespace basmalin::agent
