// Hot batches as readers see them: which overlap a time range, and the readings in them. Thread: the connection's.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "coordinator/store/points.h"
#include "coordinator/store/sqlite_streams.h"
#include "shared/base/log.h"

namespace basmalin::coordinator {

// A call's end; reads ask at every row.
class Deadline {
  public:
    explicit Deadline(Duration patience) : until_(SystemClock().mono() + patience) {}
    Result<void> check() const {
        if (SystemClock().mono() < until_) return {};
        return fail(Code::Timeout, "the query took too long", "ask for a shorter time, fewer series or a longer step");
    }

  private:
    MonoTime until_;
};

// The series asked for, with where they are kept.
struct WantedSeries {
    SeriesId id = 0;
    int64_t device = 0;
    std::string node;
    ValueKind kind = ValueKind::Number;
};

struct HotRef {
    int64_t id = 0;
    uint64_t stream = 0;
    uint64_t seq = 0;
    uint32_t boot_no = 0;
    int64_t received_ms = 0;
    int64_t first_ms = 0;  // wall times
    int64_t last_ms = 0;
};

class HotReader {
  public:
    static Result<HotReader> prepare(Database& fleet);

    Result<std::vector<WantedSeries>> wanted(const std::vector<SeriesId>& series);
    // S6. Remembers the hot batches of the wanted series' nodes that overlap [from, to), until the next select() or clear().
    Result<void> select(const std::vector<WantedSeries>& wanted, int64_t from_ms, int64_t to_ms, const Deadline& deadline);
    void clear();
    // The first selected time at or after from_ms; no_bound_ms if none.
    int64_t next_time(int64_t from_ms) const;
    // Adds what [from, to) holds of the wanted series. Batches for which `skip` is true are left out, and damaged ones are: the log
    // says so. Full when it is more than values_max.
    using Skip = std::function<Result<bool>(const HotRef&)>;
    Result<void> read(int64_t from_ms, int64_t to_ms, const Skip& skip, PointColumns& columns, const Deadline& deadline);

    size_t values_max = size_t{1} << 24;  // of one read(): 256 MB

  private:
    void tell_damage(const HotRef& ref, const Error& error);
    void tell_damaged_stream(uint64_t stream, const std::string& what);
    Result<void> select_stream(uint64_t stream, const StreamState& state, int64_t from_ms, int64_t to_ms);
    Result<void> add_batch(const HotRef& ref, std::string_view bytes, int64_t from_ms, int64_t to_ms, PointColumns& columns,
                           size_t& values_read);

    StreamLoader loader_;
    Statement find_series_, streams_of_, boots_of_, batches_, bytes_;
    std::unordered_map<uint64_t, StreamState> streams_;
    std::unordered_map<SeriesId, ValueKind> wanted_;
    std::vector<HotRef> refs_;  // by first_ms
    log::Gate damage_told_{minutes(10)};
    log::Gate stream_told_{minutes(10)};
};

}  // namespace basmalin::coordinator
