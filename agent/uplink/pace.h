// How many bytes of the backlog may be on their way to the broker, so that a live batch behind them does not wait long. What was
// written and has no PUBACK yet stands in queues: the socket's, the modem's, the broker's. Pure; time is a parameter.
// P1  A PUBACK tells how long its message took. What it took beyond the path (the shortest known) it stood in a queue.
// P2  Queues below queue_low, and the allowance in use: it grows, twofold in a round trip until the first shrinking, by an eighth
//     afterwards. Above queue_high: it shrinks to what keeps the queue at queue_low, once in a round trip, to a quarter at most.
//     At 256 kbit/s and 300 ms it is about 16 KiB.
// P3  A path may become longer, and looks like a queue then. What was sent with nothing of the backlog before it stood in none:
//     it moves the path up as well, and measure_every it is waited for such a moment.
// Thread: one.
#pragma once

#include <cstddef>
#include <cstdint>

#include "shared/base/clock.h"

namespace basmalin::agent {

struct PaceLimits {
    Duration queue_low = milliseconds(100);
    Duration queue_high = milliseconds(300);
    size_t allowance_min = 4 * 1024;
    size_t allowance_max = 512 * 1024;
    size_t message_bytes_min = 1024;
    Duration measure_every = seconds(20);
};

struct Pace {
    size_t allowance = 16 * 1024;  // bytes
    Duration path{INT64_MAX};      // there and back; INT64_MAX: not known yet
    MonoTime measured_at{INT64_MAX / 2};
    bool shrunk = false;
    MonoTime shrunk_at{INT64_MIN / 2};

    // How long the next message may be: a quarter of the allowance, so that several are on their way and none holds up a live one.
    size_t message_bytes(MonoTime now, const PaceLimits& limits) const;
    // One message always may be on its way: a batch can be longer than the whole allowance.
    bool may_send(size_t backlog_on_its_way, MonoTime now, const PaceLimits& limits) const;
};

// A message that has its PUBACK now.
struct Heard {
    MonoTime sent;
    size_t bytes = 0;
    bool backlog = false;
    bool alone = false;             // nothing else was on its way when it was sent
    size_t backlog_on_its_way = 0;  // bytes, this message included
};

Pace heard(Pace pace, const Heard& message, MonoTime now, const PaceLimits& limits);

}  // namespace basmalin::agent
