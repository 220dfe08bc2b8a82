// Whole small files, read with a bound and replaced atomically.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "shared/base/result.h"

namespace basmalin {

// Reads at most bytes_max; a longer file is Full, a missing one NotFound. Works on /proc and /sys files.
Result<std::string> read_file(const std::string& path, size_t bytes_max);

// Writes path.tmp, fsyncs, renames over path, fsyncs the folder: after a crash the old or the new content, never a mix.
Result<void> replace_file(const std::string& path, std::string_view bytes, unsigned mode = 0600);

Result<void> sync_folder(const std::string& folder);
Result<void> make_folders(const std::string& path, unsigned mode = 0700);
std::string folder_of(const std::string& path);

struct DiskSpace {
    int64_t total_bytes = 0;
    int64_t free_bytes = 0;  // what an unprivileged process may still write
    int64_t inodes_total = 0;
    int64_t inodes_free = 0;
};
Result<DiskSpace> disk_space(const std::string& path);

}  // namespace basmalin
