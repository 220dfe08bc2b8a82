"""Every system call that writes, made to fail or to be the last one: SIGKILL, ENOSPC and EIO at the Nth fsync, fdatasync, write,
pwrite64 and rename of the agent's buffer and of the coordinator's store (buffer_driver.cpp, store_driver.cpp), by strace.

    syscall_test.py buffer|store [CASE]      CASE as a failure names it: "prepared pwrite64 ENOSPC 17"

After each: opened again, everything promised is there, nothing is there twice, the files are sound and were not given up as damaged;
and a program whose disk fails once goes on. A sample of the places is tried, BASMALIN_SYSCALLS of them (120; "all" for all), chosen by
BASMALIN_SEED (printed)."""
import collections
import contextlib
import concurrent.futures
import os
import pathlib
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("BASMALIN_BIN", ROOT / "build/dev/bin"))
CALLS = ("fsync", "fdatasync", "write", "pwrite64", "rename")
FAULTS = {"KILL": "signal=KILL", "ENOSPC": "error=ENOSPC", "EIO": "error=EIO"}
SAMPLE = 120
PAGE = 1024         # the buffer's
TABLE_LEAF = 0x0d   # the first byte of a page of rows (sqlite.org/fileformat2.html, section 1.6)
# The leak check of the address sanitizer does not work under ptrace.
ENVIRONMENT = dict(os.environ, ASAN_OPTIONS="detect_leaks=0")


class Failure(Exception):
    pass


def check(condition, what):
    if not condition:
        raise Failure(what)


def run(command, expect=0):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=120, env=ENVIRONMENT)
    check(expect is None or done.returncode == expect,
          f"{command[-2]} ended with {done.returncode}:\n{done.stdout[-1500:]}\n{done.stderr[-3000:]}")
    return done.returncode, [line.split(" ") for line in done.stdout.splitlines()]


def sound(file):
    db = sqlite3.connect(file)
    try:
        answer = db.execute("PRAGMA integrity_check").fetchall()
    finally:
        db.close()
    check(answer == [("ok",)], f"integrity_check of {file.name}: {answer[:3]}")


class Subject:
    """What is tried: a driver, and the states of its files that it begins with."""

    def __init__(self):
        self.files = set()  # that it touches

    def prepared(self, state, folder):
        """Makes the files; returns what was promised of them."""
        if state == "fresh":
            return []
        return run([BIN / self.driver, "prepare", self.path(folder)])[1]

    def trace(self, folder, *options):
        # Without --seccomp-bpf: with it strace 6.1 sends no signals.
        return [shutil.which("strace"), "-f", "-qq", *options, BIN / self.driver, "work", self.path(folder)]

    def count(self, state):
        """How often each call is made by one thread, undisturbed."""
        with tempfile.TemporaryDirectory(prefix="basmalin-syscall-") as name:
            folder = pathlib.Path(name)
            self.prepared(state, folder)
            log = folder / "calls"
            _, said = run(self.trace(folder, "-y", "-o", log, "-e", "trace=" + ",".join(CALLS)))
            check(["end"] in said, f"{state}: the undisturbed run does not come to its end")
            counts = collections.Counter()
            for line in log.read_text(errors="replace").splitlines():
                thread, _, call = line.partition(" ")
                if name in line:  # not the sanitizers' own writes to pipes
                    counts[call.strip().split("(")[0], thread] += 1
                    self.files.update(re.findall(rf"{re.escape(name)}/([^>\"]+)", line))
        return {call: max([n for (c, _), n in counts.items() if c == call], default=0) for call in CALLS}

    def attempt(self, state, call, fault, nth):
        with tempfile.TemporaryDirectory(prefix="basmalin-syscall-") as name:
            folder = pathlib.Path(name)
            promised = self.prepared(state, folder)
            killed = fault == "KILL"
            inject = f"inject={call}:{FAULTS[fault]}:when={nth}"
            only = [part for file in self.files for part in ("-P", folder / file)] if call == "write" else []
            code, said = run(self.trace(folder, "-o", folder / "calls", *only, "-e", f"trace={call}", "-e", inject), expect=None if killed else 0)
            if killed:
                check(code == -9, f"killed, but ended with {code}: {said[-3:]}")
            else:
                check(["end"] in said, f"did not go on: {said[-3:]}")
            _, seen = run([BIN / self.driver, "look", self.path(folder)])
            check(["end"] in seen, f"does not work again: {seen[-3:]}")
            self.judge(state, promised + said, seen)
            for file in folder.rglob("*.db"):
                sound(file)
            aside = [f.name for f in folder.rglob("*.damaged-*")]
            # A file that was never made whole has nothing to lose.
            unmade = state == "fresh" and [line[:2] for line in said[:1]] in ([], [["refused", "open"]])
            check(not aside or state == "damaged" or unmade, f"sound files were set aside: {aside}")
            return killed or "(INJECTED)" in (folder / "calls").read_text(errors="replace")


