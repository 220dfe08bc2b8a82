#include <algorithm>

#include "agent/buffer/buffer_state.h"
#include "shared/base/ids.h"
#include "shared/base/log.h"

namespace basmalin::agent {
namespace {

constexpr Duration acks_saved_every = minutes(1);
constexpr int64_t tally_every_batches = 4096;
constexpr int64_t gap_rows_max = 1000;  // beyond, they are sealed even while nobody listens

std::string text_of(int64_t n) { return std::to_string(n); }

}  // namespace

StreamState* Buffer::Impl::stream_of(uint64_t id) {
    for (StreamState& s : streams)
        if (s.id == id) return &s;
    return nullptr;
}

StreamState* Buffer::Impl::stream_no(int64_t no) {
    for (StreamState& s : streams)
        if (s.no == no) return &s;
    return nullptr;
}

bool Buffer::Impl::is_acked(int64_t id) {
    const StreamState* s = stream_no(stream_no_of(id));
    return s != nullptr && s->acked.contains(seq_of(id));
}

Buffer::Buffer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Buffer::~Buffer() = default;

Result<void> Buffer::Impl::load(uint64_t boot) {
    if (auto done = load_salvage(); !done) return done;
    if (auto done = load_streams(); !done) return done;
    if (auto done = rescue(); !done) return done;
    if (auto done = keep_promises(); !done) return done;
    if (auto done = load_boots(boot); !done) return done;
    if (auto done = load_unsent(); !done) return done;
    auto layouts = file.db.prepare("SELECT id, defined_seq, bytes FROM layout");
    if (!layouts) return pass(layouts);
    for (;;) {
        auto row = layouts->step();
        if (!row) return pass(row);
        if (!*row) break;
        static_cast<void>(layouts->blob(2));  // all of the row is read: what the disk cannot read of it shows here, where it is repaired
        defined_seq[static_cast<uint32_t>(layouts->integer(0))] = static_cast<uint64_t>(layouts->integer(1));
    }
    layouts->reset();
    if (auto done = forget_lost_definitions(); !done) return done;
    auto gaps = file.db.integer("SELECT count(*) FROM gap");
    if (!gaps) return pass(gaps);
    gap_rows = *gaps;
    auto saved_epoch = file.db.integer("SELECT value FROM meta WHERE key='epoch'");
    if (saved_epoch) epoch = static_cast<uint64_t>(*saved_epoch);
    if (!saved_epoch && saved_epoch.error().code != Code::NotFound) return pass(saved_epoch);
    auto insert = file.db.prepare("INSERT INTO batch(id, priority, kind, readings, first_wall, bytes) VALUES(?,?,?,?,?,?)");
    if (!insert) return pass(insert);
    insert_batch = std::move(*insert);
    if (auto done = load_tally(); !done) return done;
    // The tables and the stream's name belong into the main file, out of reach of a damaged log.
    if (file.report.created) return file.db.execute("PRAGMA wal_checkpoint(TRUNCATE)");
    return {};
}

Result<void> Buffer::Impl::load_streams() {
    auto rows = file.db.prepare("SELECT stream_no, id, floor, acked FROM stream ORDER BY stream_no");
    if (!rows) return pass(rows);
    for (;;) {
        auto row = rows->step();
        if (!row) return pass(row);
        if (!*row) break;
        StreamState s{.no = rows->integer(0), .id = static_cast<uint64_t>(rows->integer(1)), .acked = decode_acked(rows->blob(3))};
        s.next_seq = static_cast<uint64_t>(std::max<int64_t>(rows->integer(2), 1));
        streams.push_back(std::move(s));
    }
    rows->reset();
    std::vector<StreamState> used;
    for (StreamState& s : streams) {
        auto newest = file.db.integer("SELECT ifnull(max(id), 0) FROM batch WHERE id BETWEEN " + text_of(id_of(s.no, 0)) + " AND " +
                                      text_of(id_of(s.no + 1, 0) - 1));
        if (!newest) return pass(newest);
        if (*newest > 0) s.next_seq = std::max(s.next_seq, seq_of(*newest) + 1);
        const bool is_current = s.no == streams.back().no;
        if (*newest == 0 && !is_current && !is_salvaged(s.no)) {
            // An older stream of which nothing is held any more has nothing left to say.
            // (A full disk keeps its row for another start.)
            const std::string no = text_of(s.no);
            if (auto gone = file.db.execute("DELETE FROM stream WHERE stream_no=" + no + "; DELETE FROM stream_id WHERE stream_no=" + no); !gone && gone.error().code == Code::Corrupt) return gone;
            continue;
        }
        used.push_back(std::move(s));
    }
    streams = std::move(used);
    if (streams.empty()) return add_stream();
    // Files of earlier versions have both copies in one block. (A full disk: with another start.)
    auto noted = file.db.integer("SELECT count(*) FROM sqlite_schema WHERE name='stream_id'");
    if (!noted) return pass(noted);
    if (*noted != 0) return {};
    for (const StreamState& s : streams)
        if (auto done = note_stream(file.db, s.no, s.id); !done && done.error().code == Code::Corrupt) return done;
    return {};
}

Result<void> Buffer::Impl::add_stream() {
    StreamState s{.no = streams.empty() ? 1 : streams.back().no + 1, .id = random_u64(), .acked = {}};
    auto insert = file.db.prepare("INSERT INTO stream(stream_no, id, floor, acked) VALUES(?,?,1,x'')");
    if (!insert) return pass(insert);
    if (auto done = insert->bind(1, s.no).bind(2, static_cast<int64_t>(s.id)).run(); !done) return done;
    if (auto done = note_stream(file.db, s.no, s.id); !done) return done;
    if (auto done = file.db.execute("UPDATE layout SET defined_seq=0"); !done) return done;
    streams.push_back(std::move(s));
    for (auto& [id, seq] : defined_seq) seq = 0;
    return {};
}

Result<void> Buffer::Impl::load_boots(uint64_t boot) {
    auto rows = file.db.prepare("SELECT boot_no, boot_id, state, offset_ms, error_ms FROM boot ORDER BY boot_no");
    if (!rows) return pass(rows);
    uint32_t last = 0;
    for (;;) {
        auto row = rows->step();
        if (!row) return pass(row);
        if (!*row) break;
        last = static_cast<uint32_t>(rows->integer(0));
        const bool synced = rows->integer(2) == static_cast<int64_t>(ClockState::Synced);
        const bool mine = static_cast<uint64_t>(rows->integer(1)) == boot;
        if (mine) boot_no = last;
        if (synced || mine)
            boots[last] = {last, synced ? ClockState::Synced : ClockState::Unsynced, rows->integer(3), rows->integer(4)};
    }
    rows->reset();
    if (boot_no != 0) return {};
    boot_no = last + 1;
    boots[boot_no] = {.boot_no = boot_no};
    // A disk that is full at start must not keep the agent from starting: the row goes with the first seal that succeeds.
    if (auto saved = save_boot(boot); !saved) {
        if (saved.error().code == Code::Corrupt) return saved;
        boot_unsaved = boot;
        counts.writable = false;
    }
    return {};
}

Result<void> Buffer::Impl::save_boot(uint64_t boot) {
    auto insert = file.db.prepare("INSERT OR IGNORE INTO boot(boot_no, boot_id, state, offset_ms, error_ms) VALUES(?,?,0,0,0)");
    if (!insert) return pass(insert);
    return insert->bind(1, int64_t{boot_no}).bind(2, static_cast<int64_t>(boot)).run();
}

// R10: the batch that defined a layout may have been given up by the run before.
Result<void> Buffer::Impl::forget_lost_definitions() {
    auto held = file.db.prepare("SELECT 1 FROM batch WHERE id=?");
    if (!held) return pass(held);
    for (auto& [layout, seq] : defined_seq) {
        if (seq == 0 || current().acked.contains(seq)) continue;
        auto row = held->bind(1, id_of(current().no, seq)).step();
        if (!row) return pass(row);
        if (!*row) seq = 0;
        held->reset();
    }
    return {};
}

Result<void> Buffer::Impl::load_tally() {
    int64_t as_of = 0;
    auto saved = file.db.prepare("SELECT value FROM meta WHERE key=?");
    if (!saved) return pass(saved);
    const auto read = [&](std::string_view key) -> Result<int64_t> {
        auto row = saved->bind(1, key).step();
        if (!row) return pass(row);
        const int64_t value = *row ? saved->integer(0) : 0;
        saved->reset();
        return value;
    };
    for (const auto& [key, field] : {std::pair<const char*, int64_t*>{"tally_id", &as_of}, {"tally_batches", &counts.batches},
                                     {"tally_readings", &counts.readings}, {"tally_bytes", &counts.bytes}}) {
        auto value = read(key);
        if (!value) return pass(value);
        *field = *value;
    }
    auto rest = file.db.prepare("SELECT count(*), ifnull(sum(readings),0), ifnull(sum(length(bytes)),0) FROM batch WHERE id > ?");
    if (!rest) return pass(rest);
    auto row = rest->bind(1, as_of).step();
    if (!row) return pass(row);
    counts.batches += rest->integer(0);
    counts.readings += rest->integer(1);
    counts.bytes += rest->integer(2);
    return {};
}

const OpenReport& Buffer::opened() const { return impl_->file.report; }
uint32_t Buffer::boot_no() const { return impl_->boot_no; }
void Buffer::set_options(const BufferOptions& options) { impl_->options = options; }

Result<std::vector<Layout>> Buffer::layouts() const { return read_layouts(impl_->file.db); }

uint32_t Buffer::last_layout_id() const { return impl_->defined_seq.empty() ? 0 : impl_->defined_seq.rbegin()->first; }

Result<Fresh> Buffer::Impl::prepare(const Draft& draft, uint64_t seq, const Moment& now, std::map<uint32_t, uint64_t>& defined) {
    Fresh fresh;
    std::string encoded;
    if (draft.kind == BatchKind::Readings) {
        Body body;
        for (const auto& layout : draft.layouts) {
            const auto known = defined.find(layout->id);
            if (known != defined.end() && known->second != 0) continue;
            body.definitions.push_back(*layout);
            fresh.definitions.push_back(layout.get());
        }
        body.groups = draft.groups;
        auto bytes = encode_body(body, [&](uint32_t id) -> const Layout* {
            for (const auto& layout : draft.layouts)
                if (layout->id == id) return layout.get();
            return nullptr;
        });
        if (!bytes) return pass(bytes, "encode batch");
        encoded = std::move(*bytes);
        for (const Layout* layout : fresh.definitions) defined[layout->id] = seq;
    } else {
        encoded = draft.body;
    }
    BatchHeader& h = fresh.held.header;
    h = {.seq = seq, .kind = draft.kind, .priority = draft.priority, .clock = now.clock, .boot_no = boot_no,
         .sealed_mono = now.mono, .sealed_wall = now.wall, .readings = draft.readings,
         .first = draft.readings == 0 ? now.mono : draft.first};
    fresh.held.stream = current().id;
    fresh.held.id = id_of(current().no, seq);
    fresh.held.bytes = std::make_shared<const std::string>(seal_batch(current().id, h, encoded));
    if (fresh.held.bytes->size() > batch_bytes_max) return fail(Code::Invalid, "a batch of " + text_of(static_cast<int64_t>(fresh.held.bytes->size())) + " bytes");
    fresh.first_wall_ms = now.clock == ClockState::Synced ? (now.wall - (now.mono - h.first)).ms : 0;
    return fresh;
}

Result<void> Buffer::Impl::write(const std::vector<Fresh>& fresh) {
    if (boot_unsaved)
        if (auto saved = save_boot(*boot_unsaved); !saved) return saved;
    for (const Fresh& f : fresh) {
        insert_batch.bind(1, f.held.id).bind(2, int64_t{static_cast<uint8_t>(f.held.header.priority)});
        insert_batch.bind(3, int64_t{static_cast<uint8_t>(f.held.header.kind)}).bind(4, int64_t{f.held.header.readings});
        insert_batch.bind(5, f.first_wall_ms).bind_blob(6, *f.held.bytes);
        if (auto done = insert_batch.run(); !done) return done;
        for (const Layout* layout : f.definitions) {
            auto insert = file.db.prepare("INSERT OR REPLACE INTO layout(id, bytes, defined_seq) VALUES(?,?,?)");
            if (!insert) return pass(insert);
            const std::string bytes = encode_layout(*layout);
            insert->bind(1, int64_t{layout->id}).bind_blob(2, bytes).bind(3, static_cast<int64_t>(f.held.header.seq));
            if (auto done = insert->run(); !done) return done;
        }
    }
    return {};
}

Result<std::vector<Held>> Buffer::Impl::commit(std::vector<Fresh> fresh, std::map<uint32_t, uint64_t> defined, const Moment& now) {
    const bool acks_due = now.mono - acks_saved_at >= acks_saved_every;
    const bool tally_due = sealed_since_tally >= tally_every_batches;
    auto done = file.db.transaction([&]() -> Result<void> {
        if (auto written = write(fresh); !written) return written;
        if (acks_due)
            if (auto saved = save_acks(); !saved) return saved;
        return {};
    });
    counts.writable = done.has_value();
    if (!done) return pass(done, "seal");
    boot_unsaved.reset();
    if (acks_due) {
        for (StreamState& s : streams) s.acked_dirty = false;
        acks_saved_at = now.mono;
    }
    defined_seq = std::move(defined);
    std::vector<Held> sealed;
    for (Fresh& f : fresh) {
        current().next_seq = f.held.header.seq + 1;
        ++counts.batches;
        ++counts.sealed_batches_total;
        ++sealed_since_tally;
        counts.readings += f.held.header.readings;
        counts.sealed_readings_total += f.held.header.readings;
        counts.bytes += static_cast<int64_t>(f.held.bytes->size());
        counts.sealed_bytes_total += f.held.bytes->size();
        sealed.push_back(std::move(f.held));
    }
    if (tally_due && file.db.transaction([&] { return save_tally(); })) sealed_since_tally = 0;
    return sealed;
}

Result<std::vector<Held>> Buffer::seal(const std::vector<Draft>& drafts, const Moment& now) {
    impl_->keep_reserve(drafts, now.mono);
    std::vector<Fresh> fresh;
    std::map<uint32_t, uint64_t> defined = impl_->defined_seq;
    uint64_t seq = impl_->current().next_seq;
    uint64_t refused = 0;
    std::optional<Error> why;
    for (const Draft& draft : drafts) {
        auto prepared = impl_->prepare(draft, seq, now, defined);
        if (!prepared) {
            refused += draft.readings;
            why = std::move(prepared.error());
            continue;
        }
        fresh.push_back(std::move(*prepared));
        ++seq;
    }
    auto sealed = fresh.empty() ? Result<std::vector<Held>>(std::vector<Held>{}) : impl_->commit(std::move(fresh), std::move(defined), now);
    // Cannot become right by waiting: gone with the rest's success, and counted then; after a failure all of them come again.
    if (sealed && why) {
        impl_->counts.refused_readings_total += refused;
        log::error("batch_refused", {{"readings", refused}, {"why", why->text}});
    }
    if (sealed && impl_->gap_rows > gap_rows_max)
        if (auto gaps = seal_gaps(now); gaps && *gaps) sealed->push_back(std::move(**gaps));
    return sealed;
}

Result<std::vector<Held>> Buffer::seal_definitions(bool all, const Moment& now) {
    std::vector<Layout> wanted;
    auto known = layouts();
    if (!known) return pass(known, "define layouts");
    for (Layout& layout : *known) {
        const uint64_t seq = impl_->defined_seq[layout.id];
        if (all || seq == 0 || !impl_->current().acked.contains(seq)) wanted.push_back(std::move(layout));
    }
    std::vector<Draft> drafts;
    size_t bytes = batch_bytes_max;
    for (Layout& layout : wanted) {
        const size_t size = encode_layout(layout).size() + 8;
        if (bytes + size > batch_bytes_max / 2) {
            drafts.push_back({.kind = BatchKind::Readings, .priority = Priority::Alarm});
            bytes = 0;
        }
        bytes += size;
        drafts.back().layouts.push_back(std::make_shared<const Layout>(std::move(layout)));
    }
    if (drafts.empty()) return std::vector<Held>{};
    std::vector<Fresh> fresh;
    std::map<uint32_t, uint64_t> defined = impl_->defined_seq;
    for (const Draft& d : drafts)
        for (const auto& layout : d.layouts) defined[layout->id] = 0;
    uint64_t seq = impl_->current().next_seq;
    for (const Draft& d : drafts) {
        auto prepared = impl_->prepare(d, seq++, now, defined);
        if (!prepared) return pass(prepared, "define layouts");
        fresh.push_back(std::move(*prepared));
    }
    return impl_->commit(std::move(fresh), std::move(defined), now);
}

Result<std::optional<Held>> Buffer::seal_gaps(const Moment& now) {
    if (impl_->gap_rows == 0) return std::optional<Held>{};
    constexpr int64_t gaps_per_batch = 500;
    // What is salvaged is no gap, and what is not becomes one when all of it was looked at.
    const std::string told = impl_->salvage ? " AND stream NOT IN (SELECT id FROM salvage_stream)" : "";
    auto rows = impl_->file.db.prepare("SELECT id, stream, first_seq, last_seq, readings, exact, from_ms, to_ms, reason FROM gap WHERE id > 0" + told + " ORDER BY id LIMIT ?");
    if (!rows) return pass(rows);
    rows->bind(1, gaps_per_batch);
    std::vector<Gap> gaps;
    int64_t last = 0;
    for (;;) {
        auto row = rows->step();
        if (!row) return pass(row);
        if (!*row) break;
        last = rows->integer(0);
        gaps.push_back({.stream = static_cast<uint64_t>(rows->integer(1)), .first_seq = static_cast<uint64_t>(rows->integer(2)),
                        .last_seq = static_cast<uint64_t>(rows->integer(3)), .readings = static_cast<uint64_t>(rows->integer(4)),
                        .exact = rows->integer(5) != 0, .from = {rows->integer(6)}, .to = {rows->integer(7)},
                        .reason = static_cast<GapReason>(rows->integer(8))});
    }
    rows->reset();
    if (gaps.empty()) {
        impl_->gap_rows = 0;
        return std::optional<Held>{};
    }
    const Draft draft{.kind = BatchKind::Gaps, .priority = Priority::Alarm, .body = encode_gaps(gaps)};
    std::map<uint32_t, uint64_t> defined = impl_->defined_seq;
    auto fresh = impl_->prepare(draft, impl_->current().next_seq, now, defined);
    if (!fresh) return pass(fresh, "seal gaps");
    auto done = impl_->file.db.transaction([&]() -> Result<void> {
        if (auto written = impl_->write({*fresh}); !written) return written;
        return impl_->file.db.execute("DELETE FROM gap WHERE id <= " + text_of(last) + told);
    });
    if (!done) return pass(done, "seal gaps");
    impl_->gap_rows -= static_cast<int64_t>(gaps.size());
    ++impl_->current().next_seq;
    ++impl_->counts.batches;
    ++impl_->counts.sealed_batches_total;
    impl_->counts.bytes += static_cast<int64_t>(fresh->held.bytes->size());
    return std::optional<Held>(std::move(fresh->held));
}

Result<void> Buffer::Impl::save_acks() {
    for (const StreamState& s : streams) {
        if (!s.acked_dirty) continue;
        auto update = file.db.prepare("UPDATE stream SET acked=? WHERE stream_no=?");
        if (!update) return pass(update);
        const std::string bytes = encode_acked(s.acked);
        if (auto done = update->bind_blob(1, bytes).bind(2, s.no).run(); !done) return done;
    }
    return {};
}

Result<void> Buffer::Impl::save_tally() {
    auto put = file.db.prepare("INSERT OR REPLACE INTO meta(key, value) VALUES(?,?)");
    if (!put) return pass(put);
    for (const auto& [key, value] : {std::pair<const char*, int64_t>{"tally_id", last_id()}, {"tally_batches", counts.batches},
                                     {"tally_readings", counts.readings}, {"tally_bytes", counts.bytes}})
        if (auto done = put->bind(1, std::string_view(key)).bind(2, value).run(); !done) return done;
    return {};
}

Result<void> Buffer::Impl::save_epoch() {
    auto put = file.db.prepare("INSERT OR REPLACE INTO meta(key, value) VALUES('epoch',?)");
    if (!put) return pass(put);
    return put->bind(1, static_cast<int64_t>(epoch)).run();
}

Result<void> Buffer::set_boot_offset(const BootOffset& offset) {
    auto update = impl_->file.db.prepare("UPDATE boot SET state=?, offset_ms=?, error_ms=? WHERE boot_no=?");
    if (!update) return pass(update);
    update->bind(1, int64_t{static_cast<uint8_t>(offset.state)}).bind(2, offset.offset_ms).bind(3, offset.error_ms).bind(4, int64_t{impl_->boot_no});
    auto done = impl_->file.db.transaction([&] { return update->run(); });
    if (!done) return pass(done, "save boot offset");
    impl_->boots[impl_->boot_no] = offset;
    impl_->boots[impl_->boot_no].boot_no = impl_->boot_no;
    return {};
}

std::vector<BootOffset> Buffer::boots() const {
    std::vector<BootOffset> all;
    for (const auto& [no, offset] : impl_->boots) all.push_back(offset);
    return all;
}

Result<void> Buffer::close() {
    auto done = impl_->file.db.transaction([&]() -> Result<void> {
        if (auto saved = impl_->save_acks(); !saved) return saved;
        return impl_->save_tally();
    });
    if (!done) return pass(done, "close buffer");
    for (StreamState& s : impl_->streams) s.acked_dirty = false;
    return {};
}

}  // namespace basmalin::agent
