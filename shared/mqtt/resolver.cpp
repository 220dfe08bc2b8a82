#include "shared/mqtt/resolver.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <signal.h>
#include <sys/socket.h>

#include <algorithm>
#include <mutex>
#include <system_error>
#include <thread>

namespace basmalin {

bool is_address(const std::string& host) {
    in6_addr six{};
    in_addr four{};
    return ::inet_pton(AF_INET, host.c_str(), &four) == 1 || ::inet_pton(AF_INET6, host.c_str(), &six) == 1;
}

// Shared by the resolver and the thread that looks up.
struct Resolver::LookUp {
    LookUp(std::string name, Loop* to) : host(std::move(name)), loop(to) {}
    const std::string host;
    std::mutex mutex;
    Loop* loop;   // null once the resolver is gone; the loop outlives the resolver
    Found found;  // of the loop's thread
    bool done = false;
};

namespace {

Result<std::vector<std::string>> look_up(const std::string& host) {
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_ADDRCONFIG;
    addrinfo* list = nullptr;
    const int rc = ::getaddrinfo(host.c_str(), nullptr, &hints, &list);
    if (rc != 0) {
        return fail(rc == EAI_AGAIN ? Code::Unavailable : Code::NotFound, "look up " + host + ": " + ::gai_strerror(rc),
                    "check the name and this machine's DNS");
    }
    std::vector<std::string> addresses;
    for (const addrinfo* one = list; one != nullptr && addresses.size() < Resolver::addresses_max; one = one->ai_next) {
        char text[NI_MAXHOST];  // numeric, with the scope of a link-local address
        if (::getnameinfo(one->ai_addr, one->ai_addrlen, text, sizeof text, nullptr, 0, NI_NUMERICHOST) != 0) continue;
        if (std::find(addresses.begin(), addresses.end(), text) == addresses.end()) addresses.emplace_back(text);
    }
    ::freeaddrinfo(list);
    if (addresses.empty()) return fail(Code::NotFound, "look up " + host + ": no address");
    return addresses;
}

}  // namespace

Resolver::~Resolver() {
    if (!look_up_) return;
    const std::lock_guard lock(look_up_->mutex);
    look_up_->loop = nullptr;
    look_up_->found = nullptr;
}

void Resolver::forget() {
    if (look_up_) look_up_->found = nullptr;
}

void Resolver::resolve(const std::string& host, Found found) {
    if (look_up_ && !look_up_->done && look_up_->host == host) {
        look_up_->found = std::move(found);
        return;
    }
    forget();
    if (look_up_) {
        const std::lock_guard lock(look_up_->mutex);
        look_up_->loop = nullptr;
    }
    look_up_ = std::make_shared<LookUp>(host, &loop_);
    look_up_->found = std::move(found);
    const auto work = [shared = look_up_] {
        auto result = std::make_shared<Result<std::vector<std::string>>>(look_up(shared->host));
        const std::lock_guard lock(shared->mutex);
        if (shared->loop == nullptr) return;
        shared->loop->post([shared, result] {
            shared->done = true;
            const Found answer = std::exchange(shared->found, nullptr);
            if (answer) answer(std::move(*result));
        });
    };
    // Signals belong to the loop's thread.
    sigset_t all;
    sigset_t before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
        std::thread(work).detach();
    } catch (const std::system_error& error) {
        loop_.post([shared = look_up_, text = std::string(error.what())] {
            shared->done = true;
            const Found answer = std::exchange(shared->found, nullptr);
            if (answer) answer(fail(Code::Full, "no thread for a look-up: " + text));
        });
    }
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace basmalin
