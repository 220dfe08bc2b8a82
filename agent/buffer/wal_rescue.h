// Batches that SQLite will not see any more because the write-ahead log is damaged before them: a log is only read up to its
// first bad checksum, in silence. Every batch has its own checksum, so the pages behind the damage are searched for batches that
// are newer than all the database knows. Pure but for reading the file.
// Format: sqlite.org/fileformat2.html, section 4.1 (WAL).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "agent/buffer/page_rescue.h"

namespace basmalin::agent {

constexpr size_t wal_bytes_max = size_t{16} << 20;

// The bytes of the log, empty if there is none; at most wal_bytes_max of them. To be read before SQLite opens the file.
std::string read_wal(const std::string& path);

size_t frames_of(std::string_view wal);
// Rows of its pages in the frames [first, end), of older versions of a page too. Overflow pages that it does not have are asked of `main`.
void each_row_of_log(std::string_view wal, const PageOf& main, const std::function<void(const RawRow&)>& each, size_t first = 0,
                     size_t end = SIZE_MAX);

// Sound batches of `stream` with ids in [first_id, end_id), by id. Never fails, whatever the bytes.
std::map<int64_t, Rescued> rescue_batches(std::string_view wal, uint64_t stream, int64_t first_id, int64_t end_id);

}  // namespace basmalin::agent
