#include <algorithm>
#include <map>

#include "coordinator/store/calendar.h"
#include "coordinator/store/sqlite_reader.h"
#include "coordinator/store/sqlite_store.h"

namespace basmalin::coordinator {
namespace {

constexpr Duration patience = milliseconds(2000);
constexpr int64_t time_bound_ms = int64_t{1} << 50;

// Buckets of one call, by series and start.
class Gathering {
  public:
    Gathering(int64_t from_ms, int64_t to_ms, int64_t step_ms) : from_ms_(from_ms), to_ms_(to_ms), step_ms_(step_ms) {}

    void add_points(const PointColumns& columns) {
        double value = 0;
        for (const auto& [key, column] : columns) {
            auto& series = buckets_[key.first];
            for (size_t i = 0; i < column.times_ms.size(); ++i)
                if (countable(column.values, i, value)) series[floor_divide(column.times_ms[i], step_ms_) * step_ms_].add(value);
        }
    }
    void add_day(SeriesId id, int64_t day, int64_t tier_ms, const DayBuckets& day_buckets) {
        auto& series = buckets_[id];
        for (size_t i = 0; i < day_buckets.size(); ++i) {
            if (day_buckets[i].count == 0) continue;
            const int64_t start = day * day_ms + static_cast<int64_t>(i) * tier_ms;
            if (start < from_ms_ || start >= to_ms_) continue;
            series[floor_divide(start, step_ms_) * step_ms_].add(day_buckets[i]);
        }
    }
    std::vector<Bucket> take() const {
        std::vector<Bucket> all;
        for (const auto& [id, series] : buckets_)
            for (const auto& [start, bucket] : series)
                if (bucket.count > 0) all.push_back({id, WallTime{start}, bucket.min, bucket.max, bucket.sum, bucket.count});
        return all;
    }

  private:
    int64_t from_ms_, to_ms_, step_ms_;
    std::map<SeriesId, std::map<int64_t, Aggregate>> buckets_;
};

}  // namespace

Result<std::vector<Bucket>> SqliteReader::buckets(const ReadingQuery& query, Duration step) {
    if (query.series.size() > 64) return fail(Code::Invalid, "series: " + std::to_string(query.series.size()) + " given, at most 64");
    if (query.from > query.to) return fail(Code::Invalid, "from: is after to");
    if (step.ms < 1 || step.ms > time_bound_ms) return fail(Code::Invalid, "step: must be at least 1 ms");
    const int64_t from = floor_divide(std::clamp(query.from.ms, -time_bound_ms, time_bound_ms), step.ms) * step.ms;
    const int64_t to = -floor_divide(-std::clamp(query.to.ms, -time_bound_ms, time_bound_ms), step.ms) * step.ms;
    const int64_t each = (to - from) / step.ms;
    if (each > buckets_max / std::max<int64_t>(1, static_cast<int64_t>(query.series.size())))
        return fail(Code::Invalid, "step: this makes more than " + std::to_string(buckets_max) + " buckets", "ask for a longer step");
    if (each == 0) return std::vector<Bucket>{};
    if (auto begun = begin(); !begun) return pass(begun, "read buckets");
    Result<std::vector<Bucket>> found = std::vector<Bucket>{};
    if (auto wanted = hot_.wanted(query.series); !wanted)
        found = pass(wanted);
    else if (!wanted->empty())
        found = read_buckets(*wanted, from, to, step.ms);
    end();
    if (!found) return pass(found, "read buckets");
    return found;
}

Result<std::vector<Bucket>> SqliteReader::read_buckets(const std::vector<WantedSeries>& wanted, int64_t from_ms, int64_t to_ms,
                                                       int64_t step_ms) {
    const Deadline deadline(patience);
    const int64_t tier = step_ms % long_step_ms == 0 ? long_step_ms : step_ms % short_step_ms == 0 ? short_step_ms : 0;
    const int64_t first = day_of(from_ms);
    const int64_t last = day_of(to_ms - 1);
    Gathering gathering(from_ms, to_ms, step_ms);
    std::map<int64_t, std::vector<WantedSeries>> devices;
    for (const WantedSeries& series : wanted) devices[series.device].push_back(series);
    for (const auto& [device, series] : devices) {
        std::set<int64_t> dirty;
        if (tier == long_step_ms) {
            auto days = history_.dirty_days(device, first, last);
            if (!days) return pass(days);
            dirty = std::move(*days);
        }
        for (const WantedSeries& one : series) {
            if (tier == 0) break;
            const auto take = [&](int64_t day, const DayBuckets& buckets) { gathering.add_day(one.id, day, tier, buckets); };
            if (auto read = history_.rollups(one, tier, first, last, dirty, take, deadline); !read) return pass(read);
        }
        // Whatever no rollup covers comes from the readings: dirty days by the hour, every day of a month still there by less.
        for (int64_t at = first; at <= last;) {
            Result<std::optional<int64_t>> day = std::nullopt;
            if (tier != long_step_ms)
                day = history_.next_day(series, at, last);
            else if (const auto next = dirty.lower_bound(at); next != dirty.end())
                day = *next;
            if (!day) return pass(day);
            if (!*day) break;
            PointColumns columns;
            auto read = history_.read_day(series, **day, std::max(from_ms, **day * day_ms), std::min(to_ms, (**day + 1) * day_ms), columns,
                                          deadline);
            if (!read) return pass(read);
            gathering.add_points(columns);
            at = **day + 1;
        }
    }
    if (auto selected = hot_.select(wanted, from_ms, to_ms, deadline); !selected) return pass(selected);
    for (int64_t at = hot_.next_time(from_ms); at < to_ms;) {
        const int64_t day = day_of(at);
        const int64_t end_ms = std::min(to_ms, (day + 1) * day_ms);
        PointColumns columns;
        auto read =
            hot_.read(std::max(from_ms, day * day_ms), end_ms, [&](const HotRef& batch) { return moved(batch, day); }, columns, deadline);
        if (!read) return pass(read);
        gathering.add_points(columns);
        at = hot_.next_time(end_ms);
    }
    return gathering.take();
}

}  // namespace basmalin::coordinator
