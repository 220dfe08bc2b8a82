"""A device that counts: message n holds the number n in each of `values` quantities, so that every reading can be told from every
other, and what is in a store can be compared with what was published, reading by reading."""
import collections
import csv
import io
import json
import threading
import time

import paho.mqtt.client as mqtt

# The gateway's rule for it: every number of load/<device> is a quantity of <device>.
RULE = '[[sources.rule]]\ntopic = "load/+"\ndevice = "{1}"\n'


class Load:
    """Publishes until told to stop. A message is tried once: what the broker did not confirm is in `unsure`, and never sent again,
    so that a reading which is stored twice was doubled by the fleet. `taken` and `unsure`: {n: (device, began, ended)}."""

    def __init__(self, gateway, device="load", messages_per_second=100, values=20):
        self.node, self.port, self.name, self.values = gateway.node, gateway.port, device, values
        self.pause = 1 / messages_per_second
        self.tried, self.taken, self.unsure = 0, {}, {}
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def connect(self):
        client = mqtt.Client(protocol=mqtt.MQTTv311)
        client.connect("127.0.0.1", self.port)
        self.until(client, client.is_connected)
        return client

    @staticmethod
    def until(client, condition, seconds=5):
        end = time.monotonic() + seconds
        while not condition():
            if client.loop(0.02) != mqtt.MQTT_ERR_SUCCESS or time.monotonic() > end:
                raise ConnectionError("the local broker went away")

    def run(self):
        client, due = None, time.monotonic()
        while not self.stopping.is_set():
            try:
                client = client or self.connect()
            except OSError:
                time.sleep(0.02)
                due = time.monotonic()
                continue
            n, device, began = self.tried + 1, self.name, time.monotonic()
            self.tried = n
            where = self.unsure
            try:
                info = client.publish(f"load/{device}", json.dumps({f"q{i:02}": n for i in range(self.values)}), qos=1)
                self.until(client, info.is_published)
                where = self.taken
            except (OSError, ValueError, RuntimeError):
                client = None  # with everything it would have sent again
            where[n] = (device, began, time.monotonic())
            due = max(due + self.pause, time.monotonic() - 0.5)
            time.sleep(max(0, due - time.monotonic()))
        if client:
            client.disconnect()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        if not self.stopping.is_set():
            self.stopping.set()
            self.thread.join()


def readings_in(text, devices):
    """Of an export of the buffer: the set of (device, quantity, number)."""
    return {(row["device"], row["quantity"], int(row["value"])) for row in csv.DictReader(io.StringIO(text)) if row["device"] in devices}


def stored(fleet, node, devices):
    """How often each (device, quantity, number) is in the store."""
    return collections.Counter((row["device"], row["quantity"], int(row["value"])) for device in devices for row in fleet.readings(node, device))


def arrived(fleet, load):
    """For wait_for: whether the newest reading the broker took is in the store."""
    newest = max(load.taken)
    return any(row["value"] == str(newest) for row in fleet.readings(load.node, load.taken[newest][0], "q00"))
