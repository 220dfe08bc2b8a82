"""Whatever some do to the HTTP server, the others are served: in time, with bounded memory, and the counters tell of it."""
import contextlib
import gzip
import http.client
import multiprocessing
import os
import resource
import select
import socket
import time
import unittest

os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=8"  # else RSS is what was freed

from fleet import Fleet, wait_for
from wire import Node, group, readings_body

MB = 1 << 20
REQUESTS_PER_SECOND = 20
P99_SECONDS = 0.2
GROWTH_MB = 64
HEADER_DEADLINE, BODY_DEADLINE, ANSWER_DEADLINE, IDLE_DEADLINE = 10, 30, 30, 15
LONG = ("/api/readings?node=big&device=meter&quantity=a&from=0&format=csv&limit=200", "/api/events?limit=10")
SLACK = 6  # seconds a deadline may be late on a busy machine


def ask(port, token, paths, stop, results):
    """Asks at fixed times, whatever became of the question before; a latency counts from when it should have been asked."""
    seen, connection, turn, due = [], None, 0, time.monotonic()
    while not stop.is_set():
        path = paths[turn % len(paths)]
        turn, due = turn + 1, due + 1 / REQUESTS_PER_SECOND
        time.sleep(max(0, due - time.monotonic()))
        try:
            connection = connection or http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
            answer = connection.getresponse()
            answer.read()
            status = answer.status
        except OSError as error:
            connection.close()
            status, connection = repr(error), None
        seen.append((path, status, time.monotonic() - due))
    if connection:
        connection.close()
    results.send(seen)


class Others:
    """Someone who asks 20 times a second, in a process of his own."""

    def __init__(self, port, token, paths):
        self.stop_it = multiprocessing.Event()
        self.results, into = multiprocessing.Pipe(duplex=False)
        self.process = multiprocessing.Process(target=ask, args=(port, token, paths, self.stop_it, into), daemon=True)
        self.process.start()

    def stop(self):
        self.stop_it.set()
        if not self.results.poll(30):
            raise AssertionError("the client that asks 20 times a second hangs")
        seen = self.results.recv()
        self.process.join()
        return seen


def p99(seen):
    latencies = sorted(latency for _, _, latency in seen)
    return latencies[min(len(latencies) - 1, int(len(latencies) * 0.99))]


