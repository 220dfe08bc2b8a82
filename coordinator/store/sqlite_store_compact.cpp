// Compaction: hot batches received before the cutoff go to history, stream by stream, one sweep an hour, so that a device's hour
// becomes one part of its day. See sqlite_store.h S2 for the two commits.
#include <algorithm>
#include <utility>

#include "coordinator/store/applied.h"
#include "coordinator/store/calendar.h"
#include "coordinator/store/chunk.h"
#include "coordinator/store/points.h"
#include "coordinator/store/sqlite_store.h"
#include "shared/base/ids.h"
#include "shared/base/log.h"

namespace basmalin::coordinator {
namespace {

constexpr int64_t sweep_every_ms = 3'600'000;
// The bounds on one step: whichever comes first.
constexpr int64_t step_batches_max = 1024;
constexpr int64_t step_readings_max = 100'000;
constexpr size_t step_parts_max = 1000;
constexpr size_t parts_crowded = 24;
constexpr size_t history_open_max = 8;
constexpr int64_t sealed_after_receipt_ms_max = 2 * 86'400'000;

}  // namespace

// What one step moves.
struct SqliteStore::Move {
    using TableKey = std::pair<std::vector<SeriesId>, bool>;  // bool: estimated
    using Tables = std::map<TableKey, ChunkTable>;
    struct Month {
        std::map<std::pair<int64_t, int64_t>, Tables> days;           // (day, device)
        std::map<std::pair<uint64_t, int64_t>, std::string> applied;  // (stream, block) -> bits
    };
    struct Damaged {
        IncomingBatch batch;
        std::string reason;
    };
    WallTime now;
    int64_t cutoff_ms = 0;
    int64_t raw_from_day = std::numeric_limits<int64_t>::min();  // days before it are older than raw_keep
    bool more_of_boot = false;  // the boot asked for last has more than fitted
    std::map<int32_t, Month> months;
    std::vector<int64_t> ids;
    std::vector<int64_t> undefined;  // batches whose layouts are not known any more
    std::vector<Damaged> damaged;
    int64_t bytes = 0;
    int64_t readings = 0;
    int64_t too_old = 0;  // readings that are not kept
    size_t parts = 0;
    Commit work;  // gathers the newest value of each series

