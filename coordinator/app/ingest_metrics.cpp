#include "coordinator/app/ingest_metrics.h"

namespace basmalin::coordinator {

namespace {

struct Families {
    explicit Families(Registry& registry)
        : received(registry.counter({.name = "basmalin_ingest_messages_received_total",
                                     .help = "Messages from the broker, by kind.",
                                     .label_names = {"kind"}})),
          dropped(registry.counter({.name = "basmalin_ingest_messages_dropped_total",
                                    .help = "Messages dropped for want of room, or too long; gateways send readings again.",
                                    .label_names = {"kind"}})),
          garbage(registry.counter({.name = "basmalin_ingest_messages_garbage_total",
                                    .help = "Messages that could not be decoded, by kind.",
                                    .label_names = {"kind"}})),
          commits(registry.counter({.name = "basmalin_ingest_commits_total", .help = "Transactions of batches that succeeded."})),
          commit_failures(registry.counter({.name = "basmalin_ingest_commit_failures_total",
                                            .help = "Transactions of batches that failed; they are tried again."})),
          commit_seconds(registry.counter({.name = "basmalin_ingest_commit_seconds_total", .help = "Time spent in transactions of batches."})),
          given_up(registry.counter({.name = "basmalin_ingest_batches_given_up_total",
                                     .help = "Batches that the store refused for what they hold; they are not acknowledged."})),
          welcomes(registry.counter({.name = "basmalin_ingest_welcomes_total", .help = "Welcomes sent to nodes."})),
          answers_dropped(registry.counter({.name = "basmalin_ingest_answers_dropped_total",
                                            .help = "Acks and welcomes that found no room; gateways ask again."})),
          refused(registry.counter({.name = "basmalin_fleet_refused_total",
                                    .help = "Nodes and devices beyond the fleet's bounds, by message."})),
          answers_waiting(registry.gauge({.name = "basmalin_ingest_answers_waiting", .help = "Acks and welcomes not yet delivered."})),
          queue_bytes(registry.gauge({.name = "basmalin_ingest_queue_bytes", .help = "Bytes of messages that wait for the store."})),
          connected(registry.gauge({.name = "basmalin_ingest_broker_connected", .help = "1 while subscribed at the broker."})),
          reconnects(registry.counter({.name = "basmalin_ingest_broker_reconnects_total", .help = "Connections to the broker after the first."})) {}

    void set(const IngestStats& stats, const Fleet& fleet) {
        for (size_t i = 0; i < message_kinds; ++i) {
            const std::string kind(to_string(static_cast<MessageKind>(i)));
            received.with({kind}).set_at_least(static_cast<double>(stats.messages[i].received));
            dropped.with({kind}).set_at_least(static_cast<double>(stats.messages[i].dropped));
            garbage.with({kind}).set_at_least(static_cast<double>(stats.messages[i].garbage));
        }
        commits.get().set_at_least(static_cast<double>(stats.commits));
        commit_failures.get().set_at_least(static_cast<double>(stats.commit_failures));
        commit_seconds.get().set_at_least(stats.commit_seconds);
        given_up.get().set_at_least(static_cast<double>(stats.batches_given_up));
        welcomes.get().set_at_least(static_cast<double>(stats.welcomes_published));
        answers_dropped.get().set_at_least(static_cast<double>(stats.answers_dropped));
        refused.get().set_at_least(static_cast<double>(fleet.refused_total()));
        answers_waiting.get().set(static_cast<double>(stats.answers_waiting));
        queue_bytes.get().set(static_cast<double>(stats.queue_bytes));
        connected.get().set(stats.connected ? 1 : 0);
        reconnects.get().set_at_least(static_cast<double>(stats.reconnects));
    }

    Registry::Family<Counter>&received, &dropped, &garbage, &commits, &commit_failures, &commit_seconds, &given_up, &welcomes,
        &answers_dropped, &refused;
    Registry::Family<Gauge>&answers_waiting, &queue_bytes, &connected;
    Registry::Family<Counter>& reconnects;
};

}  // namespace

void expose_ingest(Registry& registry, const std::unique_ptr<Ingest>& ingest, const Fleet& fleet) {
    registry.before_exposition([families = std::make_shared<Families>(registry), &ingest, &fleet] {
        if (ingest) families->set(ingest->stats(), fleet);
    });
}

}  // namespace basmalin::coordinator
