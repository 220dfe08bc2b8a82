"""A bad link between two programs: a TCP proxy on a thread of its own that delays, narrows, stalls, goes silent and resets, settable
while it runs. LyingBroker is one that opens the TLS and throws away what it has confirmed.

    with Link(broker_port) as link:       # programs connect to link.port
        link.delay = 0.15                 # seconds, each way
        link.bytes_per_second = 32_000    # each way, 0: no bound
        link.stalled = True               # nothing moves and nothing is lost, until False; senders feel it when the buffers are full
        link.silent = True                # what comes is swallowed, and new connections lead nowhere: a cable that was pulled
        link.reset()                      # RST to both ends of every connection
"""
import asyncio
import collections
import socket
import ssl
import struct
import threading
import time

CHUNK = 4096
BUFFER = 64 * 1024  # at most this much of a direction is on its way, delayed


class Link:
    def __init__(self, target_port, delay=0.0, bytes_per_second=0):
        self.target_port, self.delay, self.bytes_per_second = target_port, delay, bytes_per_second
        self.stalled, self.silent = False, False
        self.connections = 0
        self.pairs = set()
        self.port = None
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    # -- what a test calls

    def __enter__(self):
        self.thread.start()
        asyncio.run_coroutine_threadsafe(self.listen(), self.loop).result(10)
        return self

    def __exit__(self, *_):
        asyncio.run_coroutine_threadsafe(self.close(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    def reset(self):
        def abort():
            for pair in list(self.pairs):
                for writer in pair:
                    end = writer.get_extra_info("socket")
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    writer.transport.abort()
        self.loop.call_soon_threadsafe(abort)

    # -- the proxy

    def server_tls(self):
        return None

    def client_tls(self):
        return None

    async def listen(self):
        self.server = await asyncio.start_server(self.accepted, "127.0.0.1", self.port or 0, limit=CHUNK, ssl=self.server_tls())
        self.port = self.server.sockets[0].getsockname()[1]

    async def close(self):
        self.server.close()
        mine = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in mine:
            task.cancel()
        await asyncio.gather(*mine, return_exceptions=True)

    async def accepted(self, near_reader, near):
        self.connections += 1
        pair = (near,)
        self.pairs.add(pair)
        try:
            while self.silent:
                await asyncio.sleep(0.05)
            far_reader, far = await asyncio.open_connection("127.0.0.1", self.target_port, limit=CHUNK, ssl=self.client_tls(),
                                                            server_hostname="localhost" if self.client_tls() else None)
            self.pairs.discard(pair)
            pair = (near, far)
            self.pairs.add(pair)
            ways = [asyncio.ensure_future(self.carry(near_reader, far, near, "up")), asyncio.ensure_future(self.carry(far_reader, near, far, "down"))]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)  # one direction over, both over
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        except (OSError, ssl.SSLError):
            pass
        finally:
            self.pairs.discard(pair)
            for writer in pair:
                writer.transport.abort() if self.silent else writer.close()

    async def carry(self, reader, writer, back, way):
        """One direction; over when its source ends and everything was delivered."""
        line = collections.deque()  # (when it arrives, bytes); None: the end
        state = {"bytes": 0}
        changed = asyncio.Event()

        async def take():
            free_at = time.monotonic()  # when the narrow place has sent what came before
            try:
                async for data in self.chunks(reader, back, way):
                    now = time.monotonic()
                    if self.silent:
                        continue
                    free_at = max(free_at, now) + (len(data) / self.bytes_per_second if self.bytes_per_second else 0)
                    line.append((free_at + self.delay, data))
                    state["bytes"] += len(data)
                    changed.set()
                    while state["bytes"] > BUFFER or free_at > time.monotonic() + 0.05 or self.stalled:
                        await asyncio.sleep(0.005)
            except (OSError, ssl.SSLError, asyncio.IncompleteReadError):
                pass
            line.append((0, None))
            changed.set()

        taking = asyncio.ensure_future(take())
        try:
            while True:
                while not line:
                    changed.clear()
                    await changed.wait()
                arrives, data = line.popleft()
                await asyncio.sleep(max(0, arrives - time.monotonic()))
                while self.stalled:
                    await asyncio.sleep(0.005)
                if data is None:
                    while self.silent:  # not even the end is heard
                        await asyncio.sleep(0.05)
                    return
                if not self.silent:
                    writer.write(data)
                    await writer.drain()
                state["bytes"] -= len(data)
        finally:
            taking.cancel()

    async def chunks(self, reader, back, way):
        while data := await reader.read(CHUNK):
            yield data


PUBLISH, PUBACK = 3, 4


class LyingBroker(Link):
    """Confirms every `lie_every`-th PUBLISH of either direction and throws it away. TLS ends here: towards the node it has the
    server's certificate, towards the broker the node's."""

    def __init__(self, fleet, node, lie_every=7):
        super().__init__(fleet.broker_port)
        self.certs, self.node, self.lie_every = fleet.folder / "certs", node, lie_every
        self.published, self.lies = {"up": 0, "down": 0}, {"up": 0, "down": 0}

    def server_tls(self):
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(self.certs / "server.crt", self.certs / "server.key")
        tls.load_verify_locations(self.certs / "ca.crt")
        tls.verify_mode = ssl.CERT_REQUIRED
        return tls

    def client_tls(self):
        tls = ssl.create_default_context(cafile=self.certs / "ca.crt")
        tls.load_cert_chain(self.certs / f"{self.node}.crt", self.certs / f"{self.node}.key")
        return tls

    async def chunks(self, reader, back, way):
        while True:
            packet, kind, flags, body = await read_packet(reader)
            if kind == PUBLISH and flags & 6:
                self.published[way] += 1
                if self.published[way] % self.lie_every == 0:
                    self.lies[way] += 1
                    topic_bytes = int.from_bytes(body[:2], "big")
                    back.write(bytes([PUBACK << 4, 2]) + body[2 + topic_bytes:4 + topic_bytes])
                    continue
            yield packet


async def read_packet(reader):
    """(the packet's bytes, its type, its flags, what follows the fixed header): MQTT 5, section 2.1."""
    packet = await reader.readexactly(1)
    length, shift = 0, 0
    while True:
        byte = await reader.readexactly(1)
        packet += byte
        length |= (byte[0] & 127) << shift
        shift += 7
        if byte[0] < 128:
            break
    body = await reader.readexactly(length)
    return packet + body, packet[0] >> 4, packet[0] & 15, body
