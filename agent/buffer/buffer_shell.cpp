#include "agent/buffer/buffer_shell.h"

#include <atomic>

#include "shared/base/log.h"

namespace basmalin::agent {
namespace {

constexpr Duration reopen_every = seconds(5);
constexpr Duration stats_every = milliseconds(500);
constexpr Duration salvage_pause = milliseconds(100);
constexpr Duration salvage_retry = seconds(10);
constexpr int tend_rounds_max = 8;
constexpr int write_failures_max = 8;
constexpr Duration rebuild_every = hours(1);
constexpr Duration damage_again_within = minutes(10);

}  // namespace

// The worker's side.
struct BufferShell::Inside {
    std::string path;
    BufferOptions options;
    uint64_t boot = 0;
    const Clock* clock = nullptr;
    std::unique_ptr<Buffer> buffer;
    MonoTime opened_at{INT64_MIN / 2};
    MonoTime stats_at{INT64_MIN / 2};
    bool closed = false;
    bool reopened = false;  // told to the loop with the next answer
    std::atomic<bool> opening = false;  // threads: the loop's reads it
    int write_failures = 0;             // in a row
    int log_failures = 0;               // likewise
    MonoTime damaged_at{INT64_MIN / 2};
    MonoTime rebuilt_at{INT64_MIN / 2};
    std::string rebuild_because;
    Promised promised;                      // by the buffer that was open before
    std::optional<BootOffset> boot_offset;  // not saved yet

