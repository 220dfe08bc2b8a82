"""The gateway: the codec, the buffer on a real disk, and a whole agent between two brokers."""
import os
import subprocess
import threading
import time

import paho.mqtt.client as mqtt
from rig import BIN, MOSQUITTO, ROOT, Centre, Program, Spent, answers, at_least, at_most, figure, figures, free_port, http_get, memory_mb, running, scratch, wait_for

NODE_EXPORTER = "/usr/bin/prometheus-node-exporter"


def codec():
    return figures([BIN / "bench_codec", ROOT.parent / "shared" / "data" / "library1.csv.gz"])


def buffer():
    with scratch() as folder:
        return figures([BIN / "bench_buffer", folder])


class Edge:
    """A gateway's broker and agent, all settings at their defaults but the addresses."""

    def __init__(self, folder, centre, central=""):
        self.port, self.http_port = free_port(), free_port()
        broker_conf, agent_conf = folder / "gateway.conf", folder / "agent.toml"
        broker_conf.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence false\nmax_queued_messages 0\nmax_queued_bytes 67108864\n")
        agent_conf.write_text(f'node = "g1"\ngarden = "rose-court"\nstate_folder = "{folder}/state"\n[local]\nport = {self.port}\n'
                              f'[central]\nhost = "127.0.0.1"\nport = {centre.broker_port}\ntls = false\n{central}[http]\nport = {self.http_port}\n')
        self.broker = Program(folder, "gateway-broker", [MOSQUITTO, "-c", broker_conf], answers(self.port))
        self.agent = Program(folder, "agent", [BIN / "basmalin-agent", "--config", agent_conf], answers(self.http_port))

    def start(self):
        self.broker.start()
        self.agent.start()
        wait_for("the agent listens", lambda: self.metric("basmalin_agent_local_connected") == 1)
        wait_for("the agent is welcome", lambda: self.metric("basmalin_agent_uplink_open") == 1)

    def metric(self, name):
        for line in http_get(f"http://127.0.0.1:{self.http_port}/metrics")[1].splitlines():
            if line.startswith((name + " ", name + "{")):
                return float(line.rsplit(" ", 1)[1])
        return None


class Publisher:
    """`messages_per_second` messages as Zigbee2MQTT sends them, of `values` readings each, of 50 devices in turn."""

    def __init__(self, port, messages_per_second, values):
        self.rate, self.values, self.sent = messages_per_second, values, 0
        self.client = mqtt.Client(protocol=mqtt.MQTTv311)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        began = time.monotonic()
        names = ["temperature", "humidity", "soil_moisture", "illuminance"][:self.values]
        while not self.ending.is_set():
            due = int((time.monotonic() - began) * self.rate)
            for n in range(self.sent, due):
                body = ",".join(f'"{name}":{20 + (n * (i + 3) % 97) / 10}' for i, name in enumerate(names))
                self.client.publish(f"zigbee2mqtt/bed{n % 50}", "{" + body + "}")
            self.sent = max(self.sent, due)
            time.sleep(0.02)

    def stop(self):
        self.ending.set()
        self.thread.join()
        self.client.disconnect()
        self.client.loop_stop()


def peer_memory(folder):
    if not os.access(NODE_EXPORTER, os.X_OK):
        return None
    port = free_port()
    exporter = Program(folder, "node-exporter", [NODE_EXPORTER, f"--web.listen-address=127.0.0.1:{port}"], answers(port))
    with running(exporter):
        exporter.start()
        for _ in range(5):
            http_get(f"http://127.0.0.1:{port}/metrics")
            time.sleep(1)
        return memory_mb(exporter.process.pid)


def agent(seconds=60):
    results = []
    with scratch() as folder, Centre(folder) as centre:
        edge = Edge(folder, centre)
        with running(edge.broker, edge.agent):
            edge.start()
            pid = edge.agent.process.pid
            time.sleep(30)
            exporter = peer_memory(folder)
            results.append(at_most("agent: memory (RSS), idle", memory_mb(pid), "MB", 8, "Debian's prometheus-node-exporter", exporter))
            for messages, values in ((250, 4), (1000, 1)):
                publisher = Publisher(edge.port, messages, values)
                time.sleep(5)
                spent, before = Spent(pid), edge.metric("basmalin_agent_source_readings_total")
                time.sleep(seconds)
                share, taken = spent.share() * 100, edge.metric("basmalin_agent_source_readings_total")
                publisher.stop()
                shape = f"1,000 readings/s in {messages} messages"
                results += [at_most(f"agent: memory (RSS), {shape}", memory_mb(pid), "MB", 12, "Debian's prometheus-node-exporter", exporter),
                            at_most(f"agent: processor, {shape}", share, "% of a core", 5),
                            figure(f"agent: taken in, {shape}", ((taken or 0) - (before or 0)) / seconds, "readings/s")]
    return results


def drain(readings=1_000_000):
    """A gateway that was offline for long comes home: from the start of its agent until the centre has stored everything, once."""
    results = []
    with scratch() as folder, Centre(folder) as centre:
        subprocess.run([BIN / "make_backlog", folder / "state", str(readings), "256"], check=True, timeout=300, stdout=subprocess.DEVNULL)
        edge = Edge(folder, centre, 'backlog_start_most = "0 s"\n')
        with running(edge.broker, edge.agent):
            edge.broker.start()
            began = time.monotonic()
            edge.agent.start(wait=False)
            wait_for("the backlog in the centre", lambda: centre.metric("basmalin_readings_stored_total") >= readings, 120)
            took = time.monotonic() - began
            wait_for("everything is acknowledged", lambda: edge.metric("basmalin_agent_unacked_batches") == 0, 60)
            twice = centre.metric('basmalin_batches_total{outcome="duplicate"}')
            results += [at_least("agent: a backlog of 1,000,000 readings, from its start to the centre's store", readings / took, "readings/s", 200_000),
                        at_most("agent: its memory at its peak meanwhile", memory_mb(edge.agent.process.pid, "VmHWM"), "MB", 12),
                        figure("agent: batches that came twice meanwhile", twice, "batches")]
    return results
