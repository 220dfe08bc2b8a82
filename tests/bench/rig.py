"""What every measurement needs: programs in a temporary folder, their processor time, memory and metrics, and the shape of a figure.
Programs are started as the system tests start them (tests/system/fleet.py), from the release build of the benchmarks."""
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build/bench"
BIN = BUILD / "bin"
os.environ["BASMALIN_BIN"] = str(BIN)
sys.path.insert(0, str(ROOT / "tests/system"))
sys.dont_write_bytecode = True
from fleet import MOSQUITTO, Program, answers, free_port, http_get, wait_for  # noqa: E402


class CannotMeasure(Exception):
    pass


def figure(what, value, unit, target=None, met=None, peer=None, peer_value=None):
    return {"what": what, "value": value, "unit": unit, "target": target, "met": met, "peer": peer, "peer_value": peer_value}


def at_most(what, value, unit, target, peer=None, peer_value=None):
    return figure(what, value, unit, target, value <= target, peer, peer_value)


def at_least(what, value, unit, target, peer=None, peer_value=None):
    return figure(what, value, unit, target, value >= target, peer, peer_value)


def figures(command, limit_seconds=900):
    """Runs a benchmark program; each line of its output is one figure."""
    try:
        done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True, timeout=limit_seconds, cwd=ROOT)
    except subprocess.TimeoutExpired:
        raise CannotMeasure(f"{pathlib.Path(command[0]).name}: not done within {limit_seconds} s") from None
    if done.returncode != 0:
        raise CannotMeasure(f"{pathlib.Path(command[0]).name}: ended with {done.returncode}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid, field="VmRSS"):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1000
    raise CannotMeasure(f"/proc/{pid}/status has no {field}")


def disk_bytes(folder):
    """Whole blocks of 4 KiB by length: what is not yet written back has no blocks of its own."""
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in pathlib.Path(folder).rglob("*") if path.is_file())


@contextlib.contextmanager
def scratch():
    """A temporary folder on the disk of the build (a tmpfs would flatter every figure with an fsync in it)."""
    BUILD.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=BUILD) as name:
        yield pathlib.Path(name)


@contextlib.contextmanager
def running(*programs):
    """Ends what was started, last first; a failure in between shows the end of every log."""
    try:
        yield
    except (CannotMeasure, AssertionError, OSError) as problem:
        raise CannotMeasure("\n".join([str(problem)] + [f"-- {p.name}\n{p.tail(15)}" for p in programs])) from None
    finally:
        for program in reversed(programs):
            if program.alive():
                program.stop(60)


class Centre:
    """A central broker without TLS and a coordinator, on free ports; with Centre(folder) as centre: …"""

    def __init__(self, folder, settings=""):
        self.folder, self.broker_port, self.api_port = folder, free_port(), free_port()
        broker_conf, coordinator_conf = folder / "central.conf", folder / "coordinator.toml"
        broker_conf.write_text(f"listener {self.broker_port} 127.0.0.1\nallow_anonymous true\npersistence false\nmax_inflight_messages 64\n"
                               "max_queued_messages 0\nmax_queued_bytes 67108864\nset_tcp_nodelay true\n")
        coordinator_conf.write_text(f'[broker]\nhost = "127.0.0.1"\nport = {self.broker_port}\ntls = false\n[store]\nfolder = "{folder}/store"\n'
                                    f'[http]\naddress = "127.0.0.1"\nport = {self.api_port}\n' + settings)
        if not MOSQUITTO:
            raise CannotMeasure("mosquitto is missing; run packaging/packages run")
        self.broker = Program(folder, "central-broker", [MOSQUITTO, "-c", broker_conf], answers(self.broker_port))
        self.coordinator = Program(folder, "coordinator", [BIN / "basmalin-coordinator", "--config", coordinator_conf], answers(self.api_port))

    def __enter__(self):
        self.scope = running(self.broker, self.coordinator)
        self.scope.__enter__()
        try:
            self.broker.start()
            self.coordinator.start()
        except BaseException:
            self.scope.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, *problem):
        return self.scope.__exit__(*problem)

    @property
    def pid(self):
        return self.coordinator.process.pid

    @property
    def url(self):
        return f"http://127.0.0.1:{self.api_port}"

    @property
    def token(self):
        return (self.folder / "store/token").read_text().strip()

    def get(self, path):
        status, text = http_get(self.url + path, self.token)
        if status != 200:
            raise CannotMeasure(f"GET {path}: {status}: {text[:300]}")
        return text

    def metric(self, name):
        """The sum of a metric's samples."""
        total = 0.0
        for line in self.get("/metrics").splitlines():
            if line.startswith((name + " ", name + "{")):
                total += float(line.rsplit(" ", 1)[1])
        return total

    def buckets(self, name):
        """A histogram's counts, by upper bound."""
        found = {}
        for line in self.get("/metrics").splitlines():
            if line.startswith(name + "_bucket"):
                bound = float(line.split('le="')[1].split('"')[0].replace("+Inf", "inf"))
                found[bound] = found.get(bound, 0) + float(line.rsplit(" ", 1)[1])
        return found

    def quantile_since(self, before, name, quantile):
        """The bound below which this share of what came since buckets() said `before` lies."""
        now = self.buckets(name)
        count = now[float("inf")] - before[float("inf")]
        if count <= 0:
            raise CannotMeasure(f"{name}: nothing was observed")
        return min(bound for bound in now if now[bound] - before[bound] >= quantile * count)


class Spent:
    """Processor time and wall time of a process since this was made: share() is in cores."""

    def __init__(self, pid):
        self.pid, self.cpu, self.wall = pid, cpu_seconds(pid), time.monotonic()

    def seconds(self):
        return cpu_seconds(self.pid) - self.cpu

    def share(self):
        return self.seconds() / (time.monotonic() - self.wall)
