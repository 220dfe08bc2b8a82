// The coordinator's store as a program whose system calls can be made to fail (syscall_test.py). Every promise is written to standard
// output after it was made, with writev(2), which is not among the calls that fail.
//   store_driver prepare FOLDER   a store to work on: some history, some hot batches
//   store_driver work FOLDER      commits and compacts in turn, opens again in between
//   store_driver look FOLDER      what is there, before everything is compacted and after
// Lines: "acked MARK" "mark MARK" "reading TIME VALUE" "compacted" "refused WHAT WHY" "end"
// Batch SEQ holds the readings SEQ * 10 + 1, 2, 3.
#include <cstdlib>
#include <string>
#include <vector>

#include "coordinator/store/store.h"
#include "shared/series/codec.h"
#include "tests/crash/driver.h"

namespace basmalin::coordinator {
namespace {

constexpr uint64_t stream = 0x5eed0001;
constexpr int64_t noon_ms = 1'790'078'400'000;  // 2026-09-22T12:00:00Z
constexpr int64_t hour_ms = 3'600'000;
constexpr int64_t month_ms = 31 * 24 * hour_ms;
constexpr int tries_max = 20;
constexpr int steps_max = 10'000;

// A pure function of seq: three readings, 10 s after those of the batch before.
IncomingBatch batch_of(uint64_t seq) {
    const Layout bed{1, "bed1", {{"count", "", ValueKind::Number, 0}}};
    const int64_t mono = hour_ms + static_cast<int64_t>(seq) * 10'000;
    Body body;
    body.definitions = {bed};
    Rows rows{1, {}, {Numbers{}}};
    for (int64_t i = 1; i <= 3; ++i) {
        rows.times_ms.push_back(mono + i);
        std::get<Numbers>(rows.columns[0]).push_back(static_cast<double>(seq * 10 + static_cast<uint64_t>(i)));
    }
    body.groups = {rows};
    auto bytes = encode_body(body, [&](uint32_t id) { return id == 1 ? &bed : nullptr; });
    if (!bytes) std::abort();
    BatchHeader h;
    h.seq = seq;
    h.clock = ClockState::Synced;
    h.boot_no = 1;
    h.sealed_mono = MonoTime{mono + 5};
    h.sealed_wall = WallTime{mono + 5 + noon_ms - hour_ms};
    h.first = MonoTime{mono + 1};
    h.readings = 3;
    IncomingBatch batch;
    batch.node = "g1";
    batch.stream = stream;
    batch.bytes = seal_batch(stream, h, *bytes);
    batch.received = WallTime{mono + noon_ms - hour_ms + 50};
    return batch;
}

// The store's user, as the writer is one: tries again what failed.
class User {
  public:
    explicit User(std::string folder) { options_.folder = std::move(folder); }

    bool open() {
        return insist("open", [&]() -> Result<void> {
            store_.reset();
            auto opened = open_sqlite_store(options_);
            if (!opened) return pass(opened);
            store_ = std::move(*opened);
            return {};
        });
    }
    uint64_t mark() {
        const auto marks = store_->marks("g1", {stream});
        return marks.empty() ? 0 : marks[0].mark;
    }
    bool commit(int batches) {
        const uint64_t first = mark() + 1;
        std::vector<IncomingBatch> all;
        for (int i = 0; i < batches; ++i) all.push_back(batch_of(first + static_cast<uint64_t>(i)));
        return insist("commit", [&]() -> Result<void> {
            auto done = store_->commit(all);
            if (!done) return pass(done);
            for (const auto& ack : done->acks) say("acked " + std::to_string(ack.ack.mark));
            return {};
        });
    }
    bool maintain(int64_t now_ms) {
        for (int step = 0; step < steps_max; ++step) {
            bool more = false;
            const bool stepped = insist("maintain", [&]() -> Result<void> {
                auto done = store_->maintain(WallTime{now_ms});
                if (!done) return pass(done);
                more = *done;
                return {};
            });
            if (!stepped) return false;
            if (!more) return true;
        }
        return false;
    }
    bool look() {
        auto reader = store_->reader();
        if (!reader) return false;
        say("mark " + std::to_string(mark()));
        ReadingQuery query;
        auto series = store_->series();
        if (!series) return false;
        for (const SeriesInfo& info : *series) query.series.push_back(info.id);
        query.to = WallTime{noon_ms * 2};
        if (query.series.empty()) return true;
        std::string cursor;
        do {
            auto page = (*reader)->readings(query, 100, cursor);
            if (!page) {
                say("refused readings " + page.error().message());
                return false;
            }
            for (const ReadingPoint& p : page->points)
                say("reading " + std::to_string(p.time.ms) + " " + std::to_string(static_cast<int64_t>(std::get<double>(p.value))));
            cursor = page->next;
        } while (!cursor.empty());
        return true;
    }

  private:
    template <class Work>
    bool insist(const char* what, Work&& work) {
        for (int i = 0; i < tries_max; ++i) {
            Result<void> done = work();
            if (done) return true;
            say("refused " + std::string(what) + " " + done.error().message());
        }
        return false;
    }

    StoreOptions options_;
    std::unique_ptr<Store> store_;
};

int prepare(User& user) {
    if (!user.open() || !user.commit(20) || !user.maintain(noon_ms + 3 * hour_ms) || !user.commit(5)) return 1;
    return 0;
}

int work(User& user) {
    if (!user.open()) return 1;
    for (int i = 0; i < 4; ++i)
        if (!user.commit(3)) return 1;
    if (!user.maintain(noon_ms + 6 * hour_ms)) return 1;  // a sweep to history
    for (int i = 0; i < 3; ++i)
        if (!user.commit(3)) return 1;
    if (!user.maintain(noon_ms + 48 * hour_ms)) return 1;  // the rest, and the day's parts become one
    if (!user.commit(2) || !user.open() || !user.commit(2)) return 1;
    say("end");
    return 0;
}

int look(User& user) {
    if (!user.open() || !user.look() || !user.commit(1)) return 1;
    if (!user.maintain(noon_ms + month_ms)) return 1;
    say("compacted");
    if (!user.look()) return 1;
    say("end");
    return 0;
}

}  // namespace
}  // namespace basmalin::coordinator

int main(int count, char** arguments) {
    using namespace basmalin::coordinator;
    return basmalin::drive<User>(count, arguments, {prepare, work, look, "store_driver prepare|work|look FOLDER"});
}
