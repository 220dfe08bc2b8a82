"""A node in Python: as much of fleet/1 (shared/wire/README.md) as it takes to say right things, and wrong ones on purpose."""
import datetime
import json
import secrets
import ssl
import struct
import threading
import time
import zlib

import paho.mqtt.client as mqtt

from fleet import wait_for

READINGS, GAPS, LOGS, EVENTS = range(4)
LIVE, BACKLOG = 1, 2
MONO_MS = 1_000_000  # since boot, of what is sealed now


def varint(n):
    out = bytearray()
    n &= (1 << 64) - 1
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    return bytes(out) + bytes([n])


def svarint(n):
    return varint(n << 1 if n >= 0 else (-n << 1) - 1)


def text(value):
    raw = value if isinstance(value, bytes) else value.encode()
    return varint(len(raw)) + raw


def definitions(layouts):
    """layouts: {id: (device, [quantity, …])}; every column a plain number without unit."""
    out = varint(len(layouts))
    for number, (device, quantities) in layouts.items():
        out += varint(number) + text(device) + varint(len(quantities))
        for quantity in quantities:
            out += text(quantity) + text("") + b"\x00"
    return out


def group(layout, times, columns, time_before=0):
    """Rows of one layout: times in ms since boot, a list of whole numbers a column, each column of a quantity new to the body."""
    out = varint(layout << 2 | (len(times) == 1))
    if len(times) > 1:
        out += varint(len(times) - 2)
    before, step = time_before, 0
    for i, at in enumerate(times):
        out += svarint(at - before - (step if i > 1 else 0))
        before, step = at, at - before
    for values in columns:
        last = 0
        for value in values:
            out += svarint(value - last)
            last = value
    return out


def readings_body(layouts, groups):
    return (b"\x02" + definitions(layouts) if layouts else b"\x00") + groups


def batch(stream, seq, body, readings=0, kind=READINGS, boot_no=1, mono_ms=MONO_MS, wall_ms=None, first_ms=None, version=1):
    wall_ms = int(time.time() * 1000) if wall_ms is None else wall_ms
    head = bytes([version << 4 | kind, 1 | 1 << 2]) + varint(seq) + varint(boot_no) + svarint(mono_ms) + svarint(wall_ms)
    head += varint(readings) + svarint(mono_ms - (mono_ms if first_ms is None else first_ms))
    return head + body + struct.pack("<I", zlib.crc32(struct.pack("<Q", stream) + head + body))


def up(stream, batches, lane=LIVE):
    return struct.pack("<BQ", 0xB1, stream) + varint(lane) + b"".join(text(one) for one in batches)


def parse_ack(payload):
    """(stream, mark) of an ack."""
    stream = struct.unpack_from("<Q", payload, 10)[0]
    mark, shift = 0, 0
    for byte in payload[18:28]:
        mark |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    return stream, mark


class Node:
    """A node with a certificate of the fleet's, connected to the central broker. It knows what of its streams is stored."""

    def __init__(self, fleet, name, garden="rose-court"):
        self.name, self.garden = name, garden
        self.stream = secrets.randbits(64)
        self.seq = 0
        self.marks, self.heard = {}, threading.Condition()
        self.foreign = []  # what came from other nodes' topics
        fleet.certificate(name)
        certs = fleet.folder / "certs"
        self.client = mqtt.Client(protocol=mqtt.MQTTv5)
        self.client.max_inflight_messages_set(64)
        self.client.tls_set(ca_certs=str(certs / "ca.crt"), certfile=str(certs / f"{name}.crt"), keyfile=str(certs / f"{name}.key"),
                            tls_version=ssl.PROTOCOL_TLS_CLIENT)
        self.connected = threading.Event()
        self.client.on_connect = lambda client, *_: client.subscribe(f"fleet/1/{name}/#", 1)
        self.client.on_subscribe = lambda *_: self.connected.set()
        self.client.on_message = self.on_message
        self.client.connect("localhost", fleet.broker_port)
        self.client.loop_start()
        wait_for("the coordinator to listen", lambda: fleet.metric("basmalin_ingest_broker_connected") == 1)
        if not self.connected.wait(10):
            raise AssertionError(f"{name}: the central broker did not let it subscribe within 10 s")

    def on_message(self, _client, _data, message):
        with self.heard:
            if not message.topic.startswith(f"fleet/1/{self.name}/"):
                self.foreign.append(message.topic)
            elif message.topic.endswith("/ack"):
                stream, mark = parse_ack(message.payload)
                self.marks[stream] = max(mark, self.marks.get(stream, 0))
                self.heard.notify_all()

    def publish(self, kind, payload, retain=False, node=None, wait=True):
        if isinstance(payload, dict):
            payload = json.dumps(payload)
        info = self.client.publish(f"fleet/1/{node or self.name}/{kind}", payload, qos=1, retain=retain)
        if wait:
            info.wait_for_publish(20)
        return info

    def status(self):
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self.publish("status", {"online": True, "since": now, "reason": "", "agent_version": "0.1.0", "boot": "feedc0defeedc0de",
                                "garden": self.garden}, retain=True)

    def send(self, body, readings=0, wait=True, **header):
        """Seals `body` as the next batch of its stream and sends it alone; returns the batch."""
        self.seq += 1
        sealed = batch(self.stream, self.seq, body, readings, **header)
        self.publish("up", up(self.stream, [sealed]), wait=wait)
        return sealed

    def wait_mark(self, mark, seconds=30, stream=None):
        with self.heard:
            done = self.heard.wait_for(lambda: self.marks.get(stream or self.stream, 0) >= mark, seconds)
        if not done:
            raise AssertionError(f"{self.name}: mark {self.marks.get(stream or self.stream, 0)} instead of {mark} after {seconds} s")

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()
