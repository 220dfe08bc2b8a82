"""The API under load, on a fleet of 1,000 gardens and 10,000 nodes: 100 connections at 1,000 requests/s in all, and at full throttle, while
1,000 nodes report 50 series each every 10 s."""
import contextlib
import json
import re
import shutil
import subprocess
import time
import urllib.request

import paho.mqtt.client as mqtt
from rig import BIN, CannotMeasure, Centre, at_least, at_most, figure, figures, scratch, wait_for

TARGETS = ["fill_store", "fleet_live", "basmalin-coordinator"]
GARDENS, NODES, SECONDS = 1000, 10_000, 20


# What a gateway on a Raspberry Pi reports of itself; each is a gauge.
HEALTH = {"cpu_ratio": 0.07, "load1": 0.31, "memory_available_bytes": 612368384, "memory_total_bytes": 966156288, "swap_used_bytes": 0,
          "disk_free_bytes": 25769803776, "disk_total_bytes": 31268536320, "disk_written_today_bytes": 183500800,
          "temperature_celsius": 48.3, "uptime_seconds": 1209600, "wifi_signal_dbm": -61, "buffer_readings": 173000,
          "buffer_bytes": 1310720, "buffer_oldest_seconds": 3, "agent_rss_bytes": 7340032}


def populate(centre, nodes=NODES, healthy=False):
    """Every node says that it is there, as gateways do: a retained status, and the health of its machine."""
    client = mqtt.Client(protocol=mqtt.MQTTv311)
    client.max_inflight_messages_set(1000)
    client.max_queued_messages_set(0)
    client.connect("127.0.0.1", centre.broker_port)
    client.loop_start()
    for n in range(nodes):
        status = {"online": True, "since": "2026-09-21T14:13:20.123Z", "reason": "", "agent_version": "0.1.0", "boot": f"{n:016x}",
                  "garden": f"garden-{n % GARDENS + 1}"}
        info = client.publish(f"fleet/1/node-{n + 1}/status", json.dumps(status), qos=1, retain=True)
        if healthy:
            values = {name: value + n % 7 for name, value in HEALTH.items()}
            health = {"time": status["since"], "time_trusted": True, "values": values, "flags": {"clock_synced": True}, "texts": {}, "services": []}
            info = client.publish(f"fleet/1/node-{n + 1}/health", json.dumps(health), qos=1, retain=True)
    info.wait_for_publish(60)
    client.disconnect()
    client.loop_stop()
    wait_for(f"{nodes} nodes are known", lambda: centre.metric("basmalin_nodes") >= nodes, 120)


def live(centre, series, seconds):
    """1,000 nodes of so many series every 10 s, over 100 connections."""
    command = (BIN / "fleet_live", centre.broker_port, 1000, series, 10, seconds, 100)
    return subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL)


@contextlib.contextmanager
def ingest(centre, seconds):
    """1,000 nodes x 50 series every 10 s while the block runs."""
    load = live(centre, 50, seconds)
    try:
        time.sleep(15)
        if load.poll() is not None:
            raise CannotMeasure(f"fleet_live ended with {load.returncode}")
        yield
    finally:
        if load.poll() is None:
            load.terminate()
        load.wait()


def hey(centre, path):
    """(p99 in ms, errors, requests/s) of 100 connections, 10 requests/s each."""
    command = ["hey", "-c", "100", "-q", "10", "-z", f"{SECONDS}s", "-H", f"Authorization: Bearer {centre.token}", centre.url + path]
    out = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS + 60).stdout
    p99, rate = re.search(r"99% in ([0-9.]+) secs", out), re.search(r"Requests/sec:\s+([0-9.]+)", out)
    if not p99 or not rate:
        raise CannotMeasure("hey said:\n" + out[-1000:])
    statuses = {int(code): int(count) for code, count in re.findall(r"\[(\d{3})\]\s+(\d+) responses", out)}
    errors = sum(count for code, count in statuses.items() if code != 200)
    errors += sum(int(count) for count in re.findall(r"^\s+\[(\d+)\]\t", out.split("Error distribution:")[1], re.M)) if "Error distribution:" in out else 0
    return float(p99.group(1)) * 1000, errors, float(rate.group(1))


