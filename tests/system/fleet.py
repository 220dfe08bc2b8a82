"""A small fleet of real programs for the system tests: central broker, coordinator, gateways (own broker and agent), all on free
loopback ports in a temporary folder, ended with the test. Programs come from BASMALIN_BIN."""
import csv
import io
import json
import os
import pathlib
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

import paho.mqtt.client as mqtt

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("BASMALIN_BIN", ROOT / "build/dev/bin"))
MOSQUITTO = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(what, condition, seconds=30):
    """Waits until condition() is true and returns its value; fails with `what` and the last value or error."""
    end = time.monotonic() + seconds
    last = None
    while time.monotonic() < end:
        try:
            last = condition()
            if last:
                return last
        except (OSError, urllib.error.URLError, ValueError) as error:
            last = error
        time.sleep(0.05)
    raise AssertionError(f"after {seconds} s still not: {what} (last: {last!r})")


def as_systemd_starts_it():
    """A soft limit of 1024 open files, whatever the test has raised its own to."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, hard), hard))


class Program:
    """One process, started again as often as the test likes; its output goes to a log file."""

    def __init__(self, folder, name, command, ready):
        self.log = folder / f"{name}.log"
        self.name, self.command, self.ready, self.process = name, [str(c) for c in command], ready, None

    def start(self, wait=True):
        with open(self.log, "ab") as out:
            ours = pathlib.Path(self.command[0]).name.startswith("basmalin-")
            self.process = subprocess.Popen(self.command, stdout=out, stderr=out, stdin=subprocess.DEVNULL,
                                            preexec_fn=as_systemd_starts_it if ours else None)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self):
        def check():
            if self.process.poll() is not None:
                raise AssertionError(f"{self.name} ended with {self.process.returncode}:\n{self.tail()}")
            return self.ready()
        wait_for(f"{self.name} ready\n{self.tail()}", check)

    def kill9(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, seconds=15):
        """SIGTERM; returns the exit code. A program that does not end in time is killed, and the test fails."""
        if self.process is None or self.process.poll() is not None:
            return self.process.returncode if self.process else None
        self.process.terminate()
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill9()
            raise AssertionError(f"{self.name} did not end within {seconds} s of SIGTERM:\n{self.tail()}") from None

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def tail(self, lines=30):
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def answers(port):
    def check():
        with socket.create_connection(("127.0.0.1", port), 1):
            return True
    return check


class Gateway:
    def __init__(self, fleet, node, garden, settings, overrides, central_port):
        self.fleet, self.node, self.garden = fleet, node, garden
        self.folder = fleet.folder / node
        self.folder.mkdir()
        self.port, self.http_port = free_port(), free_port()
        fleet.certificate(node)
        conf = self.folder / "mosquitto.conf"
        conf.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\nuser root\nmax_queued_messages 0\n"
                        "max_queued_bytes 16777216\nmax_inflight_messages 64\nlog_dest stderr\n"
                        "log_type error\nlog_type warning\nlog_type notice\nlog_type subscribe\n"
                        f"persistence true\npersistence_location {self.folder}/\n")
        self.broker = Program(self.folder, "broker", [MOSQUITTO, "-c", conf], answers(self.port))
        config = self.folder / "agent.toml"
        certs = fleet.folder / "certs"
        config.write_text(
            f'node = "{node}"\ngarden = "{garden}"\nstate_folder = "{self.folder}/state"\n'
            f'[local]\nport = {self.port}\n'
            f'[central]\nhost = "localhost"\nport = {central_port or fleet.broker_port}\nca_file = "{certs}/ca.crt"\n'
            f'certificate_file = "{certs}/{node}.crt"\nkey_file = "{certs}/{node}.key"\n'
            f'[http]\nport = {self.http_port}\n' + settings)
        self.config = config
        command = [BIN / "basmalin-agent", "--config", config]
        for key, value in {"buffer.seal_after": fleet.seal_after, **overrides}.items():
            command += ["--set", f"{key}={value}"]
        self.agent = Program(self.folder, "agent", command, answers(self.http_port))

    def start(self):
        self.broker.start()
        self.agent.start()
        return self

    def stop(self):
        self.agent.stop()
        self.broker.stop()

    def get(self, path):
        """(status, text) of the agent's local HTTP."""
        return http_get(f"http://127.0.0.1:{self.http_port}{path}")

    def metric(self, name):
        for line in self.get("/metrics")[1].splitlines():
            if line.startswith(name + " ") or line.startswith(name + "{"):
                return float(line.rsplit(" ", 1)[1])
        return None

    def export_buffer(self, file=None):
        """Every reading in the buffer's file (or in a copy of it), as CSV; no agent may use it."""
        command = [BIN / "basmalin-agent", "buffer", "export", file or self.folder / "state/buffer.db"]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout

    def device(self):
        """A client for what the garden's devices publish, connected to the gateway's own broker."""
        return Device(self.port)

    def listening(self):
        """True once the agent subscribes at the local broker: what is published before that is nobody's."""
        return self.metric("basmalin_agent_local_connected") == 1


class Device:
    def __init__(self, port, address="127.0.0.1"):
        self.client = mqtt.Client(protocol=mqtt.MQTTv311)
        self.client.connect(address, port)
        self.client.loop_start()

    def publish(self, topic, payload, retain=False):
        if isinstance(payload, (dict, list)):
            payload = json.dumps(payload)
        info = self.client.publish(topic, payload, qos=1, retain=retain)
        info.wait_for_publish(10)
        if not info.is_published():
            raise AssertionError(f"{topic}: the local broker did not take the message")

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def http_get(url, token=None, headers=None, seconds=30):
    request = urllib.request.Request(url, headers=dict(headers or {}))
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=seconds) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


