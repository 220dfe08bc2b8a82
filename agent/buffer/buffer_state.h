// What an open buffer remembers between calls. Shared by the files that implement Buffer: buffer_open.cpp, sqlite_buffer.cpp (seal, acks),
// buffer_send.cpp (fetch, welcome, hello) and buffer_room.cpp (bounds and grace). Thread: the Buffer's.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/buffer/buffer.h"
#include "agent/buffer/buffer_file.h"
#include "agent/buffer/eviction.h"
#include "agent/buffer/wal_rescue.h"

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
    int64_t first_wall_ms = 0;               // 0 while the clock is not believed
    std::vector<const Layout*> definitions;  // that its body carries
};

// What is to be salvaged from files set aside. The database has the same; this is what a slice needs at hand.
struct Salvage {
    std::map<int64_t, uint64_t> streams;                    // old ones by number, their ids
    std::map<int64_t, uint64_t> ends;                       // by stream: the first number that nobody was given, where it is known
    uint64_t lost_stream = 0;                               // stands for rows of streams whose ids are lost; 0: none are
    std::map<int64_t, std::map<uint32_t, Layout>> layouts;  // by stream: what is known so far
    int64_t source = 0;                                     // under way, 0: none
    std::unique_ptr<PageFile> main;
    std::string wal;
    bool wal_read = false;
    int64_t next = 1;     // page of main, and beyond them frames of the log
    int64_t punched = 1;  // given back to a short disk: what lies before
    SalvageStep total;
};

struct Buffer::Impl {
    std::string path;
    BufferOptions options;
    BufferFile file;
    std::vector<StreamState> streams;          // oldest first; the last is the current one
    std::map<uint32_t, uint64_t> defined_seq;  // layout -> batch of the current stream that defines it; 0: none
    std::map<uint32_t, BootOffset> boots;      // synced ones of the file, and this boot
    uint32_t boot_no = 0;
    std::optional<uint64_t> boot_unsaved;  // this boot's id, while a full disk has kept its row from being written
    uint64_t epoch = 0;
    uint64_t unsent_from = 0;   // no batch of the current stream from this one on was ever sent; 0: not known
    bool unsent_noted = false;  // the file says so, too
    std::set<int64_t> damaged;  // rows that the disk has not yet let us drop
    BufferStats counts;
    int64_t gap_rows = 0;
    Statement insert_batch;
    MonoTime acks_saved_at{INT64_MIN / 2};
    struct Mark {
        MonoTime at;
        int64_t last_id = 0;
    };
    std::deque<Mark> marks;  // what was sealed when, by this process: the grace without a wall clock
    MonoTime graced_at{INT64_MIN / 2};
    std::optional<int64_t> wall_offset_ms;  // wall minus mono when last looked at, synced
    MonoTime wall_steady_since;
    MonoTime aged_at{INT64_MIN / 2};  // when this hour's share of drop_aged() began
    int64_t aged_left = 0;            // of it, batches
    Shortage shortage;                // of disk
    int64_t seal_bytes = 0;           // what the last seal on a short disk was thought to take
    int64_t sealed_since_tally = 0;
    std::optional<Salvage> salvage;

    StreamState& current() { return streams.back(); }
    StreamState* stream_of(uint64_t id);
    StreamState* stream_no(int64_t no);
    bool is_acked(int64_t id);
    int64_t last_id() { return id_of(current().no, current().next_seq - 1); }

    // buffer_open.cpp
    Promised promised();
    Result<void> keep_promises();
    Result<void> salvage_at_start(WallTime now);

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

    // buffer_salvage.cpp
    Result<void> load_salvage();
    Result<SalvageStep> salvage_slice(const Moment& now);
    Result<void> search_pages(int64_t source, const std::string& name, int64_t next);
    Result<int64_t> take_salvaged(const RawRow& row, const std::map<int64_t, SeqSet>& told, Statement& put, Gap& lost);
    bool came_back(uint64_t stream, const Rescued& batch, const std::map<int64_t, SeqSet>& told);
    Result<void> keep_layout(int64_t no, const Layout& layout);
    Result<void> add_gaps(uint64_t stream, SeqSet& known);
    Result<void> check_salvaged(int64_t no, bool row_known, uint64_t checked, const Moment& now);
    bool is_readable(int64_t no, std::string_view bytes, std::set<uint32_t>& used, std::set<uint32_t>& held);
    Result<void> define_salvaged(StreamState& stream, const Moment& now);
    bool is_salvaged(int64_t no) const { return salvage && salvage->streams.contains(no); }

    // buffer_room.cpp: rows go, gaps of unacked ones stay, in one transaction.
    Result<void> remove(const std::vector<int64_t>& ids, GapReason reason);
    Result<void> drop_damaged();
    Result<bool> make_room(MonoTime now, int64_t next_seal_bytes);
    void keep_reserve(const std::vector<Draft>& drafts, MonoTime now);
    bool drop_set_aside();
    Result<bool> drop_graced(const Moment& now);
    Result<bool> drop_aged(const Moment& now);
    bool believes_wall(const Moment& now);
    Result<int64_t> boundary(int64_t wall_before_ms);
    Result<Space> space();
    Result<std::vector<Candidate>> candidates(const std::string& where, int64_t rows_max, int64_t after_id);
};

}  // namespace basmalin::agent
