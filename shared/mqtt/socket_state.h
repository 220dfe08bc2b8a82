// What the kernel knows of a socket, asked without reading from it.
#pragma once

#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>

namespace basmalin {

// The error that a connecting socket met, 0 for none. Asking takes it.
inline int pending_socket_error(int fd) {
    int number = 0;
    socklen_t size = sizeof number;
    return ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &number, &size) == 0 ? number : errno;
}

// The peer closed and everything was read, or the connection is broken.
inline bool is_over(int fd) {
    char byte = 0;
    const ssize_t n = ::recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

inline bool has_peer(int fd) {
    sockaddr_storage peer{};
    socklen_t size = sizeof peer;
    return ::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) == 0;
}

inline bool has_bytes(int fd) {
    int count = 0;
    return ::ioctl(fd, FIONREAD, &count) == 0 && count > 0;
}

}  // namespace basmalin
