#include <algorithm>

#include "coordinator/store/sqlite_store.h"
#include "shared/base/ids.h"
#include "shared/base/log.h"

namespace basmalin::coordinator {
namespace {

constexpr int64_t clock_ahead_ms = 5 * 60'000;
constexpr int64_t after_sealing_ms_max = 3'600'000;  // a reading is never later than its batch's sealing by more
constexpr int64_t resolve_batch_max = 256;
constexpr Duration resolve_for = milliseconds(50);
constexpr int64_t ask_again_ms = 60'000;
constexpr size_t events_per_commit_max = 100;
constexpr size_t ack_ranges_max = 256;

// Why a header cannot be worked with, though its batch can be marked; empty when it can.
std::string fault_of(const BatchHeader& header) {
    if (header.boot_no == 0) return "boot_no is 0";
    if (header.sealed_mono.ms < 0 || header.sealed_mono.ms > mono_ms_max) return "sealed_mono is out of range";
    return {};
}

// What a few bytes may open to is bounded by what the header says of them.
DecodeLimits limits_of(const BatchHeader& header) {
    DecodeLimits limits;
    limits.values_max = std::min<size_t>(limits.values_max, header.readings);
    return limits;
}

// True when marking seq would add a range to a set that has as many as it may.
bool overflows(const SeqSet& marks, SeqRange range, int64_t ranges_max) {
    if (static_cast<int64_t>(marks.ranges().size()) < ranges_max) return false;
    return !marks.contains(range.first) && !marks.contains(range.last) && !marks.contains(range.first - 1) &&
           !marks.contains(range.last + 1);
}

// The earliest and latest of a body's times; false when one is out of bounds.
bool span_of(const Body& body, const BatchHeader& header, int64_t& first_ms, int64_t& last_ms) {
    first_ms = no_bound_ms;
    last_ms = 0;
    for (const Rows& rows : body.groups) {
        for (const int64_t time : rows.times_ms) {
            first_ms = std::min(first_ms, time);
            last_ms = std::max(last_ms, time);
        }
    }
    return first_ms >= 0 && last_ms <= header.sealed_mono.ms + after_sealing_ms_max;
}

Value value_at(const ColumnValues& values, size_t row) {
    if (const auto* numbers = std::get_if<Numbers>(&values)) return (*numbers)[row];
    if (const auto* booleans = std::get_if<Booleans>(&values)) return (*booleans)[row] != 0;
    return std::get<Texts>(values)[row];
}

}  // namespace

Result<CommitResult> SqliteStore::commit(const std::vector<IncomingBatch>& batches) {
    Commit work;
    return commit_all(work, batches);
}

Result<CommitResult> SqliteStore::give_up(const IncomingBatch& batch, const std::string& reason) {
    Commit work;
    work.condemned = reason;
    return commit_all(work, {&batch, 1});
}

Result<CommitResult> SqliteStore::commit_all(Commit& work, std::span<const IncomingBatch> batches) {
    work.number = ++commit_number_;
    work.result.outcomes.reserve(batches.size());
    auto done = fleet_.transaction([&]() -> Result<void> {
        for (const IncomingBatch& batch : batches) {
            auto outcome = take(work, batch);
            if (!outcome) return pass(outcome);
            work.result.outcomes.push_back(*outcome);
        }
        for (const uint64_t stream : work.to_resolve) {
            auto state = cached(stream);
            if (!state) return pass(state, "resolve");
            if (auto resolved = resolve_pending(work, stream, **state, 0); !resolved) return resolved;
            if ((*state)->pending == 0) work.asking.erase(stream);
        }
        if (auto kept = keep_events(work, batches.empty() ? WallTime{} : batches.back().received); !kept) return kept;
        return save_streams(work);
    });
    if (!done) {
        forget_streams();
        return pass(done, "commit");
    }
    finish(work);
    return std::move(work.result);
}

// After the commit: what it means for acks, counters and caches.
void SqliteStore::finish(Commit& work) {
    for (auto& [stream, state] : work.touched) {
        CommitResult::NodeAck ack;
        ack.node = state->node;
        ack.ack.epoch = epoch_;
        ack.ack.stream = stream;
        ack.ack.mark = state->marks.mark();
        const auto& ranges = state->marks.ranges();
        ack.ack.ranges.assign(ranges.begin(), ranges.begin() + static_cast<ptrdiff_t>(std::min(ranges.size(), ack_ranges_max)));
        ack.ack.definitions_wanted = work.asking.contains(stream);
        work.result.acks.push_back(std::move(ack));
    }
    for (std::string& event : events_waiting_) work.result.events.push_back(std::move(event));
    events_waiting_.clear();
    hot_batches_ += work.hot_batches;
    hot_bytes_ += work.hot_bytes;
    dead_letters_ += work.dead_letters;
    trim_streams();
}

void SqliteStore::say(Commit& work, const std::string& node, const std::string& what) {
    if (work.result.events.size() >= events_per_commit_max) return;
    work.result.events.push_back("node " + node + ": " + what);
    work.said.emplace_back(node, what);
}

Result<Outcome> SqliteStore::take(Commit& work, const IncomingBatch& batch) {
    if (batch.bytes.size() > batch_bytes_max) return bury(work, batch, {}, "longer than " + std::to_string(batch_bytes_max) + " bytes");
    auto view = open_batch(batch.stream, batch.bytes);
    if (!view) return bury(work, batch, {}, view.error().text);
    if (view->header.seq == 0 || view->header.seq >= seq_bound) return bury(work, batch, {}, "seq is out of range");
    auto state = stream_for(work, batch.node, batch.stream);
    if (!state) return pass(state);
    if (*state == nullptr) return Outcome::Refused;
    if ((*state)->node != batch.node) {
        say(work, batch.node,
            "sent a batch of stream " + to_hex(batch.stream) + ", which belongs to node " + (*state)->node +
                "; refused (a copied card? remove its buffer file)");
        return bury(work, batch, {}, "its stream belongs to node " + (*state)->node);
    }
    touch(work, batch.stream, **state);
    return take_known(work, batch, **state, *view);
}

Result<Outcome> SqliteStore::take_known(Commit& work, const IncomingBatch& batch, StreamState& state, const BatchView& view) {
    const uint64_t seq = view.header.seq;
    const std::string fault = work.condemned ? *work.condemned : fault_of(view.header);
    if (fault.empty()) hear(state, batch, view.header);
    if (state.marks.contains(seq)) return Outcome::Duplicate;
    if (overflows(state.marks, {seq, seq}, options_.ranges_per_stream_max)) {
        say(work, batch.node,
            "stream " + to_hex(batch.stream) + " has too many holes; batch " + std::to_string(seq) + " waits at the gateway");
        return Outcome::Refused;
    }
    Result<Outcome> outcome = Outcome::Dead;
    if (!fault.empty()) {
        outcome = bury(work, batch, seq, fault);
    } else {
        switch (view.header.kind) {
            case BatchKind::Readings: outcome = take_readings(work, batch, state, view); break;
            case BatchKind::Gaps: outcome = take_gaps(work, batch, state, view); break;
            case BatchKind::Events: outcome = take_event(work, batch, view); break;
            case BatchKind::Logs: outcome = bury(work, batch, seq, "a batch of logs, which this version does not keep"); break;
        }
    }
    if (!outcome || *outcome == Outcome::Refused) return outcome;
    state.marks.insert(seq);
    state.changed = true;
    return outcome;
}

void SqliteStore::hear(StreamState& state, const IncomingBatch& batch, const BatchHeader& header) {
    if (batch.boots) {
        for (const BootOffset& boot : *batch.boots) {
            if (believed(boot, batch.received) && state.clock.hear_synced(boot.boot_no, boot.offset_ms, boot.error_ms))
                state.changed_boots.insert(boot.boot_no);
        }
    }
    if (believed(header, batch.received) && state.clock.hear_synced(header.boot_no, header.sealed_wall.ms - header.sealed_mono.ms, 0))
        state.changed_boots.insert(header.boot_no);
    if (state.clock.hear_batch(header.boot_no, header.sealed_mono, batch.received)) state.changed_boots.insert(header.boot_no);
    while (const auto forgotten = state.clock.trim()) state.changed_boots.insert(*forgotten);
}

Result<Outcome> SqliteStore::take_readings(Commit& work, const IncomingBatch& batch, StreamState& state, const BatchView& view) {
    const BatchHeader& header = view.header;
    auto body = decode_body(view.body, [&](uint32_t id) { return state.layout(id); }, limits_of(header));
    const bool pending = !body && body.error().code == Code::NotFound;
    if (!body && !pending) return bury(work, batch, header.seq, body.error().text);
    std::vector<Layout> definitions;
    if (pending) {
        auto read = decode_definitions(view.body);
        if (!read) return bury(work, batch, header.seq, read.error().text);
        definitions = std::move(*read);
    } else {
        definitions = std::move(body->definitions);
    }
    Placement placement{believed(header, batch.received), header.first.ms, header.sealed_mono.ms};
    if (!pending && !body->groups.empty() && !span_of(*body, header, placement.first_ms, placement.last_ms))
        return bury(work, batch, header.seq, "a reading's time is before its boot or after its sealing");
    const size_t known_before = state.layouts.size();
    for (const Layout& layout : definitions) {
        auto fault = define(work, batch, state, layout);
        if (!fault) return pass(fault);
        if (!fault->empty()) return bury(work, batch, header.seq, *fault);
    }
    if (header.clock == ClockState::Synced && header.sealed_wall.ms > batch.received.ms + clock_ahead_ms && !state.future_told) {
        state.future_told = true;
        say(work, batch.node,
            "its clock runs " + std::to_string((header.sealed_wall.ms - batch.received.ms) / 1000) + " s ahead of this server's");
    }
    if (pending || !body->groups.empty()) {
        if (auto stored = insert_hot(work, batch, header, placement, pending); !stored) return pass(stored);
    }
    if (pending) {
        ++state.pending;
        work.asking.insert(batch.stream);
        state.asked_ms = batch.received.ms;
        work.result.readings_stored += header.readings;
    } else {
        const uint32_t boot_no = placement.settled ? 0 : header.boot_no;
        for (const Rows& rows : body->groups) work.result.readings_stored += rows.times_ms.size() * rows.columns.size();
        note_latest(work, state, *body, timing_of_batch(header, boot_no, state.clock, batch.received));
    }
    work.result.bytes_stored += batch.bytes.size();
    if (state.layouts.size() > known_before && state.pending > 0) work.to_resolve.insert(batch.stream);
    if (state.pending > 0 && batch.received.ms - state.asked_ms >= ask_again_ms) {
        work.asking.insert(batch.stream);
        state.asked_ms = batch.received.ms;
    }
    return Outcome::Stored;
}

// Times in the row are wall times when settled (boot_no 0), else since boot.
Result<void> SqliteStore::insert_hot(Commit& work, const IncomingBatch& batch, const BatchHeader& header, const Placement& placement,
                                     bool pending) {
    const int64_t shift = placement.settled ? header.sealed_wall.ms - header.sealed_mono.ms : 0;
    sql_.insert_hot.bind(1, to_row(batch.stream))
        .bind(2, to_row(header.seq))
        .bind(3, placement.settled ? int64_t{0} : int64_t{header.boot_no});
    sql_.insert_hot.bind(4, placement.first_ms + shift).bind(5, placement.last_ms + shift).bind(6, batch.received.ms);
    sql_.insert_hot.bind(7, int64_t{pending ? 1 : 0}).bind_blob(8, batch.bytes);
    if (auto done = sql_.insert_hot.run(); !done) return done;
    ++work.hot_batches;
    work.hot_bytes += static_cast<int64_t>(batch.bytes.size());
    return {};
}

// Only the newest row of a group can be a series' latest.
void SqliteStore::note_latest(Commit& work, const StreamState& state, const Body& body, const Timing& timing) {
    for (const Rows& rows : body.groups) {
        const auto known = state.layouts.find(rows.layout);
        if (known == state.layouts.end() || rows.times_ms.empty()) continue;
        size_t newest = rows.times_ms.size() - 1;
        for (size_t i = rows.times_ms.size(); i-- > 0;)
            if (rows.times_ms[i] > rows.times_ms[newest]) newest = i;
        const WallTime time{rows.times_ms[newest] + timing.offset_ms};
        for (size_t c = 0; c < rows.columns.size() && c < known->second.series.size(); ++c) {
            const SeriesId series = known->second.series[c];
            if (series == 0) continue;
            const auto [at, is_new] = work.latest_at.place_of(series, work.result.latest.size());
            if (is_new) work.result.latest.push_back({series, time, timing.estimated, value_at(rows.columns[c], newest), 0});
            Latest& latest = work.result.latest[at];
            latest.readings += rows.times_ms.size();
            if (is_new || time < latest.time) continue;
            latest.time = time;
            latest.estimated = timing.estimated;
            latest.value = value_at(rows.columns[c], newest);
        }
    }
}

Result<Outcome> SqliteStore::take_gaps(Commit& work, const IncomingBatch& batch, StreamState& state, const BatchView& view) {
    auto gaps = decode_gaps(view.body);
    if (!gaps) return bury(work, batch, view.header.seq, gaps.error().text);
    std::vector<StreamState*> owners;
    for (const Gap& gap : *gaps) {
        const uint64_t bound = gap.stream == batch.stream ? view.header.seq : seq_bound;
        if (gap.first_seq == 0 || gap.last_seq < gap.first_seq || gap.last_seq >= bound)
            return bury(work, batch, view.header.seq, "a gap's numbers are out of range");
        Result<StreamState*> owner = &state;
        if (gap.stream != batch.stream) owner = stream_for(work, batch.node, gap.stream);
        if (!owner) return pass(owner);
        if (*owner == nullptr) return Outcome::Refused;
        if ((*owner)->node != batch.node) return bury(work, batch, view.header.seq, "a gap is of a stream of node " + (*owner)->node);
        touch(work, gap.stream, **owner);  // now: the next gap's stream must not take its place
        if (overflows((*owner)->marks, {gap.first_seq, gap.last_seq}, options_.ranges_per_stream_max)) return Outcome::Refused;
        owners.push_back(*owner);
    }
    for (size_t i = 0; i < gaps->size(); ++i) {
        owners[i]->marks.insert(SeqRange{(*gaps)[i].first_seq, (*gaps)[i].last_seq});
        owners[i]->changed = true;
    }
    if (auto kept = keep_gaps(work, batch.node, *gaps, batch.received); !kept) return pass(kept);
    return Outcome::Stored;
}

Result<void> SqliteStore::keep_gaps(Commit& work, const std::string& node, const std::vector<Gap>& gaps, WallTime received) {
    if (gaps.empty()) return {};
    for (const Gap& gap : gaps) {
        sql_.insert_gap.bind(1, std::string_view(node)).bind(2, to_row(gap.stream)).bind(3, to_row(gap.first_seq));
        sql_.insert_gap.bind(4, to_row(gap.last_seq))
            .bind(5, to_row(gap.readings))
            .bind(6, int64_t{gap.exact ? 1 : 0})
            .bind(7, gap.from.ms);
        sql_.insert_gap.bind(8, gap.to.ms).bind(9, static_cast<int64_t>(gap.reason)).bind(10, received.ms);
        if (auto done = sql_.insert_gap.run(); !done) return done;
        work.result.gaps.push_back({fleet_.last_insert_rowid(), node, gap, received});
    }
    sql_.trim_gaps.bind(1, std::string_view(node)).bind(2, gaps_per_node_max);
    return sql_.trim_gaps.run();
}

// Batches that waited for definitions, from after_id on, for a bounded time of the whole commit: what waits may be dear to decode. The
// rest is maintain()'s.
Result<void> SqliteStore::resolve_pending(Commit& work, uint64_t stream, StreamState& state, int64_t after_id) {
    SystemClock clock;
    if (work.resolve_until && clock.mono() >= *work.resolve_until) {
        resolving_[stream] = after_id;
        return {};
    }
    if (!work.resolve_until) work.resolve_until = clock.mono() + resolve_for;
    std::vector<std::pair<int64_t, IncomingBatch>> waiting;
    bool all = true;
    {
        Resetting guard(sql_.pending_after);
        sql_.pending_after.bind(1, to_row(stream)).bind(2, after_id).bind(3, resolve_batch_max);
        for (;;) {
            if (!waiting.empty() && clock.mono() >= *work.resolve_until) {
                all = false;
                break;
            }
            auto row = sql_.pending_after.step();
            if (!row) return pass(row, "resolve");
            if (!*row) break;
            IncomingBatch batch;
            batch.node = state.node;
            batch.stream = stream;
            batch.received = WallTime{sql_.pending_after.integer(2)};
            batch.bytes = std::string(sql_.pending_after.blob(3));
            waiting.emplace_back(sql_.pending_after.integer(0), std::move(batch));
        }
    }
    all = all && waiting.size() < static_cast<size_t>(resolve_batch_max);
    for (const auto& [id, batch] : waiting) {
        if (id != waiting.front().first && clock.mono() >= *work.resolve_until) {
            all = false;
            break;
        }
        auto resolved = resolve_one(work, state, stream, id, batch);
        if (!resolved) return pass(resolved, "resolve");
        if (*resolved) --state.pending;
        after_id = id;
    }
    if (all)
        resolving_.erase(stream);
    else
        resolving_[stream] = after_id;
    return {};
}

// True when it waits no longer.
Result<bool> SqliteStore::resolve_one(Commit& work, StreamState& state, uint64_t stream, int64_t id, const IncomingBatch& batch) {
    Placement placement;
    std::string fault;
    auto view = open_batch(stream, batch.bytes);
    if (!view) {
        fault = view.error().text;
    } else {
        auto body = decode_body(view->body, [&](uint32_t layout) { return state.layout(layout); }, limits_of(view->header));
        if (!body && body.error().code == Code::NotFound) return false;
        if (!body) {
            fault = body.error().text;
        } else if (!span_of(*body, view->header, placement.first_ms, placement.last_ms)) {
            fault = "a reading's time is before its boot or after its sealing";
        } else {
            placement.settled = believed(view->header, batch.received);
            const int64_t shift = placement.settled ? view->header.sealed_wall.ms - view->header.sealed_mono.ms : 0;
            const uint32_t boot_no = placement.settled ? 0 : view->header.boot_no;
            sql_.settle_hot.bind(1, placement.first_ms + shift).bind(2, placement.last_ms + shift).bind(3, int64_t{boot_no}).bind(4, id);
            if (auto done = sql_.settle_hot.run(); !done) return pass(done);
            note_latest(work, state, *body, timing_of_batch(view->header, boot_no, state.clock, batch.received));
            return true;
        }
    }
    if (auto buried = bury(work, batch, {}, fault); !buried) return pass(buried);
    sql_.delete_hot.bind(1, id);
    if (auto done = sql_.delete_hot.run(); !done) return pass(done);
    --work.hot_batches;
    work.hot_bytes -= static_cast<int64_t>(batch.bytes.size());
    return true;
}

Result<void> SqliteStore::save_streams(Commit& work) {
    for (auto& [stream, state] : work.touched) {
        if (state->changed) {
            const std::string ranges = encode_ranges(state->marks.ranges());
            sql_.upsert_stream.bind(1, to_row(stream))
                .bind(2, std::string_view(state->node))
                .bind(3, to_row(state->marks.mark()))
                .bind_blob(4, ranges);
            if (auto done = sql_.upsert_stream.run(); !done) return done;
            state->changed = false;
        }
        if (auto done = save_boots(stream, *state); !done) return done;
    }
    return {};
}

Result<void> SqliteStore::save_boots(uint64_t stream, StreamState& state) {
    for (const uint32_t boot_no : state.changed_boots) {
        const BootKnowledge* boot = state.clock.find(boot_no);
        if (boot == nullptr) {
            sql_.delete_boot.bind(1, to_row(stream)).bind(2, int64_t{boot_no});
            if (auto done = sql_.delete_boot.run(); !done) return done;
            continue;
        }
        sql_.upsert_boot.bind(1, to_row(stream)).bind(2, int64_t{boot_no}).bind(3, int64_t{boot->known ? 1 : 0}).bind(4, boot->offset_ms);
        sql_.upsert_boot.bind(5, boot->error_ms).bind(6, boot->upper_ms).bind(7, boot->last_mono_ms);
        if (auto done = sql_.upsert_boot.run(); !done) return done;
    }
    state.changed_boots.clear();
    return {};
}

}  // namespace basmalin::coordinator