    void let_go() {
        if (buffer) promised = buffer->promised();
        buffer.reset();
    }
    Result<void> open() {
        let_go();
        BufferOptions checked = options;
        checked.promised = promised;
        checked.rebuild_because = std::exchange(rebuild_because, {});
        opening = true;
        auto opened = Buffer::open(path, checked, boot, clock->wall());
        opening = false;
        opened_at = clock->mono();
        if (!opened) return pass(opened);
        buffer = std::move(*opened);
        return {};
    }
    // The buffer, opened anew if it went away; or why not.
    Result<Buffer*> get() {
        if (closed) return fail(Code::Unavailable, "the buffer is closed");
        if (!buffer && clock->mono() - opened_at >= reopen_every) {
            if (auto opened = open(); !opened)
                log::error("buffer_unavailable", {{"why", opened.error().message()}});
            else
                reopened = true;
        }
        if (!buffer) return fail(Code::Unavailable, "the buffer cannot be opened");
        return buffer.get();
    }
    Result<Ready> ready() {
        auto layouts = buffer->layouts();
        if (!layouts) note(layouts.error());
        if (!layouts) return pass(layouts);
        return Ready{buffer->opened(), std::move(*layouts), buffer->last_layout_id(), buffer->boot_no(), buffer->boots()};
    }
    void note(const Error& error) {
        if (error.code != Code::Corrupt) return;
        log::error("buffer_damaged", {{"why", error.text}});
        const MonoTime now = clock->mono();
        const bool again = now - std::exchange(damaged_at, now) < damage_again_within && buffer && buffer->opened().set_aside.empty();
        let_go();
        if (!again || may_rebuild(error.text)) opened_at = MonoTime{INT64_MIN / 2};
    }
    void note_seal(const Error& error) {
        note(error);
        if (error.code != Code::Unavailable || !buffer || ++write_failures < write_failures_max) return;
        write_failures = 0;
        if (may_rebuild("the disk does not take writes: " + error.text)) rebuild();
    }
    // Seals go on, into a log that only grows.
    void tend_log() {
        if (!buffer) return;
        auto written = buffer->tend_log();
        if (written) {
            log_failures = 0;
            return;
        }
        const bool is_long = buffer->log_is_long();
        log::warn("log_not_written_back", {{"why", written.error().message()}});
        note(written.error());
        if (written.error().code != Code::Unavailable || !buffer) return;
        if (++log_failures < write_failures_max && !is_long) return;
        log_failures = 0;
        if (may_rebuild("the file does not take its log: " + written.error().text)) rebuild();
    }
    // A disk that takes no new file either leaves us the old one: what can be read is still sent.
    void rebuild() {
        promised = buffer->promised();
        opening = true;
        auto built = Buffer::rebuild(buffer, boot, clock->wall(), std::exchange(rebuild_because, {}));
        opening = false;
        opened_at = clock->mono();
        if (!built) return log::error("buffer_not_built_anew", {{"why", built.error().message()}});
        buffer = std::move(*built);
        reopened = true;
    }
    bool may_rebuild(const std::string& why) {
        if (clock->mono() - rebuilt_at < rebuild_every) return false;
        rebuilt_at = clock->mono();
        rebuild_because = why;
        return true;
    }
    void save_boot_offset() {
        auto saved = buffer->set_boot_offset(*boot_offset);
        if (saved) return boot_offset.reset();
        log::warn("boot_offset_not_saved", {{"why", saved.error().message()}});
        note(saved.error());
    }
};

BufferShell::BufferShell(Loop& loop, const Clock& clock, std::string path, BufferOptions options, uint64_t boot, std::function<void()> reopened)
    : loop_(loop), clock_(clock), inside_(std::make_shared<Inside>()), reopened_(std::move(reopened)), answered_at_(clock.mono()), worker_("buffer") {
    inside_->path = std::move(path);
    inside_->options = options;
    inside_->boot = boot;
    inside_->clock = &clock_;
}

BufferShell::~BufferShell() {
    *alive_ = false;
    worker_.finish();
}

// `work(Inside&)` on the worker, `done(its result)` on the loop.
template <class Work, class Done>
void BufferShell::run(Work work, Done done) {
    worker_.post([this, inside = inside_, alive = alive_, work = std::move(work), done = std::move(done)]() mutable {
        struct Carried {
            decltype(work(*inside)) result;
            std::optional<BufferStats> stats;
            bool reopened = false;
            bool open = false;
        };
        auto carried = std::make_shared<Carried>(Carried{work(*inside), {}, false, false});
        carried->open = inside->buffer != nullptr;
        carried->reopened = std::exchange(inside->reopened, false);
        const MonoTime now = inside->clock->mono();
        if (inside->buffer && now - inside->stats_at >= stats_every) {
            carried->stats = inside->buffer->stats();
            inside->stats_at = now;
        }
        loop_.post([this, alive, carried, done = std::move(done)] {
            if (!*alive) return;
            answered_at_ = clock_.mono();
            if (carried->stats) stats_ = *carried->stats;
            if (!carried->open) stats_.writable = false;
            done(std::move(carried->result));
            if (carried->reopened && reopened_) reopened_();
        });
    });
}

void BufferShell::open(Answer<Result<Ready>> answer) {
    run(
        [](Inside& in) -> Result<Ready> {
            if (auto opened = in.open(); !opened) return pass(opened);
            return in.ready();
        },
        std::move(answer));
}

void BufferShell::describe(Answer<Result<Ready>> answer) {
    run(
        [](Inside& in) -> Result<Ready> {
            auto buffer = in.get();
            if (!buffer) return pass(buffer);
            return in.ready();
        },
        std::move(answer));
}

bool BufferShell::opening() const { return inside_->opening; }

void BufferShell::seal(std::vector<Draft> drafts, Moment now, Answer<Sealing> answer) {
    ++seals_under_way_;
    auto carried = std::make_shared<std::vector<Draft>>(std::move(drafts));
    run(
        [carried, now](Inside& in) -> Sealing {
            auto buffer = in.get();
            Result<std::vector<Held>> sealed = buffer ? (*buffer)->seal(*carried, now) : Result<std::vector<Held>>(pass(buffer));
            if (sealed) {
                in.write_failures = 0;
                return {std::move(*sealed), {}, {}};
            }
            in.note_seal(sealed.error());
            // A full disk may yet have something acked to give.
            if (sealed.error().code == Code::Full && in.buffer)
                if (auto room = in.buffer->tend(now); !room) in.note(room.error());
            return {{}, std::move(*carried), sealed.error()};
        },
        [this, answer = std::move(answer)](Sealing sealing) {
            --seals_under_way_;
            answer(std::move(sealing));
        });
}

void BufferShell::seal_definitions(Moment now, Answer<std::vector<Held>> answer) {
    run(
        [now](Inside& in) -> std::vector<Held> {
            auto buffer = in.get();
            if (!buffer) return {};
            auto sealed = (*buffer)->seal_definitions(true, now);
            if (sealed) return std::move(*sealed);
            log::warn("definitions_not_sealed", {{"why", sealed.error().message()}});
            in.note(sealed.error());
            return {};
        },
        std::move(answer));
}

void BufferShell::seal_gaps(Moment now, Answer<std::vector<Held>> answer) {
    run(
        [now](Inside& in) -> std::vector<Held> {
            std::vector<Held> all;
            auto buffer = in.get();
            for (int rounds = 0; buffer && rounds < 16; ++rounds) {
                auto sealed = (*buffer)->seal_gaps(now);
                if (!sealed) {
                    log::warn("gaps_not_sealed", {{"why", sealed.error().message()}});
                    in.note(sealed.error());
                    break;
                }
                if (!*sealed) break;
                all.push_back(std::move(**sealed));
            }
            return all;
        },
        std::move(answer));
}

void BufferShell::fetch(int64_t after_id, int64_t until_id, size_t bytes_max, size_t batches_max, std::optional<Priority> only,
                        Answer<Result<Page>> answer) {
    run(
        [=](Inside& in) -> Result<Page> {
            auto buffer = in.get();
            if (!buffer) return pass(buffer);
            auto page = (*buffer)->fetch(after_id, until_id, bytes_max, batches_max, only);
            if (!page) in.note(page.error());
            return page;
        },
        std::move(answer));
}

void BufferShell::ack(Ack ack, Answer<bool> answer) {
    run(
        [ack = std::move(ack)](Inside& in) {
            auto buffer = in.get();
            return buffer && (*buffer)->on_ack(ack);
        },
        std::move(answer));
}

void BufferShell::welcome(Welcome welcome, Moment now, Answer<Result<WelcomeOutcome>> answer) {
    run(
        [welcome = std::move(welcome), now](Inside& in) -> Result<WelcomeOutcome> {
            auto buffer = in.get();
            if (!buffer) return pass(buffer);
            auto outcome = (*buffer)->on_welcome(welcome, now);
            if (!outcome) in.note(outcome.error());
            return outcome;
        },
        std::move(answer));
}

void BufferShell::greeting(Answer<Greeting> answer) {
    run(
        [](Inside& in) -> Greeting {
            auto buffer = in.get();
            if (!buffer) return {};
            return {(*buffer)->hello_streams(), (*buffer)->stats().gaps_pending};
        },
        std::move(answer));
}

void BufferShell::set_boot_offset(BootOffset offset) {
    run(
        [offset](Inside& in) {
            in.boot_offset = offset;
            if (in.get()) in.save_boot_offset();
            return true;
        },
        [](bool) {});
}

void BufferShell::set_options(BufferOptions options) {
    run(
        [options](Inside& in) {
            in.options = options;
            if (in.buffer) in.buffer->set_options(options);
            return true;
        },
        [](bool) {});
}

void BufferShell::tend(Moment now, std::function<void()> done) {
    run(
        [now](Inside& in) {
            if (in.boot_offset && in.get()) in.save_boot_offset();
            for (int round = 0; round < tend_rounds_max; ++round) {
                auto buffer = in.get();
                auto more = buffer ? (*buffer)->tend(now) : Result<bool>(false);
                if (!more) {
                    log::warn("buffer_not_tended", {{"why", more.error().message()}});
                    in.note(more.error());
                }
                if (!more || !*more) break;
            }
            in.tend_log();
            return true;
        },
        [done = std::move(done)](bool) { done(); });
}

void BufferShell::salvage(std::function<Moment()> now, std::function<void(const SalvageStep&)> salvaged) {
    if (salvaging_) return;
    salvaging_ = true;
    run(
        [at = now()](Inside& in) -> Result<SalvageStep> {
            auto buffer = in.get();
            if (!buffer) return pass(buffer);
            auto step = (*buffer)->salvage(at);
            if (!step) in.note(step.error());
            return step;
        },
        [this, now, salvaged](Result<SalvageStep> step) {
            if (!step) log::warn("salvage_waits", {{"why", step.error().message()}});
            const bool more = !step || step->more;
            if (step && (step->more || step->finished)) salvaged(*step);
            if (!more) {
                salvaging_ = false;
                return;
            }
            salvage_timer_ = loop_.after(step ? salvage_pause : salvage_retry, [this, now, salvaged] {
                salvaging_ = false;
                salvage(now, salvaged);
            });
        });
}

void BufferShell::refresh() {
    if (refreshing_) return;
    refreshing_ = true;
    run([](Inside&) { return true; }, [this](bool) { refreshing_ = false; });
}

void BufferShell::close(std::function<void()> done) {
    salvage_timer_.cancel();
    run(
        [](Inside& in) {
            in.closed = true;
            if (!in.buffer) return false;
            auto closed = in.buffer->close();
            if (!closed) log::warn("buffer_not_closed", {{"why", closed.error().message()}});
            in.buffer.reset();
            return true;
        },
        [done = std::move(done)](bool) { done(); });
}

}  // namespace basmalin::agent
