// A connection that has said goodbye. Closing it while the peer's last packets are on their way would answer them with a
// reset, and a broker that meets the reset before it has read our DISCONNECT sends the will. So the sending half is closed
// first, and what comes is read and dropped until the peer closes too, for two seconds at most.
// Thread: the loop's.
#pragma once

#include "shared/loop/loop.h"

namespace basmalin {

class Farewell {
  public:
    explicit Farewell(Loop& loop) : loop_(loop) {}
    ~Farewell();  // a program that ends right after its goodbye waits here for the peer, half a second at most
    Farewell(const Farewell&) = delete;
    Farewell& operator=(const Farewell&) = delete;

    // Takes the descriptor of a socket (-1: nothing to do). An older one is closed.
    void begin(int fd);
    bool waiting() const { return fd_ >= 0; }

  private:
    void drain();
    void close();

    Loop& loop_;
    int fd_ = -1;
    FdWatch watch_;
    Timer limit_;
};

}  // namespace basmalin
