"""What a garden behind a bad mobile link sees: narrow, slow, lossy; stalled, silent, reset.
    BASMALIN_BAD_LINK_READINGS=1000000   the backlog (100,000)"""
import contextlib
import ctypes
import os
import shutil
import subprocess
import threading
import time
import unittest

from fleet import Fleet, wait_for
from link import Link
from load import RULE, Load, arrived, stored
from offline_test import AT_ONCE, backlog_stored, with_backlog

READINGS = int(os.environ.get("BASMALIN_BAD_LINK_READINGS", 100_000))
CLONE_NEWNET = 0x40000000


def run(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(str(word) for word in command)}: {done.stderr}")


def network():
    return os.readlink("/proc/thread-self/ns/net")


MACHINES_NETWORK = network()


def enter_a_network_of_our_own():
    """This thread, and whatever it starts, in a network namespace that ends with them; the test is skipped where that is impossible."""
    if network() != MACHINES_NETWORK:
        return
    if os.geteuid() != 0:
        raise unittest.SkipTest("needs root for a network namespace")
    for tool, package in (("tc", "iproute2"), ("ip", "iproute2"), ("nft", "nftables")):
        if not shutil.which(tool, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin"):
            raise unittest.SkipTest(f"needs {tool} (Debian package {package})")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        raise unittest.SkipTest(f"the kernel gives no network namespace: {os.strerror(ctypes.get_errno())}")
    run("ip", "link", "set", "lo", "up", "mtu", 1500)


def narrow(port, rate="256kbit", loss_percent=2):
    """Both ways of a port on loopback: the rate by tbf, the loss by nftables, which also says what goes through which tbf. Whatever
    goes to other ports passes htb untouched."""
    assert network() != MACHINES_NETWORK, "the machine's own loopback is nobody's to narrow"
    run("tc", "qdisc", "add", "dev", "lo", "root", "handle", "1:", "htb")
    run("nft", "add table inet bad_link")
    run("nft", "add chain inet bad_link leaving { type filter hook output priority 0; }")
    run("nft", "add chain inet bad_link arriving { type filter hook input priority 0; }")
    for number, side in ((1, "dport"), (2, "sport")):
        run("tc", "class", "add", "dev", "lo", "parent", "1:", "classid", f"1:{number}", "htb", "rate", "1gbit")
        run("tc", "qdisc", "add", "dev", "lo", "parent", f"1:{number}", "tbf", "rate", rate, "burst", 3200, "latency", "400ms")
        run("nft", f"add rule inet bad_link leaving tcp {side} {port} meta priority set 1:{number}")
        run("nft", f"add rule inet bad_link arriving tcp {side} {port} numgen random mod 100 < {loss_percent} drop")


class Watch:
    """When each number of a load was first seen through the API, and the agent's memory meanwhile."""

    def __init__(self, fleet, gateway, load):
        self.fleet, self.gateway, self.load = fleet, gateway, load
        self.seen, self.rss, self.ending = {}, [], threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.ending.wait(0.05):
            for row in self.fleet.readings(self.gateway.node, self.load.name, "q00", time.time() - 30):
                self.seen.setdefault(int(row["value"]), time.monotonic())
            self.rss.append(self.memory())

    def memory(self):
        with open(f"/proc/{self.gateway.agent.process.pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024

    def sanitized(self):
        with open(f"/proc/{self.gateway.agent.process.pid}/maps") as maps:
            return "libasan" in maps.read()

    def __enter__(self):
        self.before = self.memory()
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.thread.join()

    def lags(self, since, until):
        """Seconds from publishing on the local broker to the API, in order, of what was published in that time."""
        return sorted(self.seen.get(n, float("inf")) - began for n, (_, began, _) in self.load.taken.items() if since <= began <= until)


class BadLink(unittest.TestCase):
    def test_a_backlog_drains_and_live_readings_do_not_wait_for_it(self):
        """256 kbit/s, 300 ms there and back, 2 % loss."""
        enter_a_network_of_our_own()
        with contextlib.ExitStack() as stack:
            fleet = stack.enter_context(Fleet())
            link = stack.enter_context(Link(fleet.broker_port, delay=0.15))
            narrow(link.port)
            link.stalled = True
            g1 = fleet.gateway("g1", settings=RULE, overrides=AT_ONCE, central_port=link.port, prepare=with_backlog(READINGS, 256))
            load = stack.enter_context(Load(g1, messages_per_second=20, values=5))
            time.sleep(3)
            watch = stack.enter_context(Watch(fleet, g1, load))
            link.stalled = False
            wait_for("the coordinator's welcome", lambda: g1.metric("basmalin_agent_uplink_open") == 1, 60)
            time.sleep(3)  # what waited for the connection is no live reading
            began, first = time.monotonic(), g1.metric("basmalin_agent_unacked_batches")
            sent = g1.metric("basmalin_agent_central_sent_bytes_total")
            self.assertGreater(first, 100, "the backlog was home before anything was measured")
            wait_for("the backlog to drain", lambda: g1.metric("basmalin_agent_unacked_batches") < 10, 30 + READINGS / 1000)
            ended = time.monotonic()
            sent = g1.metric("basmalin_agent_central_sent_bytes_total") - sent
            load.stop()
            wait_for("the newest reading in the store", lambda: arrived(fleet, load), 60)
            time.sleep(0.5)
            lags = watch.lags(began, ended)
            p99 = lags[int(len(lags) * 0.99)]
            grown = max(watch.rss) - watch.before
            print(f"{first * 256:.0f} readings of the backlog in {ended - began:.0f} s at {sent / (ended - began):.0f} bytes/s; live readings: {len(lags)}, "
                  f"p50 {lags[len(lags) // 2]:.2f} s, p99 {p99:.2f} s, slowest {lags[-1]:.2f} s; resent messages "
                  f"{g1.metric('basmalin_agent_resent_messages_total'):.0f}, reconnects {g1.metric('basmalin_agent_central_reconnects_total'):.0f}; "
                  f"agent {watch.before:.1f} MB + {grown:.1f} MB{' (with sanitizers)' if watch.sanitized() else ''}")
            self.assertLess(p99, 2)
            if not watch.sanitized():
                self.assertLess(grown, 4)
            live = stored(fleet, "g1", ["load"])
            self.assertEqual(set(live.values()), {1}, "stored twice")
            self.assertEqual(set(live), {("load", f"q{i:02}", n) for n in load.taken for i in range(load.values)})
            old = backlog_stored(fleet, "g1", READINGS)
            self.assertEqual([n for n, times in old.items() if times > 1][:10], [], "stored twice")
            self.assertEqual(sorted(set(range(READINGS)) - set(old))[:10], [], "lost")

    def test_a_link_that_stalls_goes_silent_and_resets(self):
        """Whatever it does, everything arrives, once."""
        overrides = {**AT_ONCE, "central.keepalive_seconds": 5}
        with Fleet() as fleet, Link(fleet.broker_port, delay=0.05, bytes_per_second=64_000) as link:
            g1 = fleet.gateway("g1", settings=RULE, overrides=overrides, central_port=link.port, prepare=with_backlog(100_000, 256))
            with Load(g1, messages_per_second=20) as load:
                for disturbance in ("stall", "reset", "silence", "reset"):
                    acks = g1.metric("basmalin_agent_acks_total")
                    wait_for("acks", lambda: g1.metric("basmalin_agent_acks_total") >= acks + 3, 60)
                    made = link.connections
                    if disturbance == "stall":
                        link.stalled = True
                        time.sleep(2)
                        link.stalled = False
                    elif disturbance == "silence":
                        link.silent = True
                        wait_for("the agent to notice", lambda: link.connections > made, 60)
                        link.silent = False
                    else:
                        link.reset()
                        wait_for("a new connection", lambda: link.connections > made, 60)
            wait_for("the newest reading in the store", lambda: arrived(fleet, load), 90)
            wait_for("everything is acknowledged", lambda: g1.metric("basmalin_agent_unacked_batches") == 0, 90)
            print(f"{link.connections} connections, {g1.metric('basmalin_agent_resent_messages_total'):.0f} messages resent")
            live, old = stored(fleet, "g1", ["load"]), backlog_stored(fleet, "g1", 100_000)
            self.assertEqual(set(live.values()) | set(old.values()), {1}, "stored twice")
            self.assertEqual(set(live), {("load", f"q{i:02}", n) for n in load.taken for i in range(load.values)})
            self.assertEqual(set(old), set(range(100_000)))


if __name__ == "__main__":
    unittest.main(verbosity=2)