    bool full() const {
        return static_cast<int64_t>(ids.size() + undefined.size()) >= step_batches_max || readings >= step_readings_max ||
               parts >= step_parts_max;
    }
};

Result<bool> SqliteStore::compact_step(WallTime now) {
    const int64_t every = std::min(sweep_every_ms, std::max<int64_t>(options_.compact_after.ms, 1000));
    const int64_t cutoff = floor_divide(now.ms - options_.compact_after.ms, every) * every;
    if (!sweep_.running) {
        if (sweep_.begun && cutoff == sweep_.cutoff_ms) return false;
        sweep_ = {cutoff, true, true, std::numeric_limits<int64_t>::min(), -1};
        auto expired = clock_steady_ ? expire_pending(now) : Result<bool>(false);
        if (!expired) return expired;
        if (*expired) {  // there may be more: the sweep begins once there are none
            sweep_.running = sweep_.begun = false;
            return true;
        }
    }
    Move move;
    move.now = now;
    if (clock_steady_) move.raw_from_day = first_day_of(month_of_day(day_of(now.ms - options_.raw_keep.ms)));
    if (auto gathered = gather(move); !gathered) {
        sweep_.running = sweep_.begun = false;  // what it had gathered stays where it is
        if (gathered.error().code != Code::Corrupt || std::exchange(reindexed_, true)) return pass(gathered, "compact");
        if (auto mended = make_indexes_again(fleet_, options_.folder + "/fleet.db", gathered.error()); !mended) return pass(mended, "compact");
        return true;  // S8
    }
    trim_streams();
    if (move.ids.empty() && move.undefined.empty()) return sweep_.running;
    // From here on a failure starts the sweep over: what was moved stays moved.
    const auto failed = [&](Error error) {
        sweep_.running = false;
        sweep_.begun = false;
        forget_streams();
        return std::unexpected(std::move(error).context("compact"));
    };
    for (auto& [month, part] : move.months) {
        auto written = write_month(move, month);
        if (!written && written.error().code == Code::Corrupt) {
            set_aside(month, written.error());
            written = write_month(move, month);
        }
        if (!written) return failed(std::move(written.error()));
        if (part.days.empty()) continue;
        // A log that loses a byte loses all that follows it: what hot is about to forget is in the file itself.
        auto file = history(month);
        if (!file) return failed(std::move(file.error()));
        if (auto kept = shorten_log((*file)->db); !kept) return failed(std::move(kept.error()));
    }
    if (auto reached = reach("compact: history has it"); !reached) return failed(std::move(reached.error()));
    if (auto finished = finish_move(move); !finished) return failed(std::move(finished.error()));
    return true;
}

// What is due, stream by stream and boot by boot from where the sweep stands, until a step has enough.
Result<void> SqliteStore::gather(Move& move) {
    while (!move.full() && sweep_.running) {
        int64_t stream = 0;
        {
            Resetting guard(sql_.next_stream);
            sql_.next_stream.bind(1, sweep_.stream);
            if (auto row = sql_.next_stream.step(); !row) return pass(row);
            if (sql_.next_stream.is_null(0)) {
                sweep_.running = false;
                merging_ = unmerged_;
                shrinking_.emplace(fleet_file, false);
                break;
            }
            stream = sql_.next_stream.integer(0);
        }
        if (stream != sweep_.stream) {
            sweep_.stream = stream;
            sweep_.boot_no = -1;
        }
        int64_t boot = 0;
        {
            Resetting guard(sql_.next_boot);
            sql_.next_boot.bind(1, stream).bind(2, sweep_.boot_no);
            if (auto row = sql_.next_boot.step(); !row) return pass(row);
            if (sql_.next_boot.is_null(0)) {
                if (stream == std::numeric_limits<int64_t>::max()) sweep_.running = false;
                sweep_.stream = stream + (sweep_.running ? 1 : 0);
                sweep_.boot_no = -1;
                continue;
            }
            boot = sql_.next_boot.integer(0);
        }
        auto state = cached(from_row(stream));
        if (!state && !is_damage(state.error())) return pass(state);
        if (!state) {  // its batches stay hot, for whoever mends it
            tell_damaged_stream(from_row(stream), state.error().text);
            sweep_.boot_no = std::numeric_limits<int64_t>::max();
            continue;
        }
        if (auto gathered = gather_boot(move, from_row(stream), **state, static_cast<uint32_t>(boot)); !gathered) return gathered;
        if (move.more_of_boot) break;
        sweep_.boot_no = boot;
    }
    return {};
}

// Boots whose clock is not known wait for unsynced_hold; the rest is due when the sweep says.
Result<void> SqliteStore::gather_boot(Move& move, uint64_t stream, StreamState& state, uint32_t boot_no) {
    const BootKnowledge* boot = state.clock.find(boot_no);
    int64_t received_before = sweep_.cutoff_ms;
    if (boot_no != 0 && (boot == nullptr || !boot->known)) {
        if (!clock_steady_) return {};
        received_before = std::min(received_before, move.now.ms - options_.unsynced_hold.ms);
    }
    const int64_t limit = step_batches_max - static_cast<int64_t>(move.ids.size() + move.undefined.size());
    std::vector<HotBatch> batches;
    {
        Resetting guard(sql_.boot_batches);
        sql_.boot_batches.bind(1, to_row(stream)).bind(2, int64_t{boot_no}).bind(3, received_before).bind(4, limit);
        for (;;) {
            auto row = sql_.boot_batches.step();
            if (!row) return pass(row);
            if (!*row) break;
            batches.push_back({sql_.boot_batches.integer(0), stream, from_row(sql_.boot_batches.integer(1)), boot_no,
                               WallTime{sql_.boot_batches.integer(2)}, std::string(sql_.boot_batches.blob(3))});
        }
    }
    move.more_of_boot = static_cast<int64_t>(batches.size()) == limit;
    for (HotBatch& batch : batches) {
        if (move.full()) {
            move.more_of_boot = true;
            break;
        }
        if (auto gathered = gather_batch(move, state, std::move(batch)); !gathered) return gathered;
    }
    return {};
}

Result<void> SqliteStore::gather_batch(Move& move, StreamState& state, HotBatch&& batch) {
    auto view = open_batch(batch.stream, batch.bytes);
    Result<Body> body;
    if (view) body = decode_body(view->body, [&](uint32_t id) { return state.layout(id); });
    if (view) batch.seq = view->header.seq;  // a damaged row must not take another batch's mark; this one has a checksum
    const auto known = [&](const Rows& rows) { return state.layouts.contains(rows.layout); };  // a batch may bring its own
    const bool undefined = body ? !std::ranges::all_of(body->groups, known) : view && body.error().code == Code::NotFound;
    if (undefined) {  // S6
        move.undefined.push_back(batch.id);
        ++state.pending;
        return {};
    }
    move.ids.push_back(batch.id);
    move.bytes += static_cast<int64_t>(batch.bytes.size());
    if (!view || !body) {  // it was whole when it came
        const std::string reason = "damaged in the store: " + (view ? body.error().text : view.error().text);
        move.damaged.push_back({{state.node, batch.stream, Lane::Live, nullptr, std::move(batch.bytes), batch.received}, reason});
        return {};
    }
    const Timing timing = timing_of_batch(view->header, batch.boot_no, state.clock, batch.received);
    // A boot's offset and a batch's monotonic time may each be possible and together a century ahead: no file for each such month.
    if (view->header.sealed_mono.ms + timing.offset_ms > batch.received.ms + sealed_after_receipt_ms_max) {
        const std::string reason = "batch " + std::to_string(batch.seq) + ": sealed long after it was received, by its boot's clock";
        move.damaged.push_back({{state.node, batch.stream, Lane::Live, nullptr, std::move(batch.bytes), batch.received}, reason});
        return {};
    }
    note_latest(move.work, state, *body, timing);
    std::map<int32_t, bool> fresh;  // month -> its file does not have this batch yet
    for (const Rows& rows : body->groups) {
        const KnownLayout& layout = state.layouts.at(rows.layout);
        Move::TableKey key{{}, timing.estimated};
        for (const SeriesId id : layout.series)
            if (id != 0) key.first.push_back(id);
        if (key.first.empty()) continue;
        for (size_t row = 0; row < rows.times_ms.size(); ++row) {
            const int64_t time = rows.times_ms[row] + timing.offset_ms;
            const int64_t day = day_of(time);
            const int32_t month = month_of_day(day);
            if (day < move.raw_from_day) {
                move.too_old += static_cast<int64_t>(key.first.size());
                continue;
            }
            auto is_fresh = fresh.find(month);
            if (is_fresh == fresh.end()) {
                auto missing = mark_applied(move, month, batch.stream, batch.seq);
                if (!missing) return pass(missing);
                is_fresh = fresh.emplace(month, *missing).first;
            }
            if (!is_fresh->second) continue;
            auto& tables = move.months[month].days[{day, layout.device}];
            if (tables.empty()) ++move.parts;
            ChunkTable& table = tables[key];
            if (table.columns.empty()) {
                table.estimated = timing.estimated;
                for (size_t c = 0; c < rows.columns.size(); ++c)
                    if (layout.series[c] != 0)
                        table.columns.push_back({layout.series[c], empty_values(static_cast<ValueKind>(rows.columns[c].index()))});
            }
            table.times_ms.push_back(time);
            for (size_t c = 0, to = 0; c < rows.columns.size(); ++c)
                if (layout.series[c] != 0) append_value(table.columns[to++].values, rows.columns[c], row);
            move.readings += static_cast<int64_t>(table.columns.size());
        }
    }
    return {};
}

// True when the month's file does not have the batch: it will, with this move.
Result<bool> SqliteStore::mark_applied(Move& move, int32_t month, uint64_t stream, uint64_t seq) {
    auto& applied = move.months[month].applied;
    const std::pair<uint64_t, int64_t> key{stream, applied_block(seq)};
    auto at = applied.find(key);
    if (at == applied.end()) {
        auto file = history(month);
        if (!file && file.error().code == Code::Corrupt) {
            set_aside(month, file.error());
            file = history(month);
        }
        if (!file) return pass(file);
        Statement& find = (*file)->find_applied;
        Resetting guard(find);
        find.bind(1, to_row(stream)).bind(2, key.second);
        auto row = find.step();
        if (!row) return pass(row, history_path(options_.folder, month));
        at = applied.emplace(key, *row ? std::string(find.blob(0)) : std::string()).first;
    }
    if (is_applied(at->second, seq)) return false;
    set_applied(at->second, seq);
    return true;
}

Result<HistoryFile*> SqliteStore::history(int32_t month) {
    auto at = history_.find(month);
    if (at == history_.end()) {
        if (history_.size() >= history_open_max) {
            const auto oldest = std::min_element(history_.begin(), history_.end(),
                                                 [](const auto& a, const auto& b) { return a.second->used < b.second->used; });
            history_.erase(oldest);
        }
        auto file = HistoryFile::open(options_.folder, month);
        if (!file) return pass(file);
        chunks_.try_emplace(month, 0);
        at = history_.emplace(month, std::move(*file)).first;
    }
    at->second->used = ++history_used_;
    return at->second.get();
}

Result<void> SqliteStore::name_all(HistoryFile& file, int64_t device, const std::vector<SeriesId>& series) {
    for (const SeriesId id : series) {
        if (file.named_series.contains(id)) continue;
        Resetting guard(sql_.names_of_series);
        sql_.names_of_series.bind(1, id);
        auto row = sql_.names_of_series.step();
        if (!row) return pass(row);
        if (!*row) return fail(Code::Corrupt, "series " + std::to_string(id) + " of a layout is not known");
        file.name_device.bind(1, device).bind(2, sql_.names_of_series.blob(1)).bind(3, sql_.names_of_series.blob(2));
        if (auto done = file.name_device.run(); !done) return done;
        file.name_series.bind(1, id).bind(2, device).bind(3, sql_.names_of_series.blob(3)).bind(4, sql_.names_of_series.blob(4));
        file.name_series.bind(5, sql_.names_of_series.integer(5));
        if (auto done = file.name_series.run(); !done) return done;
        file.named_series.insert(id);
    }
    return {};
}

Result<void> SqliteStore::write_month(Move& move, int32_t month) {
    auto file = history(month);
    if (!file) return pass(file);
    Move::Month& part = move.months[month];
    if (part.days.empty()) return {};
    std::vector<std::tuple<int32_t, int64_t, int64_t>> crowded;
    auto written = (*file)->db.transaction([&]() -> Result<void> {
        for (auto& [place, tables] : part.days) {
            const auto& [day, device] = place;
            std::vector<ChunkTable> chunk;
            int64_t readings = 0;
            for (auto& [key, table] : tables) {
                if (auto named = name_all(**file, device, key.first); !named) return named;
                sort_table(table);
                readings += static_cast<int64_t>(table.times_ms.size() * table.columns.size());
                chunk.push_back(table);
            }
            int64_t last_part = 0;
            {
                Resetting guard((*file)->last_part);
                (*file)->last_part.bind(1, device).bind(2, day);
                if (auto row = (*file)->last_part.step(); !row) return pass(row);
                last_part = (*file)->last_part.integer(0);
                if (static_cast<size_t>((*file)->last_part.integer(1)) >= parts_crowded) crowded.emplace_back(month, day, device);
            }
            const std::string bytes = encode_chunk(chunk, 0);
            Statement& insert = (*file)->insert_chunk;
            insert.bind(1, device)
                .bind(2, day)
                .bind(3, last_part + 1)
                .bind(4, static_cast<int64_t>(Rolled::No))
                .bind(5, readings)
                .bind_blob(6, bytes);
            if (auto done = insert.run(); !done) return done;
        }
        for (const auto& [key, bits] : part.applied) {
            (*file)->save_applied.bind(1, to_row(key.first)).bind(2, key.second).bind_blob(3, bits);
            if (auto done = (*file)->save_applied.run(); !done) return done;
        }
        return {};
    });
    if (!written) {
        history_.erase(month);  // and with it what it thinks it has named
        return pass(written, history_path(options_.folder, month));
    }
    chunks_[month] += static_cast<int64_t>(part.days.size());
    unmerged_.insert(month);
    crowded_.insert(crowded.begin(), crowded.end());
    return {};
}

void sort_table(ChunkTable& table) {
    const auto order = order_of(table.times_ms);
    if (!order) return;
    for (ChunkColumn& column : table.columns) column.values = permuted(column.values, *order);
    std::sort(table.times_ms.begin(), table.times_ms.end());
}

// The second commit: hot forgets them.
Result<void> SqliteStore::finish_move(Move& move) {
    auto deleted = fleet_.transaction([&]() -> Result<void> {
        for (const Move::Damaged& damaged : move.damaged) {
            if (auto buried = bury(move.work, damaged.batch, {}, damaged.reason); !buried) return pass(buried);
        }
        for (const int64_t id : move.undefined) {
            sql_.unsettle_hot.bind(1, id);
            if (auto done = sql_.unsettle_hot.run(); !done) return done;
        }
        for (const int64_t id : move.ids) {
            sql_.delete_hot.bind(1, id);
            if (auto done = sql_.delete_hot.run(); !done) return done;
        }
        for (const Latest& latest : move.work.result.latest) {
            const std::string value = encode_value(latest.value);
            sql_.upsert_latest.bind(1, latest.series)
                .bind(2, latest.time.ms)
                .bind(3, int64_t{latest.estimated ? 1 : 0})
                .bind_blob(4, value);
            if (auto done = sql_.upsert_latest.run(); !done) return done;
        }
        return {};
    });
    if (!deleted) return deleted;
    hot_batches_ -= static_cast<int64_t>(move.ids.size());
    hot_bytes_ -= move.bytes;
    dead_letters_ += move.work.dead_letters;
    for (std::string& event : move.work.result.events) events_waiting_.push_back(std::move(event));
    if (move.too_old > 0) {
        events_waiting_.push_back("store: " + std::to_string(move.too_old) + " readings are older than store.raw_keep and were not kept");
        log::warn("store.too_old", {{"readings", move.too_old}});
    }
    return {};
}

// Batches whose definitions never came.
Result<bool> SqliteStore::expire_pending(WallTime now) {
    auto old = fleet_.prepare(
        "SELECT id, stream, seq, received_ms, bytes, ifnull((SELECT node FROM stream WHERE stream.id = hot.stream), '') "
        "FROM hot WHERE pending = 1 AND received_ms < ? LIMIT 256");
    if (!old) return pass(old, "expire");
    std::vector<std::pair<HotBatch, std::string>> found;
    old->bind(1, now.ms - options_.unsynced_hold.ms);
    for (;;) {
        auto row = old->step();
        if (!row) return pass(row, "expire");
        if (!*row) break;
        const uint64_t stream = from_row(old->integer(1));
        found.push_back({{old->integer(0), stream, from_row(old->integer(2)), 0, WallTime{old->integer(3)}, std::string(old->blob(4))},
                         std::string(old->text(5))});
    }
    old->reset();
    if (found.empty()) return false;
    Commit work;
    auto done = fleet_.transaction([&]() -> Result<void> {
        for (const auto& [batch, node] : found) {
            const IncomingBatch incoming{node, batch.stream, Lane::Live, nullptr, batch.bytes, batch.received};
            auto buried = bury(work, incoming, batch.seq, "the definitions of its layouts never came");
            if (!buried) return pass(buried);
            sql_.delete_hot.bind(1, batch.id);
            if (auto deleted = sql_.delete_hot.run(); !deleted) return deleted;
            --work.hot_batches;
            work.hot_bytes -= static_cast<int64_t>(batch.bytes.size());
        }
        return {};
    });
    forget_streams();  // their counts of pending batches changed
    if (!done) return pass(done, "expire");
    finish(work);
    for (std::string& event : work.result.events) events_waiting_.push_back(std::move(event));
    return true;
}

}  // namespace basmalin::coordinator
