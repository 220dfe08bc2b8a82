// One MQTT 5 connection on the loop, by libmosquitto (mosquitto_link.cpp). It connects, reconnects with full jitter,
// subscribes again after every CONNACK, and reports; windows, acknowledgements and persistence are its user's.
//
// R1  Nothing blocks the loop: names are looked up on a thread of their own, TCP and TLS connect without blocking.
// R2  Each attempt has `connect_timeout` from the look-up to the CONNACK. A host with several addresses: the next address
//     follows at once, the backoff comes after the last.
// R3  Every connection begins clean: no session, nothing of the last one is sent again. Message ids begin anew, so the user
//     forgets those of the last connection when `disconnected` comes.
// R4  A connection that ends other than by stop() is reported by `disconnected` exactly once, and so is a round of addresses
//     that all failed. After stop() nothing is reported until start().
// R5  TLS is 1.2 or later; the broker's certificate must be issued by the given authority for the name (or address) in `host`.
// R6  The backoff starts anew after a connection that lived for `settled_after`.
// Thread: the loop's; every callback comes on it. A callback may call any function of the Link, but must not destroy it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "shared/base/backoff.h"
#include "shared/base/result.h"
#include "shared/loop/loop.h"

namespace basmalin {

struct LinkTls {
    std::string ca_file;           // PEM; required for TLS
    std::string certificate_file;  // PEM; empty: no client certificate
    std::string key_file;
};

struct LinkOptions {
    std::string host = "127.0.0.1";
    uint16_t port = 1883;
    std::string client_id;         // empty: the broker chooses (clean start)
    std::string user;              // empty: none
    std::string password;
    bool tls = false;
    LinkTls tls_files;
    int keepalive_seconds = 30;    // 5 at least
    uint32_t packet_bytes_max = 0;  // the broker is told to send nothing larger (MQTT 5, 3.1.2.11.4); 0: it may send up to 256 MB
    Duration connect_timeout = seconds(10);
    Backoff backoff;
    Duration settled_after = seconds(60);
    // The will; no topic, no will. Retained, QoS 1.
    std::string will_topic;
    std::string will_payload;
};

struct LinkMessage {
    std::string_view topic;    // valid during the callback
    std::string_view payload;
    bool retained = false;     // true: replayed from the broker's store, not new
};

class Link {
  public:
    struct Callbacks {
        // After CONNACK; receive_maximum is the broker's bound on QoS 1 messages in flight (65535 if it named none).
        std::function<void(uint16_t receive_maximum)> connected;
        std::function<void(const Error& why)> disconnected;  // also for a connection that was never made
        std::function<void(const LinkMessage&)> message;
        // PUBACK for the id that publish() returned. reason 0x10: nobody subscribes; >= 0x80: refused.
        std::function<void(int id, int reason)> published;
    };

    Link(Loop& loop, LinkOptions options, Callbacks callbacks);
    ~Link();  // before its loop; closes without DISCONNECT: the will is sent. After a graceful stop it may wait 500 ms
    Link(const Link&) = delete;
    Link& operator=(const Link&) = delete;

    void start();  // begins to connect, and goes on until stop()
    // Sends what was published and DISCONNECT (the will is not sent) when `graceful`, as far as the socket takes it at once,
    // and stays away until start().
    void stop(bool graceful = true);
    // Drops the connection and connects again after the backoff.
    void reconnect(std::string_view why);
    bool connected() const;

    // Remembered, and subscribed again after every reconnect. QoS 1, or 0 where asked.
    void subscribe(const std::string& filter, int qos = 1);
    void unsubscribe(const std::string& filter);
    // Returns the id that `published` will carry; QoS 0 gets no callback. Unavailable when not connected, Invalid for a topic
    // that cannot be published to, Full for a message larger than the broker takes. The library's queue has no bound: the
    // caller keeps a window, of at most receive_maximum messages of QoS 1.
    Result<int> publish(const std::string& topic, std::string_view payload, int qos = 1, bool retain = false);

    void set_will(std::string payload);  // used from the next connection on
    uint64_t reconnects() const;         // connections made after the first
    // Bytes accepted for sending and received as payload and topic since the start.
    uint64_t bytes_sent() const;
    uint64_t bytes_received() const;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace basmalin
