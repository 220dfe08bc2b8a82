"""What is kept: its size, how soon it is there again after a restart, and how quickly a year of it is drawn. Through the HTTP API."""
import json
import shutil
import time
import urllib.parse

import victoria
from rig import BIN, ROOT, CannotMeasure, Centre, at_most, figures, scratch, wait_for

TARGETS = ["fill_store", "made_up_lines", "basmalin-coordinator"]
LIBRARY1 = ROOT.parent / "shared/data/library1.csv.gz"


def rest():
    if not LIBRARY1.exists():
        raise CannotMeasure(f"needs {LIBRARY1}")
    with scratch() as folder:
        results = figures([BIN / "fill_store", folder / "store", "rest", LIBRARY1])
        if victoria.Victoria.available():
            source = victoria.lines(folder / "lines", "library1", LIBRARY1)
            with victoria.Victoria(folder) as peer:
                rows, _ = peer.load(source)
                results[-1].update(peer="VictoriaMetrics, merged", peer_value=peer.settle(rows) / rows)
        return results


def restart():
    """Ended by SIGKILL with an hour of 5,000 readings/s in hot; ready is /readyz, and the hour must be readable."""
    with scratch() as folder:
        results = figures([BIN / "fill_store", folder / "store", "hot"])
        with Centre(folder) as centre:
            wait_for("ready", lambda: "ready" in centre.get("/readyz"))
            centre.coordinator.kill9()
            began = time.monotonic()
            centre.coordinator.start(wait=False)
            wait_for("ready", lambda: "ready" in centre.get("/readyz"), 120)
            took = time.monotonic() - began
            page = json.loads(centre.get("/api/readings?" + urllib.parse.urlencode(
                {"node": "hot-1", "device": "station1", "quantity": "temperature", "from": "-2h", "limit": 10000})))
            if len(page["items"]) < 3000:
                raise CannotMeasure(f"after the restart an hour has {len(page['items'])} readings, not 3,600")
        return results + [at_most("restart with 1 hour of hot data at 5,000 readings/s: ready in", took, "s", 3)]


def timed(centre, path, least_items):
    """The median of nine, each another day or series so that nothing is answered from a copy."""
    took = []
    for n in range(9):
        began = time.monotonic()
        answer = json.loads(centre.get(path(n)))
        took.append((time.monotonic() - began) * 1000)
        if len(answer["items"]) < least_items:
            raise CannotMeasure(f"{path(n)}: {len(answer['items'])} items, not {least_items}")
    return sorted(took)[len(took) // 2], max(took)


def year():
    kept = BIN.parent / "year-of-stations"
    with scratch() as folder:
        results = []
        if not kept.exists():
            results = figures([BIN / "fill_store", folder / "store", "stations", 365], 1800)
            shutil.copytree(folder / "store", kept)
        else:
            shutil.copytree(kept, folder / "store")
        with Centre(folder) as centre:
            def query(n, **parameters):
                station = {"node": "stations", "device": f"station{n + 1}", "quantity": "temperature"}
                return "/api/readings?" + urllib.parse.urlencode(station | parameters)
            for what, path, least in (
                    ("a year of one series by 6 h, from rollups", lambda n: query(n, **{"from": "-365d", "step": "6h", "limit": 10000}), 1400),
                    ("a year of one series by 1 h, from rollups", lambda n: query(n, **{"from": "-365d", "step": "1h", "limit": 10000}), 8600),
                    ("any raw day of one series (8,640 readings)",
                     lambda n: query(n, **{"from": f"-{30 + 37 * n}d", "to": f"-{29 + 37 * n}d", "limit": 10000}), 8600)):
                median, worst = timed(centre, path, least)
                results.append(at_most(f"a year of 50 series at 10 s: {what}, median of 9 (worst {worst:.0f} ms)", median, "ms", 50))
        return results
