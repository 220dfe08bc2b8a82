"""A node with a valid certificate that does what it can: it harms nobody else, and it is named."""
import contextlib
import os
import random
import secrets
import struct
import threading
import time
import unittest

os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=8"  # else RSS is what was freed

from fleet import Fleet, wait_for
from http_abuse_test import MB, rss
from wire import EVENTS, MONO_MS, Node, batch, definitions, group, readings_body, text, up, varint

GROWTH_MB = 96
STORE_MB = 32


class Good:
    """A garden that goes on: a reading ten times a second, counted."""

    def __init__(self, gateway, device):
        self.gateway, self.name, self.count = gateway, device, 0
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        with self.gateway.device() as device:
            while not self.stopping.is_set():
                self.count += 1
                device.publish(f"{self.name}/sensor/count/state", str(self.count))
                time.sleep(0.1)

    def stop(self):
        self.stopping.set()
        self.thread.join()


class Hostile(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.fleet = Fleet(coordinator_settings="[metrics]\nnodes_max = 100\n").__enter__()
        cls.addClassCleanup(lambda: cls.fleet.__exit__(None))
        cls.g1 = cls.fleet.gateway("g1")
        cls.seed = int(os.environ.get("BASMALIN_SEED", secrets.randbits(32)))
        print(f"BASMALIN_SEED={cls.seed}", flush=True)

    def node(self, name):
        node = Node(self.fleet, name)
        self.addCleanup(node.close)
        return node

    def store_bytes(self):
        return sum(path.stat().st_size for path in (self.fleet.folder / "store").iterdir())

    def faults(self, node, fault):
        for line in self.fleet.api("/metrics").splitlines():
            if line.startswith("basmalin_node_faults_total{") and f'node="{node}"' in line and f'fault="{fault}"' in line:
                return float(line.rsplit(" ", 1)[1])
        return 0

    def events(self, node):
        return [event["text"] for event in self.fleet.items("/api/events", node=node)]

    @contextlib.contextmanager
    def harmless(self, what):
        """Runs the body while a good garden goes on; then: all of its readings are there once, API and bounds hold."""
        memory, store = rss(self.fleet.coordinator), self.store_bytes()
        good = Good(self.g1, what.replace(" ", "_"))
        began = time.monotonic()
        try:
            yield
        finally:
            time.sleep(max(0, began + 2 - time.monotonic()))
            good.stop()
        def came():
            return [int(row["value"]) for row in self.fleet.readings("g1", good.name, "count")]
        wait_for("the good garden's readings", lambda: len(came()) >= good.count, 30)
        self.assertEqual(came(), list(range(1, good.count + 1)))
        asked = time.monotonic()
        self.assertEqual(self.fleet.api("/api/nodes/g1")["presence"], "online")
        took = time.monotonic() - asked
        memory, store = (rss(self.fleet.coordinator) - memory) / MB, (self.store_bytes() - store) / MB
        print(f"{what}: {good.count} good readings, API {took * 1000:.0f} ms, memory {memory:+.1f} MB, store {store:+.1f} MB", flush=True)
        self.assertLess(took, 2)
        self.assertLess(memory, GROWTH_MB)
        self.assertLess(store, STORE_MB)
        self.assertTrue(self.fleet.coordinator.alive())

    def right(self, node, n, device="bed"):
        """A right body of n rows."""
        return readings_body({1: (device, ["a"])}, group(1, list(range(n)), [list(range(n))]))

    def test_garbage_truncations_and_flipped_bits(self):
        dice, evil = random.Random(self.seed), self.node("evil-bits")
        with self.harmless("flipped bits"):
            for seq in range(1, 301):
                sealed = batch(evil.stream, seq, self.right(evil, 50), 50)
                whole = up(evil.stream, [sealed])
                damage = dice.randrange(4)
                if damage == 0:
                    whole = whole[:dice.randrange(len(whole))]
                elif damage == 1:
                    spoiled = bytearray(whole)
                    for _ in range(dice.randrange(1, 8)):
                        spoiled[dice.randrange(len(spoiled))] ^= 1 << dice.randrange(8)
                    whole = bytes(spoiled)
                elif damage == 2:  # a right checksum over a spoiled body
                    body = bytearray(self.right(evil, 50))
                    body[dice.randrange(len(body))] ^= 1 << dice.randrange(8)
                    whole = up(evil.stream, [batch(evil.stream, seq, bytes(body), 50)])
                else:
                    whole = dice.randbytes(dice.randrange(1, 5000))
                evil.publish("up", whole, wait=seq % 50 == 0)
        wait_for("garbage counted at its name", lambda: self.faults("evil-bits", "garbage") > 20)
        self.assertGreater(self.faults("evil-bits", "dead"), 20)
        self.assertTrue(any("dead letter" in e for e in self.events("evil-bits")), self.events("evil-bits"))

    def test_what_claims_to_be_huge(self):
        evil = self.node("evil-size")
        with self.harmless("huge claims"):
            for count in (1 << 20, 1 << 32, 1 << 62):
                evil.send(b"\x00" + varint(1 << 2) + varint(count))
                evil.send(b"\x02" + varint(count))
                evil.send(b"\x02" + definitions({1: ("d", ["q"])}) + varint(1 << 2) + varint(count) + b"\x00" * 1000)
            # A zstd frame (RFC 8878) that says it is 60 MB, of one repeated byte.
            evil.send(b"\x01" + struct.pack("<IBI", 0xFD2FB528, 0xA0, 60 * MB) + struct.pack("<I", (128 * 1024) << 3 | 1 << 1 | 1)[:3] + b"\x00")
            evil.send(self.right(evil, 60_000), 60_000)                 # a batch of more than 60 KiB
            evil.publish("up", up(evil.stream, [os.urandom(10)] * 4096))  # many of nothing
            evil.publish("up", bytes(200_000))
            evil.send(b'{"text":"' + b"x" * 30_000 + b'","time":"now"}', kind=EVENTS)
        wait_for("dead letters at its name", lambda: self.faults("evil-size", "dead") >= 9)
        self.assertTrue(self.events("evil-size"))

    def test_the_stream_of_another_node(self):
        victim, evil = self.node("victim"), self.node("evil-stream")
        victim.send(self.right(victim, 10), 10)
        victim.wait_mark(1)
        with self.harmless("a stolen stream"):
            for seq in range(2, 30):
                stolen = batch(victim.stream, seq, self.right(victim, 10, "lies"), 10)
                evil.publish("up", up(victim.stream, [stolen]))
            wait_for("dead letters at its name", lambda: self.faults("evil-stream", "dead") >= 28)
        victim.send(self.right(victim, 20), 20)
        victim.wait_mark(2)
        self.assertEqual(evil.marks, {}, "the victim's acks are not for others")
        self.assertEqual(self.fleet.readings("victim", "lies"), [])
        self.assertEqual(self.fleet.readings("evil-stream", "lies"), [])
        self.assertTrue(any("belongs to node victim" in e for e in self.events("evil-stream")), self.events("evil-stream"))
        self.assertEqual(self.faults("victim", "dead"), 0)

    def test_a_hundred_thousand_series(self):
        evil = self.node("evil-series")
        with self.harmless("100,000 series"):
            layout = 0
            for _ in range(1600 // 16):
                layouts, groups, at = {}, b"", 0
                for _ in range(16):
                    layout += 1
                    layouts[layout] = (f"device {layout}", [f"quantity {layout} {c}" for c in range(64)])
                    groups += group(layout, [at + 1], [[1]] * 64, at)
                    at += 1
                evil.send(readings_body(layouts, groups), 1024, wait=layout % 160 == 0)
            evil.wait_mark(100, 120)
        self.assertLessEqual(len(self.fleet.items("/api/series", node="evil-series", limit=1000)), 5000)
        wait_for("an event", lambda: any("as many series" in e for e in self.events("evil-series")))

    def test_times_of_2099_and_1970(self):
        evil = self.node("evil-time")
        year_2099 = 4_070_908_800_000
        with self.harmless("impossible times"):
            for wall in (year_2099, 0, 1, -1, -(1 << 62), (1 << 62), 253_402_300_800_000):
                for mono in (MONO_MS, 0, 1, 1 << 40, 1 << 62, -5):
                    evil.send(readings_body({1: ("bed", ["a"])}, group(1, [max(0, mono - 5)], [[1]])), 1, mono_ms=mono, wall_ms=wall)
            evil.send(readings_body({}, group(1, [MONO_MS + (1 << 50)], [[1]])), 1)
            evil.wait_mark(evil.seq, 60)
        self.assertTrue(any("ahead of this server" in e for e in self.events("evil-time")), self.events("evil-time"))
        files = [path.name for path in (self.fleet.folder / "store").glob("history-*.db")]
        self.assertLess(len(files), 24, files)

    def test_other_nodes_topics_and_the_coordinators(self):
        evil, ear = self.node("evil-topic"), threading.Event()
        lie = b'{"online":false,"reason":"lies","since":"2026-01-01T00:00:00.000Z"}'
        with self.harmless("other topics"):
            for others in ("fleet/1/#", "fleet/1/g1/#", "#", "$share/coordinator/fleet/1/+/up"):
                evil.client.subscribe(others, 1)
            for kind, payload in (("status", lie), ("up", os.urandom(100)), ("ack", os.urandom(30)), ("welcome", b"{}"), ("health", b"{}"),
                                  ("hello", b"{}"), ("desired", b"{}"), ("command", b"{}")):
                for retain in (False, True):
                    # The broker may throw it out for that; with QoS 0 it comes back without saying the same again.
                    evil.client.publish(f"fleet/1/g1/{kind}", payload, qos=0, retain=retain)
                    ear.wait(0.2)
        self.assertEqual(evil.foreign, [], "the broker's ACL lets it hear others")
        self.assertEqual(self.fleet.api("/api/nodes/g1")["presence"], "online")
        self.assertEqual(self.faults("g1", "garbage"), 0)

    def test_retained_junk_in_its_own_subtree(self):
        evil = self.node("evil-junk")
        with self.harmless("retained junk"):
            for i in range(3000):
                evil.publish(f"device/d{i}/health", os.urandom(200), retain=True, wait=i % 200 == 199)
            for i in range(3000):
                health = {"device": "x", "state": "ok", "name": "x" * 200}
                evil.publish(f"device/e{i}/health", health, retain=True, wait=i % 200 == 199)
            for kind in ("status", "health", "hello", "up", "reported", "what/ever", "up/up", "device/%2Fx/health"):
                evil.publish(kind, os.urandom(5000), retain=True)
            # The coordinator hears all of it again at its next connection.
            self.fleet.coordinator.stop(30)
            self.fleet.coordinator.start()
            wait_for("the coordinator to listen", lambda: self.fleet.metric("basmalin_ingest_broker_connected") == 1)
        wait_for("garbage counted at its name", lambda: self.faults("evil-junk", "garbage") + self.faults("evil-junk", "flood") > 100)
        self.assertLessEqual(len(self.fleet.items("/api/devices", node="evil-junk", limit=1000)), 1000)

    def test_a_flood(self):
        evil = self.node("evil-flood")
        whole = up(evil.stream, [batch(evil.stream, 1, self.right(evil, 2000), 2000)])
        evil.client.max_inflight_messages_set(1000)
        with self.harmless("a flood"):
            end, sent = time.monotonic() + 6, 0
            while time.monotonic() < end:
                infos = [evil.publish(kind, payload, wait=False) for kind, payload in
                         (("up", whole), ("status", b'{"online":true}'), ("health", b"{"), ("hello", b"{}")) for _ in range(250)]
                infos[-1].wait_for_publish(20)
                sent += len(infos)
        print(f"({sent} messages)")
        wait_for("the flood at its name", lambda: self.faults("evil-flood", "flood") + self.faults("evil-flood", "garbage") > 100)
        self.assertEqual(len(self.fleet.readings("evil-flood", "bed", "a")), 2000, "stored once, however often it came")


if __name__ == "__main__":
    unittest.main(verbosity=2)
