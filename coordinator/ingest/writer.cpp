#include "coordinator/ingest/writer.h"

#include <algorithm>

#include "shared/base/ids.h"
#include "shared/base/json.h"
#include "shared/series/codec.h"

namespace basmalin::coordinator {

namespace {

constexpr size_t event_bytes_max = 512;

// The same batches may succeed later.
bool worth_a_retry(const Error& why) {
    return why.code == Code::Full || why.code == Code::Unavailable || why.code == Code::Timeout || why.code == Code::Denied;
}

}  // namespace

Result<std::vector<IncomingBatch>> batches_of(const Arrived& message) {
    auto up = decode_up(message.payload);
    if (!up) return pass(up, "up message");
    auto boots = std::make_shared<const std::vector<BootOffset>>(std::move(up->boots));
    std::vector<IncomingBatch> batches;
    batches.reserve(up->batches.size());
    for (const std::string_view bytes : up->batches) {
        batches.push_back({.node = message.topic.node,
                           .stream = up->stream,
                           .lane = up->lane,
                           .boots = boots,
                           .bytes = std::string(bytes),
                           .received = message.received});
    }
    return batches;
}

std::vector<NodeEvent> events_of(const IncomingBatch& batch) {
    std::vector<NodeEvent> events;
    const auto view = open_batch(batch.stream, batch.bytes);
    if (!view || view->header.kind != BatchKind::Events) return events;
    const auto json = parse_json(view->body, {.bytes_max = 64 << 10, .depth_max = 8, .values_max = 4096});
    if (!json) return events;
    const auto add = [&](const Json& event) {
        std::string text = event.dump();
        if (text.size() > event_bytes_max) text = text.substr(0, event_bytes_max) + "…";
        if (events.size() < events_per_batch_max) events.push_back({batch.node, std::move(text)});
    };
    if (!json->is_array()) add(*json);
    for (const Json& event : json->as_array()) add(event);
    return events;
}

Writer::Writer(Loop& loop, const Clock& clock, Ring& ring, Store& store, WriterOptions options, WriterCallbacks callbacks)
    : loop_(loop),
      clock_(clock),
      ring_(ring),
      store_(store),
      options_(options),
      callbacks_(std::make_shared<WriterCallbacks>(std::move(callbacks))),
      progress_ms_(clock.mono().ms),
      written_ms_(clock.mono().ms),
      worker_("writer") {}

Writer::~Writer() {
    ring_.hurry();
    worker_.finish();
}

void Writer::wake() {
    if (!scheduled_.exchange(true)) worker_.post([this] { drain(); });
}

bool Writer::run(std::function<void(Store&)> work) {
    return worker_.try_post([this, work = std::move(work)] {
        work(store_);
        progress_ms_ = clock_.mono().ms;
    });
}

void Writer::hurry() {
    ring_.hurry();
    wake();
}

bool Writer::idle() const { return !more() && !scheduled_ && !holding_ && results_waiting_ == 0; }

// Posted work finds this writer alive: it asks for the callbacks that only a living one owns.
void Writer::to_loop(std::function<void()> work) {
    loop_.post([alive = std::weak_ptr(callbacks_), work = std::move(work)] {
        if (const auto callbacks = alive.lock()) work();
    });
}

// R5
void Writer::give(std::function<void()> result) {
    ++results_waiting_;
    to_loop([this, result = std::move(result)] {
        result();
        --results_waiting_;
        if (more()) wake();
    });
}

// One group a call, so that other work has its turn. `scheduled_` stays true until nothing is left for us.
void Writer::drain() {
    if (!holding_ && results_waiting_ < options_.results_max) following_.empty() ? take() : commit_next();
    progress_ms_ = clock_.mono().ms;
    scheduled_ = false;
    // When held back (R2) or ahead of the loop (R5), the retry or the loop wakes us.
    if (more() && !holding_ && results_waiting_ < options_.results_max) wake();
}

void Writer::take() {
    Taken taken;
    for (const Arrived& message : ring_.gather(options_.gather)) {
        taken.message_bytes.push_back(message.payload.size());
        auto its = batches_of(message);
        if (its) {
            following_.insert(following_.end(), std::make_move_iterator(its->begin()), std::make_move_iterator(its->end()));
        } else {
            taken.garbage.push_back({message.topic.node, std::move(its.error())});
        }
    }
    if (taken.message_bytes.empty()) return;
    following_count_ = following_.size();
    give([this, taken = std::move(taken)] { callbacks_->taken(taken); });
    if (!following_.empty()) commit_next();
}

// R6
void Writer::commit_next() {
    auto end = following_.begin();
    uint64_t readings = 0;
    for (size_t n = 0; end != following_.end() && n < options_.batches_max; ++end, ++n) {
        if (n >= options_.batches_least && readings >= options_.readings_max) break;
        const auto view = open_batch(end->stream, end->bytes);
        if (view) readings += std::min<uint64_t>(view->header.readings, DecodeLimits{}.values_max);  // more is never decoded
    }
    std::vector<IncomingBatch> group(std::make_move_iterator(following_.begin()), std::make_move_iterator(end));
    following_.erase(following_.begin(), end);
    commit(std::move(group));
    following_count_ = following_.size();
}

void Writer::commit(std::vector<IncomingBatch> batches) {
    const MonoTime begun = clock_.mono();
    auto result = store_.commit(batches);
    if (!result) {
        worth_a_retry(result.error()) ? hold(std::move(batches), result.error()) : split(std::move(batches), result.error());
        return;
    }
    const auto stored = std::ranges::count(result->outcomes, Outcome::Stored);
    if (stored > 0) condemned_in_a_row_ = 0;
    committed(std::move(batches), std::move(*result), begun);
}

void Writer::committed(std::vector<IncomingBatch> batches, CommitResult result, MonoTime begun) {
    note_written();
    Committed done{.result = std::move(result), .batches = std::move(batches), .events = {}, .took = clock_.mono() - begun};
    for (size_t i = 0; i < done.batches.size() && i < done.result.outcomes.size(); ++i) {
        if (done.result.outcomes[i] == Outcome::Duplicate) continue;  // logged when it came first
        std::vector<NodeEvent> events = events_of(done.batches[i]);
        done.events.insert(done.events.end(), std::make_move_iterator(events.begin()), std::make_move_iterator(events.end()));
    }
    give([this, done = std::move(done)] { callbacks_->committed(done); });
}

// R3. Halves: a group of n takes 2 log2 n commits more to find one guilty batch.
void Writer::split(std::vector<IncomingBatch> batches, const Error& why) {
    if (batches.size() == 1) return condemn(std::move(batches), why);
    const auto middle = batches.begin() + static_cast<std::ptrdiff_t>(batches.size() / 2);
    std::vector<IncomingBatch> second(std::make_move_iterator(middle), std::make_move_iterator(batches.end()));
    batches.erase(middle, batches.end());
    commit(std::move(batches));
    held_.empty() ? commit(std::move(second)) : held_.push_back(std::move(second));
}

void Writer::condemn(std::vector<IncomingBatch> one, const Error& why) {
    const MonoTime begun = clock_.mono();
    if (condemned_in_a_row_ < options_.condemned_in_a_row_max) {
        auto buried = store_.give_up(one.front(), "the store cannot take it: " + why.text);
        if (buried) {
            ++condemned_in_a_row_;
            return committed(std::move(one), std::move(*buried), begun);
        }
        if (worth_a_retry(buried.error())) return hold(std::move(one), buried.error());
    }
    Error blamed = why;
    blamed.text = "batch of node " + one.front().node + ", stream " + to_hex(one.front().stream) + ": " + blamed.text;
    to_loop([this, blamed = std::move(blamed)] { callbacks_->failed(blamed, true); });
}

void Writer::hold(std::vector<IncomingBatch> batches, const Error& why) {
    held_.push_back(std::move(batches));
    holding_ = true;
    const Duration wait = options_.retry.next(0.5 + random_unit() / 2);
    to_loop([this, why, wait] {
        callbacks_->failed(why, false);
        retry_ = loop_.after(wait, [this] { worker_.post([this] { commit_held(); }); });
    });
}

void Writer::commit_held() {
    std::vector<std::vector<IncomingBatch>> held = std::move(held_);
    held_.clear();
    for (std::vector<IncomingBatch>& group : held) {
        held_.empty() ? commit(std::move(group)) : held_.push_back(std::move(group));
    }
    progress_ms_ = clock_.mono().ms;
    if (!held_.empty()) return;
    options_.retry.reset();
    wake();
    holding_ = false;
}

}  // namespace basmalin::coordinator
