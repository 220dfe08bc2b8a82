// The store: what is kept, and the two sides of it. One writer (Store, on the writer thread), any number of readers (StoreReader,
// each on its own thread). One implementation per engine; every SQL statement is behind this interface.
// R1  commit() is one transaction: batches, their marks of (stream, seq), definitions, gaps and dead letters, or nothing.
// R2  A batch whose (stream, seq) is marked changes nothing: Duplicate. Exactly once in the store.
// R3  A batch that cannot be understood becomes a dead letter, is marked, and never blocks the rest: Dead.
// R4  A batch whose layout is unknown is Stored, and its readings appear once the definition comes; the ack asks for it.
// R5  Redoing a compaction changes nothing. Late data for a compacted day joins it.
// R6  A stream belongs to the node that first used it; another node's batch of it is Dead.
// R7  Every list is bounded: series and devices per node, ranges per stream, dead letters kept.
// R8  A batch that would break a bound (ranges per stream, streams per node) is Refused: neither kept nor marked nor acked; the
//     gateway keeps it and sends it again. Series beyond a node's budget are not kept: an event says so.
// R9  What a node says of itself (a batch of kind Events) is kept for a person: the newest 10,000 events, 1000 of a node, 1 KiB each.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "shared/base/clock.h"
#include "shared/base/result.h"
#include "shared/config/config.h"
#include "shared/series/reading.h"
#include "shared/wire/batch.h"
#include "shared/wire/messages.h"

namespace basmalin::coordinator {

struct StoreOptions {
    std::string folder = "/var/lib/basmalin-coordinator";
    Duration raw_keep = hours(24 * 400);  // history files older than this are unlinked
    Duration rollup_keep = hours(24 * 3650);
    Duration retire_after_leap = hours(24);  // not before, once the wall clock leapt ahead: somebody may still set it right
    Duration compact_after = hours(1);       // hot batches older than this move to history
    Duration unsynced_hold = hours(24 * 7);  // batches of a boot without known time wait this long in hot
    int64_t series_per_node_max = 5000;
    int64_t devices_per_node_max = 1000;
    int64_t ranges_per_stream_max = 1024;
    int64_t dead_letters_max = 10'000;
};
void declare(Schema& schema, StoreOptions& options);

using SeriesId = int64_t;
struct SeriesInfo {
    SeriesId id = 0;
    std::string node;
    std::string device;
    std::string quantity;
    std::string unit;
    ValueKind kind = ValueKind::Number;
    bool operator==(const SeriesInfo&) const = default;
};

struct IncomingBatch {
    std::string node;  // from the topic, which the broker's ACL ties to the certificate
    uint64_t stream = 0;
    Lane lane = Lane::Live;
    std::shared_ptr<const std::vector<BootOffset>> boots;
    std::string bytes;  // of the batch
    WallTime received;
};

enum class Outcome : uint8_t { Stored, Duplicate, Dead, Refused };

// The newest value of a series among a commit's batches, and how many readings of it came.
struct Latest {
    SeriesId series = 0;
    WallTime time;
    bool estimated = false;  // the gateway's clock was not known
    Value value;
    uint64_t readings = 0;
};

struct GapRecord {
    int64_t id = 0;
    std::string node;
    Gap gap;
    WallTime received;
};

struct CommitResult {
    std::vector<Outcome> outcomes;  // of each batch given, in order
    std::vector<SeriesInfo> new_series;
    std::vector<Latest> latest;
    std::vector<GapRecord> gaps;
    std::vector<std::string> events;  // sentences for the operator, "node g1: …"
    struct NodeAck {
        std::string node;
        Ack ack;
    };
    std::vector<NodeAck> acks;  // one for each stream touched
    uint64_t readings_stored = 0;
    uint64_t bytes_stored = 0;
};

// What is kept of a node between restarts, by its id. `document` is the fleet's own JSON.
struct NodeRecord {
    std::string node;
    std::string document;
};

struct StoreStats {
    int64_t fleet_bytes = 0;  // fleet.db with its WAL
    int64_t wal_bytes = 0;
    int64_t history_bytes = 0;
    int64_t hot_batches = 0;
    int64_t hot_bytes = 0;
    int64_t dead_letters = 0;
    int64_t chunks = 0;
    int64_t series = 0;
    WallTime oldest_hot;     // received; 0 if none
    int64_t dirty_days = 0;  // (device, day) pairs in more than one part
};

class StoreReader;

// Thread: one, the writer's.
class Store {
  public:
    virtual ~Store() = default;
    virtual Result<CommitResult> commit(const std::vector<IncomingBatch>& batches) = 0;
    // Commits a batch that commit() cannot take as a dead letter, marked so that it is acked and never comes again.
    virtual Result<CommitResult> give_up(const IncomingBatch& batch, const std::string& reason) = 0;

