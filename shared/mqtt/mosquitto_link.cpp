#include <fcntl.h>
#include <mosquitto.h>
#include <mqtt_protocol.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <map>
#include <mutex>
#include <optional>
#include <set>

#include "shared/base/ids.h"
#include "shared/base/log.h"
#include "shared/mqtt/farewell.h"
#include "shared/mqtt/link.h"
#include "shared/mqtt/mosquitto_reasons.h"
#include "shared/mqtt/openssl_trust.h"
#include "shared/mqtt/resolver.h"
#include "shared/mqtt/socket_state.h"

namespace basmalin {
namespace {

constexpr int reads_max = 64;  // packets read before the loop's other work has its turn

void start_library() {
    static std::once_flag once;
    std::call_once(once, [] {
        mosquitto_lib_init();
        std::signal(SIGPIPE, SIG_IGN);  // libmosquitto 2.0.11 writes without MSG_NOSIGNAL
    });
}

struct Destroy {
    void operator()(mosquitto* handle) const { mosquitto_destroy(handle); }
};

}  // namespace

//   Stopped ──start──> Resolving ──> Connecting ──CONNACK──> Online
//      ^                   ^  ^          │  next address        │
//      └─── stop, any      │  └── after the backoff ── Waiting <┘ lost, refused, deadline
//
// The library closes its socket inside its calls and must not be destroyed there, so whatever ends a connection is noted
// (ending_, leaving_) and done by settle(), after the outermost call into the library has returned.
struct Link::Impl {
    enum class Phase { Stopped, Resolving, Connecting, Online, Waiting };

    Impl(Loop& l, LinkOptions o, Callbacks c) : loop(l), options(std::move(o)), callbacks(std::move(c)), resolver(l), farewell(l) {}
    ~Impl() { close(); }

    void begin_round();
    void next_address(Error why);
    void connect_to(const std::string& address);
    Result<void> prepare();
    Result<void> announce_limits();
    void on_ready(bool writable);
    void read_some();
    void settle();
    void rearm();
    void lose(Error why, bool try_next);
    void leave(bool graceful);
    void close();
    void note(int code, int os_error);
    void end(Error why) {
        if (!ending) ending = std::move(why);
    }
    Error unreachable(int os_error) const { return {Code::Unavailable, where() + ": " + std::strerror(os_error), ""}; }
    std::string where() const {
        const std::string& address = next > 0 ? addresses[next - 1] : options.host;
        return options.host + (address == options.host ? "" : " (" + address + ")") + " port " + std::to_string(options.port);
    }
    bool online() const { return phase == Phase::Online && !ending && !leaving; }
    void settle_soon() {
        soon = loop.after(Duration{0}, [this] { settle(); });
    }
    void subscribe_now(const std::string& filter, int qos);

    void on_connect(int reason, const mosquitto_property* properties);
    void on_message(const mosquitto_message& message);
    void on_published(int id, int reason);
    void on_subscribed(int id, int count, const int* granted);
    void on_log(int level, std::string_view text);

    Loop& loop;
    LinkOptions options;
    Callbacks callbacks;
    Resolver resolver;
    Farewell farewell;
    Phase phase = Phase::Stopped;

    // Of one connection; the Trust outlives the handle.
    std::unique_ptr<Trust> trust;
    std::unique_ptr<mosquitto, Destroy> handle;
    FdWatch watch;
    bool tcp_up = false;
    int connect_errno = 0;  // what the first try to connect met
    bool refused = false;  // by the broker itself: another address would not help
    std::string tls_text;
    std::set<int> unacknowledged;
    std::map<int, std::string> subscribing;
    std::chrono::steady_clock::time_point online_since;

    int inside = 0;               // depth of calls into the library
    std::optional<Error> ending;  // the connection is over; settle() says so
    std::optional<bool> leaving;  // stop() was called inside: graceful or not
    bool start_again = false;     // start() after that stop()

    std::vector<std::string> addresses;
    size_t next = 0;
    std::string earlier;  // why the addresses before this one failed
    Timer deadline;
    Timer retry;
    Timer tick;
    Timer soon;

