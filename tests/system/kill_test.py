"""SIGKILL of each program under load: nothing that was sealed is lost, and nothing is stored twice."""
import collections
import csv
import io
import threading
import time
import unittest

from fleet import Fleet, wait_for


class Load:
    """Publishes 1, 2, 3 … as readings of one device until told to stop; remembers what its broker took."""

    def __init__(self, gateway, per_second=400):
        self.device = gateway.device()
        self.taken = []
        self.tried = 0
        self.pause = 1 / per_second
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.stopping.is_set():
            self.tried += 1
            try:
                self.device.publish("load/sensor/count/state", str(self.tried))
                self.taken.append(self.tried)
            except (AssertionError, ValueError, RuntimeError):
                pass  # the broker is away: the device's client may still deliver it later, and nobody promised to
            time.sleep(self.pause)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        if not self.stopping.is_set():
            self.stopping.set()
            self.thread.join()
            self.device.close()


def stored(fleet):
    return collections.Counter(int(row["value"]) for row in fleet.readings("g1", "load", "count"))


class Kill(unittest.TestCase):
    def run_with(self, disturb, rounds=4):
        """Runs load while `disturb` is called; returns (numbers taken by the broker, counter of numbers stored)."""
        with Fleet() as fleet:
            g1 = fleet.gateway("g1")
            with Load(g1) as load:
                for _ in range(rounds):
                    reached = len(load.taken) + 150
                    wait_for("load to go on", lambda: len(load.taken) >= reached, 60)
                    disturb(fleet, g1)
                # A last stretch without disturbance, so that everything can come home.
                wait_for("the agent listens again", g1.listening, 60)
                last = len(load.taken) + 50
                wait_for("load to end", lambda: len(load.taken) >= last, 60)
                load.stop()
                newest = load.taken[-1]
                wait_for("the newest reading in the store", lambda: newest in stored(fleet), 90)
                wait_for("everything sealed is acknowledged", lambda: g1.metric("basmalin_agent_unacked_batches") == 0, 90)
            counts = stored(fleet)
            self.assertEqual([n for n, times in counts.items() if times > 1], [], "stored twice")
            self.assertLessEqual(set(counts), set(range(1, load.tried + 1)), "stored, but never published")
            batches = {name: fleet.metric(f"basmalin_batches_{name}") for name in ("received_total", "total")}
            self.assertEqual(batches["received_total"], batches["total"])
            return load.taken, counts

    def assert_all(self, taken, counts):
        missing = sorted(set(taken) - set(counts))
        self.assertEqual(missing, [], f"{len(missing)} of {len(taken)} lost")

    def test_the_coordinator_is_killed(self):
        def disturb(fleet, _):
            fleet.coordinator.kill9()
            fleet.coordinator.start()
        self.assert_all(*self.run_with(disturb))

    def test_the_central_broker_is_killed(self):
        def disturb(fleet, _):
            fleet.broker.kill9()
            fleet.broker.start()
        self.assert_all(*self.run_with(disturb))

    def test_the_agent_is_killed(self):
        """What its buffer held at each kill is all there. What is lost was not sealed yet (200 ms here), or nobody listened."""
        sealed = set()

        def disturb(_, g1):
            g1.agent.kill9()
            rows = csv.DictReader(io.StringIO(g1.export_buffer()))
            sealed.update(int(row["value"]) for row in rows if row["device"] == "load")
            g1.agent.start()
            wait_for("the agent listens", g1.listening)
        taken, counts = self.run_with(disturb)
        self.assertGreater(len(sealed), 100)
        self.assertEqual(sorted(sealed - set(counts)), [], "sealed, and lost")
        missing = sorted(set(taken) - set(counts))
        runs = [n for i, n in enumerate(missing) if i == 0 or n != missing[i - 1] + 1]
        self.assertLessEqual(len(runs), 2 * 4, f"readings are missing elsewhere than around the kills: {missing}")

    def test_the_gateways_broker_is_killed(self):
        """Its queue in memory is not ours to save; what the agent received is all there."""
        def disturb(_, g1):
            g1.broker.kill9()
            g1.broker.start()
            wait_for("the agent listens", g1.listening, 60)
        taken, counts = self.run_with(disturb, rounds=3)
        missing = sorted(set(taken) - set(counts))
        runs = [n for i, n in enumerate(missing) if i == 0 or n != missing[i - 1] + 1]
        self.assertLessEqual(len(runs), 6, f"readings are missing elsewhere than around the kills: {missing}")
        self.assertGreaterEqual(len(counts), 50 + 3 * 100)

    def test_weeks_offline_in_small(self):
        """The centre is away while readings come; all of them arrive afterwards, and live ones do not wait for the backlog."""
        with Fleet() as fleet:
            g1 = fleet.gateway("g1")
            fleet.broker.kill9()
            fleet.coordinator.kill9()
            with Load(g1, per_second=1000) as load:
                wait_for("a backlog", lambda: len(load.taken) >= 1500, 60)
                g1.agent.kill9()  # and the gateway loses power meanwhile
                before = len(load.taken)
                g1.agent.start()
                wait_for("the agent listens", g1.listening)
                after = load.taken[-1]
                wait_for("more backlog", lambda: len(load.taken) >= before + 300, 60)
                load.stop()
            fleet.broker.start()
            fleet.coordinator.start()
            wait_for("everything is acknowledged", lambda: g1.metric("basmalin_agent_unacked_batches") == 0, 90)
            counts = stored(fleet)
            self.assertEqual([n for n, times in counts.items() if times > 1], [])
            self.assertEqual([n for n in load.taken if n > after and n not in counts], [])
            self.assertEqual([n for n in load.taken if n <= 1000 and n not in counts], [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
