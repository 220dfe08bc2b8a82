#include "coordinator/app/end_watch.h"

#include <chrono>
#include <cstdlib>
#include <thread>

#include "shared/base/log.h"

namespace basmalin::coordinator {

void EndWatch::start(Duration deadline) {
    std::thread([deadline, durable = durable_] {
        std::this_thread::sleep_for(std::chrono::milliseconds(deadline.ms));
        if (*durable) std::_Exit(0);  // only closing took so long
        log::error("not_ended_in_time", {{"lost", "nothing that was acknowledged"}});
        std::_Exit(1);
    }).detach();
}

}  // namespace basmalin::coordinator
