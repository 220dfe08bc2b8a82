// What the ingest does by the clock: silence of nodes, saves, maintenance and probes of the store, and its own end.
#include <algorithm>

#include "coordinator/ingest/ingest.h"

namespace basmalin::coordinator {

namespace {

constexpr size_t nodes_per_save_max = 256;
constexpr int64_t load_per_maintenance = 4;  // under load a step is followed by so many times its own length without one
constexpr Duration maintain_after_error = seconds(30);
constexpr Duration listen_on = milliseconds(200);  // after unsubscribing: what is on its way still comes

}  // namespace

void Ingest::tick() {
    const MonoTime now = clock_.mono();
    fleet_.tick(clock_.wall(), now);
    if (events_held_ > 0) log::info("events_not_logged", {{"count", events_held_}});
    events_held_ = 0;
    events_left_ = events_per_second_max;
    uint64_t shed = 0;
    for (const Counters& counters : counters_) shed += counters.dropped;
    if (shed > shed_logged_ && shed_gate_.open(now)) {
        log::warn("messages_dropped", {{"count", shed - shed_logged_}, {"queue_messages", up_.messages()}, {"queue_bytes", up_.bytes()}});
        shed_logged_ = shed;
    }
    for (Ring* ring : {&up_, &state_}) {
        if (const auto crowded = ring->take_crowded(); !crowded.empty()) on_flood(crowded);
    }
    greet();
    pump();
    if (ending_ != Ending::No) return;
    if (now - saved_at_ >= options_.save_every) save();
    if (now - probed_at_ >= options_.probe_every) probe();
}

void Ingest::save() {
    if (saving_) return;
    saved_at_ = clock_.mono();
    std::vector<NodeRecord> records = fleet_.unsaved(clock_.wall(), nodes_per_save_max);
    if (!records.empty()) save_records(std::move(records));
}

void Ingest::save_records(std::vector<NodeRecord> records) {
    auto shared = std::make_shared<const std::vector<NodeRecord>>(std::move(records));
    saving_ = writer_->run([this, shared](Store& store) {
        auto saved = store.save_nodes(*shared);
        post([shared, saved = std::move(saved)](Ingest& self) {
            self.saving_ = false;
            self.save_failed_ = !saved;
            if (saved) return;
            self.fleet_.save_again(*shared);
            if (self.chore_gate_.open(self.clock_.mono())) log::warn("nodes_not_saved", {{"error", saved.error().message()}});
        });
    });
    if (!saving_) fleet_.save_again(*shared);
}

// One step after the other when the ring is empty; under load a fifth of the writer's time, so that the store's hot part stays bounded.
void Ingest::maintain() {
    const Duration since = clock_.mono() - maintained_at_;
    if (maintaining_ || ending_ != Ending::No || since < maintain_wait_) return;
    if (up_.messages() > 0 && since < std::max(maintain_wait_, maintain_rest_)) return;
    maintaining_ = writer_->run([this](Store& store) {
        const MonoTime begun = clock_.mono();
        auto more = store.maintain(clock_.wall());
        post([more = std::move(more), took = clock_.mono() - begun](Ingest& self) {
            self.maintaining_ = false;
            self.maintained_at_ = self.clock_.mono();
            self.maintain_rest_ = Duration{std::max<int64_t>(took.ms, 1) * load_per_maintenance};
            self.maintain_wait_ = !more ? maintain_after_error : *more ? Duration{} : self.options_.maintain_every;
            if (!more && self.chore_gate_.open(self.clock_.mono())) {
                log::warn("maintenance_failed", {{"error", more.error().message()}});
            }
            if (more && *more) self.maintain();
        });
    });
}

void Ingest::probe() {
    const MonoTime now = clock_.mono();
    if (probing_ || now - writer_->written() < options_.probe_every) return;
    probed_at_ = now;
    probing_ = writer_->run([this](Store& store) {
        auto probed = store.probe();
        if (probed) writer_->note_written();
        post([probed = std::move(probed)](Ingest& self) {
            self.probing_ = false;
            if (!probed && self.chore_gate_.open(self.clock_.mono())) {
                log::error("store_not_writable", {{"error", probed.error().message()}});
            }
        });
    });
}

// R6
void Ingest::stop(Duration deadline, std::function<void(bool)> done) {
    if (ending_ != Ending::No) return;
    log::info("ingest_ending", {{"queue_messages", up_.messages()}});
    subscriber_->stop_listening();
    ended_ = std::move(done);
    end_began_ = clock_.mono();
    end_by_ = end_began_ + deadline;
    ending_ = Ending::Draining;
    end_timer_ = loop_.every(milliseconds(20), [this] { end_step(); });
}

//   Draining ──nothing left──> Saving ──saved──> Answering ──all sent──> Done. Each also ends at its part of the deadline.
void Ingest::end_step() {
    const MonoTime now = clock_.mono();
    const Duration deadline = end_by_ - end_began_;
    const auto late = [&](int64_t tenths) { return now - end_began_ > Duration{deadline.ms * tenths / 10}; };
    if (ending_ == Ending::Draining) {
        if (now - end_began_ < listen_on || (!writer_->idle() && !late(6))) return;
        if (saving_ && !late(6)) return;
        ending_ = Ending::Saving;
        std::vector<NodeRecord> records = fleet_.unsaved();
        if (!records.empty()) save_records(std::move(records));
    }
    if (ending_ == Ending::Saving) {
        if (saving_ && !late(8)) return;
        ending_ = Ending::Answering;
    }
    if (ending_ == Ending::Answering) {
        if (subscriber_->subscribed() && !outbox_.empty() && !late(10)) return pump();
        ending_ = Ending::Done;
        const bool clean = writer_->idle() && !saving_ && !save_failed_;
        end_timer_.cancel();
        subscriber_->stop([this, clean] { ended_(clean); });
    }
}

}  // namespace basmalin::coordinator
