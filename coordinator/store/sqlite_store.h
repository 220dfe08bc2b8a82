// The SQLite engine behind store.h: fleet.db (registry, marks, hot batches as received) and history-YYYY-MM.db (chunks, rollups).
// Formats and tables: README.md. Numbered rules beyond store.h's:
// S1  Everything cached of a stream is dropped when a transaction fails: memory never says more than the file.
// S2  A batch moves from hot to history in two commits, history first; history's own marks (`applied`) make the first idempotent,
//     and readers leave out hot batches that history has already.
// S3  A damaged history file is set aside (renamed), said, and never keeps the store from opening or compacting.
// S4  History files name their devices and series; a fleet.db that knows fewer (lost, or restored older) adopts them, so that an
//     id never comes to mean another series.
// S5  A node with all streams or layouts used forgets its stream heard of longest ago, of those without hot batches: first one without
//     holes, else the holes become gaps. What comes of it again is known to history, which marks what moved there.
// S6  A stream whose rows are damaged hides only what is damaged: lost ranges are those of the hot batches again, a lost layout is
//     asked for again, and a stream that cannot be read at all is left out.
// S7  The disk gets back what a backlog took: pages that are free beyond what the coming days need are cut off, a few at a time.
// S8  Indexes hold nothing that the tables do not: damaged ones are made again at the start that finds it, and those of fleet.db when a
//     compaction cannot read on, once a run.
// S9  What cannot be undone is not done on one look at the wall clock: when it has leapt ahead by a week or more since the last look,
//     an hour ago or before the start, nothing is retired, given up or settled for its age for a day, and an event says so.
// Room-internal: others include store.h. Thread: one, the writer's.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "coordinator/store/chunk.h"
#include "coordinator/store/series_places.h"
#include "coordinator/store/sqlite_history.h"
#include "coordinator/store/sqlite_streams.h"
#include "coordinator/store/store.h"
#include "shared/sqlite/database.h"

namespace basmalin::coordinator {

constexpr int64_t streams_per_node_max = 256;
constexpr int64_t gaps_per_node_max = 10'000;
// What a node may define in all of its streams: many times what a budget of series needs.
constexpr int64_t layouts_per_node_max = 20'000;
constexpr int64_t layout_bytes_per_node_max = 8 << 20;
constexpr size_t damaged_streams_max = 1000;  // told of; more are left out in silence
constexpr size_t events_waiting_max = 100;
constexpr size_t streams_cached_max = 20'000;
constexpr int32_t fleet_file = 0;  // among months
constexpr size_t series_a_statement = 16;
constexpr uint64_t seq_bound = uint64_t{1} << 53;

class SqliteStore final : public Store {
  public:
    static Result<std::unique_ptr<SqliteStore>> open(const StoreOptions& options);

    Result<CommitResult> commit(const std::vector<IncomingBatch>& batches) override;
    Result<CommitResult> give_up(const IncomingBatch& batch, const std::string& reason) override;
    uint64_t epoch() const override { return epoch_; }
    std::vector<Welcome::Stream> marks(const std::string& node, const std::vector<uint64_t>& streams) override;
    Result<void> note_boot(const std::string& node, uint64_t stream, const BootOffset& offset) override;
    Result<bool> maintain(WallTime now) override;
    Result<void> save_nodes(const std::vector<NodeRecord>& nodes) override;
    Result<std::vector<NodeRecord>> load_nodes() override;
    Result<std::vector<SeriesInfo>> series() override;
    Result<std::vector<Latest>> latest() override;
    Result<StoreStats> stats() override;
    Result<std::unique_ptr<StoreReader>> reader() override;
    Result<void> probe() override;

    // For tests: called between two durable steps, by name; an error stops the step there, as a crash would.
    std::function<Result<void>(std::string_view point)> at_point;
    Database& fleet_database() { return fleet_; }
    // What one step of merging reads at most: some 100 ms. A day of more keeps its parts.
    int64_t merged_readings_max = 500'000;

