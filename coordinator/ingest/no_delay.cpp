#include "coordinator/ingest/no_delay.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <charconv>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string>
#include <system_error>

namespace basmalin::coordinator {
namespace {

std::optional<uint16_t> peer_port_of(int descriptor) {
    sockaddr_storage peer{};
    socklen_t length = sizeof peer;
    if (::getpeername(descriptor, reinterpret_cast<sockaddr*>(&peer), &length) != 0) return std::nullopt;
    if (peer.ss_family == AF_INET) {
        sockaddr_in ipv4{};
        std::memcpy(&ipv4, &peer, sizeof ipv4);
        return ntohs(ipv4.sin_port);
    }
    if (peer.ss_family == AF_INET6) {
        sockaddr_in6 ipv6{};
        std::memcpy(&ipv6, &peer, sizeof ipv6);
        return ntohs(ipv6.sin6_port);
    }
    return std::nullopt;
}

}  // namespace

size_t send_without_delay(uint16_t peer_port) {
    size_t found = 0;
    std::error_code error;
    for (std::filesystem::directory_iterator at("/proc/self/fd", error); !error && at != std::filesystem::directory_iterator();
         at.increment(error)) {
        const std::string name = at->path().filename();
        int descriptor = -1;
        std::from_chars(name.data(), name.data() + name.size(), descriptor);
        if (peer_port_of(descriptor) != peer_port) continue;
        const int on = 1;
        if (::setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0) ++found;
    }
    return found;
}

}  // namespace basmalin::coordinator
