"""A disk that fills up, under the agent and under the coordinator: a small tmpfs, filled by a foreign file and by their own data. Both
go on and say so; the agent gives up the oldest by rule and tells what it gave up; the coordinator acknowledges nothing it has not
stored. When there is room again, everything that was not told as a gap is there, once.
Mounts in a namespace of its own; needs root."""
import collections
import ctypes
import json
import os
import random
import subprocess
import time
import unittest

from fleet import Fleet, http_get, wait_for
from load import RULE, Load, arrived

CLONE_NEWNS = 0x00020000


def own_namespace():
    """True when this process (and what it starts) can mount without anybody else seeing it."""
    if os.geteuid() != 0 or ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) != 0:
        return False
    return subprocess.run(["mount", "--make-rprivate", "/"], capture_output=True, check=False).returncode == 0


def small_disk(folder, size):
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder], check=True)


def let_go(folder):
    """So that the folder can be removed; whoever has files open there keeps them."""
    subprocess.run(["umount", "--lazy", folder], check=True)


def free(folder):
    stat = os.statvfs(folder)
    return stat.f_bavail * stat.f_frsize


def fill(folder, leave=0):
    """A foreign file that leaves so many bytes."""
    with open(folder / "foreign", "ab", buffering=0) as file:
        while free(folder) > leave:
            try:
                file.write(b"x" * min(65536, free(folder) - leave))
            except OSError:
                return


class Noise(Load):
    """Numbers that no codec makes small."""

    def run(self):
        client, dice = self.connect(), random.Random(1)
        while not self.stopping.is_set():
            self.tried += 1
            client.publish(f"load/{self.name}", json.dumps({f"q{i:02}": dice.random() for i in range(self.values)}), qos=1)
            client.loop(0.01)
        client.disconnect()


@unittest.skipUnless(own_namespace(), "needs root, to mount small disks in a namespace of its own")
class DiskFull(unittest.TestCase):
    def test_the_agent_gives_up_the_oldest_and_tells(self):
        with Fleet() as fleet:
            g1 = fleet.gateway("g1", settings=RULE, overrides={"buffer.disk_reserve": "1MiB", "buffer.acked_keep": "0s"},
                               prepare=lambda g: small_disk(g.folder / "state", "6m"))
            state = g1.folder / "state"
            wait_for("readings at home", lambda: g1.metric("basmalin_agent_acks_total") > 0)
            fleet.broker.kill9()
            with Noise(g1, values=50):
                wait_for("its own data fills the disk, and the oldest go", lambda: g1.metric("basmalin_agent_evicted_readings_total") > 10_000, 120)
                self.assertEqual(g1.get("/healthz")[0], 200, "giving up by rule is no failure")
                fill(state)
                wait_for("the health of a full disk", lambda: g1.get("/healthz")[0] == 503 and "cannot be written" in g1.get("/healthz")[1], 60)
                self.assertTrue(g1.agent.alive())
            (state / "foreign").unlink()
            wait_for("the buffer can be written again", lambda: g1.get("/healthz")[0] == 200, 60)
            fleet.broker.start()

            def balance():
                """What was sealed is stored or told as given up, to the reading."""
                sealed = g1.metric("basmalin_agent_sealed_readings_total")
                return sealed == fleet.metric("basmalin_readings_stored_total") + fleet.metric("basmalin_gap_readings_total")
            wait_for("everything sealed at home or told", lambda: g1.metric("basmalin_agent_unacked_batches") == 0 and balance(), 120)
            gaps = fleet.items("/api/gaps", node="g1")
            self.assertEqual({gap["reason"] for gap in gaps}, {"evicted"})
            self.assertEqual(sum(gap["readings"] for gap in gaps), g1.metric("basmalin_agent_evicted_readings_total"))
            let_go(state)

    def test_the_coordinator_stops_to_acknowledge_and_goes_on(self):
        fleet = Fleet(coordinator_settings='[health]\ndisk_reserve = "1MiB"\n')
        store = fleet.folder / "store"
        small_disk(store, "6m")
        with fleet:
            g1 = fleet.gateway("g1", settings=RULE)
            with Load(g1, messages_per_second=50) as load:
                wait_for("readings at home", lambda: len(fleet.readings("g1", "load", "q00")) > 50)
                fill(store, leave=200_000)
                checks = wait_for("the health of a full disk", lambda: unhealthy(fleet))
                self.assertIn("disk_space", checks)
                wait_for("its own data fills the rest, and nothing is acknowledged", lambda: g1.metric("basmalin_agent_unacked_batches") > 50, 120)
                acks = g1.metric("basmalin_agent_acks_total")
                time.sleep(2)
                self.assertEqual(g1.metric("basmalin_agent_acks_total"), acks, "acknowledged on a full disk")
                self.assertTrue(fleet.coordinator.alive())
                self.assertGreater(len(fleet.readings("g1", "load", "q00")), 50, "what is there can be read")
                (store / "foreign").unlink()
                wait_for("all of it at home", lambda: g1.metric("basmalin_agent_unacked_batches") < 5, 90)
            wait_for("the rest", lambda: arrived(fleet, load), 60)
            wait_for("all of it acknowledged", lambda: g1.metric("basmalin_agent_unacked_batches") == 0, 60)
            wait_for("health", lambda: not unhealthy(fleet), 60)
            fleet.coordinator.kill9()
            fleet.coordinator.start()
            counts = collections.Counter(int(float(row["value"])) for row in fleet.readings("g1", "load", "q00"))
            self.assertEqual([n for n, times in counts.items() if times > 1], [], "stored twice")
            self.assertEqual(set(load.taken) - set(counts), set(), "acknowledged and lost")
            self.assertEqual(fleet.items("/api/gaps", node="g1"), [])
            let_go(store)


def unhealthy(fleet):
    status, text = http_get(f"http://127.0.0.1:{fleet.api_port}/api/health", fleet.token)
    return [] if status == 200 else [check["name"] for check in json.loads(text)["checks"] if check["status"] != "healthy"]


if __name__ == "__main__":
    unittest.main(verbosity=2)