class BufferSubject(Subject):
    driver = "buffer_driver"
    states = ("fresh", "prepared", "damaged")

    def path(self, folder):
        return folder / "buffer.db"

    def prepared(self, state, folder):
        promised = super().prepared(state, folder)
        if state == "damaged":
            file = self.path(folder)
            with contextlib.closing(sqlite3.connect(file)) as db:
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                (batch,) = db.execute("SELECT bytes FROM batch WHERE id & 0xffff = 16").fetchone()
            # A page of rows that are not the newest: what is left says how many came before.
            content = file.read_bytes()
            at = content.index(batch) // PAGE * PAGE
            assert content[at] == TABLE_LEAF
            file.write_bytes(content[:at] + b"\xee" * PAGE + content[at + PAGE:])
        return promised

    def judge(self, state, promised, seen):
        sealed, acked = {}, collections.Counter()
        for line in promised:
            if line[0] == "sealed":
                key = (line[1], int(line[2]))
                check(sealed.setdefault(key, line[3]) == line[3], f"{key} was promised twice")
            elif line[0] == "acked":
                acked[line[1]] = max(acked[line[1]], int(line[2]))
        held, gaps = {}, {}
        for line in seen:
            if line[0] == "held":
                key = (line[1], int(line[2]))
                check(key not in held, f"{key} is there twice")
                held[key] = line[3]
            elif line[0] == "gap":
                for seq in range(int(line[2]), int(line[3]) + 1):
                    gaps[line[1], seq] = line[4]
        readings = [value for value in held.values() if value != "-1"]
        check(len(readings) == len(set(readings)), f"readings twice: {sorted(readings)}")
        check(set(readings) <= set(map(str, range(1, 122))), f"readings from nowhere: {sorted(readings)}")
        both = set(held) & set(gaps)
        check(not both, f"held and given up: {sorted(both)}")
        reasons = {"evicted"} if state != "damaged" else {"evicted", "damaged"}
        check(set(gaps.values()) <= reasons, f"gaps: {collections.Counter(gaps.values())}")
        for key, value in sealed.items():
            there = held.get(key)
            check(there in (None, value), f"{key} was sealed as {value} and is {there}")
            check(there or key in gaps or key[1] <= acked[key[0]], f"{key}, {value}, was sealed, and nothing is known of it")


class StoreSubject(Subject):
    driver = "store_driver"
    states = ("fresh", "prepared", "damaged")

    def path(self, folder):
        return folder / "store"

    def prepared(self, state, folder):
        promised = super().prepared(state, folder)
        if state == "damaged":  # another month's history
            (self.path(folder) / "history-2026-07.db").write_bytes(b"x" * 20_000)
        return promised

    def judge(self, state, promised, seen):
        acked = max([int(line[1]) for line in promised if line[0] == "acked"], default=0)
        parts, at = [[], []], 0
        marks = []
        for line in seen:
            if line[0] == "compacted":
                at = 1
            elif line[0] == "mark":
                marks.append(int(line[1]))
            elif line[0] == "reading":
                parts[at].append(int(line[2]))
        check(marks[0] >= acked, f"{acked} was acknowledged, the store has up to {marks[0]}")
        check(marks[1] == marks[0] + 1, f"the batch that came after is missing: {marks}")
        for mark, part, when in zip(marks, parts, ("opened again", "compacted")):
            expected = [seq * 10 + i for seq in range(1, mark + 1) for i in (1, 2, 3)]
            if part == expected:
                continue
            counts = collections.Counter(part)
            twice = [v for v, n in counts.items() if n > 1]
            raise Failure(f"{when}: missing {sorted(set(expected) - set(part))[:9]}, twice {twice[:9]}, unknown {sorted(set(part) - set(expected))[:9]}")


def main():
    subject = {"buffer": BufferSubject, "store": StoreSubject}[sys.argv[1]]()
    if shutil.which("strace") is None:
        print("strace is missing: packaging/packages test")
        return 1
    if len(sys.argv) > 2:
        state, call, fault, nth = sys.argv[2].split(" ")
        subject.attempt(state, call, fault, int(nth))
        return 0
    seed = os.environ.get("BASMALIN_SEED") or str(random.randrange(1_000_000))
    counts = {state: subject.count(state) for state in subject.states}
    cases = [(state, call, fault, nth) for state in subject.states for call in CALLS for fault in FAULTS
             for nth in range(1, counts[state][call] + 1)]
    wanted = os.environ.get("BASMALIN_SYSCALLS") or str(SAMPLE)
    chosen = cases if wanted == "all" else random.Random(seed).sample(cases, min(int(wanted), len(cases)))
    print(f"calls: {counts}\n{len(chosen)} of {len(cases)} cases, BASMALIN_SEED={seed}", flush=True)
    failed = reached = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        running = {pool.submit(subject.attempt, *case): case for case in chosen}
        for done in concurrent.futures.as_completed(running):
            error = done.exception()
            if error is None:
                reached += done.result()
            else:
                failed += 1
                case = " ".join(map(str, running[done]))
                print(f'FAILED  syscall_test.py {sys.argv[1]} "{case}"\n{error}\n', flush=True)
    # The last calls of a thread may not come this time: how many there are depends on which of them share a commit.
    print(f"{failed} failed, {reached} of {len(chosen)} reached their call")
    return 1 if failed or reached < len(chosen) * 0.8 else 0


if __name__ == "__main__":
    sys.exit(main())