    std::map<std::string, int> subscriptions;
    uint64_t connections = 0;
    uint64_t bytes_sent = 0;
    uint64_t bytes_received = 0;
};

void Link::Impl::begin_round() {
    phase = Phase::Resolving;
    addresses.clear();
    earlier.clear();
    next = 0;
    deadline = loop.after(options.connect_timeout, [this] {
        resolver.forget();
        lose({Code::Timeout, "look up " + options.host + ": no answer", "check this machine's DNS"}, false);
    });
    if (is_address(options.host)) {
        addresses = {options.host};
        soon = loop.after(Duration{0}, [this] { next_address({}); });
        return;
    }
    resolver.resolve(options.host, [this](Result<std::vector<std::string>> found) {
        if (phase != Phase::Resolving) return;
        if (!found) return lose(std::move(found.error()), false);
        addresses = std::move(*found);
        next_address({});
    });
}

void Link::Impl::next_address(Error why) {
    if (next >= addresses.size()) return lose(std::move(why), false);
    if (!why.text.empty()) earlier += (earlier.empty() ? "" : "; ") + why.text;
    connect_to(addresses[next++]);
}

// A handle of libmosquitto per connection: nothing of the last one is sent again (R3).
Result<void> Link::Impl::prepare() {
    close();
    start_library();
    if (options.tls) {
        auto made = Trust::make(options.host, options.tls_files.ca_file, options.tls_files.certificate_file, options.tls_files.key_file);
        if (!made) return pass(made);
        trust = std::move(*made);
    }
    handle.reset(mosquitto_new(options.client_id.empty() ? nullptr : options.client_id.c_str(), true, this));
    if (!handle) return fail(Code::Invalid, "no client with this id: " + std::string(std::strerror(errno)));
    mosquitto* m = handle.get();
    mosquitto_int_option(m, MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V5);
    mosquitto_int_option(m, MOSQ_OPT_SEND_MAXIMUM, 65535);  // the broker's Receive Maximum lowers it
    mosquitto_int_option(m, MOSQ_OPT_TCP_NODELAY, 1);
    if (trust) {
        mosquitto_int_option(m, MOSQ_OPT_SSL_CTX_WITH_DEFAULTS, 0);
        mosquitto_void_option(m, MOSQ_OPT_SSL_CTX, trust->context());
    }
    int rc = MOSQ_ERR_SUCCESS;
    if (!options.user.empty()) rc = mosquitto_username_pw_set(m, options.user.c_str(), options.password.empty() ? nullptr : options.password.c_str());
    if (rc == MOSQ_ERR_SUCCESS && !options.will_topic.empty())
        rc = mosquitto_will_set_v5(m, options.will_topic.c_str(), static_cast<int>(options.will_payload.size()), options.will_payload.data(), 1, true, nullptr);
    if (rc != MOSQ_ERR_SUCCESS) return fail(Code::Invalid, std::string("user or will: ") + mosquitto_strerror(rc));
    mosquitto_connect_v5_callback_set(m, [](mosquitto*, void* o, int reason, int, const mosquitto_property* properties) {
        static_cast<Impl*>(o)->on_connect(reason, properties);
    });
    mosquitto_disconnect_v5_callback_set(m, [](mosquitto*, void* o, int code, const mosquitto_property*) { static_cast<Impl*>(o)->note(code, errno); });
    mosquitto_message_v5_callback_set(m, [](mosquitto*, void* o, const mosquitto_message* message, const mosquitto_property*) {
        static_cast<Impl*>(o)->on_message(*message);
    });
    mosquitto_publish_v5_callback_set(m, [](mosquitto*, void* o, int id, int reason, const mosquitto_property*) {
        static_cast<Impl*>(o)->on_published(id, reason);
    });
    mosquitto_subscribe_v5_callback_set(m, [](mosquitto*, void* o, int id, int count, const int* granted, const mosquitto_property*) {
        static_cast<Impl*>(o)->on_subscribed(id, count, granted);
    });
    mosquitto_log_callback_set(m, [](mosquitto*, void* o, int level, const char* text) { static_cast<Impl*>(o)->on_log(level, text); });
    return announce_limits();
}

// libmosquitto 2.0.11 takes CONNECT's properties only in its blocking call. That keeps them before it looks at the port, which is
// refused here, and the connect that follows sends them.
Result<void> Link::Impl::announce_limits() {
    if (options.packet_bytes_max == 0) return {};
    mosquitto_property* properties = nullptr;
    int rc = mosquitto_property_add_int32(&properties, MQTT_PROP_MAXIMUM_PACKET_SIZE, options.packet_bytes_max);
    if (rc == MOSQ_ERR_SUCCESS) rc = mosquitto_connect_bind_v5(handle.get(), options.host.c_str(), -1, 60, nullptr, properties);
    mosquitto_property_free_all(&properties);
    if (rc != MOSQ_ERR_INVAL) return fail(Code::Invalid, std::string("maximum packet size: ") + mosquitto_strerror(rc));
    return {};
}

void Link::Impl::connect_to(const std::string& address) {
    phase = Phase::Connecting;
    deadline = loop.after(options.connect_timeout, [this] {
        lose({Code::Timeout, "no answer from " + where(), "check that a broker listens there"}, true);
    });
    if (auto ready = prepare(); !ready) return lose(std::move(ready.error()), false);
    ++inside;
    errno = 0;
    const int rc = mosquitto_connect_async(handle.get(), address.c_str(), options.port, std::max(options.keepalive_seconds, 5));
    connect_errno = errno;
    --inside;
    // CONNACK is awaited also when the library says that the connection is pending.
    tcp_up = rc > 0 && trust && connect_errno == EPROTO;  // the library came as far as TLS at once, and was turned away
    if (rc == MOSQ_ERR_ERRNO && !tcp_up) return lose(unreachable(connect_errno), true);
    if (rc > 0) return lose(ended_error(rc, connect_errno, tls_text, false, options.client_id), true);
    ::fcntl(mosquitto_socket(handle.get()), F_SETFD, FD_CLOEXEC);  // programs that we start must not hold the connection open
    watch = loop.watch(mosquitto_socket(handle.get()));
    if (!watch.active()) return lose({Code::Unavailable, "no descriptor left", "raise LimitNOFILE of the service"}, true);
    rearm();
}

void Link::Impl::rearm() {
    if (!tcp_up) return watch.when_writable([this] { on_ready(true); });
    const void* ssl = mosquitto_ssl_get(handle.get());
    watch.when_readable([this] { on_ready(false); });
    // During the handshake the library's own wish to write is stale: polling for it would spin.
    const bool wants = handshake_done(ssl) ? mosquitto_want_write(handle.get()) : handshake_wants_write(ssl);
    if (wants) watch.when_writable([this] { on_ready(true); });
}

void Link::Impl::on_ready(bool writable) {
    if (!handle) return;
    const int fd = mosquitto_socket(handle.get());
    if (!tcp_up) {
        const int number = fd < 0 ? ENOTCONN : pending_socket_error(fd);
        if (number != 0) return lose(unreachable(number), true);
        // The TLS handshake, begun by the library before there was a connection, may have met the error and taken it.
        if (!has_peer(fd)) return lose(unreachable(connect_errno != 0 && connect_errno != EINPROGRESS ? connect_errno : ECONNREFUSED), true);
        tcp_up = true;
    }
    const void* ssl = mosquitto_ssl_get(handle.get());
    if (!handshake_done(ssl)) {
        read_some();  // the library drives the handshake only by reading
        const bool over = !ending && mosquitto_socket(handle.get()) >= 0 && !handshake_done(mosquitto_ssl_get(handle.get())) && is_over(fd);
        if (over) end({Code::Unavailable, "the broker closed the connection during the TLS handshake", "check that this port speaks TLS"});
    } else if (!writable) {
        read_some();
    }
    settle();  // writes what there is to write
}

void Link::Impl::read_some() {
    ++inside;
    for (int i = 0; i < reads_max && !ending && !leaving; ++i) {
        errno = 0;
        const int rc = mosquitto_loop_read(handle.get(), 1);
        const int os_error = errno;
        const int fd = mosquitto_socket(handle.get());
        if (rc != MOSQ_ERR_SUCCESS || fd < 0) {
            note(rc, os_error);
            break;
        }
        if (!has_decrypted_bytes(mosquitto_ssl_get(handle.get())) && !has_bytes(fd)) break;
    }
    --inside;
}

void Link::Impl::note(int code, int os_error) { end(ended_error(code, os_error, tls_text, phase == Phase::Online, options.client_id)); }

void Link::Impl::settle() {
    if (inside > 0 || !handle) return;
    mosquitto* m = handle.get();
    if (!ending && !leaving && tcp_up && handshake_done(mosquitto_ssl_get(m)) && mosquitto_want_write(m)) {
        ++inside;
        errno = 0;
        const int rc = mosquitto_loop_write(m, 1);
        const int os_error = errno;
        --inside;
        if (rc != MOSQ_ERR_SUCCESS || mosquitto_socket(m) < 0) note(rc, os_error);
    }
    if (leaving) {
        leave(*leaving);
    } else if (ending) {
        lose(std::move(*ending), !refused && ending->code != Code::Denied);
    } else {
        rearm();
    }
}

// Ends an attempt or a connection; then the next address, or the report and the backoff.
void Link::Impl::lose(Error why, bool try_next) {
    const bool was_online = phase == Phase::Online;
    if (trust && !trust->refusal().empty()) {
        why = {Code::Denied, "the broker's certificate: " + trust->refusal(),
               "check host, the authority file, the broker's certificate, and this machine's clock"};
        try_next = false;
    }
    if (options.tls && phase == Phase::Connecting && tcp_up && why.hint.empty()) why.hint = "the broker may refuse this node's certificate: see its log";
    close();
    if (!was_online && try_next && next < addresses.size()) return next_address(std::move(why));
    if (!was_online && !earlier.empty()) why.text = earlier + "; " + why.text;
    earlier.clear();
    if (was_online && std::chrono::steady_clock::now() - online_since >= std::chrono::milliseconds(options.settled_after.ms)) options.backoff.reset();
    phase = Phase::Waiting;
    deadline.cancel();
    retry = loop.after(options.backoff.next(random_unit()), [this] { begin_round(); });
    if (callbacks.disconnected) callbacks.disconnected(why);
}

void Link::Impl::leave(bool graceful) {
    if (graceful && handle && phase == Phase::Online && !ending) {
        ++inside;
        phase = Phase::Stopped;  // callbacks are over
        const int socket = ::fcntl(mosquitto_socket(handle.get()), F_DUPFD_CLOEXEC, 0);
        if (mosquitto_want_write(handle.get())) mosquitto_loop_write(handle.get(), 1);
        if (mosquitto_socket(handle.get()) >= 0) mosquitto_disconnect_v5(handle.get(), MQTT_RC_NORMAL_DISCONNECTION, nullptr);
        if (mosquitto_socket(handle.get()) >= 0 && mosquitto_want_write(handle.get())) mosquitto_loop_write(handle.get(), 1);
        --inside;
        close();
        farewell.begin(socket);
    }
    close();
    phase = Phase::Stopped;
    resolver.forget();
    deadline.cancel();
    retry.cancel();
    if (std::exchange(start_again, false)) begin_round();
}

void Link::Impl::close() {
    soon.cancel();
    tick.cancel();
    watch.cancel();
    handle.reset();  // without DISCONNECT
    trust.reset();
    tcp_up = false;
    refused = false;
    tls_text.clear();
    unacknowledged.clear();
    subscribing.clear();
    ending.reset();
    leaving.reset();
}

void Link::Impl::subscribe_now(const std::string& filter, int qos) {
    int id = 0;
    const int rc = mosquitto_subscribe_v5(handle.get(), &id, filter.c_str(), qos, 0, nullptr);
    if (rc == MOSQ_ERR_SUCCESS)
        subscribing[id] = filter;
    else
        log::warn("mqtt_subscribe_failed", {{"filter", filter}, {"why", mosquitto_strerror(rc)}});
}

void Link::Impl::on_connect(int reason, const mosquitto_property* properties) {
    if (phase != Phase::Connecting || ending || leaving) return;
    if (reason != 0) {
        refused = true;
        return end(refused_error(reason, options.client_id));
    }
    phase = Phase::Online;
    online_since = std::chrono::steady_clock::now();
    deadline.cancel();
    ++connections;
    tick = loop.every(seconds(1), [this] {
        if (!handle || inside > 0) return;
        ++inside;
        errno = 0;
        const int rc = mosquitto_loop_misc(handle.get());
        const int os_error = errno;
        --inside;
        if (rc != MOSQ_ERR_SUCCESS || mosquitto_socket(handle.get()) < 0) note(rc, os_error);
        settle();
    });
    uint16_t receive_maximum = 65535;
    mosquitto_property_read_int16(properties, MQTT_PROP_RECEIVE_MAXIMUM, &receive_maximum, false);
    for (const auto& [filter, qos] : subscriptions) subscribe_now(filter, qos);
    if (callbacks.connected) callbacks.connected(receive_maximum);
}

void Link::Impl::on_message(const mosquitto_message& message) {
    if (!online() || message.payloadlen < 0) return;
    const LinkMessage out{message.topic, {static_cast<const char*>(message.payload), static_cast<size_t>(message.payloadlen)}, message.retain};
    bytes_received += out.topic.size() + out.payload.size();
    if (callbacks.message) callbacks.message(out);
}

void Link::Impl::on_published(int id, int reason) {
    if (unacknowledged.erase(id) > 0 && online() && callbacks.published) callbacks.published(id, reason);
}

void Link::Impl::on_subscribed(int id, int count, const int* granted) {
    const auto found = subscribing.find(id);
    if (found == subscribing.end()) return;
    if (count > 0 && granted[0] >= 0x80)
        log::error("mqtt_subscription_refused", {{"filter", found->second}, {"why", mosquitto_reason_string(granted[0])}, {"hint", "check the broker's access list"}});
    subscribing.erase(found);
}

// libmosquitto says what went wrong in TLS only here: "OpenSSL Error[0]: error:0A000418:SSL routines::tlsv1 alert unknown ca".
void Link::Impl::on_log(int level, std::string_view text) {
    if (level != MOSQ_LOG_ERR || !text.starts_with("OpenSSL Error") || !tls_text.empty()) return;
    const size_t colon = text.rfind(':');
    tls_text = std::string(text.substr(colon == std::string_view::npos ? 0 : colon + 1));
}

Link::Link(Loop& loop, LinkOptions options, Callbacks callbacks)
    : impl_(std::make_unique<Impl>(loop, std::move(options), std::move(callbacks))) {}
Link::~Link() = default;

void Link::start() {
    if (impl_->leaving)
        impl_->start_again = true;
    else if (impl_->phase == Impl::Phase::Stopped)
        impl_->begin_round();
}

void Link::stop(bool graceful) {
    impl_->start_again = false;
    if (impl_->inside > 0)
        impl_->leaving = graceful;
    else
        impl_->leave(graceful);
}

void Link::reconnect(std::string_view why) {
    if (impl_->phase != Impl::Phase::Online && impl_->phase != Impl::Phase::Connecting) return;
    impl_->end({Code::Unavailable, std::string(why), ""});
    impl_->settle_soon();
}

bool Link::connected() const { return impl_->online(); }

void Link::subscribe(const std::string& filter, int qos) {
    impl_->subscriptions[filter] = qos;
    if (!impl_->online()) return;
    ++impl_->inside;
    impl_->subscribe_now(filter, qos);
    --impl_->inside;
    impl_->settle_soon();
}

void Link::unsubscribe(const std::string& filter) {
    impl_->subscriptions.erase(filter);
    if (!impl_->online()) return;
    ++impl_->inside;
    mosquitto_unsubscribe_v5(impl_->handle.get(), nullptr, filter.c_str(), nullptr);
    --impl_->inside;
    impl_->settle_soon();
}

Result<int> Link::publish(const std::string& topic, std::string_view payload, int qos, bool retain) {
    if (!impl_->online()) return fail(Code::Unavailable, "not connected to the broker");
    int id = 0;
    ++impl_->inside;
    errno = 0;
    const int rc = mosquitto_publish_v5(impl_->handle.get(), &id, topic.c_str(), static_cast<int>(payload.size()), payload.data(), qos, retain, nullptr);
    const int os_error = errno;
    --impl_->inside;
    switch (rc) {
        case MOSQ_ERR_SUCCESS: break;
        case MOSQ_ERR_OVERSIZE_PACKET:
        case MOSQ_ERR_PAYLOAD_SIZE: return fail(Code::Full, topic + ": larger than the broker takes", "raise max_packet_size of the broker");
        case MOSQ_ERR_INVAL:
        case MOSQ_ERR_MALFORMED_UTF8:
        case MOSQ_ERR_QOS_NOT_SUPPORTED:
        case MOSQ_ERR_RETAIN_NOT_SUPPORTED: return fail(Code::Invalid, topic + ": " + mosquitto_strerror(rc));
        default:
            impl_->note(rc, os_error);
            impl_->settle_soon();
            return fail(Code::Unavailable, "not connected to the broker any more");
    }
    if (qos > 0) impl_->unacknowledged.insert(id);
    impl_->bytes_sent += topic.size() + payload.size();
    if (impl_->inside == 0) impl_->rearm();
    return id;
}

void Link::set_will(std::string payload) { impl_->options.will_payload = std::move(payload); }
uint64_t Link::reconnects() const { return impl_->connections > 0 ? impl_->connections - 1 : 0; }
uint64_t Link::bytes_sent() const { return impl_->bytes_sent; }
uint64_t Link::bytes_received() const { return impl_->bytes_received; }

}  // namespace basmalin
