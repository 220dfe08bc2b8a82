"""A fleet that lives: so many nodes, each with a batch every ten seconds. What it costs the coordinator, and how the cost grows."""
import json
import statistics
import subprocess
import time

from rig import BIN, CannotMeasure, Centre, Spent, at_most, figure, memory_mb, scratch
from fleet import wait_for

TARGETS = ["fleet_live", "basmalin-coordinator"]
SERIES, EVERY = 50, 10
SETTLE_SECONDS, NODES_BORN_A_SECOND, MEASURE_SECONDS = 20, 150, 60  # 150 nodes are 7,500 new series


def list_ms(centre, path):
    """The median of one page of a list, in milliseconds."""
    def once():
        began = time.monotonic()
        centre.get(path)
        return (time.monotonic() - began) * 1000
    return statistics.median(once() for _ in range(15))


def live(nodes, connections):
    settle = SETTLE_SECONDS + nodes / NODES_BORN_A_SECOND
    with scratch() as folder, Centre(folder) as centre:
        command = [BIN / "fleet_live", centre.broker_port, nodes, SERIES, EVERY, settle + MEASURE_SECONDS + 10, connections]
        with open(folder / "figures", "w+") as out:
            load = subprocess.Popen([str(part) for part in command], stdout=out)
            try:
                wait_for("the fleet to live", lambda: centre.metric("basmalin_readings_stored_total") > 0, 120)
                time.sleep(settle)
                stored, spent, broker = centre.metric("basmalin_readings_stored_total"), Spent(centre.pid), Spent(centre.broker.process.pid)
                time.sleep(MEASURE_SECONDS)
                share, broker_share = spent.share(), broker.share()
                stored = (centre.metric("basmalin_readings_stored_total") - stored) / MEASURE_SECONDS
                memory = memory_mb(centre.pid)
                lists = {path: list_ms(centre, path) for path in ("/api/nodes", "/api/gardens")}
                if load.wait(300) != 0:
                    raise CannotMeasure("fleet_live ended with an error")
            finally:
                if load.poll() is None:
                    load.kill()
                    load.wait()
            out.seek(0)
            lags = [json.loads(line) for line in out]
        sent = next(r["value"] for r in lags if r["unit"] == "readings")
        if (kept := centre.metric("basmalin_readings_stored_total")) != sent:
            raise CannotMeasure(f"{sent:.0f} readings were acknowledged, but {kept:.0f} are stored")
    return {"share": share, "broker": broker_share, "rate": stored, "memory": memory, "lists": lists,
            "lags": [r for r in lags if r["unit"] == "s"]}


def steady():
    found = live(1000, 1000)
    shape = "1,000 nodes x 50 series every 10 s"
    return [figure(f"live: stored, {shape}", found["rate"], "readings/s"),
            at_most(f"live: coordinator's processor time, {shape}", found["share"] * 100, "% of a core", 15),
            at_most(f"live: coordinator's memory, {shape}", found["memory"], "MB", 150),
            figure(f"live: broker's processor time, {shape}", found["broker"] * 100, "% of a core")] + found["lags"]


def growth():
    """At 100, 1,000 and 10,000 nodes over 100 connections; nothing may grow faster than the number of nodes."""
    results, before = [], None
    for nodes in (100, 1000, 10_000):
        found = live(nodes, 100)
        shape = f"{nodes:,} nodes"
        results += [figure(f"growth: coordinator's processor time, {shape}", found["share"] * 100, "% of a core"),
                    figure(f"growth: coordinator's memory, {shape}", found["memory"], "MB")]
        results += [figure(f"growth: first page of {path}, {shape}", ms, "ms") for path, ms in found["lists"].items()]
        results += [{**lag, "what": lag["what"].replace("live:", "growth:"), "target": None, "met": None} for lag in found["lags"]]
        if before:
            for what in ("share", "memory"):
                results.append(at_most(f"growth: {'processor time' if what == 'share' else 'memory'}, times what a tenth of {shape} cost",
                                       found[what] / before[what], "times", 10))
        before = found
    return results
