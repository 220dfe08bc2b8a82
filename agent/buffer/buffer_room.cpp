#include <sys/stat.h>

#include <algorithm>

#include "agent/buffer/buffer_state.h"
#include "shared/base/file.h"
#include "shared/base/log.h"

namespace basmalin::agent {
namespace {

constexpr int64_t slice_rows = 512;
constexpr int64_t grace_rows_per_call = 2048;
constexpr Duration mark_every = minutes(10);
constexpr Duration steady_min = hours(1);
constexpr Duration jump_min = minutes(1);
constexpr Duration aged_share_every = hours(1);
constexpr int64_t aged_share_factor = 4;
// A row's share of its page beside its bytes.
constexpr int64_t row_overhead_bytes = 24;
constexpr int64_t short_log_bytes_max = 256 << 10;
constexpr int64_t kept_free_bytes_min = 64 << 10;
constexpr int64_t seal_bytes_min = 4 << 10;  // the pages of the tables that a seal touches
constexpr int reading_bytes_max = 10;        // as a rule

int64_t log_bytes(const std::string& path) {
    struct stat what{};
    return ::stat((path + "-wal").c_str(), &what) == 0 ? static_cast<int64_t>(what.st_size) : 0;
}

}  // namespace

Result<void> Buffer::Impl::remove(const std::vector<int64_t>& ids, GapReason reason) {
    int64_t removed_readings = 0;
    int64_t removed_bytes = 0;
    int64_t removed_rows = 0;
    std::vector<Gap> gaps;
    const BufferStats before = counts;
    auto done = file.db.transaction([&]() -> Result<void> {
        auto look = file.db.prepare("SELECT readings, length(bytes), first_wall FROM batch WHERE id=?");
        auto erase = file.db.prepare("DELETE FROM batch WHERE id=?");
        if (!look) return pass(look);
        if (!erase) return pass(erase);
        for (const int64_t id : ids) {
            auto row = look->bind(1, id).step();
            if (!row) return pass(row);
            if (!*row) continue;
            const StreamState* s = stream_no(stream_no_of(id));
            ++removed_rows;
            removed_readings += look->integer(0);
            removed_bytes += look->integer(1);
            if (s != nullptr && !s->acked.contains(seq_of(id))) {
                const uint64_t readings = static_cast<uint64_t>(std::max<int64_t>(look->integer(0), 0));
                const WallTime wall{look->integer(2)};
                add_gap(gaps, {.stream = s->id,
                               .first_seq = seq_of(id),
                               .last_seq = seq_of(id),
                               .readings = readings,
                               .exact = reason != GapReason::Damaged,
                               .from = wall,
                               .to = wall,
                               .reason = reason});
                if (reason == GapReason::Evicted) {
                    ++counts.evicted_batches_total;
                    counts.evicted_readings_total += readings;
                }
            }
            look->reset();
            if (auto erased = erase->bind(1, id).run(); !erased) return erased;
        }
        for (const Gap& gap : gaps)
            if (auto noted = insert_gap(file.db, gap); !noted) return noted;
        for (const StreamState& s : streams) {  // R1: a number stays used when its row is gone
            const std::string floor = "UPDATE stream SET floor=" + std::to_string(s.next_seq) + " WHERE stream_no=" + std::to_string(s.no);
            if (auto kept = file.db.execute(floor); !kept) return kept;
        }
        counts.batches -= removed_rows;
        counts.readings -= removed_readings;
        counts.bytes -= removed_bytes;
        if (auto saved = save_acks(); !saved) return saved;
        return save_tally();
    });
    if (!done) {
        counts = before;
        return pass(done, "remove batches");
    }
    counts.writable = true;
    sealed_since_tally = 0;
    for (StreamState& s : streams) s.acked_dirty = false;
    auto rows = file.db.integer("SELECT count(*) FROM gap");
    if (rows) gap_rows = *rows;
    for (const int64_t id : ids) {  // R10
        if (stream_no_of(id) != current().no || current().acked.contains(seq_of(id))) continue;
        for (auto& [layout, seq] : defined_seq)
            if (seq == seq_of(id)) seq = 0;
    }
    return {};
}

Result<void> Buffer::Impl::drop_damaged() {
    if (damaged.empty()) return {};
    if (auto done = remove({damaged.begin(), damaged.end()}, GapReason::Damaged); !done) return pass(done, "drop damaged batches");
    damaged.clear();
    return {};
}

Result<Space> Buffer::Impl::space() {
    auto pages = file.db.integer("PRAGMA page_count");
    if (!pages) return pass(pages);
    auto spare = file.db.integer("PRAGMA freelist_count");
    if (!spare) return pass(spare);
    Space s{.used_bytes = (*pages - *spare) * int64_t{page_bytes},
            .bytes_max = options.bytes_max,
            .disk_free_bytes = INT64_MAX / 2,
            .disk_reserve_bytes = options.disk_reserve_bytes,
            .reusable_bytes = *spare * int64_t{page_bytes}};
    if (auto disk = disk_space(folder_of(path)); disk) s.disk_free_bytes = disk->free_bytes;
    return s;
}

Result<std::vector<Candidate>> Buffer::Impl::candidates(const std::string& where, int64_t rows_max, int64_t after_id) {
    std::vector<Candidate> found;
    auto rows =
        file.db.prepare("SELECT id, length(bytes), readings, priority, kind FROM batch WHERE " + where + " AND id > ? ORDER BY id LIMIT ?");
    if (!rows) return pass(rows);
    rows->bind(1, after_id).bind(2, rows_max);
    for (;;) {
        auto row = rows->step();
        if (!row) return pass(row);
        if (!*row) return found;
        const int64_t id = rows->integer(0);
        found.push_back({.id = id,
                         .bytes = rows->integer(1) + row_overhead_bytes,
                         .readings = rows->integer(2),
                         .priority = static_cast<Priority>(std::clamp<int64_t>(rows->integer(3), 0, 2)),
                         .kind = static_cast<BatchKind>(std::clamp<int64_t>(rows->integer(4), 0, 3)),
                         .acked = is_acked(id)});
    }
}

// Where the disk is short, damaged files go before readings do: the finished ones whole, of the one under way what was read. (A later
// row whose end lay there is lost with it, and told.) True when something was freed.
bool Buffer::Impl::drop_set_aside() {
    std::set<std::string> in_use;
    if (salvage) {
        auto files = file.db.prepare("SELECT file FROM salvage_source");
        if (!files) return false;
        for (auto row = files->step(); row && *row; row = files->step()) in_use.insert(files->text(0));
    }
    const bool dropped = limit_damaged(path, 0, in_use);
    if (!salvage || !salvage->main || salvage->punched == salvage->next) return dropped;
    salvage->punched = salvage->next;
    salvage->main->punch_before(static_cast<uint32_t>(std::min<int64_t>(salvage->next, salvage->main->pages() + 1)));
    return true;
}

// One slice. True when a bound is still broken and something was given up, so that another slice may help. Of a disk that is short it
// only gives back where nothing is about to be sealed.
Result<bool> Buffer::Impl::make_room(MonoTime at, int64_t next_seal_bytes) {
    auto now = space();
    if (!now) return pass(now);
    const auto is_short = [&] { return now->disk_free_bytes < now->disk_reserve_bytes; };
    if (is_short() && drop_set_aside()) now = space();
    if (!now) return pass(now);
    shortage = observed(shortage, is_short(), at);
    now->next_seal_bytes = next_seal_bytes;
    now->shrink_bytes = next_seal_bytes == 0 ? shortage.share_left : 0;
    const int64_t wanted = bytes_to_free(*now);
    // While there is room for it: a log that cannot be written back holds its pages twice, and a deletion needs the log.
    if (is_short() && (wanted > 0 || log_bytes(path) > short_log_bytes_max))
        if (auto done = file.db.execute("PRAGMA wal_checkpoint(TRUNCATE)"); !done) {
            if (done.error().code == Code::Corrupt) return pass(done);
            log::debug("log_not_written_back", {{"why", done.error().message()}});  // told by tend_log(), where it lasts
        }
    // What is free costs nobody anything, but for what the next seals take: more would have to be given up for them.
    const int64_t spare_bytes = now->reusable_bytes - std::max(kept_free_bytes_min, 2 * seal_bytes);
    const int64_t spare_pages = std::min(now->shrink_bytes, spare_bytes) / int64_t{page_bytes};
    if (is_short() && spare_pages > 0) {
        if (auto shrunk = file.db.execute("PRAGMA incremental_vacuum(" + std::to_string(spare_pages) + ")"); !shrunk) return pass(shrunk);
        shortage.share_left -= spare_pages * int64_t{page_bytes};
        return true;
    }
    if (wanted <= 0) return false;
    std::vector<Candidate> all;
    const auto merge = [&](Result<std::vector<Candidate>> more) -> Result<void> {
        if (!more) return pass(more);
        for (Candidate& c : *more) all.push_back(c);
        return {};
    };
    // Acked rows, oldest first: they lie below the marks, or in the ranges above.
    for (const StreamState& s : streams) {
        const std::string below = "id <= " + std::to_string(id_of(s.no, s.acked.mark()));
        if (auto done = merge(candidates(below, slice_rows, id_of(s.no, 0) - 1)); !done) return pass(done);
        for (const SeqRange& r : s.acked.ranges()) {
            if (all.size() >= static_cast<size_t>(slice_rows)) break;
            const std::string in_range = "id <= " + std::to_string(id_of(s.no, r.last));
            if (auto done = merge(candidates(in_range, slice_rows, id_of(s.no, r.first) - 1)); !done) return pass(done);
        }
    }
    if (all.size() < static_cast<size_t>(slice_rows)) {
        for (const char* where : {"priority=2 AND priority<>1", "priority=1", "priority=0 AND priority<>1"})
            if (auto done = merge(candidates(where, slice_rows, 0)); !done) return pass(done);
    }
    std::sort(all.begin(), all.end(), [](const Candidate& a, const Candidate& b) { return a.id < b.id; });
    all.erase(std::unique(all.begin(), all.end(), [](const Candidate& a, const Candidate& b) { return a.id == b.id; }), all.end());
    const std::vector<int64_t> chosen = choose(all, wanted);
    if (chosen.empty()) return false;
    const int64_t used_before = counts.bytes;
    if (auto done = remove(chosen, GapReason::Evicted); !done) return pass(done);
    if (now->shrink_bytes > 0) shortage.share_left -= std::min(shortage.share_left, used_before - counts.bytes);
    auto after = space();
    if (!after) return false;
    after->next_seal_bytes = next_seal_bytes;
    after->shrink_bytes = now->shrink_bytes > 0 ? shortage.share_left : 0;
    return bytes_to_free(*after) > 0;
}

// Before each seal: what comes between two calls of tend() may be more than the reserve, and a full disk takes no deletion either. A
// failure shows at the write that follows.
void Buffer::Impl::keep_reserve(const std::vector<Draft>& drafts, MonoTime now) {
    const auto disk = disk_space(folder_of(path));
    if (!disk || disk->free_bytes >= options.disk_reserve_bytes) return;
    int64_t bytes = seal_bytes_min;
    for (const Draft& d : drafts) {
        bytes += int64_t{reading_bytes_max} * d.readings + static_cast<int64_t>(d.body.size());
        for (const Rows& group : d.groups)
            for (const ColumnValues& column : group.columns)
                if (const auto* texts = std::get_if<Texts>(&column))
                    for (const std::string& text : *texts) bytes += static_cast<int64_t>(text.size());
    }
    seal_bytes = bytes;
    if (const auto room = make_room(now, bytes); !room) log::debug("reserve_not_kept", {{"why", room.error().message()}});
}

// The newest id that is older than the time given, as far as believed clocks tell; 0 if none. The rows of a clock that was not
// believed lie between others: ids order by age, so one believed row judges all before it.
Result<int64_t> Buffer::Impl::boundary(int64_t wall_before_ms) {
    auto first = file.db.prepare("SELECT id, first_wall FROM batch WHERE id > ? ORDER BY id LIMIT 1");
    auto oldest = file.db.integer("SELECT ifnull(min(id),0) FROM batch");
    if (!first) return pass(first);
    if (!oldest) return pass(oldest);
    if (*oldest == 0) return int64_t{0};
    // Bisection by id: about 20 single-row reads, whatever the size.
    int64_t low = *oldest - 1;
    int64_t high = last_id();
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        int64_t at = middle;
        int64_t wall = 0;
        for (int tries = 0; tries < 64 && wall == 0; ++tries) {
            auto row = first->bind(1, at).step();
            if (!row) return pass(row);
            if (!*row) break;
            at = first->integer(0);
            wall = first->integer(1);
            first->reset();
        }
        first->reset();
        if (wall != 0 && wall < wall_before_ms)
            low = std::max(at, low + 1);
        else
            high = middle;
    }
    return low >= *oldest ? low : 0;
}

