#include "shared/mqtt/farewell.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

namespace basmalin {
namespace {

// True when the peer has closed, or the connection is broken.
bool read_all(int fd) {
    char block[4096];
    for (;;) {
        const ssize_t n = ::recv(fd, block, sizeof block, MSG_DONTWAIT);
        if (n > 0 || (n < 0 && errno == EINTR)) continue;
        return n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
    }
}

}  // namespace

Farewell::~Farewell() {
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(500);
    while (fd_ >= 0 && !read_all(fd_)) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now()).count();
        pollfd wait{fd_, POLLIN, 0};
        if (left <= 0 || ::poll(&wait, 1, static_cast<int>(left)) == 0) break;
    }
    close();
}

void Farewell::begin(int fd) {
    close();
    if (fd < 0) return;
    fd_ = fd;
    ::shutdown(fd_, SHUT_WR);
    watch_ = loop_.watch(fd_);
    limit_ = loop_.after(seconds(2), [this] { close(); });
    drain();
}

void Farewell::drain() {
    if (read_all(fd_)) return close();
    watch_.when_readable([this] { drain(); });
}

void Farewell::close() {
    watch_.cancel();
    limit_.cancel();
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
}

}  // namespace basmalin
