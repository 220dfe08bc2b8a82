#include "shared/base/systemd_notify.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>

namespace basmalin::systemd {

namespace {

std::optional<int64_t> number(const char* text) {
    if (text == nullptr) return std::nullopt;
    int64_t value = 0;
    const char* end = text + std::strlen(text);
    const auto [stop, error] = std::from_chars(text, end, value);
    if (error != std::errc() || stop != end) return std::nullopt;
    return value;
}

}  // namespace

bool notify(std::string_view state) {
    const char* name = std::getenv("NOTIFY_SOCKET");
    if (name == nullptr || (name[0] != '/' && name[0] != '@')) return false;
    const size_t length = std::strlen(name);
    sockaddr_un address{};
    if (length < 2 || length >= sizeof address.sun_path) return false;
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, name, length);
    if (name[0] == '@') address.sun_path[0] = '\0';  // the abstract namespace
    const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return false;
    const auto address_bytes = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length);
    const ssize_t sent = ::sendto(fd, state.data(), state.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&address), address_bytes);
    ::close(fd);
    return sent == static_cast<ssize_t>(state.size());
}

std::optional<Duration> watchdog_interval() {
    const auto microseconds = number(std::getenv("WATCHDOG_USEC"));
    if (!microseconds || *microseconds < 1000) return std::nullopt;
    const auto watched = number(std::getenv("WATCHDOG_PID"));
    if (watched && *watched != ::getpid()) return std::nullopt;
    return Duration{*microseconds / 1000};
}

}  // namespace basmalin::systemd