def rss(program):
    with open(f"/proc/{program.process.pid}/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


class Many:
    """Connections that are closed with the test; tells which of them the server has ended."""

    def __init__(self, port, count, receive_bytes=None):
        self.sockets, self.opened, self.ended = [], time.monotonic(), {}
        for _ in range(count):
            s = socket.socket()
            if receive_bytes:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
            s.connect(("127.0.0.1", port))
            s.setblocking(False)
            self.sockets.append(s)

    def open(self):
        return [s for s in self.sockets if s not in self.ended]

    def end(self, s):
        self.ended.setdefault(s, time.monotonic() - self.opened)

    def send(self, data):
        """To each as much as it takes; returns how much all took."""
        sent = 0
        for s in self.open():
            try:
                sent += s.send(data)
            except BlockingIOError:
                pass
            except OSError:
                self.end(s)
        return sent

    def read(self, most=65536):
        """What came of each, and notes who was ended."""
        poll = select.poll()
        by_number = {s.fileno(): s for s in self.open()}
        for number in by_number:
            poll.register(number, select.POLLIN)
        came = {}
        for number, _ in poll.poll(0):
            s = by_number[number]
            try:
                came[s] = s.recv(most)
            except OSError:
                came[s] = b""
            if not came[s]:
                self.end(s)
        return came

    def close(self):
        for s in self.sockets:
            s.close()


class Abuse(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        if hard < 8192:
            raise AssertionError(f"{hard} file descriptors are too few for 2,000 connections: raise the hard limit (ulimit -Hn)")
        cls.fleet = Fleet(coordinator_settings=f'idle_deadline = "{IDLE_DEADLINE} s"\n').__enter__()
        cls.addClassCleanup(lambda: cls.fleet.__exit__(None))
        cls.port = cls.fleet.api_port
        cls.fill()
        cls.quiet = p99(cls.watch(3))

    @classmethod
    def fill(cls):
        """A node with 400,000 readings: an answer of 30 MB."""
        node = Node(cls.fleet, "big")
        layouts = {1: ("meter", ["a", "b", "c", "d"])}
        for n in range(100):
            times = list(range(n * 1000, n * 1000 + 1000))
            columns = [[(n * 1000 + i) * (c + 1) % 997 for i in range(1000)] for c in range(4)]
            node.send(readings_body(layouts, group(1, times, columns)), 4000, first_ms=times[0], wait=False)
            if n % 16 == 15:
                node.wait_mark(n - 15)
        node.wait_mark(100)
        node.close()
        wait_for("the series to be known", lambda: len(cls.fleet.items("/api/series", node="big")) == 4)

    @classmethod
    def others(cls):
        return Others(cls.port, cls.fleet.token, ["/api/nodes", "/api/health", LONG[0], "/api/gardens", "/metrics", LONG[1]])

    @classmethod
    def watch(cls, seconds):
        others = cls.others()
        time.sleep(seconds)
        return others.stop()

    @contextlib.contextmanager
    def abused(self, what, full_seconds=0):
        """Runs the body while others ask; then: all were served, in time, and memory did not grow. For `full_seconds` the places for
        long answers may be taken, and who asks for one is told to come back."""
        wait_for("the connections of the test before to be gone", lambda: self.fleet.metric("http_connections") <= 4)
        before, others = rss(self.fleet.coordinator), self.others()
        time.sleep(0.5)
        try:
            yield
        finally:
            seen = others.stop()
        growth = (rss(self.fleet.coordinator) - before) / MB
        bound = max(P99_SECONDS, 10 * self.quiet)
        print(f"{what}: others {len(seen)} requests, p99 {p99(seen) * 1000:.0f} ms (quiet {self.quiet * 1000:.0f} ms), "
              f"memory {growth:+.1f} MB", flush=True)
        busy = [i for i, (path, status, _) in enumerate(seen) if status == 503 and path in LONG and i < full_seconds * REQUESTS_PER_SECOND]
        self.assertEqual([one for i, one in enumerate(seen) if one[1] != 200 and i not in busy], [], "others were not served")
        self.assertGreater(len(seen), 8)
        self.assertLess(p99(seen), bound)
        self.assertLess(growth, GROWTH_MB)
        self.assertTrue(self.fleet.coordinator.alive())

    def many(self, count, receive_bytes=None):
        connections = Many(self.port, count, receive_bytes)
        self.addCleanup(connections.close)
        return connections

    def head(self, path="/api/nodes", method="GET", *more):
        lines = [f"{method} {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {self.fleet.token}", *more]
        return "\r\n".join(lines).encode() + b"\r\n"

    def count(self, name):
        return self.fleet.metric(name) or 0

    def statuses(self, route, status):
        """How many answers of this kind there were."""
        return sum(float(line.rsplit(" ", 1)[1]) for line in self.fleet.api("/metrics").splitlines()
                   if line.startswith("http_request_duration_seconds_count{") and f'status_code="{status}"' in line and f'route="{route}"' in line)

    def deadlines(self, stage):
        for line in self.fleet.api("/metrics").splitlines():
            if line.startswith(f'http_deadlines_missed_total{{stage="{stage}"}}'):
                return float(line.rsplit(" ", 1)[1])
        return 0

    def all_ended(self, connections, within, what):
        self.assertEqual(len(connections.open()), 0, f"{what}: still open")
        self.assertLess(max(connections.ended.values()), within + SLACK, what)

    def test_the_slow_are_ended(self):
        missed = {stage: self.deadlines(stage) for stage in ("header", "body", "idle")}
        with self.abused("200 slow headers, 200 slow bodies, 100 idle after an answer"):
            headers, bodies, idle = self.many(200), self.many(200), self.many(100)
            bodies.send(self.head("/api/nodes", "GET", "Content-Length: 100000") + b"\r\n")
            idle.send(self.head("/api/health") + b"\r\n")
            slow = self.head("/api/nodes", "GET", "X-Slow: " + "x" * 1000)
            end = time.monotonic() + BODY_DEADLINE + SLACK
            answered = set()
            for at in range(len(slow)):
                headers.send(slow[at:at + 1])
                bodies.send(b"x")
                for connections in (headers, bodies, idle):
                    answered |= connections.read().keys()
                if time.monotonic() > end or not (headers.open() or bodies.open() or idle.open()):
                    break
                time.sleep(1)
        self.all_ended(headers, HEADER_DEADLINE, "slow headers")
        self.all_ended(bodies, BODY_DEADLINE, "slow bodies")
        self.all_ended(idle, IDLE_DEADLINE, "idle")
        self.assertGreater(min(bodies.ended.values()), HEADER_DEADLINE, "a body has more time than a header")
        for stage, count in (("header", 200), ("body", 200), ("idle", 100)):
            self.assertGreaterEqual(self.deadlines(stage) - missed[stage], count, stage)

    def flood(self, first, piece, total, seconds=60):
        """Sends `first`, then `piece` again and again, whatever is answered; returns (bytes taken, first bytes of the answer)."""
        taken, answer = 0, b""
        with socket.create_connection(("127.0.0.1", self.port), 20) as s:
            s.settimeout(10)
            end = time.monotonic() + seconds
            try:
                s.sendall(first)
                while taken < total and time.monotonic() < end:
                    taken += s.send(piece)
                    if not answer and select.select([s], [], [], 0)[0]:
                        answer = s.recv(4096)
            except OSError:
                pass
            with contextlib.suppress(OSError):
                answer = answer or s.recv(4096)
        return taken, answer

    def test_floods_are_cut_off(self):
        chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        line = b"X-%d: y\r\n"
        floods = {
            "a chunked body without an end": (self.head("/api/nodes", "GET", "Transfer-Encoding: chunked") + b"\r\n", chunk, 400 * MB, b"413"),
            "a POST without an end where none is taken": (self.head("/api/nodes", "POST", "Transfer-Encoding: chunked") + b"\r\n", chunk, 400 * MB, b"405"),
            "a POST without an end from a stranger": (b"POST /api/nodes HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", chunk, 400 * MB, b"401"),
            "chunk extensions without an end": (self.head("/api/nodes", "GET", "Transfer-Encoding: chunked") + b"\r\n5;", b"x=y;" * 16384, 400 * MB, b"4"),
            "trailers without an end": (self.head("/api/nodes", "GET", "Transfer-Encoding: chunked") + b"\r\n0\r\n", line % 1 * 8192, 400 * MB, b"4"),
            "200,000 headers": (self.head(), b"".join(line % i for i in range(200_000)), 1, b"431"),
            "a header of 100 MB": (self.head() + b"X-Long: ", b"x" * 65536, 100 * MB, b"431"),
            "a path of 100 MB": (b"GET /", b"a" * 65536, 100 * MB, b"4"),
            "spaces without an end": (b"GET ", b" " * 65536, 100 * MB, b"4"),
            "no HTTP at all": (b"\x16\x03\x01\x02\x00", os.urandom(65536), 100 * MB, b"400"),
        }
        counted = self.statuses("unmatched", 431)
        answered = set()
        with self.abused("floods for 5 s"):
            end, turn = time.monotonic() + 5, 0
            while turn < len(floods) or time.monotonic() < end:
                what, (first, piece, total, status) = list(floods.items())[turn % len(floods)]
                turn += 1
                with self.subTest(what):
                    taken, answer = self.flood(first, piece, total)
                    self.assertLess(taken, 24 * MB, "the server reads on")
                    # The answer may be lost to the reset that follows it; what comes is the right one.
                    if answer:
                        self.assertIn(b"HTTP/1.1 " + status, answer[:16])
                        answered.add(what)
        self.assertGreaterEqual(len(answered), len(floods) // 2, f"only {answered} were answered, the others only cut off")
        self.assertGreaterEqual(self.statuses("unmatched", 431) - counted, 2)

    def test_a_gzip_bomb_is_not_opened(self):
        bomb = gzip.compress(bytes(300 * MB), 9)
        self.assertLess(len(bomb), MB)
        with self.abused("500 gzip bombs of 300 MB"):
            for _ in range(500):
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
                connection.request("GET", "/api/nodes", bomb, {"Authorization": f"Bearer {self.fleet.token}", "Content-Encoding": "gzip"})
                self.assertEqual(connection.getresponse().status, 200)
                connection.close()

    def test_two_thousand_idle_connections(self):
        with self.abused("2,000 idle connections"):
            idle = self.many(2000)
            wait_for("2,000 connections", lambda: self.count("http_connections") >= 2000, 8)
            end = time.monotonic() + HEADER_DEADLINE + SLACK
            while idle.open() and time.monotonic() < end:
                idle.read()
                time.sleep(0.2)
        self.all_ended(idle, HEADER_DEADLINE, "idle")

    def test_ten_thousand_requests_without_reading(self):
        requests = (self.head("/api/health") + b"\r\n") * 10_000
        with self.abused("10,000 requests each on 20 connections that do not read"):
            rude = self.many(20, 4096)
            late = self.many(1)
            at, answers = 0, 0
            began = time.monotonic()
            while time.monotonic() < began + 5:
                rude.send(requests[:65536])
                time.sleep(0.05)
            s, got = late.sockets[0], bytearray()
            while answers < 10_000 and time.monotonic() < began + 90:
                with contextlib.suppress(BlockingIOError):
                    at += s.send(requests[at:at + 65536])
                if late.read(0) or s in late.ended:
                    late.ended.clear()
                with contextlib.suppress(BlockingIOError):
                    got += s.recv(MB)
                answers = got.count(b"HTTP/1.1 200 OK\r\n")
            self.assertEqual(answers, 10_000, "who reads late gets all of it")
            end = began + 5 + ANSWER_DEADLINE + SLACK
            poll = select.poll()
            for each in rude.sockets:
                poll.register(each, 0)  # an error or the end, without reading
            while time.monotonic() < end and len(poll.poll(0)) < 20:
                time.sleep(0.5)
            self.assertEqual(len(poll.poll(0)), 20, "who never reads is ended")

    def test_half_closed_connections(self):
        with self.abused("400 half-closed connections"):
            asked, half = self.many(200), self.many(200)
            asked.send(self.head("/api/health") + b"\r\n")
            half.send(self.head("/api/health"))
            for s in asked.sockets + half.sockets:
                s.shutdown(socket.SHUT_WR)
            answers = {}
            end = time.monotonic() + SLACK
            while time.monotonic() < end:
                for s, came in asked.read().items():
                    answers[s] = answers.get(s, b"") + came
                half.read()
                time.sleep(0.05)
        self.assertEqual(sum(b"200 OK" in a for a in answers.values()), 200, "who said all he had to say is answered")
        self.all_ended(asked, 0, "half-closed after the request")
        self.all_ended(half, 0, "half-closed within the request")

    def test_slow_readers_of_a_long_answer(self):
        request = self.head("/api/readings?node=big&device=meter&from=0&format=csv", "GET") + b"\r\n"
        missed = self.deadlines("answer")
        with self.abused("100 readers of a long answer, 1 KB/s each", full_seconds=15):
            slow = self.many(100, 4096)
            slow.send(request)
            end = time.monotonic() + ANSWER_DEADLINE + SLACK
            while time.monotonic() < end and slow.open():
                slow.read(1024)
                time.sleep(1)
        wait_for("the long answers to be ended", lambda: self.count("http_streams") <= 1, SLACK)
        self.assertGreaterEqual(self.deadlines("answer") - missed + self.count("http_streams_cut_total"), 32)


class AtTheAgent(unittest.TestCase):
    def test_abuse_of_the_local_page(self):
        with Fleet() as fleet:
            g1 = fleet.gateway("g1")
            before = rss(g1.agent)
            connections = Many(g1.http_port, 100)
            self.addCleanup(connections.close)
            connections.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: ")
            end = time.monotonic() + HEADER_DEADLINE + SLACK
            while connections.open() and time.monotonic() < end:
                connections.send(b"x" * 65536)
                connections.read()
                time.sleep(0.05)
            self.assertEqual(len(connections.open()), 0)
            wait_for("the page again", lambda: g1.get("/healthz")[0] == 200)
            for first in (b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 200_000, b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n"):
                with socket.create_connection(("127.0.0.1", g1.http_port), 10) as s:
                    with contextlib.suppress(OSError):
                        s.sendall(first)
                    with contextlib.suppress(OSError):
                        self.assertRegex(s.recv(100), rb"^HTTP/1.1 4(31|13)|^$")
            self.assertEqual(g1.get("/metrics")[0], 200)
            self.assertLess((rss(g1.agent) - before) / MB, 32)
            self.assertTrue(g1.agent.alive())


if __name__ == "__main__":
    unittest.main(verbosity=2)
