"""Long without the centre: a backlog comes home whole, and what is live does not wait for it."""
import collections
import subprocess
import time
import unittest

from fleet import BIN, MOSQUITTO, Fleet, wait_for
from load import RULE, Load, arrived, stored

AT_ONCE = {"central.backlog_start_most": "0 s", "central.reconnect_first": "100 ms", "central.reconnect_most": "1 s"}


def with_backlog(readings, readings_a_batch):
    """For Fleet.gateway(prepare=…): the buffer holds this already when the agent starts."""
    def prepare(gateway):
        subprocess.run([BIN / "make_backlog", gateway.folder / "state", str(readings), str(readings_a_batch)], check=True, timeout=300)
    return prepare


def backlog_stored(fleet, node, readings):
    """How often each reading of make_backlog is in the store, by its number; asked for in pieces, since an answer has its time."""
    numbers, piece = collections.Counter(), 10_000
    newest = time.time() + 10
    for begin in range(int(newest) - readings - 1000, int(newest), piece):
        rows = fleet.readings(node, "backlog", "count", begin, begin + piece - 0.001)
        numbers.update(int(float(row["value"])) // 1000 for row in rows)
    return numbers


class Offline(unittest.TestCase):
    def test_weeks_offline_in_small(self):
        """The gateway loses power meanwhile; what was sealed before and after arrives."""
        with Fleet() as fleet:
            g1 = fleet.gateway("g1", settings=RULE, overrides=AT_ONCE)
            fleet.broker.kill9()
            fleet.coordinator.kill9()
            with Load(g1) as load:
                wait_for("a backlog", lambda: len(load.taken) >= 200, 60)
                g1.agent.kill9()
                killed = time.monotonic()
                g1.agent.start()
                wait_for("the agent listens", g1.listening)
                listens = time.monotonic()
                wait_for("more backlog", lambda: len(load.taken) >= 400, 60)
            fleet.broker.start()
            fleet.coordinator.start()
            wait_for("the newest reading in the store", lambda: arrived(fleet, load), 60)
            wait_for("everything is acknowledged", lambda: g1.metric("basmalin_agent_unacked_batches") == 0, 60)
            counts = stored(fleet, "g1", ["load"])
            self.assertEqual(set(counts.values()), {1}, "stored twice")
            heard = [n for n, (_, began, ended) in load.taken.items() if began > listens or ended < killed - 0.7]
            self.assertGreater(len(heard), 250)
            self.assertEqual({("load", f"q{i:02}", n) for n in heard for i in range(load.values)} - set(counts), set())

    def test_a_broker_with_default_queue_limits_restarts_during_a_backlog(self):
        """Mosquitto as Debian ships it drops beyond 1,000 queued messages, and confirms them all the same. It is killed, stopped
        and killed again while 100,000 batches come home."""
        with Fleet() as fleet:
            bound = ("max_queued_messages", "max_queued_bytes", "max_inflight_messages")
            conf = fleet.folder / "central.conf"
            lines = conf.read_text().splitlines()
            kept = [line for line in lines if not line.startswith(bound)]
            self.assertEqual(len(lines) - len(kept), len(bound))
            fleet.broker.stop()
            conf.write_text("\n".join(kept) + "\n")
            fleet.broker.start()
            g1 = fleet.gateway("g1", settings=RULE, overrides=AT_ONCE, prepare=with_backlog(100_000, 1))
            restarts = []
            for restart in (fleet.broker.kill9, fleet.broker.stop, fleet.broker.kill9):
                before = g1.metric("basmalin_agent_unacked_batches")
                wait_for("the backlog to move", lambda: g1.metric("basmalin_agent_unacked_batches") < before - 10_000, 60)
                restart()
                restarts.append(g1.metric("basmalin_agent_unacked_batches"))
                fleet.broker.start()
            self.assertGreater(restarts[-1], 10_000, "the backlog was home before the last restart")
            wait_for("everything is acknowledged", lambda: g1.metric("basmalin_agent_unacked_batches") == 0, 120)
            counts = backlog_stored(fleet, "g1", 100_000)
            print(f"restarted with {restarts} batches unacknowledged")
            self.assertEqual([n for n, times in counts.items() if times > 1][:10], [], "stored twice")
            self.assertEqual(sorted(set(range(100_000)) - set(counts))[:10], [], "lost")


if __name__ == "__main__":
    unittest.main(verbosity=2)
