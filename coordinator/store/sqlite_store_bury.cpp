// Batches that cannot be stored become dead letters: kept for a person to look at, bounded in all and for each node.
#include "coordinator/store/sqlite_store.h"
#include "shared/base/fnv1a.h"  // recognises a dead letter that is sent again
#include "shared/base/ids.h"

namespace basmalin::coordinator {
namespace {

constexpr int64_t dead_letters_per_node_max = 1000;  // a node that sends rubbish does not push out the others' evidence

}  // namespace

Result<Outcome> SqliteStore::bury(Commit& work, const IncomingBatch& batch, std::optional<uint64_t> seq, const std::string& reason) {
    const std::string_view kept = std::string_view(batch.bytes).substr(0, batch_bytes_max);
    const std::string why = seq ? "batch " + std::to_string(*seq) + ": " + reason : reason;
    sql_.insert_dead.bind(1, std::string_view(batch.node)).bind(2, to_row(batch.stream)).bind(3, to_row(fnv1a(batch.bytes)));
    sql_.insert_dead.bind(4, batch.received.ms)
        .bind(5, std::string_view(why))
        .bind(6, static_cast<int64_t>(batch.bytes.size()))
        .bind_blob(7, kept);
    if (auto done = sql_.insert_dead.run(); !done) return pass(done);
    if (fleet_.changes() == 0) return Outcome::Dead;  // the same bytes came before
    ++work.dead_letters;
    say(work, batch.node, "a batch of stream " + to_hex(batch.stream) + " became a dead letter: " + why);
    auto trim = fleet_.prepare(
        "DELETE FROM dead_letter WHERE id IN (SELECT id FROM dead_letter WHERE node = ? ORDER BY id DESC LIMIT -1 OFFSET ?)");
    if (!trim) return pass(trim);
    trim->bind(1, std::string_view(batch.node)).bind(2, dead_letters_per_node_max);
    if (auto done = trim->run(); !done) return pass(done);
    work.dead_letters -= fleet_.changes();
    while (dead_letters_ + work.dead_letters > options_.dead_letters_max) {
        if (auto done = sql_.trim_dead.run(); !done) return pass(done);
        if (fleet_.changes() == 0) break;
        --work.dead_letters;
    }
    return Outcome::Dead;
}

}  // namespace basmalin::coordinator
