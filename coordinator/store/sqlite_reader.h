// StoreReader over fleet.db and the history files, each on a read-only connection. Room-internal. Thread: one.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/store/held_days.h"
#include "coordinator/store/sqlite_history_reader.h"
#include "coordinator/store/sqlite_hot.h"
#include "coordinator/store/store.h"

namespace basmalin::coordinator {

class SqliteReader final : public StoreReader {
  public:
    Result<Page> readings(const ReadingQuery& query, size_t limit, const std::string& cursor) override;
    Result<std::vector<Bucket>> buckets(const ReadingQuery& query, Duration step) override;
    Result<std::vector<GapRecord>> gaps(const std::string& node, size_t limit, int64_t before) override;
    Result<std::vector<DeadLetter>> dead_letters(size_t limit, int64_t before) override;
    Result<std::vector<Event>> events(const std::string& node, size_t limit, int64_t before) override;

  private:
    friend Result<std::unique_ptr<StoreReader>> open_sqlite_reader(const StoreOptions& options);
    explicit SqliteReader(const std::string& folder) : history_(folder) {}

    Result<void> begin();
    void end();
    // Appends to the page what follows `start`.
    Result<void> read_page(const ReadingQuery& query, PointCursor start, size_t limit, Page& page);
    Result<std::optional<int64_t>> next_day(const std::vector<WantedSeries>& wanted, int64_t from_ms, int64_t to_ms);
    Result<void> read_day(const std::vector<WantedSeries>& wanted, int64_t day, int64_t from_ms, int64_t to_ms, PointColumns& columns,
                          const Deadline& deadline);
    Result<bool> moved(const HotRef& batch, int64_t day);
    Result<std::vector<Bucket>> read_buckets(const std::vector<WantedSeries>& wanted, int64_t from_ms, int64_t to_ms, int64_t step_ms);

    Database fleet_;
    HotReader hot_;
    HeldDays held_;
    HistoryReader history_;
    Statement gaps_, gaps_of_node_, dead_letters_, events_, events_of_node_;
};

}  // namespace basmalin::coordinator