// A clock that has just been set is not believed yet: what it makes old stays old.
bool Buffer::Impl::believes_wall(const Moment& now) {
    const bool synced = now.clock == ClockState::Synced;
    const int64_t offset_ms = now.wall.ms - now.mono.ms;
    if (!synced || !wall_offset_ms || std::abs(offset_ms - *wall_offset_ms) >= jump_min.ms) wall_steady_since = now.mono;
    wall_offset_ms = synced ? std::optional(offset_ms) : std::nullopt;
    return synced && now.mono - wall_steady_since >= steady_min;
}

Result<bool> Buffer::Impl::drop_graced(const Moment& now) {
    if (marks.empty() || now.mono - marks.back().at >= mark_every) marks.push_back({now.mono, last_id()});
    int64_t until = 0;
    while (marks.size() > 1 && now.mono - marks[1].at >= options.acked_keep) marks.pop_front();
    if (now.mono - marks.front().at >= options.acked_keep) until = marks.front().last_id;
    if (believes_wall(now)) {
        auto by_wall = boundary(now.wall.ms - options.acked_keep.ms);
        if (!by_wall) return pass(by_wall);
        until = std::max(until, *by_wall);
    }
    // Rarely and in bulk: a deletion of a few rows costs as much as one of hundreds.
    if (now.mono - graced_at < mark_every) return false;
    graced_at = now.mono;
    if (until == 0) return false;
    auto found = candidates("id <= " + std::to_string(until), grace_rows_per_call, 0);
    if (!found) return pass(found);
    std::vector<int64_t> ids;
    for (const Candidate& c : *found)
        if (c.acked) ids.push_back(c.id);
    const bool whole_slice = found->size() == static_cast<size_t>(grace_rows_per_call);
    if (ids.empty()) return false;
    if (auto done = remove(ids, GapReason::Evicted); !done) return pass(done);
    if (whole_slice) graced_at = MonoTime{INT64_MIN / 2};
    return whole_slice;
}

