"""SIGKILL of the agent, both brokers and the coordinator, at random times and in random order, round after round under load.
What is in the store is what was sealed, reading by reading; what was published and not sealed was on its way to a listener that was
dead; nothing is there twice.
    BASMALIN_STORM_ROUNDS=1000   how many rounds (30)
    BASMALIN_STORM_SEED=…        the same storm again: times, order and wipes"""
import concurrent.futures
import dataclasses
import os
import random
import shutil
import signal
import time
import unittest

from fleet import Fleet, wait_for
from load import RULE, Load, arrived, readings_in, stored

ROUNDS = int(os.environ.get("BASMALIN_STORM_ROUNDS", 30))
SEED = int(os.environ.get("BASMALIN_STORM_SEED", random.randrange(10**6)))
ROUNDS_A_DEVICE = 4  # a new device each, so that the answers of the API stay short
SEAL_AFTER = 0.2
UNSEALED = SEAL_AFTER + 0.5  # seconds between the local broker's PUBACK and the seal, on a busy machine


@dataclasses.dataclass
class Round:
    events: list    # (seconds, "kill" or "start", name of the program), in order
    wipe: bool      # both brokers begin again with nothing, else with what they saved just before
    patient: bool   # waits until every program is ready; otherwise only until readings are heard again
    calm: float     # seconds under load before the next round


def make_storm(seed, rounds):
    dice = random.Random(seed)
    storm = []
    for number in range(rounds):
        events = []
        for name in ("agent", "local", "central", "coordinator"):
            at = dice.uniform(0, 0.8)
            events += [(at, "kill", name), (at + dice.uniform(0, 0.5), "start", name)]
        wipe = dice.random() < 0.5 if number % 2 == 0 else not storm[-1].wipe
        storm.append(Round(sorted(events), wipe, dice.random() < 0.5, dice.uniform(0.7, 1.5)))
    return storm


class Listener:
    """When readings reached nobody. Opened by the death of the agent or of its broker; over when this broker has logged the
    subscription of this agent."""

    def __init__(self, gateway):
        self.gateway, self.deaf, self.since, self.offset = gateway, [], None, 0

    def died(self):
        self.offset = self.gateway.broker.log.stat().st_size
        if self.since is None:
            self.since = time.monotonic()

    def wait(self):
        def hears():
            with open(self.gateway.broker.log, "rb") as log:
                log.seek(self.offset)
                return f"basmalin-agent-{self.gateway.node} 1 load/+".encode() in log.read()
        wait_for("the agent hears its broker again", hears, 60)
        self.deaf.append((self.since, time.monotonic()))
        self.since = None

    def lost_for(self, began, ended):
        """How long before the death a message that is lost was confirmed: 0 when nobody listened, None when nobody died after it."""
        return min((max(0, since - ended) for since, until in self.deaf if began <= until), default=None)


