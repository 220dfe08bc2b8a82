// What a service of Type=notify says to systemd, by the datagram protocol of sd_notify(3): no library needed.
// Threads: any. The environment is read at each call, and never changed.
#pragma once

#include <optional>
#include <string_view>

#include "shared/base/clock.h"

namespace basmalin::systemd {

// "READY=1", "WATCHDOG=1", "STOPPING=1", "RELOADING=1", "STATUS=…"; several separated by newlines. False when nobody asked for
// it (NOTIFY_SOCKET is not set) or it did not get through; never waits.
bool notify(std::string_view state);

// How long systemd waits for a WATCHDOG=1 before it kills us; empty when it does not watch this process. Notify at a third of it.
std::optional<Duration> watchdog_interval();

}  // namespace basmalin::systemd