Result<bool> Buffer::Impl::drop_aged(const Moment& now) {
    if (options.age_max.ms <= 0 || !believes_wall(now)) return false;
    if (now.mono - aged_at >= aged_share_every) {
        aged_at = now.mono;
        const double grows_old =
            static_cast<double>(counts.batches) * static_cast<double>(aged_share_every.ms) / static_cast<double>(options.age_max.ms);
        aged_left = std::max(slice_rows, static_cast<int64_t>(grows_old * aged_share_factor));
    }
    if (aged_left <= 0) return false;
    auto until = boundary(now.wall.ms - options.age_max.ms);
    if (!until) return pass(until);
    if (*until == 0) return false;
    auto found = candidates("kind<>1 AND id <= " + std::to_string(*until), std::min(slice_rows, aged_left), 0);
    if (!found) return pass(found);
    std::vector<int64_t> ids;
    for (const Candidate& c : *found) ids.push_back(c.id);
    if (ids.empty()) return false;
    if (auto done = remove(ids, GapReason::Evicted); !done) return pass(done);
    aged_left -= static_cast<int64_t>(ids.size());
    return aged_left > 0 && ids.size() == static_cast<size_t>(slice_rows);
}

Result<bool> Buffer::tend(const Moment& now) {
    auto room = impl_->make_room(now.mono, 0);
    if (!room && room.error().code != Code::Timeout) impl_->counts.writable = false;
    if (!room) return pass(room, "make room");
    if (auto dropped = impl_->drop_damaged(); !dropped) return pass(dropped);
    auto graced = impl_->drop_graced(now);
    if (!graced) return pass(graced, "drop acknowledged batches");
    auto aged = impl_->drop_aged(now);
    if (!aged) return pass(aged, "drop old batches");
    return *room || *graced || *aged;
}

// A log that is reset keeps its length, up to the limit that its database was opened with: only beyond it something is wrong.
Result<void> Buffer::tend_log() {
    if (log_bytes(impl_->path) <= log_bytes_limit) return {};
    auto checkpoint = impl_->file.db.prepare("PRAGMA wal_checkpoint(PASSIVE)");
    if (!checkpoint) return pass(checkpoint);
    auto row = checkpoint->step();
    if (!row) return pass(row, "write the log back");
    const bool whole = *row && checkpoint->integer(1) == checkpoint->integer(2);
    if (whole || !log_is_long()) return {};  // somebody who reads the file ends some day
    return fail(Code::Unavailable, "the log cannot be written back whole");
}

bool Buffer::log_is_long() const { return log_bytes(impl_->path) > static_cast<int64_t>(wal_bytes_max / 2); }

}  // namespace basmalin::agent