class KillStorm(unittest.TestCase):
    def setUp(self):
        print(f"BASMALIN_STORM_SEED={SEED} BASMALIN_STORM_ROUNDS={ROUNDS}", flush=True)

    def test_what_was_sealed_is_stored_once(self):
        devices = [f"load{i}" for i in range((ROUNDS - 1) // ROUNDS_A_DEVICE + 1)]
        overrides = {"buffer.acked_keep": "60 s", "central.reconnect_first": "100 ms", "central.reconnect_most": "1 s",
                     "central.backlog_start_most": "200 ms"}
        with Fleet(seal_after=f"{SEAL_AFTER * 1000:.0f} ms") as fleet, concurrent.futures.ThreadPoolExecutor(1) as reader:
            g1 = fleet.gateway("g1", settings=RULE, overrides=overrides)
            self.programs = {"agent": g1.agent, "local": g1.broker, "central": fleet.broker, "coordinator": fleet.coordinator}
            self.listener, self.exports = Listener(g1), []
            with Load(g1, devices[0]) as load:
                time.sleep(0.5)
                for number, one in enumerate(make_storm(SEED, ROUNDS)):
                    load.name = devices[number // ROUNDS_A_DEVICE]
                    self.play(fleet, g1, one, lambda: self.exports.append(reader.submit(self.sealed_in, g1, self.copy_buffer(g1), devices)))
                for program in self.programs.values():
                    program.wait_ready()
                time.sleep(1)
                load.stop()
            wait_for("the newest reading in the store", lambda: arrived(fleet, load), 120)
            wait_for("everything sealed is acknowledged", lambda: g1.metric("basmalin_agent_unacked_batches") == 0, 120)
            self.assertEqual(g1.agent.stop(), 0)
            sealed = readings_in(g1.export_buffer(), devices).union(*(export.result() for export in self.exports))
            self.check(fleet, load, sealed, stored(fleet, "g1", devices))

    def play(self, fleet, g1, one, agent_killed):
        began = time.monotonic()
        if not one.wipe:
            for broker in (g1.broker, fleet.broker):
                broker.process.send_signal(signal.SIGUSR1)  # Mosquitto saves
        for at, what, name in one.events:
            time.sleep(max(0, began + at - time.monotonic()))
            program = self.programs[name]
            if what == "start":
                program.start(wait=False)
                continue
            self.assertTrue(program.alive(), f"{name} ended by itself:\n{program.tail()}")
            program.kill9()
            if name in ("agent", "local"):
                self.listener.died()
            if name == "agent":
                agent_killed()
            if one.wipe and name in ("local", "central"):
                folder = g1.folder if name == "local" else fleet.folder
                for file in folder.glob("mosquitto.db*"):
                    file.unlink()
        self.listener.wait()
        if one.patient:
            for program in self.programs.values():
                program.wait_ready()
        time.sleep(one.calm)

    def copy_buffer(self, g1):
        """The buffer's files as the kill left them: they are read while the storm goes on."""
        copy = g1.folder / f"killed{len(self.exports)}"
        copy.mkdir()
        for file in ("buffer.db", "buffer.db-wal"):
            if (g1.folder / "state" / file).exists():
                shutil.copy(g1.folder / "state" / file, copy)
        return copy

    @staticmethod
    def sealed_in(g1, copy, devices):
        sealed = readings_in(g1.export_buffer(copy / "buffer.db"), devices)
        shutil.rmtree(copy)
        return sealed

    def check(self, fleet, load, sealed, counts):
        gaps = fleet.items("/api/gaps")
        print(f"{len(load.taken)} messages taken, {len(load.unsure)} unsure, {len(sealed)} readings sealed, {len(counts)} stored, "
              f"{len(gaps)} gaps; nobody listened for {sum(b - a for a, b in self.listener.deaf):.0f} s")
        self.assertEqual(gaps, [], "the buffer had room for all of it")
        self.assertEqual([r for r, times in counts.items() if times > 1][:10], [], "stored twice")
        published = {(device, f"q{i:02}", n) for of in (load.taken, load.unsure) for n, (device, _, _) in of.items() for i in range(load.values)}
        self.assertEqual(sorted(sealed - set(counts))[:10], [], "sealed, and not stored")
        self.assertEqual(sorted(set(counts) - sealed)[:10], [], "stored, and in no export")
        self.assertLessEqual(set(counts), published)
        lost = {n: self.listener.lost_for(*load.taken[n][1:]) for _, _, n in published - sealed if n in load.taken}
        print(f"{len(lost)} messages lost with what was not sealed yet, confirmed at most {max(filter(None, lost.values()), default=0):.2f} s before")
        self.assertEqual([n for n, before in sorted(lost.items()) if before is None or before > UNSEALED], [], "lost while the agent listened")
        self.assertGreater(len(sealed), 0.4 * len(published), "the storm left too little to see")


if __name__ == "__main__":
    unittest.main(verbosity=2)
