"""A bad message of every kind harms nobody: at the gateway's broker, on the wire to the centre, and at the API."""
import os
import ssl
import struct
import unittest

import paho.mqtt.client as mqtt

from fleet import Fleet, http_get, wait_for


class BadInput(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.fleet = Fleet().__enter__()
        cls.addClassCleanup(lambda: cls.fleet.__exit__(None))
        cls.g1 = cls.fleet.gateway("g1")

    def still_works(self, device):
        with self.g1.device() as sensor:
            sensor.publish(f"{device}/sensor/probe/state", "1.5")
        wait_for("a good reading after the bad ones", lambda: self.fleet.readings("g1", device, "probe"))

    def node(self, name):
        """A node with a valid certificate that says what it likes."""
        self.fleet.certificate(name)
        certs = self.fleet.folder / "certs"
        client = mqtt.Client(protocol=mqtt.MQTTv5)
        client.tls_set(ca_certs=str(certs / "ca.crt"), certfile=str(certs / f"{name}.crt"), keyfile=str(certs / f"{name}.key"),
                       tls_version=ssl.PROTOCOL_TLS_CLIENT)
        client.connect("localhost", self.fleet.broker_port)
        client.loop_start()
        self.addCleanup(client.loop_stop)
        self.addCleanup(client.disconnect)
        return client

    def test_garbage_at_the_gateways_broker(self):
        before = self.g1.metric("basmalin_agent_source_unknown_total") or 0
        with self.g1.device() as device:
            for topic in ("tele/x/SENSOR", "zigbee2mqtt/x", "zigbee2mqtt/bridge/devices", "homeassistant/sensor/x/config",
                          "homeassistant/device/x/config", "x/sensor/y/state", "homie/5/x/$description", "senml/x", "what/is/this"):
                for payload in (b"", b"{", b"\x00\xff\xfe" * 50, b"[" * 5000, b'{"a":' * 2000, os.urandom(3000), b'{"temperature":1e999}',
                                b'{"BME280":{"Temperature":"nan"}}', b'"' + b"x" * 70000 + b'"'):
                    device.publish(topic, payload)
        self.assertTrue(self.g1.agent.alive())
        self.still_works("after_garbage")
        self.assertGreater(self.g1.metric("basmalin_agent_source_unknown_total"), before)

    def test_a_device_with_a_thousand_series_hits_its_budget(self):
        with self.g1.device() as device:
            for i in range(1000):
                device.publish(f"greedy/sensor/s{i}/state", "1")
        wait_for("the budget to be counted", lambda: (self.g1.metric("basmalin_agent_source_refused_total") or 0) >= 800)
        self.still_works("after_greedy")
        self.assertLessEqual(len(self.fleet.items("/api/series", node="g1", device="greedy", limit=1000)), 200)
        self.assertIn("greedy", (self.g1.folder / "agent.log").read_text())

    def test_garbage_from_a_node_is_counted_and_named(self):
        evil = self.node("evil")
        stream = 0x1122334455667788
        envelope = struct.pack("<BQB", 0xB1, stream, 1)  # a right envelope, no boots, live lane
        garbage = (b"", b"BM", os.urandom(200), os.urandom(32000), envelope[:5], envelope + b"\x00", envelope + b"\x7fhello",
                   b"\xff" * 60000)
        poison = (envelope + b"\x05hello", envelope + b"\x64" + os.urandom(100))
        for payload in garbage + poison:
            evil.publish("fleet/1/evil/up", payload, qos=1).wait_for_publish(10)
        for payload in (b"", b"{", b"[]", b'{"garden":5}', b'{"streams":{}}', os.urandom(500), b"[" * 10000):
            for kind in ("hello", "status", "health", "device/x/health"):
                evil.publish(f"fleet/1/evil/{kind}", payload, qos=1).wait_for_publish(10)
        wait_for("garbage to be counted", lambda: self.fleet.metric("basmalin_ingest_messages_garbage_total") >= len(garbage))
        wait_for("poison in the dead letters", lambda: len([l for l in self.fleet.items("/api/dead-letters") if l["node"] == "evil"]) >= 2)
        self.assertIn("evil", self.fleet.coordinator.log.read_text())
        self.assertTrue(self.fleet.coordinator.alive())
        self.still_works("after_evil")

    def test_a_node_cannot_speak_for_another(self):
        evil = self.node("mallory")
        evil.publish("fleet/1/g1/status", b'{"online":false,"reason":"lies","since":"2026-01-01T00:00:00.000Z"}', qos=1, retain=True).wait_for_publish(10)
        self.still_works("after_mallory")
        self.assertEqual(self.fleet.api("/api/nodes/g1")["presence"], "online")

    def test_bad_requests_say_what_is_wrong(self):
        for path, code, word in (("/api/nodes?limit=lots", 400, "limit"), ("/api/nodes?colour=red", 400, "colour"),
                                 ("/api/readings?series=x", 400, "series"), ("/api/readings", 400, "series"),
                                 ("/api/readings?node=g1&device=node&from=yesterdayish", 400, "from"),
                                 ("/api/readings?node=g1&device=node&step=banana", 400, "step"),
                                 ("/api/nodes/nobody", 404, "nobody"), ("/nowhere", 404, "/nowhere")):
            error = self.fleet.api(path, expect=code)["error"]
            self.assertIn(word, error["message"] + error["hint"], path)
            self.assertTrue(error["code"], path)
        status, text = http_get(f"http://127.0.0.1:{self.fleet.api_port}/api/nodes", token="wrong")
        self.assertEqual(status, 401, text)
        status, text = http_get(f"http://127.0.0.1:{self.fleet.api_port}/api/nodes")
        self.assertEqual(status, 401, text)


if __name__ == "__main__":
    unittest.main(verbosity=2)
