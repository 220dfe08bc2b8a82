// How a buffer comes to be: opened, repaired when it turns out damaged, or built anew in the place of one that still can be read.
#include <sys/stat.h>

#include <algorithm>

#include "agent/buffer/buffer_state.h"
#include "shared/base/log.h"

namespace basmalin::agent {
namespace {

ino_t node_of(const std::string& path) {
    struct stat what{};
    return ::stat(path.c_str(), &what) == 0 ? what.st_ino : 0;
}

// After a repair: the old file is set aside, a new one is in its place.
Result<std::unique_ptr<Buffer::Impl>> open_repaired(const std::string& path, const BufferOptions& options, uint64_t boot, FileLock lock,
                                                    OpenReport report) {
    auto impl = std::make_unique<Buffer::Impl>();
    impl->path = path;
    impl->options = options;
    impl->file.lock = std::move(lock);
    impl->file.report = std::move(report);
    auto db = open_buffer_database(path, false, true);
    if (!db) return pass(db, "open " + path);
    impl->file.db = std::move(*db);
    if (auto loaded = impl->load(boot); !loaded) return pass(loaded, "read " + path);
    return impl;
}

}  // namespace

Result<std::unique_ptr<Buffer>> Buffer::open(const std::string& path, const BufferOptions& options, uint64_t boot, WallTime now) {
    auto impl = std::make_unique<Impl>();
    impl->path = path;
    impl->options = options;
    auto file = open_buffer_file(path, options, now);
    if (!file) return pass(file);
    impl->file = std::move(*file);
    if (auto loaded = impl->load(boot); !loaded) {
        // Our own SQL is right, so a statement that does not fit means damaged tables.
        const bool damaged = loaded.error().code == Code::Corrupt || loaded.error().code == Code::Invalid;
        if (!damaged || !impl->file.report.set_aside.empty()) return pass(loaded, "read " + path);
        // The check did not see it (or ran out of time): the same repair.
        impl->insert_batch = {};
        impl->file.db = {};
        auto report = repair_buffer_file(path, now, loaded.error().text, options.promised);
        if (!report) return pass(report, "repair " + path);
        auto fresh = open_repaired(path, options, boot, std::move(impl->file.lock), std::move(*report));
        if (!fresh) return pass(fresh);
        impl = std::move(*fresh);
    }
    return begin(std::move(impl), now);
}

Result<std::unique_ptr<Buffer>> Buffer::rebuild(std::unique_ptr<Buffer>& old, uint64_t boot, WallTime now, const std::string& why) {
    Impl& was = *old->impl_;
    const std::string path = was.path;
    const BufferOptions options = was.options;
    const ino_t node = node_of(path);
    was.file.db.leave_log(true);  // it is set aside with its log
    auto report = repair_buffer_file(path, now, why, was.promised());
    if (!report) {
        // Broken off between its renames, it is for the next open() to finish.
        if (node_of(path) != node) old.reset();
        if (old) was.file.db.leave_log(false);
        return pass(report, "build " + path + " anew");
    }
    FileLock lock = std::move(was.file.lock);
    old.reset();
    auto fresh = open_repaired(path, options, boot, std::move(lock), std::move(*report));
    if (!fresh) return pass(fresh);
    return begin(std::move(*fresh), now);
}

Result<std::unique_ptr<Buffer>> Buffer::begin(std::unique_ptr<Impl> impl, WallTime now) {
    impl->file.db.leave_log(false);
    if (auto salvaged = impl->salvage_at_start(now); !salvaged) return pass(salvaged, "salvage " + impl->path);
    return std::unique_ptr<Buffer>(new Buffer(std::move(impl)));
}

Promised Buffer::promised() const { return impl_->promised(); }

Promised Buffer::Impl::promised() {
    return {.stream = current().id, .stream_no = current().no, .next_seq = current().next_seq, .welcomed = epoch != 0 && !unsent_noted};
}

// A seal that failed (its fsync, say) may have left its batches in the log, whole: the caller seals them again. A Gaps batch stays, for the
// rows that it tells of went with it. The other way round, numbers of batches that the log has lost are not given again: a new stream
// begins, in which no layout of theirs can be mistaken.
Result<void> Buffer::Impl::keep_promises() {
    StreamState* s = options.promised.stream == 0 ? nullptr : stream_of(options.promised.stream);
    const uint64_t end = options.promised.next_seq;
    if (s == nullptr || s->no != current().no || s->next_seq == end) return {};
    const std::string from = std::to_string(id_of(s->no, end));
    if (s->next_seq > end) {
        const std::string gaps = std::to_string(static_cast<int>(BatchKind::Gaps));
        auto gone = file.db.transaction([&] {
            return file.db.execute("DELETE FROM batch WHERE id >= " + from + " AND kind <> " + gaps +
                                   ";UPDATE layout SET defined_seq=0 WHERE defined_seq >= " + std::to_string(end));
        });
        if (!gone) return pass(gone, "drop what came back");
        auto newest = file.db.integer("SELECT ifnull(max(id), 0) FROM batch WHERE id >= " + from);
        if (!newest) return pass(newest);
        s->next_seq = std::max(end, seq_of(*newest) + 1);
        return {};
    }
    const uint64_t first = std::max(s->next_seq, s->acked.mark() + 1);
    auto told = file.db.transaction([&]() -> Result<void> {
        if (first < end) {
            const Gap gap{.stream = s->id, .first_seq = first, .last_seq = end - 1, .exact = false, .reason = GapReason::Damaged};
            if (auto noted = insert_gap(file.db, gap); !noted) return noted;
        }
        const std::string floor = "UPDATE stream SET floor=" + std::to_string(end) + " WHERE stream_no=" + std::to_string(s->no);
        if (auto kept = file.db.execute(floor); !kept) return kept;
        s->next_seq = end;
        return add_stream();
    });
    if (!told) return pass(told, "tell what the log lost");
    file.report.missing_batches += static_cast<int64_t>(end - std::min(first, end));
    counts.damaged_batches_total += end - std::min(first, end);
    log::warn("buffer_log_damaged", {{"rescued_batches", 0}, {"missing_batches", end - std::min(first, end)}});
    return {};
}

// A small file that was just set aside is salvaged whole before anybody looks. (A full disk: later, slice by slice.)
Result<void> Buffer::Impl::salvage_at_start(WallTime now) {
    file.report.salvaging = salvage.has_value();
    if (!salvage || file.report.set_aside.empty()) return {};
    const SystemClock clock;
    const MonoTime until = clock.mono() + options.salvage_at_start;
    SalvageStep step{.more = true};
    while (step.more && clock.mono() < until) {
        auto next = salvage_slice({clock.mono(), now, ClockState::Unsynced});
        if (!next && next.error().code == Code::Corrupt) return pass(next);
        if (!next) return {};
        step = *next;
    }
    file.report.salvaging = salvage.has_value();
    file.report.salvaged_batches = step.salvaged_batches;
    file.report.missing_batches = step.missing_batches;
    return {};
}

}  // namespace basmalin::agent
