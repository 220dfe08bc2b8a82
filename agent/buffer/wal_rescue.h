// Batches that SQLite will not see any more because the write-ahead log is damaged before them: a log is only read up to its
// first bad checksum, in silence. Every batch has its own checksum, so the pages behind the damage are searched for batches that
// are newer than all the database knows. Pure but for reading the file.
// Format: sqlite.org/fileformat2.html, sections 1.6 (b-tree pages), 2.1 (records), 4.1 (WAL).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "shared/wire/batch.h"

namespace basmalin::agent {

constexpr size_t wal_bytes_max = size_t{16} << 20;

// The bytes of the log, empty if there is none; at most wal_bytes_max of them. To be read before SQLite opens the file.
std::string read_wal(const std::string& path);

struct Rescued {
    BatchHeader header;
    int64_t first_wall = 0;
    std::string bytes;
};

// Sound batches of `stream` with ids in [first_id, end_id), by id. Never fails, whatever the bytes.
std::map<int64_t, Rescued> rescue_batches(std::string_view wal, uint64_t stream, int64_t first_id, int64_t end_id);

}  // namespace basmalin::agent
