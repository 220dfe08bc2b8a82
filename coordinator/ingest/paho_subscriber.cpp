#include <mqtt/async_client.h>

#include <atomic>
#include <mutex>

#include "coordinator/ingest/no_delay.h"
#include "coordinator/ingest/subscriber.h"
#include "shared/base/ids.h"
#include "shared/base/log.h"

namespace basmalin::coordinator {

void declare(Schema& schema, SubscriberOptions& options) {
    schema.section("broker", "The central MQTT broker.");
    schema.text("host", options.host, "Name or address; with TLS it must be in the broker's certificate.");
    schema.port("port", options.port, "Its port.");
    schema.flag("tls", options.tls, "Encrypt and check the broker's certificate. Off only for a broker on this machine.");
    schema.text("ca_file", options.ca_file, "PEM: the authority that signed the broker's certificate. Needed with tls.");
    schema.text("certificate_file", options.certificate_file, "PEM: this coordinator's certificate; empty for none.");
    schema.text("key_file", options.key_file, "PEM: the certificate's key.");
    schema.text("user", options.user, "User name; empty for none.");
    schema.secret("password_file", options.password, "The file that holds the user's password.");
    schema.text("client_id", options.client_id, "Empty: made at random at each start, which any number of coordinators may share.");
    schema.integer("keepalive_seconds", options.keepalive_seconds, 5, 3600, "A silent connection is asked for a sign of life so often.");
    schema.duration("reconnect_cap", options.backoff.cap, seconds(1), minutes(10), "The longest wait between two attempts to connect.");
}

namespace {

constexpr int unsubscribe_wait_ms = 1000;

// Calls a function for each outcome of one kind of operation. The library's thread.
class Listener final : public mqtt::iaction_listener {
  public:
    std::function<void(const mqtt::token&, bool ok)> ended;
    void on_success(const mqtt::token& token) override { ended(token, true); }
    void on_failure(const mqtt::token& token) override { ended(token, false); }
};

std::string reason_of(const mqtt::token& token) {
    std::string text = token.get_return_code() == 0 ? std::string() : mqtt::exception::error_str(token.get_return_code());
    if (static_cast<int>(token.get_reason_code()) >= 0x80) {
        text += text.empty() ? "" : ": ";
        text += mqtt::exception::reason_code_str(token.get_reason_code());
    }
    return text.empty() ? "refused" : text;
}

std::string address_of(const SubscriberOptions& options) {
    const bool ipv6 = options.host.find(':') != std::string::npos;
    return (options.tls ? "ssl://" : "tcp://") + (ipv6 ? "[" + options.host + "]" : options.host) + ":" + std::to_string(options.port);
}

// Shared with what the library's thread posts, so that nothing posted outlives its meaning.
//
//   Idle ──attempt──> Connecting ──CONNACK──> Subscribing ──SUBACK──> Subscribed
//    ^                    │                       │                       │
//    └──── backoff ───────┴───────── lost ────────┴───────────────────────┘
class PahoSubscriber final : public Subscriber, public mqtt::callback {
  public:
    PahoSubscriber(Loop& loop, SubscriberOptions options)
        : loop_(loop), options_(std::move(options)), alive_(std::make_shared<PahoSubscriber*>(this)) {
        if (options_.client_id.empty()) options_.client_id = "basmalin-coordinator-" + to_hex(random_u64());
        on_connect_.ended = [this](const mqtt::token& token, bool ok) {
            post([why = ok ? std::string() : reason_of(token), ok](PahoSubscriber& self) {
                ok ? self.on_connected() : self.lost("connect: " + why);
            });
        };
        on_subscribe_.ended = [this](const mqtt::token& token, bool ok) {
            std::string why = ok ? refused_filter(token) : reason_of(token);
            post([why = std::move(why)](PahoSubscriber& self) { self.subscribe_ended(why); });
        };
        on_publish_.ended = [this](const mqtt::token& token, bool ok) {
            const auto id = reinterpret_cast<uintptr_t>(token.get_user_context());
            post([id, ok](PahoSubscriber& self) {
                if (self.callbacks_.published) self.callbacks_.published(id, ok);
            });
        };
    }

    ~PahoSubscriber() override {
        alive_.reset();
        end_messages();
        try {
            if (!client_) return;
            if (client_->is_connected()) client_->disconnect(0)->wait_for(std::chrono::milliseconds(500));
            client_->disable_callbacks();
        } catch (const mqtt::exception&) {
            return;  // it is going away anyway
        }
    }

