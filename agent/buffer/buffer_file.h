// The buffer's file: its tables, its lock, the check at start and the repair. Used by sqlite_buffer.cpp and the buffer command.
// Steps of a repair, each safe to be cut: build <path>.repairing, a file without batches that knows the old streams, boots and layouts
// and what is to be salvaged; rename <path> and its WAL to <path>.damaged-<time>; rename .repairing to <path>. A repair found complete
// but not renamed is finished at the next open. The batches follow in slices (buffer_salvage.cpp).
// Thread: one.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/buffer/buffer.h"
#include "shared/base/result.h"
#include "shared/series/codec.h"
#include "shared/sqlite/database.h"

namespace basmalin::agent {

constexpr int seq_bits = 40;
constexpr int64_t id_of(int64_t stream_no, uint64_t seq) { return (stream_no << seq_bits) + static_cast<int64_t>(seq); }
constexpr int64_t stream_no_of(int64_t id) { return id >> seq_bits; }
constexpr uint64_t seq_of(int64_t id) { return static_cast<uint64_t>(id & ((int64_t{1} << seq_bits) - 1)); }

// flock on <path>.lock, held for as long as this lives.
class FileLock {
  public:
    static Result<FileLock> take(const std::string& path);
    FileLock() = default;
    FileLock(FileLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    FileLock& operator=(FileLock&& other) noexcept;
    ~FileLock();

  private:
    explicit FileLock(int fd) : fd_(fd) {}
    int fd_ = -1;
};

struct BufferFile {
    FileLock lock;
    Database db;
    OpenReport report;
    std::string wal;  // as it was before SQLite opened it (wal_rescue.h); empty after a repair
};

Result<BufferFile> open_buffer_file(const std::string& path, const BufferOptions& options, WallTime now);
// Sets this file aside, with a new one in its place into which its batches are to be salvaged. With the lock held.
Result<OpenReport> repair_buffer_file(const std::string& path, WallTime now, const std::string& complaint, const Promised& promised);
constexpr size_t damaged_kept_max = 2;
// Drops set-aside files beyond the newest kept_max, not those in use (by name without folder). True when any were there to drop.
bool limit_damaged(const std::string& path, size_t kept_max, const std::set<std::string>& in_use);
// Corrupt with what is wrong; quick_check stops at the deadline without a complaint.
Result<void> check_buffer_file(Database& db, Duration deadline);
Result<void> create_buffer_tables(Database& db);
// The stream's id a second time, in another block of the disk than its row: without it no batch of the stream can be told from garbage.
Result<void> note_stream(Database& db, int64_t stream_no, uint64_t id);
constexpr int64_t log_bytes_limit = 4 << 20;
// leave_log: what may turn out damaged keeps its log when it is closed.
Result<Database> open_buffer_database(const std::string& path, bool read_only, bool leave_log = false);

Result<std::vector<Layout>> read_layouts(Database& db);  // without those that are damaged
Result<void> insert_gap(Database& db, const Gap& gap);  // joins it with rows it touches
std::string encode_layout(const Layout& layout);
Result<Layout> decode_layout(uint32_t id, std::string_view bytes);
std::string encode_acked(const SeqSet& set);
SeqSet decode_acked(std::string_view bytes);

constexpr std::string_view salvage_end_key = "salvage end ";  // in meta, with the stream's number: see Promised
constexpr std::string_view batch_columns = "id, priority, kind, readings, first_wall, bytes";

}  // namespace basmalin::agent
