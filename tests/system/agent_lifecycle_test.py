"""The agent as a service: settings read again without losing count, a watchdog fed by progress alone, and TLS that says what is wrong."""
import contextlib
import ctypes
import json
import os
import pathlib
import re
import signal
import socket
import sqlite3
import subprocess
import time
import unittest
from unittest import mock

from fleet import ROOT, Fleet, wait_for

PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH = 0x4206, 0x4207, 17
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
LIBC.ptrace.restype = ctypes.c_long


def ptrace(request, thread):
    if LIBC.ptrace(request, thread, None, None) != 0:
        raise OSError(ctypes.get_errno(), f"ptrace {request:#x} of {thread}")


@contextlib.contextmanager
def frozen(thread):
    """One thread of a program stands still, as on a sick disk."""
    ptrace(PTRACE_SEIZE, thread)
    ptrace(PTRACE_INTERRUPT, thread)
    os.waitpid(thread, 0x40000000)  # __WALL
    try:
        yield
    finally:
        ptrace(PTRACE_DETACH, thread)


@contextlib.contextmanager
def frozen_while_writing(gateway):
    """The buffer's thread stands still in the middle of its work: it waits for a lock of the file when it is frozen."""
    tasks = pathlib.Path(f"/proc/{gateway.agent.process.pid}/task")
    thread = next(t for t in tasks.iterdir() if (t / "comm").read_text().strip() == "buffer")
    idle = (thread / "syscall").read_text().split()[0]
    with contextlib.closing(sqlite3.connect(gateway.folder / "state/buffer.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with gateway.device() as device:
            device.publish("bed1/sensor/t/state", "1")
        wait_for("a write that waits", lambda: (thread / "syscall").read_text().split()[0] not in (idle, "running"))
        with frozen(int(thread.name)):
            other.execute("ROLLBACK")
            yield


class Lifecycle(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.fleet = Fleet()
        cls.fleet.broker.start()
        cls.addClassCleanup(lambda: cls.fleet.__exit__(None))

    def log(self, gateway):
        return gateway.agent.log.read_text(errors="replace")

    def reload(self, gateway):
        told = self.log(gateway).count("reloaded")
        gateway.agent.process.send_signal(signal.SIGHUP)
        wait_for("the settings are read again", lambda: self.log(gateway).count("reloaded") > told)

    def test_a_reload_counts_on_and_leaves_what_is_not_read_any_more(self):
        g1 = self.fleet.gateway("g1")
        g1.config.write_text(g1.config.read_text() + "[sources]\nsenml = true\n")
        with g1.device() as device:
            device.publish("homeassistant/sensor/bed1/t/config",
                           {"stat_t": "my/own/topic", "uniq_id": "x", "dev": {"ids": "bed1"}}, retain=True)
            wait_for("discovery", lambda: g1.metric("basmalin_agent_discovered_entities"))
            for i in range(5):
                device.publish("bed2/sensor/t/state", str(i))
                device.publish("my/own/topic", str(i))
            wait_for("ten readings", lambda: g1.metric("basmalin_agent_source_readings_total") == 10)
            heard = g1.metric("basmalin_agent_source_messages_total")
            g1.config.write_text(g1.config.read_text().replace("senml = true", "home_assistant = false"))
            self.reload(g1)
            self.assertGreaterEqual(g1.metric("basmalin_agent_source_messages_total"), heard)
            device.publish("bed2/sensor/t/state", "9")
            wait_for("the count goes on", lambda: g1.metric("basmalin_agent_source_readings_total") == 11)
            heard = g1.metric("basmalin_agent_source_messages_total")
            device.publish("homeassistant/sensor/bed1/t/config", {"stat_t": "other"})
            device.publish("my/own/topic", "10")
            device.publish("bed2/sensor/t/state", "10")
            wait_for("the next reading", lambda: g1.metric("basmalin_agent_source_readings_total") == 12)
            self.assertEqual(g1.metric("basmalin_agent_source_messages_total"), heard + 1, "discovery and its topics are heard no more")

    def test_a_reload_forgets_nothing_that_is_still_read(self):
        g5 = self.fleet.gateway("g5")
        g5.config.write_text(g5.config.read_text() + "[sources]\nsenml = true\n")
        with g5.device() as device:
            # Not retained: it will not come again.
            device.publish("homeassistant/sensor/bed1/t/config", {"stat_t": "my/own/topic", "uniq_id": "x", "dev": {"ids": "bed1"}})
            wait_for("discovery", lambda: g5.metric("basmalin_agent_discovered_entities"))
            g5.config.write_text(g5.config.read_text().replace("senml = true", "senml = false"))
            self.reload(g5)
            device.publish("my/own/topic", "1")
            device.publish("bed2/sensor/t/state", "1")
            wait_for("both readings", lambda: g5.metric("basmalin_agent_source_readings_total") == 2)

    def test_a_quantity_keeps_its_unit_over_a_restart(self):
        g6 = self.fleet.gateway("g6")
        with g6.device() as device:
            for unit, value in (("C", 20), ("F", 68)):
                device.publish("tele/bed1/SENSOR", {"BME280": {"Temperature": value}, "TempUnit": unit})
                wait_for("a reading", lambda: g6.metric("basmalin_agent_source_readings_total") == 1)
                g6.agent.stop()
                g6.agent.start()
                wait_for("it listens", g6.listening)
        g6.agent.stop()
        told = [line for line in g6.export_buffer().splitlines() if "bme280_temperature" in line]
        self.assertEqual(len(told), 2)
        for line in told:
            self.assertIn(",Cel,", line)
            self.assertIn(",20", line)

    def test_a_taken_port_of_its_page_costs_no_reading(self):
        g7 = self.fleet.gateway("g7")
        g7.agent.stop()
        g7.agent.log.unlink()
        heard = g7.broker.log.read_text().count("+/sensor/+/state")
        with socket.create_server(("127.0.0.1", g7.http_port)):
            g7.agent.start(wait=False)
            wait_for("a complaint", lambda: "http_not_listening" in self.log(g7))
            wait_for("it listens to its broker", lambda: g7.broker.log.read_text().count("+/sensor/+/state") > heard)
            with g7.device() as device:
                device.publish("bed1/sensor/t/state", "1")
        wait_for("the page, once its port is free", lambda: g7.get("/healthz")[0] == 200, 60)
        self.assertEqual(g7.metric("basmalin_agent_source_readings_total"), 1)
        self.assertEqual(self.log(g7).count("http_not_listening"), 1)

    def test_the_page_tells_for_how_long_the_broker_is_away(self):
        g8 = self.fleet.gateway("g8")
        local = lambda: json.loads(g8.get("/healthz")[1])["local"]
        self.assertEqual(local(), {"connected": True, "away_seconds": 0})
        g8.broker.stop()
        wait_for("a second without it", lambda: not local()["connected"] and local()["away_seconds"] >= 1)
        g8.broker.start()
        wait_for("it is back", lambda: local() == {"connected": True, "away_seconds": 0})

    def test_bad_settings_are_refused_and_the_old_ones_stay(self):
        g2 = self.fleet.gateway("g2")
        good = g2.config.read_text()
        g2.config.write_text(good + "[sources]\ndevices_max = 0\n")
        g2.agent.process.send_signal(signal.SIGHUP)
        wait_for("a refusal that names the field", lambda: re.search(r"reload_failed .*devices_max", self.log(g2)))
        with g2.device() as device:
            device.publish("bed1/sensor/t/state", "1")
            wait_for("a reading", lambda: g2.metric("basmalin_agent_source_readings_total") == 1)
        g2.config.write_text(good.replace('garden = "rose-court"', 'garden = "other"'))
        self.reload(g2)
        self.assertRegex(self.log(g2), "needs_a_restart setting=\"?garden")

    def test_the_watchdog_is_fed_by_progress_alone(self):
        g3 = self.fleet.gateway("g3")
        g3.agent.stop()
        path = self.fleet.folder / "notify"
        interval = 2
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as inbox:
            inbox.bind(str(path))

            def word(seconds):
                """What the agent says next, or nothing within that time."""
                inbox.settimeout(max(seconds, 0.001))
                try:
                    return inbox.recv(4096).decode()
                except TimeoutError:
                    return None

            def hear(wanted, seconds=10):
                end = time.monotonic() + seconds
                while time.monotonic() < end:
                    if word(end - time.monotonic()) == wanted:
                        return True
                return False

            def falls_silent():
                """Nothing is said any more for as long as systemd would wait."""
                end = time.monotonic() + 10
                while time.monotonic() < end:
                    if word(interval) is None:
                        return True
                return False

            with mock.patch.dict(os.environ, NOTIFY_SOCKET=str(path), WATCHDOG_USEC=str(int(interval * 1e6))):
                g3.agent.start(wait=False)
            pid = g3.agent.process.pid
            self.assertTrue(hear("READY=1"))
            for _ in range(4):
                self.assertTrue(hear("WATCHDOG=1"), "fed while all goes on")
            for what, hang in {"the loop": frozen(pid), "the buffer": frozen_while_writing(g3)}.items():
                with self.subTest(hangs=what):
                    with hang:
                        self.assertTrue(falls_silent())
                    self.assertTrue(hear("WATCHDOG=1"), "fed again when it goes on")
            g3.agent.process.send_signal(signal.SIGHUP)
            self.assertTrue(hear("RELOADING=1"))
            self.assertTrue(hear("READY=1"))
            g3.agent.process.terminate()
            self.assertTrue(hear("STOPPING=1"))
        self.assertEqual(g3.agent.process.wait(15), 0)

    def restart_with(self, gateway, **files):
        gateway.agent.stop()
        text = gateway.config.read_text()
        for key, path in files.items():
            text = re.sub(rf'{key} = ".*"', f'{key} = "{path}"', text)
        gateway.config.write_text(text)
        gateway.agent.log.unlink()
        gateway.agent.start()

    def test_tls_says_who_refused_whom(self):
        g4 = self.fleet.gateway("g4")
        wait_for("a connection with the fleet's certificates", lambda: g4.metric("basmalin_agent_central_connected") == 1)
        other = self.fleet.folder / "other"
        for arguments in (("ca",), ("node", "g4")):
            subprocess.run([ROOT / "packaging/certificates", other, *arguments], check=True)
        certs = self.fleet.folder / "certs"
        with self.subTest("the broker is not of the authority that we trust"):
            self.restart_with(g4, ca_file=other / "ca.crt")
            wait_for("a reason", lambda: "the broker's certificate: " in self.log(g4))
            self.assertIn("check host, the authority file, the broker's certificate, and this machine's clock", self.log(g4))
            self.assertEqual(g4.metric("basmalin_agent_central_connected"), 0)
        with self.subTest("our certificate is not of the authority that the broker trusts"):
            self.restart_with(g4, ca_file=certs / "ca.crt", certificate_file=other / "g4.crt", key_file=other / "g4.key")
            wait_for("a reason", lambda: "the broker may refuse this node's certificate" in self.log(g4) or "unknown ca" in self.log(g4))
            self.assertEqual(g4.metric("basmalin_agent_central_connected"), 0)
        with self.subTest("a file that is not there"):
            self.restart_with(g4, certificate_file=certs / "nobody.crt")
            wait_for("its name", lambda: "nobody.crt" in self.log(g4))
        with self.subTest("and all is well again"):
            self.restart_with(g4, certificate_file=certs / "g4.crt", key_file=certs / "g4.key")
            wait_for("a connection", lambda: g4.metric("basmalin_agent_central_connected") == 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