  private:
    // ---- commit (sqlite_store_commit.cpp, sqlite_store_define.cpp, sqlite_store_streams.cpp)
    struct Layouts {
        int64_t count = 0;
        int64_t bytes = 0;
        Layouts& operator+=(const Layouts& more) { return count += more.count, bytes += more.bytes, *this; }
        Layouts& operator-=(const Layouts& less) { return count -= less.count, bytes -= less.bytes, *this; }
    };
    struct Counts {
        int64_t series = 0;
        int64_t devices = 0;
        Layouts layouts;  // of all its streams
    };
    struct Commit {
        CommitResult result;
        std::vector<std::pair<uint64_t, StreamState*>> touched;
        SeriesPlaces latest_at;  // in result.latest
        std::set<uint64_t> asking;                              // streams that got a batch of unknown layout
        std::set<std::string> told;                             // nodes that got an event
        std::vector<std::pair<std::string, std::string>> said;  // of a node, for its events
        std::set<uint64_t> to_resolve;                          // streams with pending batches that got a new layout
        std::optional<MonoTime> resolve_until;
        std::optional<std::string> condemned;                   // why whatever comes is a dead letter
        int64_t hot_batches = 0;
        int64_t hot_bytes = 0;
        int64_t dead_letters = 0;
        uint64_t number = 0;
    };
    // Whether and how the times of a batch were settled.
    struct Placement {
        bool settled = false;  // first and last are wall times, else since boot
        int64_t first_ms = 0;
        int64_t last_ms = 0;
    };
    Result<Outcome> take(Commit& work, const IncomingBatch& batch);
    Result<Outcome> take_known(Commit& work, const IncomingBatch& batch, StreamState& state, const BatchView& view);
    Result<Outcome> take_readings(Commit& work, const IncomingBatch& batch, StreamState& state, const BatchView& view);
    Result<Outcome> take_event(Commit& work, const IncomingBatch& batch, const BatchView& view);
    Result<void> keep_events(Commit& work, WallTime now);
    Result<void> make_event_table();
    Result<Outcome> take_gaps(Commit& work, const IncomingBatch& batch, StreamState& state, const BatchView& view);
    Result<Outcome> bury(Commit& work, const IncomingBatch& batch, std::optional<uint64_t> seq, const std::string& reason);
    Result<CommitResult> commit_all(Commit& work, std::span<const IncomingBatch> batches);
    Result<StreamState*> stream_for(Commit& work, const std::string& node, uint64_t stream);
    Result<StreamState*> cached(uint64_t stream);  // NotFound when there is none
    void touch(Commit& work, uint64_t stream, StreamState& state);
    Result<std::optional<uint64_t>> oldest_at_rest(const Commit& work, const std::string& node);
    Result<bool> forget_oldest_stream(Commit& work, const std::string& node);
    Result<void> keep_gaps(Commit& work, const std::string& node, const std::vector<Gap>& gaps, WallTime received);
    void tell_damaged_stream(uint64_t stream, const std::string& what);
    void hear(StreamState& state, const IncomingBatch& batch, const BatchHeader& header);
    void note_latest(Commit& work, const StreamState& state, const Body& body, const Timing& timing);
    Result<void> insert_hot(Commit& work, const IncomingBatch& batch, const BatchHeader& header, const Placement& placement, bool pending);
    Result<void> resolve_pending(Commit& work, uint64_t stream, StreamState& state, int64_t after_id);
    Result<bool> resolve_one(Commit& work, StreamState& state, uint64_t stream, int64_t id, const IncomingBatch& batch);
    Result<void> save_streams(Commit& work);
    Result<void> save_boots(uint64_t stream, StreamState& state);
    void finish(Commit& work);
    void forget_streams();
    void trim_streams();
    // An empty text: done; else what is wrong with the definition.
    Result<std::string> define(Commit& work, const IncomingBatch& batch, StreamState& state, const Layout& layout);
    Result<int64_t> device_for(const std::string& node, const std::string& device);
    Result<std::vector<SeriesId>> series_for(Commit& work, const std::string& node, int64_t device, const Layout& layout);
    Result<std::vector<SeriesId>> known_series(int64_t device, const std::vector<Column>& columns);
    Result<void> make_series(int64_t device, std::span<const Column* const> columns);
    Result<void> prepare_series();
    Result<Counts*> counts_of(const std::string& node);
    Result<Layouts> layouts_of(Statement& ask, const std::function<void(Statement&)>& bind);
    // False when the node may not define so much more.
    Result<bool> has_room_for(Commit& work, const std::string& node, const Layouts& more);
    void say(Commit& work, const std::string& node, const std::string& what);