    void start(std::vector<std::string> filters, SubscriberCallbacks callbacks) override {
        filters_ = std::move(filters);
        callbacks_ = std::move(callbacks);
        try {
            client_ = std::make_unique<mqtt::async_client>(address_of(options_), options_.client_id, mqtt::create_options(MQTTVERSION_5));
            client_->set_callback(*this);
        } catch (const mqtt::exception& error) {
            lost(std::string("create client: ") + error.what());
            return;
        }
        watch_ = loop_.every(seconds(1), [this] { look(); });
        attempt();
    }

    bool subscribed() const override { return state_ == State::Subscribed; }
    uint64_t reconnects() const override { return connections_ > 0 ? connections_ - 1 : 0; }

    Result<uint64_t> publish(const std::string& topic, const std::string& payload) override {
        if (state_ != State::Subscribed && !listening_ended_) return fail(Code::Unavailable, "publish: not connected");
        const uint64_t id = ++published_;
        try {
            client_->publish(mqtt::make_message(topic, payload, 1, false), reinterpret_cast<void*>(static_cast<uintptr_t>(id)),
                             on_publish_);
        } catch (const mqtt::exception& error) {
            return fail(Code::Unavailable, std::string("publish: ") + error.what());
        }
        return id;
    }

    void stop_listening() override {
        if (state_ != State::Subscribed) return;
        listening_ended_ = true;
        try {
            auto topics = std::make_shared<mqtt::string_collection>(filters_);
            client_->unsubscribe(topics);
        } catch (const mqtt::exception&) {
            return;  // what still comes is not acked
        }
    }

    void stop(std::function<void()> done) override {
        end_messages();
        const bool was_connected = state_ == State::Subscribed || state_ == State::Subscribing;
        state_ = State::Idle;
        retry_.cancel();
        watch_.cancel();
        try {
            if (was_connected) client_->disconnect(unsubscribe_wait_ms);
        } catch (const mqtt::exception&) {
            state_ = State::Idle;
        }
        const MonoTime asked = clock_.mono();
        retry_ = loop_.every(milliseconds(20), [this, asked, done = std::move(done)] {
            if (client_ && client_->is_connected() && clock_.mono() - asked < seconds(2)) return;
            const auto finished = done;
            retry_.cancel();
            if (finished) finished();
        });
    }

    // mqtt::callback, the library's thread.
    void message_arrived(mqtt::const_message_ptr message) override {
        const std::lock_guard lock(message_mutex_);
        if (stopping_) return;
        const mqtt::binary_ref& payload = message->get_payload_ref();
        const mqtt::string_ref& topic = message->get_topic_ref();
        callbacks_.message({topic.data(), topic.length()}, {payload.data(), payload.length()}, message->is_retained());
    }
    void connection_lost(const std::string& cause) override {
        post([cause](PahoSubscriber& self) { self.lost(cause.empty() ? "connection lost" : "connection lost: " + cause); });
    }

  private:
    enum class State { Idle, Connecting, Subscribing, Subscribed };

    // Threads: the library's. Dropped when another connection was begun, or this object is gone, before the loop comes to it.
    void post(std::function<void(PahoSubscriber&)> work) {
        loop_.post([weak = std::weak_ptr<PahoSubscriber*>(alive_), connection = connection_.load(), work = std::move(work)] {
            const auto self = weak.lock();
            if (self && (*self)->connection_ == connection && !(*self)->stopping_) work(**self);
        });
    }

    // After it no message callback runs or comes.
    void end_messages() {
        const std::lock_guard lock(message_mutex_);
        stopping_ = true;
    }

    // No error handler: Paho C++ 1.2.0 hands the C library a pointer into its own copy of these options and frees the copy before
    // the handshake ends.
    mqtt::ssl_options tls_options() {
        mqtt::ssl_options tls;
        tls.set_trust_store(options_.ca_file);
        if (!options_.certificate_file.empty()) tls.set_key_store(options_.certificate_file);
        if (!options_.key_file.empty()) tls.set_private_key(options_.key_file);
        tls.set_enable_server_cert_auth(true);
        tls.set_verify(true);
        tls.set_ssl_version(MQTT_SSL_VERSION_TLS_1_2);
        return tls;
    }