class Fleet:
    """with Fleet() as fleet: g1 = fleet.gateway("g1", "rose-court") …"""

    def __init__(self, seal_after="200 ms", coordinator_settings=""):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="basmalin-test-"))
        self.seal_after = seal_after
        self.gateways = {}
        self.broker_port, self.api_port = free_port(), free_port()
        self.run_certificates("ca")
        self.run_certificates("server", "localhost", "127.0.0.1")
        self.certificate("coordinator")
        certs = self.folder / "certs"
        conf = self.folder / "central.conf"
        text = (ROOT / "packaging/mosquitto/central.conf").read_text()
        for word, value in {"PORT": self.broker_port, "ADDRESS": "127.0.0.1", "CERTS": certs, "ACL": self.folder / "acl",
                            "DATA": f"{self.folder}/", "USER": "root"}.items():
            text = text.replace(f"@{word}@", str(value))
        conf.write_text(text)
        shutil.copy(ROOT / "packaging/mosquitto/central.acl", self.folder / "acl")
        os.chmod(self.folder / "acl", 0o600)
        self.broker = Program(self.folder, "central-broker", [MOSQUITTO, "-c", conf], answers(self.broker_port))
        config = self.folder / "coordinator.toml"
        config.write_text(
            f'[broker]\nhost = "localhost"\nport = {self.broker_port}\ntls = true\nca_file = "{certs}/ca.crt"\n'
            f'certificate_file = "{certs}/coordinator.crt"\nkey_file = "{certs}/coordinator.key"\n'
            f'[store]\nfolder = "{self.folder}/store"\n[http]\nport = {self.api_port}\ntoken_file = "{self.folder}/token"\n'
            + coordinator_settings)
        self.coordinator = Program(self.folder, "coordinator", [BIN / "basmalin-coordinator", "--config", config],
                                   answers(self.api_port))

    def run_certificates(self, *arguments):
        subprocess.run([ROOT / "packaging/certificates", self.folder / "certs", *arguments], check=True)

    def certificate(self, node):
        self.run_certificates("node", node)

    def gateway(self, node, garden="rose-court", settings="", overrides=None, central_port=None, prepare=None):
        """Starts a gateway. `overrides`: settings by their full name; `central_port`: of whatever stands before the central broker;
        `prepare(gateway)` is called before its programs start."""
        gateway = self.gateways[node] = Gateway(self, node, garden, settings, overrides or {}, central_port)
        if prepare:
            prepare(gateway)
        gateway.start()
        wait_for(f"{node} listens to its broker", gateway.listening)
        return gateway

    @property
    def token(self):
        return (self.folder / "token").read_text().strip()

    def api(self, path, expect=200, headers=None, **parameters):
        if parameters:
            path += "?" + urllib.parse.urlencode(parameters)
        status, text = http_get(f"http://127.0.0.1:{self.api_port}{path}", self.token, headers)
        if status != expect:
            raise AssertionError(f"GET {path}: {status} instead of {expect}: {text[:500]}")
        return json.loads(text) if text[:1] in "{[" else text

    def items(self, path, **parameters):
        """All items of a paged list."""
        found = []
        while True:
            page = self.api(path, **parameters)
            found += page["items"]
            if not page["next"]:
                return found
            parameters["after"] = page["next"]

    def readings(self, node, device, quantity=None, begin=0, end=None):
        """The readings of a device as dicts of the CSV's columns; begin and end in seconds since 1970."""
        parameters = {"node": node, "device": device, "from": int(begin * 1000), "format": "csv", "limit": 1000000}
        if end:
            parameters["to"] = int(end * 1000)
        if quantity:
            parameters["quantity"] = quantity
        status, text = http_get(f"http://127.0.0.1:{self.api_port}/api/readings?" + urllib.parse.urlencode(parameters), self.token)
        if status == 404:
            return []
        if status != 200:
            raise AssertionError(f"readings: {status}: {text[:500]}")
        return list(csv.DictReader(io.StringIO(text)))

    def cli(self, *arguments):
        return subprocess.run([BIN / "basmalin", "--url", f"http://127.0.0.1:{self.api_port}", "--token-file",
                               self.folder / "token", *arguments], capture_output=True, text=True, timeout=30)

    def metric(self, name):
        total = None
        for line in self.api("/metrics").splitlines():
            if line.startswith(name + " ") or line.startswith(name + "{"):
                total = (total or 0) + float(line.rsplit(" ", 1)[1])
        return total

    def __enter__(self):
        try:
            self.broker.start()
            self.coordinator.start()
        except BaseException:
            self.end()
            raise
        return self

    def end(self):
        programs = [g.agent for g in self.gateways.values()] + [g.broker for g in self.gateways.values()]
        for program in programs + [self.coordinator, self.broker]:
            if program.alive():
                program.kill9()

    def __exit__(self, kind, *_):
        self.end()
        if kind is None:
            shutil.rmtree(self.folder)
        else:
            for log in sorted(self.folder.rglob("*.log")):
                print(f"---- {log.relative_to(self.folder)}\n" + "\n".join(log.read_text(errors="replace").splitlines()[-40:]))
            print(f"(the fleet's folder is kept: {self.folder})")
