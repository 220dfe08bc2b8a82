// The coordinator's connection to the central broker, by Paho MQTT C++ (paho_subscriber.cpp). It connects, reconnects with full
// jitter, subscribes after every CONNACK, and publishes; windows, acknowledgement and meaning are its user's.
// R1  The message callback comes on the library's thread, under its global lock: it copies and returns. All others on the loop.
// R2  Clean start and session expiry 0: a broker that restarts, or another coordinator, owes us nothing. Our ack is the durability.
// R3  A connection without a SUBACK for every filter within subscribe_deadline is no connection: it is dropped and made again.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "shared/base/backoff.h"
#include "shared/base/result.h"
#include "shared/config/config.h"
#include "shared/loop/loop.h"

namespace basmalin::coordinator {

struct SubscriberOptions {
    std::string host = "127.0.0.1";
    uint16_t port = 8883;
    bool tls = true;
    std::string ca_file;
    std::string certificate_file;
    std::string key_file;
    std::string user;
    Secret password;
    std::string client_id;  // empty: made at random
    int64_t keepalive_seconds = 30;
    Duration connect_deadline = seconds(15);
    Duration subscribe_deadline = seconds(15);
    Backoff backoff{.first = milliseconds(500), .cap = seconds(30)};
};
void declare(Schema& schema, SubscriberOptions& options);

struct SubscriberCallbacks {
    std::function<void(std::string_view topic, std::string_view payload, bool retained)> message;  // the library's thread
    std::function<void()> subscribed;
    std::function<void(const Error& why)> lost;  // also for a connection that was never made
    std::function<void(uint64_t id, bool delivered)> published;
};

// Thread: the loop's.
class Subscriber {
  public:
    virtual ~Subscriber() = default;
    virtual void start(std::vector<std::string> filters, SubscriberCallbacks callbacks) = 0;
    virtual bool subscribed() const = 0;
    // QoS 1, not retained; returns the id that `published` will carry (unless the connection is lost before).
    virtual Result<uint64_t> publish(const std::string& topic, const std::string& payload) = 0;
    // Unsubscribes and goes on publishing.
    virtual void stop_listening() = 0;
    // Disconnects within two seconds and calls `done`. No callback comes after it.
    virtual void stop(std::function<void()> done) = 0;
    virtual uint64_t reconnects() const = 0;  // connections made after the first
};

std::unique_ptr<Subscriber> make_paho_subscriber(Loop& loop, SubscriberOptions options);

}  // namespace basmalin::coordinator