    void attempt() {
        if (stopping_) return;
        ++connection_;
        state_ = State::Connecting;
        since_ = clock_.mono();
        try {
            mqtt::connect_options options;
            options.set_mqtt_version(MQTTVERSION_5);
            options.set_clean_start(true);
            options.set_properties({mqtt::property(mqtt::property::SESSION_EXPIRY_INTERVAL, 0)});
            options.set_keep_alive_interval(static_cast<int>(options_.keepalive_seconds));
            options.set_connect_timeout(static_cast<int>(options_.connect_deadline.ms / 1000));
            options.set_automatic_reconnect(false);
            if (!options_.user.empty()) options.set_user_name(options_.user);
            if (!options_.password.value.empty()) options.set_password(options_.password.value);
            if (options_.tls) options.set_ssl(tls_options());
            client_->connect(options, nullptr, on_connect_);
        } catch (const mqtt::exception& error) {
            lost(std::string("connect: ") + error.what());
        }
    }

    void on_connected() {
        if (state_ != State::Connecting) return;
        if (send_without_delay(options_.port) == 0)
            log::warn("broker_delays", {{"error", "TCP_NODELAY is not set: acks may be 40 ms late"}});
        state_ = State::Subscribing;
        since_ = clock_.mono();
        try {
            auto topics = std::make_shared<mqtt::string_collection>(filters_);
            const mqtt::iasync_client::qos_collection qos(filters_.size(), 1);
            client_->subscribe(topics, qos, nullptr, on_subscribe_);
        } catch (const mqtt::exception& error) {
            lost(std::string("subscribe: ") + error.what());
        }
    }

    // The library's thread: an exception must not leave it.
    static std::string refused_filter(const mqtt::token& token) {
        try {
            const mqtt::subscribe_response response = token.get_subscribe_response();
            for (const mqtt::ReasonCode code : response.get_reason_codes()) {
                if (static_cast<int>(code) >= 0x80) return "the broker refused a filter: " + mqtt::exception::reason_code_str(code);
            }
        } catch (const std::exception& error) {
            return error.what();
        }
        return {};
    }

    void subscribe_ended(const std::string& why) {
        if (state_ != State::Subscribing) return;
        if (!why.empty()) return lost("subscribe: " + why);
        state_ = State::Subscribed;
        since_ = clock_.mono();
        ++connections_;
        if (callbacks_.subscribed) callbacks_.subscribed();
    }

    // R3, and a connection that the library ended without a word.
    void look() {
        if (stopping_) return;
        const Duration took = clock_.mono() - since_;
        if (state_ == State::Connecting && took > options_.connect_deadline * 2) return lost("connect: no answer");
        if (state_ == State::Subscribing && took > options_.subscribe_deadline) return lost("subscribe: no answer");
        if (state_ == State::Subscribed && !client_->is_connected()) return lost("connection ended");
        if (state_ == State::Subscribed && took > minutes(1)) options_.backoff.reset();
    }

    void lost(const std::string& why) {
        if (state_ == State::Idle && client_) return;
        const bool half_open = state_ == State::Subscribing || state_ == State::Subscribed;
        state_ = State::Idle;
        try {
            if (half_open && client_->is_connected()) client_->disconnect(0);
        } catch (const mqtt::exception&) {
            state_ = State::Idle;  // gone already
        }
        const Duration wait = options_.backoff.next(random_unit()) + milliseconds(100);
        retry_ = loop_.after(wait, [this] { client_ ? attempt() : start(filters_, callbacks_); });
        if (callbacks_.lost) {
            callbacks_.lost({Code::Unavailable, address_of(options_) + ": " + why,
                             options_.tls ? "is the broker running at [broker] host and port, signed for that name by ca_file, and does it "
                                            "accept our certificate?"
                                          : "is the broker running at [broker] host and port, and does it expect TLS?"});
        }
    }

    Loop& loop_;
    SubscriberOptions options_;
    SystemClock clock_;
    std::shared_ptr<PahoSubscriber*> alive_;
    std::vector<std::string> filters_;
    SubscriberCallbacks callbacks_;
    State state_ = State::Idle;
    MonoTime since_;
    std::atomic<uint64_t> connection_ = 0;
    uint64_t connections_ = 0;
    uint64_t published_ = 0;
    bool listening_ended_ = false;
    std::atomic<bool> stopping_ = false;
    std::mutex message_mutex_;  // held while a message is copied
    Timer retry_;
    Timer watch_;
    // The library calls these until its client is gone: they are declared before it.
    Listener on_connect_;
    Listener on_subscribe_;
    Listener on_publish_;
    std::unique_ptr<mqtt::async_client> client_;
};

}  // namespace

std::unique_ptr<Subscriber> make_paho_subscriber(Loop& loop, SubscriberOptions options) {
    return std::make_unique<PahoSubscriber>(loop, std::move(options));
}

}  // namespace basmalin::coordinator
