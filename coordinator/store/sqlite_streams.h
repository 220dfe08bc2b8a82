// Streams as fleet.db keeps them: owner, marks, boots, layouts. Read by the writer (which caches them) and by readers.
// Thread: the connection's.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "coordinator/store/boot_clock.h"
#include "coordinator/store/store.h"
#include "shared/series/codec.h"
#include "shared/sqlite/database.h"

namespace basmalin::coordinator {

// A layout with the store's own ids: series[i] is column i's; 0 where the node's budget of series was used up.
struct KnownLayout {
    Layout layout;
    int64_t device = 0;
    std::vector<SeriesId> series;
};

struct StreamState {
    std::string node;
    SeqSet marks;
    BootClock clock;
    std::unordered_map<uint32_t, KnownLayout> layouts;
    int64_t pending = 0;  // hot batches whose layouts are not known yet
    std::string damage;   // what of its rows could not be read and is left out; empty: nothing

    // The writer's bookkeeping.
    bool changed = false;              // marks differ from the row
    std::set<uint32_t> changed_boots;  // boots that differ from their rows
    bool future_told = false;          // an event said that its clock runs ahead
    bool budget_told = false;          // an event said that its series budget is used up
    int64_t asked_ms = 0;              // when definitions were last asked for
    uint64_t used = 0;                 // of the commit that used it last
    uint64_t touched = 0;              // of the commit that has it among its touched ones

    const Layout* layout(uint32_t id) const {
        const auto at = layouts.find(id);
        return at == layouts.end() ? nullptr : &at->second.layout;
    }
};

// SQLite's integers are signed; ids are random 64 bits.
inline int64_t to_row(uint64_t id) { return static_cast<int64_t>(id); }
inline uint64_t from_row(int64_t id) { return static_cast<uint64_t>(id); }

// Resets the statement at the end of the scope: an open read would pin the write-ahead log.
class Resetting {
  public:
    explicit Resetting(Statement& statement) : statement_(statement) {}
    ~Resetting() { statement_.reset(); }
    Resetting(const Resetting&) = delete;
    Resetting& operator=(const Resetting&) = delete;

  private:
    Statement& statement_;
};

std::string encode_ranges(const std::vector<SeqRange>& ranges);
Result<std::vector<SeqRange>> decode_ranges(std::string_view bytes);
std::string encode_columns(const std::vector<Column>& columns);
Result<std::vector<Column>> decode_columns(std::string_view bytes);
std::string encode_ids(const std::vector<SeriesId>& ids);
Result<std::vector<SeriesId>> decode_ids(std::string_view bytes);

// A value as one blob: what `latest` keeps.
std::string encode_value(const Value& value);
Result<Value> decode_value(std::string_view bytes);

class StreamLoader {
  public:
    static Result<StreamLoader> prepare(Database& fleet);
    // NotFound when there is no such stream. What is damaged of it is left out, and `damage` says so.
    Result<StreamState> load(uint64_t stream);

  private:
    Result<void> load_boots(uint64_t stream, StreamState& state);
    Result<void> load_layouts(uint64_t stream, StreamState& state);
    Result<void> load_hot_marks(uint64_t stream, StreamState& state);
    Statement stream_;
    Statement boots_;
    Statement layouts_;
    Statement pending_;
    Statement hot_seqs_;
};

}  // namespace basmalin::coordinator