    // Random, made with the store and again at a restore: acks of another epoch are void.
    virtual uint64_t epoch() const = 0;
    // What a node's streams have, for welcome. Unknown streams are left out.
    virtual std::vector<Welcome::Stream> marks(const std::string& node, const std::vector<uint64_t>& streams) = 0;
    // Applies a boot's clock as a hello tells it (for batches stored unsynced).
    virtual Result<void> note_boot(const std::string& node, uint64_t stream, const BootOffset& offset) = 0;

    // One small step of compaction, retention or merging; true if more is waiting. Bounded work: well under 200 ms.
    virtual Result<bool> maintain(WallTime now) = 0;
    virtual Result<void> save_nodes(const std::vector<NodeRecord>& nodes) = 0;
    virtual Result<std::vector<NodeRecord>> load_nodes() = 0;

    // At start: every series, and the newest value of each as far as kept.
    virtual Result<std::vector<SeriesInfo>> series() = 0;
    virtual Result<std::vector<Latest>> latest() = 0;

    virtual Result<StoreStats> stats() = 0;
    // A reader on its own connection, for one thread of its own. Threads: any.
    virtual Result<std::unique_ptr<StoreReader>> reader() = 0;
    // A write that changes nothing but proves that the disk takes it (health check "database").
    virtual Result<void> probe() = 0;
};

struct ReadingPoint {
    SeriesId series = 0;
    WallTime time;
    Value value;
    bool estimated = false;
};

struct ReadingQuery {
    std::vector<SeriesId> series;  // 64 at most
    WallTime from;                 // inclusive
    WallTime to;                   // exclusive
    // Of readings(): not 0 and the same in every page of one answer. What was decoded for a page then serves the pages that follow,
    // as it was: what comes meanwhile for the same day may be missing from them.
    uint64_t answer = 0;
};

// min/max/mean/count of the numbers (booleans count as 0 and 1) of one series in [start, start + step).
struct Bucket {
    SeriesId series = 0;
    WallTime start;
    double min = 0;
    double max = 0;
    double sum = 0;
    uint64_t count = 0;
};

// Holds a snapshot for the length of one call only; a call that takes longer than 2 s ends in Timeout. Thread: one.
class StoreReader {
  public:
    virtual ~StoreReader() = default;
    // In order of time, then series, then value; at most `limit`, and then `next` is where to go on (an opaque cursor; empty: done).
    struct Page {
        std::vector<ReadingPoint> points;
        std::string next;
    };
    virtual Result<Page> readings(const ReadingQuery& query, size_t limit, const std::string& cursor) = 0;
    // Aligned to `step` from 1970 UTC; the tier (raw, 5 min, 1 h) is chosen by the step: the coarsest that divides it. `from` and
    // `to` are widened to whole buckets; at most buckets_max of them in all (else Invalid). Empty buckets are left out, and so are
    // NaN and infinities. Ordered by series, then start.
    static constexpr int64_t buckets_max = 200'000;
    virtual Result<std::vector<Bucket>> buckets(const ReadingQuery& query, Duration step) = 0;
    // Lists: the newest first; of one node, or of all when `node` is empty; those before the row `before`, from the newest when 0.
    virtual Result<std::vector<GapRecord>> gaps(const std::string& node, size_t limit, int64_t before) = 0;
    struct DeadLetter {
        int64_t id = 0;
        std::string node;
        WallTime received;
        std::string reason;
        size_t bytes = 0;
    };
    virtual Result<std::vector<DeadLetter>> dead_letters(size_t limit, int64_t before) = 0;
    struct Event {
        int64_t id = 0;
        std::string node;
        WallTime received;
        std::string time;  // the node's own word
        std::string text;
    };
    virtual Result<std::vector<Event>> events(const std::string& node, size_t limit, int64_t before) = 0;
};

// The SQLite engine: fleet.db and history-YYYY-MM.db in options.folder (made if missing).
Result<std::unique_ptr<Store>> open_sqlite_store(const StoreOptions& options);

}  // namespace basmalin::coordinator