    // ---- compaction (sqlite_store_compact.cpp, sqlite_store_maintain.cpp)
    struct HotBatch {
        int64_t id = 0;
        uint64_t stream = 0;
        uint64_t seq = 0;
        uint32_t boot_no = 0;  // 0: settled
        WallTime received;
        std::string bytes;
    };
    struct Move;
    Result<bool> resolve_step(WallTime now);
    Result<bool> mark_applied(Move& move, int32_t month, uint64_t stream, uint64_t seq);
    Result<void> name_all(HistoryFile& file, int64_t device, const std::vector<SeriesId>& series);
    Result<bool> merge_day(int32_t month, int64_t day, int64_t device);
    Result<bool> mend_indexes(int32_t month);
    Result<bool> retire_days(HistoryFile& file, bool& of_rollups);
    bool set_rollups_aside(int32_t year, const Error& why);
    Result<void> roll_again(int32_t month, int64_t day, int64_t device);
    void tell_damaged_rollup(int32_t month, int64_t day, const Error& why);
    void tell_damaged_chunk(int32_t month, int64_t id, const std::string& why);
    Result<bool> compact_step(WallTime now);
    Result<bool> expire_pending(WallTime now);
    Result<void> gather(Move& move);
    Result<void> gather_boot(Move& move, uint64_t stream, StreamState& state, uint32_t boot_no);
    Result<void> gather_batch(Move& move, StreamState& state, HotBatch&& batch);
    Result<void> write_month(Move& move, int32_t month);
    Result<void> finish_move(Move& move);
    Result<bool> merge_step(WallTime now);
    Result<bool> retention_step(WallTime now);
    Result<bool> clock_is_steady(WallTime now);
    Result<bool> checkpoint_step(WallTime now);
    Result<bool> shrink_step(WallTime now);
    Result<bool> shrink(int32_t which, bool& begun, WallTime now);
    Result<bool> shorten_log(Database& db);
    Result<HistoryFile*> history(int32_t month);
    void set_aside(int32_t month, const Error& why);
    Result<void> reach(std::string_view point) { return at_point ? at_point(point) : Result<void>{}; }

    // ---- opening (sqlite_store.cpp, sqlite_store_open.cpp)
    Result<void> prepare();
    Result<void> count();
    Result<void> adopt_names();
    Result<void> check_fleet(const std::string& path, int64_t bytes);
    Result<void> check_or_mend(Database& db, const std::string& path);                                // S8
    Result<void> make_indexes_again(Database& db, const std::string& path, const Error& why);
    void check_history();

    StoreOptions options_;
    Database fleet_;
    uint64_t epoch_ = 0;
    std::unordered_map<uint64_t, StreamState> streams_;
    std::unordered_map<std::string, Counts> counts_;  // of nodes that defined something
    std::set<uint64_t> damaged_streams_;
    bool reindexed_ = false;  // S8
    uint64_t commit_number_ = 0;
    std::vector<std::string> events_waiting_;  // said with the next commit
    std::map<uint64_t, int64_t> resolving_;    // stream -> id after which pending batches are to be looked at
    int64_t hot_batches_ = 0;
    int64_t hot_bytes_ = 0;
    int64_t dead_letters_ = 0;
    std::map<int32_t, std::unique_ptr<HistoryFile>> history_;  // open files, by month; bounded
    std::map<int32_t, int64_t> chunks_;                        // of every file
    std::set<std::tuple<int32_t, int64_t, int64_t>> crowded_;  // (month, day, device) with many parts

    struct Sweep {
        int64_t cutoff_ms = 0;  // batches received before it move
        bool running = false;
        bool begun = false;
        int64_t stream = 0;    // where to go on, as a row's value
        int64_t boot_no = -1;  // the last one done of that stream
    } sweep_;
    int64_t checkpointed_ms_ = 0;
    int64_t retention_ms_ = 0;
    bool clock_steady_ = true;  // S9, as retention saw it last
    uint64_t history_used_ = 0;
    std::set<int32_t> unmerged_;         // months that may have days in no rollup
    std::set<int32_t> merging_;          // of these, the ones to look at in this pass
    std::map<int32_t, bool> shrinking_;  // months (fleet.db: 0) that may have pages to give back; true: it is being done
    int32_t retiring_ = 0;               // the month that is going
    std::array<int64_t, 2> retired_{};   // (device, day) rolled last

    StreamLoader loader_;
    struct Statements {
        Statement insert_hot, upsert_stream, upsert_boot, delete_boot, insert_layout, count_streams, streams_at_rest;
        Statement find_device, insert_device, find_series, any_series, count_series, count_devices, layouts_of_node, layouts_of_stream;
        Statement insert_gap, trim_gaps, insert_dead, trim_dead, pending_after, settle_hot, unsettle_hot, delete_hot;
        Statement next_stream, next_boot, boot_batches, upsert_latest, names_of_series;
        Statement insert_event, trim_events_of_node, trim_events;
        std::array<Statement, series_a_statement> insert_series;  // [n - 1] makes n
    } sql_;
};

// A reader needs the folder only: it opens fleet.db and the history files itself.
Result<std::unique_ptr<StoreReader>> open_sqlite_reader(const StoreOptions& options);

// Its rows in the order of their times.
void sort_table(ChunkTable& table);

// S6: of a stream with hot batches. Its row may be gone.
inline bool is_damage(const Error& error) { return error.code == Code::Corrupt || error.code == Code::NotFound; }

// A batch placed on the wall clock or its boot: offset 0 for nothing known never happens, see boot_clock.h.
Timing timing_of_batch(const BatchHeader& header, uint32_t boot_no, const BootClock& clock, WallTime received);

}  // namespace basmalin::coordinator
