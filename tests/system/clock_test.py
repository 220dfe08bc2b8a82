"""A gateway without a clock battery, on the real agent: it starts in 1970, steps to today when its clock is set, steps back an hour when
somebody sets it wrong, and reboots without NTP. Order is by seq throughout; times of the boot that was once synchronised are right within
1 s, the others are marked as estimates and lie within their bounds; no step stops the sending.
The wall clock and the kernel's word on it (adjtimex) are a preloaded library's, the boot's id is a file's (mounting it needs root). The
uptime is the machine's own, as if the gateway had been off for no time."""
import datetime
import os
import struct
import subprocess
import threading
import time
import unittest

from fleet import ROOT, Fleet, wait_for

# libfaketime stops Asio's timers (timerfd): this does the little that is needed. The state: nanoseconds of offset, then 1 if synchronised.
LIBRARY = r"""
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>
static const volatile long long *state(void) {
    static const volatile long long *at;
    if (!at) {
        const int fd = open(getenv("FAKE_CLOCK"), O_RDONLY | O_CLOEXEC);
        at = mmap(NULL, 16, PROT_READ, MAP_SHARED, fd, 0);
        close(fd);
    }
    return at;
}
int clock_gettime(clockid_t id, struct timespec *t) {
    if (syscall(SYS_clock_gettime, id, t) != 0) return -1;
    if (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE) return 0;
    const long long ns = t->tv_sec * 1000000000LL + t->tv_nsec + state()[0];
    t->tv_sec = ns / 1000000000;
    t->tv_nsec = ns % 1000000000;
    return 0;
}
time_t time(time_t *out) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    if (out) *out = t.tv_sec;
    return t.tv_sec;
}
int gettimeofday(struct timeval *out, void *zone) {
    struct timespec t;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &t);
    out->tv_sec = t.tv_sec;
    out->tv_usec = t.tv_nsec / 1000;
    return 0;
}
int adjtimex(struct timex *t) {
    const int synced = state()[1] == 1;
    t->status = synced ? 0 : STA_UNSYNC;
    t->maxerror = 5000;
    return synced ? TIME_OK : TIME_ERROR;
}
"""
PUBLISH_EVERY = 0.1
STALL_MOST = 2.0


class FakeClock:
    """A wall clock that is so many seconds from the real one, and whether the kernel calls it synchronised."""

    def __init__(self, folder, seconds):
        self.library, self.state = folder / "clock.so", folder / "clock"
        subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-x", "c", "-o", self.library, "-"], input=LIBRARY, text=True, check=True)
        self.state.write_bytes(bytes(16))
        self.set(seconds)

    def set(self, seconds, synced=False):
        with open(self.state, "r+b") as file:
            file.write(struct.pack("=qq", int(seconds * 1e9), int(synced)))

    def environment(self):
        return {"LD_PRELOAD": str(self.library), "FAKE_CLOCK": str(self.state), "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0"}


class BackdatedFleet(Fleet):
    """Its certificates are a day old."""

    def run_certificates(self, *arguments):
        yesterday = FakeClock(self.folder, -86400)
        subprocess.run([ROOT / "packaging/certificates", self.folder / "certs", *arguments], check=True,
                       env={**os.environ, **yesterday.environment()})


class Machine:
    """The gateway's agent with a clock of its own and a boot id of its own."""

    def __init__(self, gateway):
        self.clock = FakeClock(gateway.folder, -time.time() + 60)
        self.boot_id, self.boots = gateway.folder / "boot_id", 0
        mount = f'mount --bind "{self.boot_id}" /proc/sys/kernel/random/boot_id && exec "$@"'
        environment = [f"{name}={value}" for name, value in self.clock.environment().items()]
        gateway.agent.command = ["unshare", "--mount", "sh", "-c", mount, "sh", "env", *environment, *gateway.agent.command]
        self.boot()

    def boot(self):
        self.boots += 1
        self.boot_id.write_text(f"{self.boots:08x}-0000-4000-8000-000000000000\n")


