#include <algorithm>

#include "agent/buffer/buffer_state.h"
#include "shared/base/log.h"

namespace basmalin::agent {
namespace {

constexpr size_t ranges_max = 4096;
constexpr uint64_t released_runs_max = 4096;
constexpr size_t hello_streams_max = 8;
constexpr size_t damaged_noted_max = 4096;

// The last seq of the acked run that seq is in, or 0 when it is not acked.
uint64_t end_of_acked(const SeqSet& acked, uint64_t seq) {
    if (seq <= acked.mark()) return acked.mark();
    const auto& ranges = acked.ranges();
    const auto after = std::upper_bound(ranges.begin(), ranges.end(), seq, [](uint64_t s, const SeqRange& r) { return s < r.first; });
    if (after == ranges.begin()) return 0;
    const SeqRange& r = *std::prev(after);
    return seq <= r.last ? r.last : 0;
}

Result<Held> held_from(const Statement& row, uint64_t stream) {
    Held held{.id = row.integer(0), .stream = stream, .header = {}, .bytes = std::make_shared<const std::string>(row.blob(5))};
    auto view = open_batch(stream, *held.bytes);
    if (!view) return pass(view);
    if (view->header.seq != seq_of(held.id)) return fail(Code::Corrupt, "a batch under the sequence number of another");
    held.header = view->header;
    return held;
}

}  // namespace

Result<Page> Buffer::fetch(int64_t after_id, int64_t until_id, size_t bytes_max, size_t batches_max, std::optional<Priority> only) {
    Page page{.batches = {}, .last_id = after_id, .end = false};
    std::string sql = "SELECT " + std::string(batch_columns) + " FROM batch WHERE id > ?1 AND id <= ?2";
    // Written out, so that the partial index answers for alarms.
    if (only) sql += " AND priority=" + std::to_string(static_cast<int>(*only)) + (*only != Priority::Normal ? " AND priority<>1" : "");
    sql += " ORDER BY id";
    auto rows = impl_->file.db.prepare(sql);
    if (!rows) return pass(rows);
    rows->bind(1, after_id).bind(2, until_id);
    std::vector<int64_t> damaged;  // met for the first time
    size_t bytes = 0;
    int skips = 0;
    while (page.batches.size() < batches_max && bytes < bytes_max) {
        auto row = rows->step();
        if (!row) return pass(row, "fetch batches");
        if (!*row) {
            page.end = true;
            break;
        }
        const int64_t id = rows->integer(0);
        const StreamState* stream = impl_->stream_no(stream_no_of(id));
        page.last_id = id;
        if (stream == nullptr) continue;
        if (const uint64_t end = end_of_acked(stream->acked, seq_of(id)); end != 0) {
            if (++skips < 16) continue;
            skips = 0;  // a long acked run: over it in one seek
            page.last_id = std::min(until_id, id_of(stream->no, end));
            rows->reset();
            rows->bind(1, page.last_id).bind(2, until_id);
            continue;
        }
        auto held = held_from(*rows, stream->id);
        if (!held) {
            if (impl_->damaged.size() < damaged_noted_max && impl_->damaged.insert(id).second) damaged.push_back(id);
            continue;
        }
        bytes += held->bytes->size();
        page.batches.push_back(std::move(*held));
    }
    rows->reset();
    if (damaged.empty()) return page;
    log::error("buffer_rows_damaged", {{"rows", damaged.size()}, {"first_seq", seq_of(damaged.front())}});
    impl_->counts.damaged_batches_total += damaged.size();
    auto dropped = impl_->drop_damaged();
    if (!dropped && dropped.error().code == Code::Corrupt) return pass(dropped);
    // A disk that takes no writes must not keep the sound ones here: tend() tries again.
    if (!dropped) log::warn("damaged_rows_stay", {{"why", dropped.error().message()}});
    return page;
}

bool Buffer::on_ack(const Ack& ack) {
    StreamState* s = impl_->stream_of(ack.stream);
    if (impl_->epoch == 0 || ack.epoch != impl_->epoch || s == nullptr) return false;
    const uint64_t sealed = s->next_seq - 1;
    const uint64_t highest = ack.ranges.empty() ? ack.mark : std::max(ack.mark, ack.ranges.back().last);
    if (highest > sealed && s == &impl_->current()) return false;
    s->next_seq = std::max(s->next_seq, highest + 1);  // an older stream's end may have been lost (R7)
    if (ack.mark > 0) s->acked.insert(SeqRange{1, ack.mark});
    for (const SeqRange& r : ack.ranges) {
        if (s->acked.ranges().size() >= ranges_max) break;
        if (r.first >= 1 && r.last >= r.first) s->acked.insert(r);
    }
    s->acked_dirty = true;
    impl_->unsent_from = 0;  // acks follow a welcome: batches are sent
    return true;
}

// Every number below next_seq that is neither with the coordinator, nor held, nor known as a gap already.
Result<uint64_t> Buffer::Impl::record_released(StreamState& stream) {
    SeqSet known = stream.acked;
    if (auto added = add_gaps(stream.id, known); !added) return pass(added);
    auto rows = file.db.prepare("SELECT id FROM batch WHERE id BETWEEN ? AND ? ORDER BY id");
    if (!rows) return pass(rows);
    rows->bind(1, id_of(stream.no, known.mark())).bind(2, id_of(stream.no + 1, 0) - 1);
    SeqRange run{0, 0};
    const auto flush = [&] {
        if (run.first != 0) known.insert(run);
    };
    for (;;) {
        auto row = rows->step();
        if (!row) return pass(row);
        if (!*row) break;
        const uint64_t seq = seq_of(rows->integer(0));
        if (run.first != 0 && seq == run.last + 1) {
            run.last = seq;
        } else {
            flush();
            run = {seq, seq};
        }
    }
    flush();
    uint64_t released = 0;
    uint64_t runs = 0;
    const auto gap = [&](uint64_t first, uint64_t last) -> Result<void> {
        if (first > last || ++runs > released_runs_max) return {};
        released += last - first + 1;
        return insert_gap(file.db, {.stream = stream.id, .first_seq = first, .last_seq = last, .readings = 0, .exact = false, .from = {}, .to = {}, .reason = GapReason::Released});
    };
    uint64_t next = known.mark() + 1;
    for (const SeqRange& r : known.ranges()) {
        if (auto done = gap(next, std::min(r.first - 1, stream.next_seq - 1)); !done) return pass(done);
        next = r.last + 1;
    }
    if (auto done = gap(next, stream.next_seq - 1); !done) return pass(done);
    return released;
}

// R6: nothing is sent before a welcome, so what was sealed since the last one cannot be with the coordinator. Remembered over
// restarts: a file that went back in time shows at the next welcome, however much was sealed into it by then.
Result<void> Buffer::Impl::load_unsent() {
    if (options.promised.welcomed && options.promised.stream == current().id) return {};  // sending goes on
    auto saved = file.db.integer("SELECT value FROM meta WHERE key='unsent'");
    if (!saved && saved.error().code != Code::NotFound) return pass(saved);
    unsent_from = current().next_seq;
    unsent_noted = saved.has_value();
    if (saved && stream_no_of(*saved) == current().no && seq_of(*saved) <= unsent_from) {
        unsent_from = seq_of(*saved);
        return {};
    }
    auto put = file.db.prepare("INSERT OR REPLACE INTO meta(key, value) VALUES('unsent',?)");
    if (!put) return pass(put);
    auto done = put->bind(1, id_of(current().no, unsent_from)).run();
    unsent_noted = unsent_noted || done.has_value();
    if (!done && done.error().code == Code::Full) return {};  // known for this run at least
    return done;
}

// R6. The rows of `old` that nobody acked get numbers of the new, current stream. What was never sent goes whatever number it
// has: the coordinator has other batches under these.
Result<void> Buffer::Impl::rehome(const StreamState& old) {
    const uint64_t never_sent_from = unsent_from != 0 ? unsent_from : old.next_seq;
    auto rows = file.db.prepare("SELECT " + std::string(batch_columns) + " FROM batch WHERE id > ? AND id < ? ORDER BY id");
    if (!rows) return pass(rows);
    rows->bind(1, id_of(old.no, std::min(old.acked.mark(), never_sent_from - 1))).bind(2, id_of(old.no + 1, 0));
    uint64_t seq = current().next_seq;
    for (;;) {
        auto row = rows->step();
        if (!row) return pass(row);
        if (!*row) break;
        const int64_t id = rows->integer(0);
        if (seq_of(id) < never_sent_from && old.acked.contains(seq_of(id))) continue;
        auto view = open_batch(old.id, rows->blob(5));
        if (!view) continue;  // fetch() will find and report it
        BatchHeader header = view->header;
        header.seq = seq;
        const std::string bytes = seal_batch(current().id, header, view->body);
        insert_batch.bind(1, id_of(current().no, seq)).bind(2, rows->integer(1)).bind(3, rows->integer(2));
        insert_batch.bind(4, rows->integer(3)).bind(5, rows->integer(4)).bind_blob(6, bytes);
        if (auto done = insert_batch.run(); !done) return done;
        if (auto done = file.db.execute("DELETE FROM batch WHERE id=" + std::to_string(id)); !done) return done;
        ++seq;
    }
    current().next_seq = seq;
    return {};
}

Result<WelcomeOutcome> Buffer::on_welcome(const Welcome& welcome, const Moment&) {
    WelcomeOutcome outcome;
    const std::vector<StreamState> before = impl_->streams;
    const uint64_t epoch_before = impl_->epoch;
    const auto defined_before = impl_->defined_seq;
    impl_->epoch = welcome.epoch;
    std::vector<int64_t> lacking;  // streams of which it may have lost something
    for (StreamState& s : impl_->streams) {
        SeqSet theirs;
        for (const Welcome::Stream& w : welcome.streams)
            if (w.stream == s.id) theirs.restore(w.mark, w.ranges);
        const SeqSet ours = std::exchange(s.acked, theirs);
        s.acked_dirty = true;
        const bool is_current = s.no == before.back().no;
        const bool ahead = theirs.highest() >= (is_current && impl_->unsent_from != 0 ? impl_->unsent_from : s.next_seq);
        if (ahead && is_current) outcome.new_stream = true;
        if (ahead && !is_current) s.next_seq = theirs.highest() + 1;  // its end was lost (R7)
        if (ahead || impl_->is_salvaged(s.no)) continue;              // what it lacks may still come
        bool lacks = theirs.mark() < ours.mark();
        for (const SeqRange& r : ours.ranges()) lacks = lacks || !theirs.contains(r.first) || !theirs.contains(r.last);
        if (!lacks && epoch_before == welcome.epoch) continue;
        if (epoch_before != 0) lacking.push_back(s.no);  // else nothing was ever released
    }
    // Marks alone are saved like those of acks (R2): a disk that takes no writes does not keep what it holds from being sent.
    const bool only_marks = !outcome.new_stream && lacking.empty() && !impl_->unsent_noted && epoch_before == welcome.epoch;
    if (!only_marks) {
        auto done = impl_->file.db.transaction([&]() -> Result<void> {
            for (const int64_t no : lacking) {
                auto released = impl_->record_released(*impl_->stream_no(no));
                if (!released) return pass(released);
                outcome.released_batches += *released;
            }
            if (outcome.new_stream) {
                // The coordinator's word on what was sent counts only where it is known what was.
                StreamState old = before.back();
                if (impl_->unsent_from != 0) old.acked = impl_->current().acked;
                if (auto added = impl_->add_stream(); !added) return added;
                if (auto moved = impl_->rehome(old); !moved) return moved;
                if (auto kept = impl_->save_tally(); !kept) return kept;  // its rows have newer ids now
            }
            if (auto sent = impl_->file.db.execute("DELETE FROM meta WHERE key='unsent'"); !sent) return sent;
            if (auto saved = impl_->save_acks(); !saved) return saved;
            return epoch_before == welcome.epoch ? Result<void>() : impl_->save_epoch();
        });
        if (!done) {
            impl_->streams = before;
            impl_->epoch = epoch_before;
            impl_->defined_seq = defined_before;
            return pass(done, "welcome");
        }
        impl_->unsent_noted = false;
        for (StreamState& s : impl_->streams) s.acked_dirty = false;
        if (auto gaps = impl_->file.db.integer("SELECT count(*) FROM gap"); gaps) impl_->gap_rows = *gaps;
    }
    impl_->unsent_from = 0;
    for (const StreamState& s : impl_->streams) outcome.streams.push_back({.stream = s.id, .first_id = id_of(s.no, 1), .acked = s.acked});
    outcome.last_id = impl_->last_id();
    return outcome;
}

std::vector<Hello::Stream> Buffer::hello_streams() const {
    std::vector<Hello::Stream> all;
    for (auto s = impl_->streams.rbegin(); s != impl_->streams.rend() && all.size() < hello_streams_max; ++s) {
        auto oldest = impl_->file.db.integer("SELECT ifnull(min(id), 0) FROM batch WHERE id BETWEEN " + std::to_string(id_of(s->no, 0)) +
                                             " AND " + std::to_string(id_of(s->no + 1, 0) - 1));
        all.push_back({.stream = s->id, .next_seq = s->next_seq, .oldest_seq = oldest && *oldest > 0 ? seq_of(*oldest) : 0, .acked = s->acked.mark()});
    }
    return all;
}

BufferStats Buffer::stats() const {
    BufferStats s = impl_->counts;
    Database& db = impl_->file.db;
    const StreamState& current = impl_->current();
    s.stream = current.id;
    s.sealed_seq = current.next_seq - 1;
    s.acked_mark = current.acked.mark();
    s.epoch = impl_->epoch;
    s.gaps_pending = impl_->gap_rows;
    s.streams = impl_->streams.size();
    s.salvaging = impl_->salvage.has_value();
    const auto number = [&](const std::string& sql) {
        auto value = db.integer(sql);
        return value ? *value : 0;
    };
    s.file_bytes = (number("PRAGMA page_count") - number("PRAGMA freelist_count")) * 1024;
    // Rows that are held and acked lie below the mark as a rule: what is above it counts as waiting.
    int64_t waiting = 0;
    for (const StreamState& st : impl_->streams) {
        const uint64_t newest = st.next_seq - 1;
        uint64_t acked = st.acked.mark();
        for (const SeqRange& r : st.acked.ranges()) acked += r.last - r.first + 1;
        if (newest > acked) waiting += static_cast<int64_t>(newest - acked);
    }
    s.unacked_batches = std::min(waiting, s.batches);
    for (const StreamState& st : impl_->streams) {
        if (s.unacked_batches == 0) break;
        auto row = db.prepare("SELECT first_wall FROM batch WHERE id > ? AND id < ? ORDER BY id LIMIT 1");
        if (!row) break;
        auto found = row->bind(1, id_of(st.no, st.acked.mark())).bind(2, id_of(st.no + 1, 0)).step();
        if (!found || !*found) continue;
        s.oldest_wall_ms = row->integer(0);
        break;
    }
    return s;
}

}  // namespace basmalin::agent
