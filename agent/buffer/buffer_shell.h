// The Buffer on its Worker, seen from the loop: every call returns at once, its answer comes on the loop. It opens the buffer,
// opens it again (which repairs it) when it turns out damaged while it runs, keeps the latest statistics, and salvages what a damaged
// file held: a slice, then a pause in which seals have their turn.
// Where the disk refuses write_failures_max seals in a row, or as often to write the log back (once, when the log is half as long as a
// repair can read), or damage comes back that the check does not find, the file is built anew once an hour at most: on other places of
// the disk. The old one is read until that has succeeded.
// Thread: the loop's. Answers that come after the shell is gone are dropped.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/buffer/buffer.h"
#include "shared/loop/loop.h"
#include "shared/loop/worker.h"

namespace basmalin::agent {

class BufferShell {
  public:
    struct Ready {
        OpenReport report;
        std::vector<Layout> layouts;
        uint32_t last_layout_id = 0;
        uint32_t boot_no = 0;
        std::vector<BootOffset> boots;
    };
    struct Sealing {
        std::vector<Held> sealed;
        std::vector<Draft> failed;  // to try again later; why is set then
        std::optional<Error> why;
    };
    struct Greeting {
        std::vector<Hello::Stream> streams;
        int64_t gaps_pending = 0;
    };
    template <class T>
    using Answer = std::function<void(T)>;

    // `reopened`: the buffer was damaged and is another one now (a new stream as a rule).
    BufferShell(Loop& loop, const Clock& clock, std::string path, BufferOptions options, uint64_t boot, std::function<void()> reopened);
    ~BufferShell();  // finishes what is queued
    BufferShell(const BufferShell&) = delete;
    BufferShell& operator=(const BufferShell&) = delete;

    void open(Answer<Result<Ready>> answer);
    void describe(Answer<Result<Ready>> answer);  // of the buffer as it is open now
    void seal(std::vector<Draft> drafts, Moment now, Answer<Sealing> answer);
    void seal_definitions(Moment now, Answer<std::vector<Held>> answer);
    void seal_gaps(Moment now, Answer<std::vector<Held>> answer);
    void fetch(int64_t after_id, int64_t until_id, size_t bytes_max, size_t batches_max, std::optional<Priority> only, Answer<Result<Page>> answer);
    void ack(Ack ack, Answer<bool> answer);
    void welcome(Welcome welcome, Moment now, Answer<Result<WelcomeOutcome>> answer);
    void greeting(Answer<Greeting> answer);
    void set_boot_offset(BootOffset offset);  // what cannot be saved now is with the next tend()
    void set_options(BufferOptions options);
    void tend(Moment now, std::function<void()> done);
    // Until all is salvaged; `salvaged` with every slice that found something, and with the last. One at a time, however often it is
    // asked for; nothing where there is nothing to salvage.
    void salvage(std::function<Moment()> now, std::function<void(const SalvageStep&)> salvaged);
    void refresh();  // of stats() and answered_at(); one at a time, however often it is asked for
    void close(std::function<void()> done);

    const BufferStats& stats() const { return stats_; }
    // A file is opened, checked and perhaps set aside: seconds.
    bool opening() const;
    size_t seals_under_way() const { return seals_under_way_; }
    MonoTime answered_at() const { return answered_at_; }  // when the worker last finished something

  private:
    struct Inside;
    template <class Work, class Done>
    void run(Work work, Done done);

    Loop& loop_;
    const Clock& clock_;
    std::shared_ptr<Inside> inside_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
    std::function<void()> reopened_;
    BufferStats stats_;
    MonoTime answered_at_;
    size_t seals_under_way_ = 0;
    bool refreshing_ = false;
    bool salvaging_ = false;
    Timer salvage_timer_;
    Worker worker_;  // last: it ends first
};

}  // namespace basmalin::agent
