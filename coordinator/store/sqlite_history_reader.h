// History as readers see it: chunks and rollups of all months, each file on a read-only connection that is kept between calls and
// whose snapshot is held from its first use in a call to the call's end. Thread: one.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "coordinator/store/points.h"
#include "coordinator/store/rollup.h"
#include "coordinator/store/sqlite_hot.h"

namespace basmalin::coordinator {

class HistoryReader {
  public:
    explicit HistoryReader(std::string folder);
    ~HistoryReader();
    HistoryReader(const HistoryReader&) = delete;
    HistoryReader& operator=(const HistoryReader&) = delete;

    Result<void> begin();  // looks which files there are
    void end();            // lets go of the snapshots

    // Whether a batch's readings of this month are here already.
    Result<bool> applied(int32_t month, uint64_t stream, uint64_t seq);
    // The first day in [first, last] with a chunk of a wanted series' device.
    Result<std::optional<int64_t>> next_day(const std::vector<WantedSeries>& wanted, int64_t first, int64_t last);
    // Damaged chunks are left out; the log says so.
    Result<void> read_day(const std::vector<WantedSeries>& wanted, int64_t day, int64_t from_ms, int64_t to_ms, PointColumns& columns,
                          const Deadline& deadline);
    // The days in [first, last] whose chunks no rollup covers yet.
    Result<std::set<int64_t>> dirty_days(int64_t device, int64_t first, int64_t last);
    // Rollups of the days in [first, last]: hourly ones of days that are not dirty, and any of months whose readings are gone.
    using TakeDay = std::function<void(int64_t day, const DayBuckets&)>;
    Result<void> rollups(const WantedSeries& series, int64_t step_ms, int64_t first, int64_t last, const std::set<int64_t>& dirty,
                         const TakeDay& take, const Deadline& deadline);

  private:
    struct OpenFile;
    Result<OpenFile*> file(int32_t month);  // null: there is none
    Result<OpenFile*> rollup_file(int32_t year);
    Result<OpenFile*> open(std::map<int32_t, std::unique_ptr<OpenFile>>& files, int32_t number, const std::string& path, bool chunks);
    Result<void> read_rollups(OpenFile& from, const WantedSeries& series, int64_t step_ms, int64_t first, int64_t last,
                              const std::set<int64_t>& dirty, const TakeDay& take, const Deadline& deadline);

    void tell_damage(int64_t day, const Error& error);

    std::string folder_;
    log::Gate damage_told_{minutes(10)};
    std::set<int32_t> months_;
    std::set<int32_t> years_;
    std::map<int32_t, std::unique_ptr<OpenFile>> history_;
    std::map<int32_t, std::unique_ptr<OpenFile>> rolled_;
    std::map<std::tuple<int32_t, uint64_t, int64_t>, std::string> applied_;  // of this call
    uint64_t call_ = 0;
};

}  // namespace basmalin::coordinator
