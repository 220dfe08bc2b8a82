#include <algorithm>

#include "agent/buffer/buffer_state.h"
#include "agent/buffer/wal_rescue.h"
#include "shared/base/log.h"

namespace basmalin::agent {
namespace {

Result<void> put_row(Statement& put, Statement& define, uint64_t stream, int64_t id, const Rescued& r) {
    put.bind(1, id).bind(2, int64_t{static_cast<uint8_t>(r.header.priority)}).bind(3, int64_t{static_cast<uint8_t>(r.header.kind)});
    put.bind(4, int64_t{r.header.readings}).bind(5, r.first_wall).bind_blob(6, r.bytes);
    if (auto done = put.run(); !done) return done;
    if (r.header.kind != BatchKind::Readings) return {};
    auto view = open_batch(stream, r.bytes);
    if (!view) return {};
    auto definitions = decode_definitions(view->body);
    if (!definitions) return {};
    for (const Layout& layout : *definitions) {
        const std::string bytes = encode_layout(layout);
        define.bind(1, int64_t{layout.id}).bind_blob(2, bytes).bind(3, static_cast<int64_t>(r.header.seq));
        if (auto done = define.run(); !done) return done;
    }
    return {};
}

}  // namespace

// Batches behind a damaged place of the log come back under their own numbers. Where some between are lost, layouts and boots
// that they defined may be lost too: a new stream begins, in which no id of theirs can be mistaken.
Result<void> Buffer::Impl::rescue() {
    if (file.wal.empty()) return {};
    StreamState& s = current();
    const std::string wal = std::exchange(file.wal, {});
    auto rescued = rescue_batches(wal, s.id, id_of(s.no, s.next_seq), id_of(s.no + 1, 0));
    if (options.promised.stream == s.id)  // see keep_promises()
        std::erase_if(rescued, [&](const auto& one) {
            return one.second.header.seq >= options.promised.next_seq && one.second.header.kind != BatchKind::Gaps;
        });
    if (rescued.empty()) return {};
    const uint64_t last = rescued.rbegin()->second.header.seq;
    uint32_t boot_max = 0;
    for (const auto& [id, r] : rescued) boot_max = std::max(boot_max, r.header.boot_no);
    int64_t missing = 0;
    uint64_t next = s.next_seq;
    auto done = file.db.transaction([&]() -> Result<void> {
        auto put = file.db.prepare("INSERT INTO batch(id, priority, kind, readings, first_wall, bytes) VALUES(?,?,?,?,?,?)");
        auto define = file.db.prepare("INSERT OR IGNORE INTO layout(id, bytes, defined_seq) VALUES(?,?,?)");
        if (!put) return pass(put);
        if (!define) return pass(define);
        for (const auto& [id, r] : rescued) {
            if (r.header.seq > next) {
                missing += static_cast<int64_t>(r.header.seq - next);
                if (auto noted = insert_gap(file.db, {.stream = s.id, .first_seq = next, .last_seq = r.header.seq - 1, .readings = 0, .exact = false,
                                                      .from = {}, .to = {}, .reason = GapReason::Damaged}); !noted)
                    return noted;
            }
            next = r.header.seq + 1;
            if (auto kept = put_row(*put, *define, s.id, id, r); !kept) return kept;
        }
        const std::string floor = "UPDATE stream SET floor=" + std::to_string(next) + " WHERE stream_no=" + std::to_string(s.no);
        if (auto kept = file.db.execute(floor); !kept) return kept;
        // A boot number that rescued batches bear is not given to another boot.
        const std::string boot = std::to_string(boot_max);
        return file.db.execute("INSERT OR IGNORE INTO boot(boot_no, boot_id, state, offset_ms, error_ms) VALUES(" + boot + ",0,0,0,0)");
    });
    if (!done) return pass(done, "rescue batches");
    s.next_seq = last + 1;
    file.report.salvaged_batches += static_cast<int64_t>(rescued.size());
    file.report.missing_batches += missing;
    log::warn("buffer_log_damaged", {{"rescued_batches", rescued.size()}, {"missing_batches", missing}});
    if (missing == 0) return {};
    counts.damaged_batches_total += static_cast<uint64_t>(missing);
    return file.db.transaction([&] { return add_stream(); });
}

}  // namespace basmalin::agent
