// For a library that makes its own TCP connections and has no option for it (Paho C 1.3.12).
#pragma once

#include <cstddef>
#include <cstdint>

namespace basmalin::coordinator {

// Sets TCP_NODELAY on every connection of this process to that port of a peer; how many there were. Without it a small message (a
// PUBACK, an ack) waits until the peer has acknowledged the one before, which a peer with nothing to say does 40 ms later.
// Threads: any.
size_t send_without_delay(uint16_t peer_port);

}  // namespace basmalin::coordinator