def wrk(centre, path):
    """(requests/s, errors) of 100 connections as fast as they can."""
    command = ["wrk", "-t2", "-c100", f"-d{SECONDS}s", "-H", f"Authorization: Bearer {centre.token}", centre.url + path]
    out = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS + 60).stdout
    rate = re.search(r"Requests/sec:\s+([0-9.]+)", out)
    if not rate:
        raise CannotMeasure("wrk said:\n" + out[-1000:])
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    sockets = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", out)
    return float(rate.group(1)), (int(bad.group(1)) if bad else 0) + (sum(map(int, sockets.groups())) if sockets else 0)


def drawn_anew(centre, chart):
    """Each with another limit, so that none is the chart that was asked for before."""
    took = []
    for n in range(50):
        began = time.monotonic()
        centre.get(chart.replace("limit=1000", f"limit={1001 + n}"))
        took.append((time.monotonic() - began) * 1000)
    return sorted(took)[len(took) // 2]


def measure():
    for program in ("hey", "wrk"):
        if not shutil.which(program):
            raise CannotMeasure(f"{program} is missing; run packaging/packages bench")
    results = []
    with scratch() as folder:
        figures([BIN / "fill_store", folder / "store", "stations", 2])
        with Centre(folder) as centre:
            populate(centre)
            chart = "/api/readings?node=stations&device=station1&quantity=temperature&from=-24h&step=5m&limit=1000"
            paths = {"/api/gardens": "/api/gardens", "/api/nodes": "/api/nodes", "24-h chart": chart}
            with ingest(centre, 30 + 2 * len(paths) * (SECONDS + 3)):
                results.append(figure("HTTP: 24-h chart, drawn anew (no copy is at hand), one after the other, median", drawn_anew(centre, chart), "ms"))
                for name, path in paths.items():
                    p99, errors, rate = hey(centre, path)
                    results += [at_most(f"HTTP: {name}, 100 connections, 1,000 requests/s, p99", p99, "ms", 20),
                                at_most(f"HTTP: {name}, errors", errors, "requests", 0),
                                figure(f"HTTP: {name}, answered", rate, "requests/s")]
                for name, path in paths.items():
                    before = centre.buckets("basmalin_ingest_lag_seconds")
                    rate, errors = wrk(centre, path)
                    lag = centre.quantile_since(before, "basmalin_ingest_lag_seconds", 0.99)
                    results += [at_least(f"HTTP: {name}, 100 connections at full throttle", rate, "requests/s", 5000),
                                at_most(f"HTTP: {name}, at full throttle, errors", errors, "requests", 0),
                                at_most(f"HTTP: {name}, at full throttle, ingest's lag p99 below", lag, "s", 2)]
    return results


def scrape():
    """/metrics with more than 100,000 series: 6,000 nodes with gauges for their health, as Prometheus asks for it."""
    with scratch() as folder, Centre(folder, "[metrics]\nnodes_max = 10000\n") as centre:
        populate(centre, 6000, healthy=True)
        wait_for("every node's health is known", lambda: centre.get("/metrics").count("basmalin_node_uptime_seconds{") == 6000, 60)
        results = []
        for coding in ("identity", "gzip"):
            took = []
            for _ in range(5):
                request = urllib.request.Request(centre.url + "/metrics", headers={"Authorization": f"Bearer {centre.token}", "Accept-Encoding": coding})
                began = time.monotonic()
                with urllib.request.urlopen(request, timeout=30) as answer:
                    body = answer.read()
                took.append((time.monotonic() - began) * 1000)
            if coding == "gzip":
                results.append(figure(f"/metrics with {series:,} series, gzipped, median of 5", sorted(took)[2], "ms"))
            else:
                series = sum(1 for line in body.splitlines() if line and not line.startswith(b"#"))
                results.append(at_most(f"/metrics with {series:,} series, median of 5", sorted(took)[2], "ms", 100))
        return results
