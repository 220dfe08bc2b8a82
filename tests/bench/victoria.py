"""VictoriaMetrics (Debian's package) as a peer: importing the same readings, as JSON lines, over as many connections as it has cores."""
import os
import subprocess
import time

from rig import BIN, CannotMeasure, Program, answers, disk_bytes, free_port, http_get, running, wait_for

PARTS = max(2, os.cpu_count() or 2)


class Victoria:
    """with Victoria(folder) as peer: …; None-safe: VictoriaMetrics is not a must, so ask available() first."""
    PROGRAM = "/usr/bin/victoria-metrics"

    @staticmethod
    def available():
        return os.access(Victoria.PROGRAM, os.X_OK)

    def __init__(self, folder):
        self.data, self.port = folder / "victoria", free_port()
        command = [self.PROGRAM, f"-storageDataPath={self.data}", f"-httpListenAddr=127.0.0.1:{self.port}", "-retentionPeriod=2y", "-loggerLevel=ERROR"]
        self.program = Program(folder, "victoria-metrics", command, answers(self.port))

    def __enter__(self):
        self.scope = running(self.program)
        self.scope.__enter__()
        self.program.start()
        return self

    def __exit__(self, *problem):
        return self.scope.__exit__(*problem)

    def metric(self, *names):
        text = http_get(f"http://127.0.0.1:{self.port}/metrics")[1]
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(names))

    def inserted(self):
        return self.metric("vm_rows_inserted_total")

    def load(self, folder):
        """Imports every part at once; (rows, seconds until all are inserted)."""
        began = time.monotonic()
        posts = [subprocess.Popen(["curl", "-sS", "-f", "-T", part, "-X", "POST", f"http://127.0.0.1:{self.port}/api/v1/import"])
                 for part in sorted(folder.glob("part-*.jsonl"))]
        for post in posts:
            if post.wait(600) != 0:
                raise CannotMeasure("VictoriaMetrics refused an import")
        return self.inserted(), time.monotonic() - began

    def settle(self, rows):
        """Merges everything, ends the program, and says what data and index take on the disk (its caches do not count)."""
        kept = ('vm_rows{type="storage/small"}', 'vm_rows{type="storage/big"}')
        wait_for("VictoriaMetrics has its rows in files", lambda: self.metric(*kept) >= rows, 60)
        http_get(f"http://127.0.0.1:{self.port}/internal/force_merge")
        quiet = 0
        while quiet < 20:  # a merge begins a little after it was asked for
            quiet = quiet + 1 if self.metric("vm_active_force_merges", "vm_active_merges") == 0 else 0
            time.sleep(0.1)
        self.program.stop(60)
        return disk_bytes(self.data / "data") + disk_bytes(self.data / "indexdb")


def lines(folder, *what):
    """The readings as JSON lines, in as many files as there will be connections."""
    folder.mkdir()
    done = subprocess.run([str(part) for part in (BIN / "made_up_lines", folder, PARTS, *what)], stdout=subprocess.DEVNULL)
    if done.returncode != 0:
        raise CannotMeasure("made_up_lines failed")
    return folder


def import_rate(folder, gateways, readings):
    """Readings a second, or None without VictoriaMetrics."""
    if not Victoria.available():
        return None
    source = lines(folder / "lines", "made-up", gateways, readings)
    with Victoria(folder) as peer:
        rows, took = peer.load(source)
    if rows < 0.99 * readings:
        raise CannotMeasure(f"VictoriaMetrics took {rows:.0f} of {readings} readings")
    return rows / took
