// Ends the process in time after SIGTERM, whatever any thread of it waits for.
// R1  At the deadline the process ends at once, from a thread of this watch's own: a loop, a destructor or a disk that is stuck
//     cannot hold it. Its status is 0 if everything taken was durable by then, else 1.
// R2  Ending so loses nothing that was acknowledged: the store's log is replayed at the next start.
// Threads: any.
#pragma once

#include <atomic>
#include <memory>

#include "shared/base/clock.h"

namespace basmalin::coordinator {

class EndWatch {
  public:
    // Lives as long as the process. Call once.
    void start(Duration deadline);
    void all_durable() { *durable_ = true; }

  private:
    std::shared_ptr<std::atomic<bool>> durable_ = std::make_shared<std::atomic<bool>>(false);  // the thread's too: it outlives us
};

}  // namespace basmalin::coordinator
