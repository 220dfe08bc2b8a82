"""900 gateways lose the broker at once: they come back spread out, the lag is soon what it was, nothing is lost and nothing comes twice."""
import collections
import pathlib
import resource
import shutil
import tempfile
import time
import unittest

from fleet import BIN, MOSQUITTO, Program, answers, free_port, http_get, wait_for

GATEWAYS, SERIES, EVERY, SECONDS = 900, 10, 3, 42
AWAY = 5                # seconds without a broker
A_SECOND_AT_MOST = 0.35
LAG, LAG_BACK_WITHIN, CALM_AFTER = 5, 60, 20


class Stampede(unittest.TestCase):
    def setUp(self):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="basmalin-test-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.port, self.api_port = free_port(), free_port()
        # As the central broker, but without certificates: 900 TLS handshakes would measure the processor.
        conf = self.folder / "central.conf"
        conf.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\nuser root\npersistence false\nmax_inflight_messages 64\n"
                        "max_queued_messages 0\nmax_queued_bytes 67108864\nlog_dest stderr\nlog_type error\n")
        settings = self.folder / "coordinator.toml"
        settings.write_text(f'[broker]\nhost = "127.0.0.1"\nport = {self.port}\ntls = false\n[store]\nfolder = "{self.folder}/store"\n'
                            f'[http]\nport = {self.api_port}\ntoken_file = "{self.folder}/token"\n')
        self.broker = self.program("broker", [MOSQUITTO, "-c", conf], answers(self.port)).start()
        self.coordinator = self.program("coordinator", [BIN / "basmalin-coordinator", "--config", settings], answers(self.api_port)).start()

    def program(self, name, command, ready):
        program = Program(self.folder, name, command, ready)
        self.addCleanup(lambda: program.kill9() if program.alive() else None)
        return program

    def metric(self, name):
        status, text = http_get(f"http://127.0.0.1:{self.api_port}/metrics", (self.folder / "token").read_text().strip())
        self.assertEqual(status, 200)
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith((name + " ", name + "{")))

    def test_a_broker_that_was_away(self):
        told = self.folder / "told"
        fleet = self.program("fleet", [BIN / "fleet_live", self.port, GATEWAYS, SERIES, EVERY, SECONDS, GATEWAYS, told], lambda: True).start()
        # Every gateway's first batches are in the store.
        wait_for("the fleet to live", lambda: self.metric("basmalin_readings_stored_total") >= GATEWAYS * SERIES * 1.5, 60)
        self.broker.kill9()
        time.sleep(AWAY)
        self.broker.start()
        back = time.time()
        code = fleet.process.wait(SECONDS + 150)
        self.assertEqual(code, 0, fleet.tail())

        lines = [line.split() for line in told.read_text().splitlines()]
        reconnects = [float(line[1]) - back for line in lines if line[0] == "reconnect"]
        batches = [(float(line[1]), float(line[2])) for line in lines if line[0] == "batch"]
        readings = next(int(line[1]) for line in lines if line[0] == "readings")
        by_second = collections.Counter(int(at) for at in reconnects)
        print(f"reconnects by second: {[by_second[s] for s in range(max(by_second) + 1)]}", flush=True)
        self.assertGreaterEqual(len(reconnects), GATEWAYS, "every gateway came back")
        self.assertLess(len(reconnects), GATEWAYS * 1.05, "and stayed")
        self.assertLessEqual(max(by_second.values()), GATEWAYS * A_SECOND_AT_MOST, "a stampede")

        late = [sealed + lag - back for sealed, lag in batches if lag > LAG]
        calm = sorted(lag for sealed, lag in batches if sealed > back + CALM_AFTER)
        self.assertGreater(len(late), GATEWAYS / 2, "the broker was away for nobody")
        self.assertGreater(len(calm), GATEWAYS, "too short to see that the lag is back")
        print(f"the last batch later than {LAG} s came {max(late):.1f} s after the broker; p99 of the lag from {CALM_AFTER} s on: "
              f"{calm[len(calm) * 99 // 100]:.2f} s", flush=True)
        self.assertLess(max(late), LAG_BACK_WITHIN)
        self.assertLess(calm[len(calm) * 98 // 100], LAG, "the lag is back, but for a few who still wait for their turn")

        self.assertEqual(len(batches) * SERIES, readings, "every batch was acknowledged")
        self.assertEqual(self.metric("basmalin_readings_stored_total"), readings, "stored once each")
        self.assertEqual(self.metric("basmalin_gap_readings_total"), 0)
        self.assertTrue(self.coordinator.alive())


if __name__ == "__main__":
    unittest.main(verbosity=2)
