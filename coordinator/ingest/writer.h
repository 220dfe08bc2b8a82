// The one thread that writes: it drains the ring of `up` messages into the store, many messages a transaction.
// R1  A batch leaves only committed: the result goes to the loop after the commit, and acks are made of results alone.
// R2  A commit that fails for want of space or time is tried again, with a backoff, and nothing else is taken meanwhile: the ring
//     fills, then sheds, and the gateways keep their data. Overload stops the acks.
// R3  A commit that fails for what it holds is split until the guilty batch stands alone; that one becomes a dead letter and is
//     acked, the rest is committed. One batch never blocks the others. Should many be guilty in a row and nothing be stored in
//     between, then it is the store that is ill, not they: further ones are counted and not acked, so the gateways keep them.
// R4  A message whose envelope cannot be decoded is reported with its node and not acked: there is nothing to ack.
// R5  At most results_max results wait for the loop: a loop that is slow slows the writer.
// R6  A transaction holds at most batches_max batches and about readings_max readings, however many a message carries: the rest of what
//     was taken follows. The store holds each batch to the number of readings that its header tells.
// R7  Other work on the store (marks, saves, maintenance) runs between commits, in the order given.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "coordinator/ingest/ring.h"
#include "coordinator/store/store.h"
#include "shared/base/backoff.h"
#include "shared/base/clock.h"
#include "shared/loop/loop.h"
#include "shared/loop/worker.h"

namespace basmalin::coordinator {

struct WriterOptions {
    Gather gather;
    Backoff retry{.first = milliseconds(200), .cap = seconds(10)};
    int64_t results_max = 8;
    size_t batches_max = 4096;  // R6
    uint64_t readings_max = 4'000'000;
    size_t batches_least = 64;  // before the readings end a transaction: what a batch claims costs others no fsync each
    int condemned_in_a_row_max = 16;  // R3
};

// An event that a node reports of itself (a batch of kind Events), for the log.
struct NodeEvent {
    std::string node;
    std::string text;  // JSON, one line
};

struct Garbage {
    std::string node;
    Error why;
};

// Messages taken from the ring, before their commit.
struct Taken {
    std::vector<size_t> message_bytes;
    std::vector<Garbage> garbage;  // those of them that cannot be decoded (R4)
};

struct Committed {
    CommitResult result;
    std::vector<IncomingBatch> batches;
    std::vector<NodeEvent> events;
    Duration took;
};

// All on the loop.
struct WriterCallbacks {
    std::function<void(const Committed&)> committed;
    std::function<void(const Error&, bool given_up)> failed;  // given_up: one batch is neither stored nor acked (R3)
    std::function<void(const Taken&)> taken;
};

class Writer {
  public:
    // The ring and the store live longer than the writer.
    Writer(Loop& loop, const Clock& clock, Ring& ring, Store& store, WriterOptions options, WriterCallbacks callbacks);
    ~Writer();  // ends the thread after what it is doing; call only when idle() or when its work may be lost

    void wake();  // threads: any; the ring has something
    // Thread: the loop's. Runs `work` on the writer's thread. False when too much waits there.
    [[nodiscard]] bool run(std::function<void(Store&)> work);
    // Nothing is in the ring, held back or on its way to the loop. Thread: the loop's.
    bool idle() const;
    // Does not wait for company any more. Thread: any.
    void hurry();

    // When the thread last finished a piece of work, and when a commit or a probe last succeeded. Threads: any.
    MonoTime progress() const { return {progress_ms_.load()}; }
    MonoTime written() const { return {written_ms_.load()}; }
    bool holding() const { return holding_; }  // a commit waits for its next try
    size_t queued() const { return worker_.queued(); }
    void note_written() { written_ms_ = clock_.mono().ms; }  // a probe succeeded

  private:
    void drain();
    void take();
    void commit_next();
    void commit_held();
    bool more() const { return ring_.messages() > 0 || following_count_ > 0; }
    void commit(std::vector<IncomingBatch> batches);
    void give(std::function<void()> result);
    void committed(std::vector<IncomingBatch> batches, CommitResult result, MonoTime begun);
    void split(std::vector<IncomingBatch> batches, const Error& why);
    void condemn(std::vector<IncomingBatch> one, const Error& why);
    void hold(std::vector<IncomingBatch> batches, const Error& why);
    void to_loop(std::function<void()> work);

    Loop& loop_;
    const Clock& clock_;
    Ring& ring_;
    Store& store_;
    WriterOptions options_;
    std::shared_ptr<WriterCallbacks> callbacks_;  // posted work holds it weakly
    std::atomic<bool> scheduled_ = false;
    std::atomic<bool> holding_ = false;
    std::atomic<int64_t> results_waiting_ = 0;
    std::atomic<int64_t> progress_ms_;
    std::atomic<int64_t> written_ms_;
    std::deque<IncomingBatch> following_;           // the writer's thread: taken, for the transactions to come (R6)
    std::atomic<size_t> following_count_ = 0;
    std::vector<std::vector<IncomingBatch>> held_;  // the writer's thread; not empty: they wait for their next try
    int condemned_in_a_row_ = 0;                    // the writer's thread
    Timer retry_;                                    // the loop's thread
    Worker worker_;
};

// The batches of an `up` message. Invalid or Corrupt when its envelope cannot be decoded.
Result<std::vector<IncomingBatch>> batches_of(const Arrived& message);
// What a batch of kind Events says, events_per_batch_max at most; empty for any other batch.
constexpr size_t events_per_batch_max = 16;
std::vector<NodeEvent> events_of(const IncomingBatch& batch);

}  // namespace basmalin::coordinator
