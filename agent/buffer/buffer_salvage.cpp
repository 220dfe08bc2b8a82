// R7: what a damaged file still holds comes into the new one in slices, each one transaction that also moves on the cursor in it.
// 1. Every page of the file set aside, then of its log, is searched; what is proven by its checksum is kept.
// 2. Stream by stream, in the order of numbers: holes become gaps, as do batches whose layouts are not known; layouts that were
//    defined in what is lost are defined again, beyond the stream's last number.
// 3. The notes are dropped.
// The tables are in buffer_repair.cpp. Thread: the Buffer's.
#include <algorithm>

#include "agent/buffer/buffer_state.h"
#include "shared/base/file.h"
#include "shared/base/log.h"

namespace basmalin::agent {
namespace {

constexpr Duration slice_time_max = milliseconds(50);
constexpr int64_t readings_per_batch_max = 100'000;  // more is no count but damage
constexpr int64_t finished = -1;

class Slice {
  public:
    explicit Slice(int64_t bytes_max) : left_(bytes_max), until_(SystemClock().mono() + slice_time_max) {}
    void spend(int64_t bytes) { left_ -= bytes; }
    bool over() const { return left_ <= 0 || SystemClock().mono() >= until_; }

  private:
    int64_t left_;
    MonoTime until_;
};

// Calls each(first, last) for the runs of [first, last] that are not in the set.
template <class Each>
Result<void> holes(const SeqSet& known, uint64_t first, uint64_t last, Each&& each) {
    uint64_t next = std::max(first, known.mark() + 1);
    const auto& ranges = known.ranges();
    auto r = std::lower_bound(ranges.begin(), ranges.end(), next, [](const SeqRange& a, uint64_t seq) { return a.last < seq; });
    for (; r != ranges.end() && next <= last && r->first <= last; ++r) {
        if (r->first > next)
            if (Result<void> done = each(next, r->first - 1); !done) return done;
        next = std::max(next, r->last + 1);
    }
    return next <= last ? each(next, last) : Result<void>{};
}

Result<void> note(Database& db, std::string_view key, int64_t value) {
    auto put = db.prepare("INSERT OR REPLACE INTO meta(key, value) VALUES(?,?)");
    if (!put) return pass(put);
    return put->bind(1, key).bind(2, value).run();
}

}  // namespace

Result<void> Buffer::Impl::load_salvage() {
    auto any = file.db.integer("SELECT count(*) FROM sqlite_schema WHERE name='salvage_stream'");
    if (!any) return pass(any);
    if (*any == 0) return {};
    salvage.emplace();
    auto old = file.db.prepare("SELECT stream_no, id FROM salvage_stream");
    if (!old) return pass(old);
    for (;;) {
        auto row = old->step();
        if (!row) return pass(row);
        if (!*row) break;
        if (old->integer(0) == 0)
            salvage->lost_stream = static_cast<uint64_t>(old->integer(1));
        else
            salvage->streams[old->integer(0)] = static_cast<uint64_t>(old->integer(1));
    }
    auto layouts = file.db.prepare("SELECT stream_no, id, bytes FROM salvage_layout");
    if (!layouts) return pass(layouts);
    for (;;) {
        auto row = layouts->step();
        if (!row) return pass(row);
        if (!*row) break;
        const auto id = static_cast<uint32_t>(layouts->integer(1));
        if (auto layout = decode_layout(id, layouts->blob(2)))
            salvage->layouts[layouts->integer(0)].insert_or_assign(id, std::move(*layout));
    }
    for (const auto& [no, id] : salvage->streams) {
        auto end = file.db.integer("SELECT value FROM meta WHERE key='" + std::string(salvage_end_key) + std::to_string(no) + "'");
        if (end) salvage->ends[no] = static_cast<uint64_t>(*end);
        if (!end && end.error().code != Code::NotFound) return pass(end);
    }
    for (const auto& [key, value] : {std::pair<const char*, int64_t*>{"salvaged", &salvage->total.salvaged_batches},
                                     {"salvage missing", &salvage->total.missing_batches}}) {
        auto saved = file.db.integer("SELECT value FROM meta WHERE key='" + std::string(key) + "'");
        if (saved) *value = *saved;
        if (!saved && saved.error().code != Code::NotFound) return pass(saved);
    }
    return {};
}

Result<SalvageStep> Buffer::salvage(const Moment& now) {
    auto step = impl_->salvage_slice(now);
    if (!step) return pass(step, "salvage");
    return step;
}

Result<SalvageStep> Buffer::Impl::salvage_slice(const Moment& now) {
    if (!salvage) return SalvageStep{};
    const BufferStats counts_before = counts;
    const std::vector<StreamState> streams_before = streams;
    const SalvageStep total_before = salvage->total;
    const int64_t next_before = salvage->next;
    SalvageStep step{.more = true};
    auto done = file.db.transaction([&]() -> Result<void> {
        auto source = file.db.prepare("SELECT no, file, next FROM salvage_source ORDER BY no LIMIT 1");
        if (!source) return pass(source);
        auto any_source = source->step();
        if (!any_source) return pass(any_source);
        if (*any_source) {
            const int64_t no = source->integer(0);
            const std::string name = source->text(1);
            const int64_t next = source->integer(2);
            source->reset();
            if (auto searched = search_pages(no, name, next); !searched) return searched;
        } else {
            auto stream = file.db.prepare(
                "SELECT stream_no, row_known, checked FROM salvage_stream WHERE stream_no > 0 AND checked >= 0 ORDER BY stream_no LIMIT 1");
            if (!stream) return pass(stream);
            auto any_stream = stream->step();
            if (!any_stream) return pass(any_stream);
            if (!*any_stream) {
                step.finished = true;
                return file.db.execute(
                    "DROP TABLE salvage_source; DROP TABLE salvage_stream; DROP TABLE salvage_layout;"
                    "DELETE FROM meta WHERE key IN ('salvaged', 'salvage missing')");
            }
            const int64_t no = stream->integer(0);
            const bool row_known = stream->integer(1) != 0;
            const auto checked = static_cast<uint64_t>(stream->integer(2));
            stream->reset();
            if (auto accounted = check_salvaged(no, row_known, checked, now); !accounted) return accounted;
        }
        if (auto saved = note(file.db, "salvaged", salvage->total.salvaged_batches); !saved) return saved;
        if (auto saved = note(file.db, "salvage missing", salvage->total.missing_batches); !saved) return saved;
        return save_tally();
    });
    if (!done) {
        counts = counts_before;
        streams = streams_before;
        salvage->total = total_before;
        salvage->next = next_before;
        return pass(done);
    }
    sealed_since_tally = 0;
    step.last_id = id_of(current().no, 0);
    step.salvaged_batches = salvage->total.salvaged_batches;
    step.missing_batches = salvage->total.missing_batches;
    if (step.finished) {
        step.more = false;
        log::warn("buffer_salvaged", {{"salvaged_batches", step.salvaged_batches}, {"missing_batches", step.missing_batches}});
        counts.damaged_batches_total += static_cast<uint64_t>(std::max<int64_t>(step.missing_batches, 0));
        salvage.reset();
        limit_damaged(path, damaged_kept_max, {});
    }
    auto rows = file.db.integer("SELECT count(*) FROM gap");
    if (rows) gap_rows = *rows;
    return step;
}

// Within the slice's transaction, like all that follows.
Result<void> Buffer::Impl::search_pages(int64_t source, const std::string& name, int64_t next) {
    Salvage& s = *salvage;
    const std::string source_path = folder_of(path) + "/" + name;
    if (s.source != source) {
        s.main = std::make_unique<PageFile>(source_path);
        s.wal_read = false;
        s.wal.clear();
        s.source = source;
        s.punched = 1;
    }
    std::map<int64_t, SeqSet> told;  // what was given up since, and told: it does not come back
    for (const auto& [no, id] : s.streams)
        if (auto added = add_gaps(id, told[no]); !added) return added;
    auto put = file.db.prepare("INSERT OR IGNORE INTO batch(id, priority, kind, readings, first_wall, bytes) VALUES(?,?,?,?,?,?)");
    if (!put) return pass(put);
    Gap lost{.stream = s.lost_stream, .exact = false, .reason = GapReason::Damaged};
    Result<void> failed;
    Slice slice(options.salvage_slice_bytes);
    const auto take = [&](const RawRow& row) {
        if (!failed) return;
        auto taken = take_salvaged(row, told, *put, lost);
        if (taken) slice.spend(*taken);
        if (!taken) failed = pass(taken);
    };
    const PageOf overflow = [&](uint32_t n) { return s.main->overflow(n); };
    s.next = next;
    for (; failed && s.next <= s.main->pages() && !slice.over(); ++s.next, slice.spend(int64_t{page_bytes}))
        each_row(s.main->page(static_cast<uint32_t>(s.next)), overflow, take);
    if (failed && s.next > s.main->pages() && !slice.over()) {
        if (!std::exchange(s.wal_read, true)) s.wal = read_wal(source_path);
        const auto first = static_cast<size_t>(s.next - s.main->pages() - 1);
        const size_t end = std::min(frames_of(s.wal),
                                    first + static_cast<size_t>(std::max<int64_t>(options.salvage_slice_bytes / int64_t{page_bytes}, 1)));
        each_row_of_log(s.wal, overflow, take, first, end);
        s.next += static_cast<int64_t>(end - std::min(first, end));
        if (failed && end >= frames_of(s.wal)) failed = file.db.execute("DELETE FROM salvage_source WHERE no=" + std::to_string(source));
    }
    if (failed)
        failed = file.db.execute("UPDATE salvage_source SET next=" + std::to_string(s.next) + " WHERE no=" + std::to_string(source));
    if (!failed || lost.first_seq == 0) return failed;
    // One gap, however many rows: their numbers say nothing without a stream.
    auto so_far = file.db.prepare("SELECT first_seq, last_seq, readings, from_ms, to_ms FROM gap WHERE stream=?");
    if (!so_far) return pass(so_far);
    auto row = so_far->bind(1, static_cast<int64_t>(s.lost_stream)).step();
    if (!row) return pass(row);
    if (*row)
        lost = joined(lost, {.stream = s.lost_stream,
                             .first_seq = static_cast<uint64_t>(so_far->integer(0)),
                             .last_seq = static_cast<uint64_t>(so_far->integer(1)),
                             .readings = static_cast<uint64_t>(so_far->integer(2)),
                             .exact = false,
                             .from = {so_far->integer(3)},
                             .to = {so_far->integer(4)},
                             .reason = GapReason::Damaged});
    so_far->reset();
    if (auto gone = file.db.execute("DELETE FROM gap WHERE stream=" + std::to_string(static_cast<int64_t>(s.lost_stream))); !gone)
        return gone;
    return insert_gap(file.db, lost);
}

// Bytes written.
Result<int64_t> Buffer::Impl::take_salvaged(const RawRow& row, const std::map<int64_t, SeqSet>& told, Statement& put, Gap& lost) {
    Salvage& s = *salvage;
    if (row.is("nbi") && row.rowid > 0 && row.rowid <= UINT32_MAX) {
        auto layout = decode_layout(static_cast<uint32_t>(row.rowid), row.fields[1].bytes);
        for (const auto& [no, id] : s.streams)
            if (layout && !s.layouts[no].contains(layout->id))
                if (auto kept = keep_layout(no, *layout); !kept) return pass(kept);
        return 0;
    }
    if (!looks_like_a_batch(row)) return 0;
    const int64_t no = stream_no_of(row.rowid);
    const auto stream = s.streams.find(no);
    if (stream == s.streams.end()) {
        const int64_t readings = row.fields[3].integer;
        if (s.lost_stream == 0 || no <= 0 || no >= current().no || readings < 0 || readings > readings_per_batch_max) return 0;
        const uint64_t seq = seq_of(row.rowid);
        const WallTime wall{row.fields[4].integer};
        const Gap one{.stream = s.lost_stream,
                      .first_seq = seq,
                      .last_seq = seq,
                      .readings = static_cast<uint64_t>(readings),
                      .exact = false,
                      .from = wall,
                      .to = wall,
                      .reason = GapReason::Damaged};
        lost = lost.first_seq == 0 ? one : joined(lost, one);
        ++s.total.missing_batches;
        return 0;
    }
    const auto batch = batch_of(row, stream->second);
    StreamState* state = stream_no(no);
    if (!batch || state == nullptr || told.at(no).contains(batch->header.seq)) return 0;
    const BatchHeader& h = batch->header;
    if (const auto end = s.ends.find(no); end != s.ends.end() && h.seq >= end->second && came_back(stream->second, *batch, told)) return 0;
    put.bind(1, row.rowid).bind(2, int64_t{static_cast<uint8_t>(h.priority)}).bind(3, int64_t{static_cast<uint8_t>(h.kind)});
    put.bind(4, int64_t{h.readings}).bind(5, batch->first_wall).bind_blob(6, batch->bytes);
    if (auto done = put.run(); !done) return pass(done);
    if (file.db.changes() == 0) return 0;
    const auto bytes = static_cast<int64_t>(batch->bytes.size());
    ++counts.batches;
    counts.readings += h.readings;
    counts.bytes += bytes;
    ++s.total.salvaged_batches;
    state->next_seq = std::max(state->next_seq, h.seq + 1);
    if (h.kind != BatchKind::Readings) return bytes;
    const auto view = open_batch(stream->second, batch->bytes);
    const auto definitions = view ? decode_definitions(view->body) : Result<std::vector<Layout>>{};
    if (!definitions) return bytes;
    for (const Layout& layout : *definitions)
        if (auto kept = keep_layout(no, layout); !kept) return pass(kept);
    return bytes;
}

// Nobody was given this batch: its drafts went back to the caller. Only Gaps have no other place, unless their rows are still there.
bool Buffer::Impl::came_back(uint64_t stream, const Rescued& batch, const std::map<int64_t, SeqSet>& told) {
    if (batch.header.kind != BatchKind::Gaps) return true;
    const auto view = open_batch(stream, batch.bytes);
    const auto gaps = view ? decode_gaps(view->body) : Result<std::vector<Gap>>{};
    if (!gaps) return true;
    return std::any_of(gaps->begin(), gaps->end(), [&](const Gap& gap) {
        for (const auto& [no, id] : salvage->streams)
            if (id == gap.stream && told.at(no).contains(gap.first_seq)) return true;
        return false;
    });
}

Result<void> Buffer::Impl::keep_layout(int64_t no, const Layout& layout) {
    salvage->layouts[no].insert_or_assign(layout.id, layout);
    auto put = file.db.prepare(
        "INSERT INTO salvage_layout(stream_no, id, bytes, used, held) VALUES(?,?,?,0,0)"
        " ON CONFLICT(stream_no, id) DO UPDATE SET bytes=excluded.bytes");
    if (!put) return pass(put);
    const std::string bytes = encode_layout(layout);
    return put->bind(1, no).bind(2, int64_t{layout.id}).bind_blob(3, bytes).run();
}

Result<void> Buffer::Impl::add_gaps(uint64_t stream, SeqSet& known) {
    auto gaps = file.db.prepare("SELECT first_seq, last_seq FROM gap WHERE stream=?");
    if (!gaps) return pass(gaps);
    gaps->bind(1, static_cast<int64_t>(stream));
    for (;;) {
        auto row = gaps->step();
        if (!row) return pass(row);
        if (!*row) return {};
        known.insert(SeqRange{static_cast<uint64_t>(gaps->integer(0)), static_cast<uint64_t>(gaps->integer(1))});
    }
}

// A slice of the stream's numbers, from `checked` + 1 on.
Result<void> Buffer::Impl::check_salvaged(int64_t no, bool row_known, uint64_t checked, const Moment& now) {
    StreamState& stream = *stream_no(no);
    SeqSet known = stream.acked;
    if (auto added = add_gaps(stream.id, known); !added) return added;
    std::vector<Gap> gaps;
    const auto hole = [&](uint64_t first, uint64_t last) -> Result<void> {
        salvage->total.missing_batches += static_cast<int64_t>(last - first + 1);
        add_gap(gaps, {.stream = stream.id, .first_seq = first, .last_seq = last, .exact = false, .reason = GapReason::Damaged});
        return {};
    };
    // Without the stream's own row nothing is known of what lies below the lowest number that was salvaged.
    bool from_first = row_known || checked > 0 || stream.acked.highest() > 0;
    uint64_t next = checked + 1;
    bool ended = false;
    std::vector<int64_t> unreadable;
    std::set<uint32_t> used;
    std::set<uint32_t> held;
    Slice slice(options.salvage_slice_bytes);
    {
        auto rows = file.db.prepare("SELECT id, readings, first_wall, bytes FROM batch WHERE id > ? AND id < ? ORDER BY id");
        if (!rows) return pass(rows);
        rows->bind(1, id_of(no, checked)).bind(2, id_of(no + 1, 0));
        do {
            auto row = rows->step();
            if (!row) return pass(row);
            ended = !*row;
            if (ended) break;
            const uint64_t seq = seq_of(rows->integer(0));
            slice.spend(static_cast<int64_t>(rows->blob(3).size()));
            if (!std::exchange(from_first, true)) next = seq;
            if (auto noted = holes(known, next, seq - 1, hole); seq > next && !noted) return noted;
            next = seq + 1;
            if (stream.acked.contains(seq) || is_readable(no, rows->blob(3), used, held)) continue;
            unreadable.push_back(rows->integer(0));
            ++salvage->total.missing_batches;
            --salvage->total.salvaged_batches;
            --counts.batches;
            counts.readings -= rows->integer(1);
            counts.bytes -= static_cast<int64_t>(rows->blob(3).size());
            const WallTime wall{rows->integer(2)};
            add_gap(gaps, {.stream = stream.id,
                           .first_seq = seq,
                           .last_seq = seq,
                           .readings = static_cast<uint64_t>(std::max<int64_t>(rows->integer(1), 0)),
                           .from = wall,
                           .to = wall,
                           .reason = GapReason::Damaged});
        } while (!slice.over());
    }
    for (const int64_t id : unreadable)
        if (auto gone = file.db.execute("DELETE FROM batch WHERE id=" + std::to_string(id)); !gone) return gone;
    for (const auto& [column, ids] : {std::pair<const char*, const std::set<uint32_t>*>{"used", &used}, {"held", &held}}) {
        auto mark = file.db.prepare("UPDATE salvage_layout SET " + std::string(column) + "=1 WHERE stream_no=? AND id=?");
        if (!mark) return pass(mark);
        for (const uint32_t id : *ids)
            if (auto marked = mark->bind(1, no).bind(2, int64_t{id}).run(); !marked) return marked;
    }
    if (ended) {
        // One number beyond the last stands for a tail of unknown length.
        const uint64_t end = std::max({next, stream.next_seq, known.highest() + 1});
        if (auto noted = holes(known, next, end, hole); !noted) return noted;
        --salvage->total.missing_batches;
        stream.next_seq = end + 1;
        if (auto defined = define_salvaged(stream, now); !defined) return defined;
        // What comes beyond from here on is ours.
        const std::string bound = "DELETE FROM meta WHERE key='" + std::string(salvage_end_key) + std::to_string(no) + "'";
        if (auto gone = file.db.execute(bound); !gone) return gone;
    }
    for (const Gap& gap : gaps)
        if (auto noted = insert_gap(file.db, gap); !noted) return noted;
    const std::string of_stream = " WHERE stream_no=" + std::to_string(no);
    if (auto kept = file.db.execute("UPDATE stream SET floor=" + std::to_string(stream.next_seq) + of_stream); !kept) return kept;
    return file.db.execute("UPDATE salvage_stream SET checked=" + std::to_string(ended ? finished : static_cast<int64_t>(next - 1)) +
                           of_stream);
}

// False for a batch whose layouts are not known. `held`: layouts that it defines itself.
bool Buffer::Impl::is_readable(int64_t no, std::string_view bytes, std::set<uint32_t>& used, std::set<uint32_t>& held) {
    const auto view = open_batch(salvage->streams[no], bytes);
    if (!view || view->header.kind != BatchKind::Readings) return true;  // fetch() finds and tells what is damaged
    const auto& layouts = salvage->layouts[no];
    std::set<uint32_t> asked;
    const auto body = decode_body(view->body, [&](uint32_t id) -> const Layout* {
        const auto found = layouts.find(id);
        if (found == layouts.end()) return nullptr;
        asked.insert(id);
        return &found->second;
    });
    if (!body) return body.error().code != Code::NotFound;
    used.merge(asked);
    for (const Layout& layout : body->definitions) held.insert(layout.id);
    return true;
}

// Layouts that are used and that no batch held defines.
Result<void> Buffer::Impl::define_salvaged(StreamState& stream, const Moment& now) {
    std::vector<Body> bodies;
    size_t room = 0;
    {
        auto rows = file.db.prepare("SELECT id, bytes FROM salvage_layout WHERE stream_no=? AND used=1 AND held=0");
        if (!rows) return pass(rows);
        rows->bind(1, stream.no);
        for (;;) {
            auto row = rows->step();
            if (!row) return pass(row);
            if (!*row) break;
            auto layout = decode_layout(static_cast<uint32_t>(rows->integer(0)), rows->blob(1));
            if (!layout) continue;
            const size_t size = rows->blob(1).size() + 8;
            if (size > room) {
                bodies.emplace_back();
                room = batch_bytes_max / 2;
            }
            room -= std::min(size, room);
            bodies.back().definitions.push_back(std::move(*layout));
        }
    }
    for (const Body& body : bodies) {
        auto encoded = encode_body(body, [](uint32_t) -> const Layout* { return nullptr; });
        if (!encoded) return pass(encoded, "define layouts");
        const BatchHeader h{.seq = stream.next_seq,
                            .kind = BatchKind::Readings,
                            .priority = Priority::Alarm,
                            .clock = now.clock,
                            .boot_no = boot_no,
                            .sealed_mono = now.mono,
                            .sealed_wall = now.wall,
                            .readings = 0,
                            .first = now.mono};
        const std::string bytes = seal_batch(stream.id, h, *encoded);
        insert_batch.bind(1, id_of(stream.no, h.seq))
            .bind(2, int64_t{static_cast<uint8_t>(h.priority)})
            .bind(3, int64_t{static_cast<uint8_t>(h.kind)});
        insert_batch.bind(4, int64_t{0}).bind(5, int64_t{0}).bind_blob(6, bytes);
        if (auto done = insert_batch.run(); !done) return done;
        ++stream.next_seq;
        ++counts.batches;
        counts.bytes += static_cast<int64_t>(bytes.size());
    }
    return {};
}

}  // namespace basmalin::agent