class Counter:
    """Publishes 1, 2, 3 … and knows when each of them was (by the real clock)."""

    def __init__(self, gateway):
        self.device, self.at, self.stopping = gateway.device(), {}, threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.stopping.is_set():
            n = len(self.at) + 1
            at = time.time()
            self.device.publish("clock/sensor/count/state", str(n))
            self.at[n] = at
            time.sleep(PUBLISH_EVERY)

    def more(self, count, seconds=60):
        """Waits for so many more; returns the numbers."""
        first = len(self.at) + 1
        wait_for("readings to be published", lambda: len(self.at) >= first + count, seconds)
        return list(range(first, first + count))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join()
        self.device.close()


class Stalls:
    """The longest time in which no batch was sent."""

    def __init__(self, gateway):
        self.gateway, self.worst, self.stopping = gateway, 0.0, threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        sent, since = None, time.monotonic()
        while not self.stopping.is_set():
            now = self.gateway.metric("basmalin_agent_sent_batches_total")
            if now != sent:
                sent, since = now, time.monotonic()
            self.worst = max(self.worst, time.monotonic() - since)
            time.sleep(0.05)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join()


def seconds_of(row):
    return datetime.datetime.fromisoformat(row["time"].replace("Z", "+00:00")).timestamp()


@unittest.skipUnless(os.geteuid() == 0, "needs root, to give the agent another boot id")
class Clock(unittest.TestCase):
    def rows(self, fleet):
        return {int(row["value"]): row for row in fleet.readings("g1", "clock", "count")}

    def test_1970_today_an_hour_back_and_a_reboot(self):
        with BackdatedFleet() as fleet:
            machines = []
            g1 = fleet.gateway("g1", overrides={"central.reconnect_most": "1s", "central.backlog_start_most": "0s"},
                               prepare=lambda gateway: machines.append(Machine(gateway)))
            clock = machines[0].clock
            with Counter(g1) as counter:
                # In 1970 no certificate is valid: what is read waits.
                in_1970 = counter.more(30)
                self.assertEqual(g1.metric("basmalin_agent_clock_synced"), 0)
                clock.set(0, synced=True)
                wait_for("the agent sees that its clock is set", lambda: g1.metric("basmalin_agent_clock_synced") == 1)
                wait_for("what was read in 1970 at home", lambda: set(in_1970) <= set(self.rows(fleet)), 60)
                today = counter.more(30)
                wait_for("what was read today at home", lambda: set(today) <= set(self.rows(fleet)))
                with Stalls(g1) as stalls:
                    clock.set(-3600)
                    back = counter.more(150)
                wait_for("what was read after the step back at home", lambda: set(back) <= set(self.rows(fleet)))
                self.assertLess(stalls.worst, STALL_MOST, "the step back stopped the sending")
                wait_for("everything acknowledged", lambda: g1.metric("basmalin_agent_unacked_batches") < 4)
            synced_until = len(counter.at)
            wait_for("all of the first boot at home", lambda: len(self.rows(fleet)) == synced_until)
            rows = self.rows(fleet)
            off = {n: seconds_of(rows[n]) - counter.at[n] for n in rows}
            wrong = {n: round(error, 1) for n, error in off.items() if not -1 < error < 1}
            self.assertEqual(wrong, {}, f"times that are off: 1970 {in_1970[0]}-{in_1970[-1]}, today {today[0]}-, back {back[0]}-")
            self.assertEqual([n for n in rows if rows[n]["estimated"] != "false"], [], "estimated, though the boot was synchronised")

            # A reboot without network; the clock is what was saved at the end of the boot before.
            fleet.broker.kill9()
            g1.agent.stop()
            machines[0].boot()
            before = time.time()
            g1.agent.start()
            wait_for("g1 listens again", g1.listening)
            with Counter(g1) as counter:
                counter.at.update({n: 0.0 for n in range(1, synced_until + 1)})
                unsynced = counter.more(30)
            fleet.broker.start()
            wait_for("what was read after the reboot at home", lambda: set(unsynced) <= set(self.rows(fleet)), 60)
            rows = self.rows(fleet)
            self.assertEqual([n for n in unsynced if rows[n]["estimated"] != "true"], [], "not marked as estimates")
            times = [seconds_of(rows[n]) for n in unsynced]
            self.assertEqual(times, sorted(times), "order")
            # Its bounds: after the boot before, before its arrival.
            self.assertGreater(times[0], seconds_of(rows[synced_until]))
            self.assertLess(times[-1], time.time())
            self.assertGreater(times[0], before - 1)
            self.assertEqual(fleet.items("/api/gaps", node="g1"), [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
