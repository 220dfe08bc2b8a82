// The agent's buffer as a program whose system calls can be made to fail (syscall_test.py). Every promise is written to standard
// output after it was made, with writev(2), which is not among the calls that fail.
//   buffer_driver prepare FILE   a buffer to work on: 30 batches, half of them acknowledged
//   buffer_driver work FILE      seals, acknowledges, gives up, tells gaps, closes, opens again; on a damaged file it repairs first
//   buffer_driver look FILE      what is there
// Lines: "sealed STREAM SEQ VALUE" "acked STREAM MARK" "held STREAM SEQ VALUE" "gap STREAM FIRST LAST REASON" "refused WHAT WHY" "end"
// VALUE is the first reading of the batch, another one for each draft.
#include <cstring>
#include <string>

#include "agent/buffer/buffer.h"
#include "tests/crash/driver.h"

namespace basmalin::agent {
namespace {

constexpr uint64_t boot = 0xb007;
constexpr uint64_t epoch = 7;
constexpr int tries_max = 20;

Draft draft_of(int64_t value, const Moment& now) {
    Draft d;
    d.groups.push_back(
        {.layout = 1, .times_ms = {now.mono.ms - 2, now.mono.ms - 1}, .columns = {Numbers{static_cast<double>(value), 0.1}}});
    d.layouts.push_back(std::make_shared<const Layout>(Layout{1, "bed1", {{"count", "", ValueKind::Number, 1}}}));
    d.readings = 2;
    d.first = now.mono - milliseconds(2);
    return d;
}

int64_t value_of(uint64_t stream, const std::string& bytes) {
    const Layout layout{1, "bed1", {{"count", "", ValueKind::Number, 1}}};
    auto view = open_batch(stream, bytes);
    if (!view) return -1;
    auto body = decode_body(view->body, [&](uint32_t id) { return id == 1 ? &layout : nullptr; });
    if (!body || body->groups.empty()) return -1;
    return static_cast<int64_t>(std::get<Numbers>(body->groups[0].columns[0])[0]);
}

// The buffer's user, as BufferShell is one: tries again what failed for want of room, opens again what is damaged.
class User {
  public:
    explicit User(std::string path) : path_(std::move(path)) {
        options_.disk_reserve_bytes = 0;
        options_.acked_keep = minutes(1);
    }
    Moment now() const { return {clock_.mono(), clock_.wall(), ClockState::Synced}; }

