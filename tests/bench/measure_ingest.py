"""A backlog of many gateways into the coordinator: durable, exactly once. VictoriaMetrics imports the same readings in the same run."""
import victoria
from rig import BIN, CannotMeasure, Centre, at_least, cpu_seconds, figure, figures, memory_mb, scratch

TARGETS = ["fill_store", "fleet_load", "made_up_lines", "basmalin-coordinator"]
GATEWAYS = 64


def once(readings_a_batch, readings_total):
    with scratch() as folder, Centre(folder) as centre:
        results = figures([BIN / "fleet_load", centre.broker_port, GATEWAYS, readings_a_batch, readings_total])
        sent = next(r["value"] for r in results if r["unit"] == "readings")
        stored = centre.metric("basmalin_readings_stored_total")
        if stored != sent:
            raise CannotMeasure(f"{sent:.0f} readings were acknowledged, but {stored:.0f} are stored")
        millions, shape = sent / 1e6, f"{readings_a_batch} readings a batch"
        return results + [
            figure(f"ingest: coordinator's processor time, {shape}", cpu_seconds(centre.pid) / millions, "s/million readings"),
            figure(f"ingest: broker's processor time, {shape}", cpu_seconds(centre.broker.process.pid) / millions, "s/million readings"),
            figure(f"ingest: coordinator's memory at its peak, {shape}", memory_mb(centre.pid, "VmHWM"), "MB")]


def newcomers(nodes):
    """Nodes of 50 series each that the store has never heard of: readings a second are series a second."""
    with scratch() as folder:
        rate = next(r["value"] for r in figures([BIN / "fill_store", folder / "store", "new", nodes]) if r["unit"] == "readings/s")
    return at_least(f"store: new series made, {nodes:,} nodes of 50", rate, "series/s", 50_000)


def measure():
    full, small = once(256, 8_000_000), once(20, 1_000_000)
    with scratch() as folder:
        peer = victoria.import_rate(folder, GATEWAYS, 8_000_000)
    if peer:
        full[0].update(peer="VictoriaMetrics, import of JSON lines, no fsync", peer_value=peer)
    return full + small + [newcomers(nodes) for nodes in (100, 1000, 10_000)]
