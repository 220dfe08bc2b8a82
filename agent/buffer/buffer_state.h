// What an open buffer remembers between calls. Shared by the files that implement Buffer: sqlite_buffer.cpp (open, seal, acks),
// buffer_send.cpp (fetch, welcome, hello) and buffer_room.cpp (bounds and grace). Thread: the Buffer's.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/buffer/buffer.h"
#include "agent/buffer/buffer_file.h"
#include "agent/buffer/eviction.h"

namespace basmalin::agent {

struct StreamState {
    int64_t no = 0;
    uint64_t id = 0;
    uint64_t next_seq = 1;
    SeqSet acked;
    bool acked_dirty = false;
};

// A batch about to be written.
struct Fresh {
    Held held;
    int64_t first_wall_ms = 0;                // 0 while the clock is not believed
    std::vector<const Layout*> definitions;   // that its body carries
};

struct Buffer::Impl {
    std::string path;
    BufferOptions options;
    BufferFile file;
    std::vector<StreamState> streams;          // oldest first; the last is the current one
    std::map<uint32_t, uint64_t> defined_seq;  // layout -> batch of the current stream that defines it; 0: none
    std::map<uint32_t, BootOffset> boots;      // synced ones of the file, and this boot
    uint32_t boot_no = 0;
    std::optional<uint64_t> boot_unsaved;      // this boot's id, while a full disk has kept its row from being written
    uint64_t epoch = 0;
    uint64_t unsent_from = 0;                  // no batch of the current stream from this one on was ever sent; 0: not known
    BufferStats counts;
    int64_t gap_rows = 0;
    Statement insert_batch;
    MonoTime acks_saved_at{INT64_MIN / 2};
    struct Mark {
        MonoTime at;
        int64_t last_id = 0;
    };
    std::deque<Mark> marks;                    // what was sealed when, by this process: the grace without a wall clock
    MonoTime graced_at{INT64_MIN / 2};
    int64_t sealed_since_tally = 0;

    StreamState& current() { return streams.back(); }
    StreamState* stream_of(uint64_t id);
    StreamState* stream_no(int64_t no);
    bool is_acked(int64_t id);
    int64_t last_id() { return id_of(current().no, current().next_seq - 1); }

    // sqlite_buffer.cpp
    Result<void> load(uint64_t boot);
    Result<void> load_streams();
    Result<void> load_tally();
    Result<void> load_boots(uint64_t boot);
    Result<void> save_boot(uint64_t boot);
    Result<void> forget_lost_definitions();
    Result<void> rescue();
    Result<void> add_stream();
    Result<Fresh> prepare(const Draft& draft, uint64_t seq, const Moment& now, std::map<uint32_t, uint64_t>& defined);
    Result<void> write(const std::vector<Fresh>& fresh);
    Result<std::vector<Held>> commit(std::vector<Fresh> fresh, std::map<uint32_t, uint64_t> defined, const Moment& now);
    Result<void> save_acks();
    Result<void> save_tally();
    Result<void> save_epoch();

    // buffer_send.cpp
    Result<uint64_t> record_released(StreamState& stream);
    Result<void> load_unsent();
    Result<void> rehome(const StreamState& old);

    // buffer_room.cpp: rows go, gaps of unacked ones stay, in one transaction.
    Result<void> remove(const std::vector<int64_t>& ids, GapReason reason);
    Result<bool> make_room();
    Result<bool> drop_graced(const Moment& now);
    Result<bool> drop_aged(const Moment& now);
    Result<int64_t> boundary(int64_t wall_before_ms);
    Result<Space> space();
    Result<std::vector<Candidate>> candidates(const std::string& where, int64_t rows_max, int64_t after_id);
};

}  // namespace basmalin::agent