    bool open() {
        return insist("open",
                      [&]() -> Result<void> {
                          buffer_.reset();
                          auto opened = Buffer::open(path_, options_, boot, clock_.wall());
                          if (!opened) return pass(opened);
                          buffer_ = std::move(*opened);
                          return {};
                      }) &&
               salvage();
    }
    // What a repair that was broken off has left to do.
    bool salvage() {
        return insist("salvage", [&]() -> Result<void> {
            for (;;) {
                auto step = buffer_->salvage(now());
                if (!step) return pass(step);
                if (!step->more) return {};
            }
        });
    }
    // At most a few bytes: the oldest go.
    void bound(int64_t bytes) {
        options_.bytes_max = bytes;
        buffer_->set_options(options_);
    }
    bool seal(int64_t value) {
        clock_.advance(seconds(10));
        return insist("seal", [&]() -> Result<void> {
            auto sealed = buffer_->seal({draft_of(value, now())}, now());
            if (!sealed) return pass(sealed);
            for (const Held& h : *sealed)
                say("sealed " + std::to_string(h.stream) + " " + std::to_string(h.header.seq) + " " + std::to_string(value));
            return {};
        });
    }
    bool welcome() {
        return insist("welcome", [&]() -> Result<void> {
            Welcome w{.epoch = epoch, .time = clock_.wall(), .streams = {}};
            for (const auto& stream : buffer_->hello_streams()) w.streams.push_back({.stream = stream.stream, .mark = stream.acked});
            auto done = buffer_->on_welcome(w, now());
            return done ? Result<void>() : pass(done);
        });
    }
    void ack(uint64_t mark) {
        const uint64_t stream = buffer_->stats().stream;
        if (buffer_->on_ack({.epoch = epoch, .stream = stream, .mark = mark}))
            say("acked " + std::to_string(stream) + " " + std::to_string(mark));
    }
    uint64_t sealed_seq() const { return buffer_->stats().sealed_seq; }
    bool tend() {
        clock_.advance(minutes(2));
        return insist("tend", [&]() -> Result<void> {
            for (;;) {
                auto more = buffer_->tend(now());
                if (!more) return pass(more);
                if (!*more) return {};
            }
        });
    }
    bool gaps() {
        return insist("gaps", [&]() -> Result<void> {
            auto sealed = buffer_->seal_gaps(now());
            if (!sealed) return pass(sealed);
            return {};
        });
    }
    bool close() {
        return insist("close", [&]() -> Result<void> { return buffer_->close(); });
    }
    void look() {
        for (;;) {
            auto page = buffer_->fetch(last_, INT64_MAX, size_t{1} << 20, 10'000);
            if (!page) std::abort();
            for (const Held& h : page->batches) show(h);
            last_ = page->last_id;
            if (page->end) break;
        }
        auto told = buffer_->seal_gaps(now());
        if (!told) std::abort();
        if (*told) show(**told);
        for (const auto& stream : buffer_->hello_streams())
            say("acked " + std::to_string(stream.stream) + " " + std::to_string(stream.acked));
    }

  private:
    template <class Work>
    bool insist(const char* what, Work&& work) {
        for (int i = 0; i < tries_max; ++i) {
            Result<void> done = work();
            if (done) return true;
            say("refused " + std::string(what) + " " + done.error().message());
            const bool damaged = done.error().code == Code::Corrupt && std::strcmp(what, "open") != 0;
            if (damaged && !open()) return false;
        }
        return false;
    }
    void show(const Held& h) {
        const std::string of = std::to_string(h.stream) + " ";
        say("held " + of + std::to_string(h.header.seq) + " " + std::to_string(value_of(h.stream, *h.bytes)));
        if (h.header.kind != BatchKind::Gaps) return;
        auto view = open_batch(h.stream, *h.bytes);
        if (!view) return;
        auto gaps = decode_gaps(view->body);
        if (!gaps) return;
        for (const Gap& g : *gaps)
            say("gap " + std::to_string(g.stream) + " " + std::to_string(g.first_seq) + " " + std::to_string(g.last_seq) + " " +
                std::string(to_string(g.reason)));
    }

    std::string path_;
    BufferOptions options_;
    ManualClock clock_;
    std::unique_ptr<Buffer> buffer_;
    int64_t last_ = 0;
};

int prepare(User& user) {
    if (!user.open() || !user.welcome()) return 1;
    for (int64_t value = 1; value <= 30; ++value)
        if (!user.seal(value)) return 1;
    user.ack(15);
    return user.close() ? 0 : 1;
}

// Every durable step of a buffer's life once or more.
int work(User& user) {
    if (!user.open() || !user.welcome()) return 1;
    for (int64_t value = 101; value <= 110; ++value)
        if (!user.seal(value)) return 1;
    user.ack(user.sealed_seq() - 8);
    if (!user.tend()) return 1;  // the grace is over: acknowledged ones go
    for (int64_t value = 111; value <= 116; ++value)
        if (!user.seal(value)) return 1;
    user.bound(3000);
    if (!user.tend() || !user.gaps()) return 1;  // not enough room: unacknowledged ones go, and are told
    user.bound(1 << 20);
    for (int64_t value = 117; value <= 120; ++value)
        if (!user.seal(value)) return 1;
    if (!user.close() || !user.open()) return 1;
    if (!user.seal(121)) return 1;
    say("end");
    return 0;
}

int look(User& user) {
    if (!user.open()) return 1;
    user.look();
    if (!user.seal(1001)) return 1;  // and it goes on
    say("end");
    return 0;
}

}  // namespace
}  // namespace basmalin::agent

int main(int count, char** arguments) {
    using namespace basmalin::agent;
    return basmalin::drive<User>(count, arguments, {prepare, work, look, "buffer_driver prepare|work|look FILE"});
}
