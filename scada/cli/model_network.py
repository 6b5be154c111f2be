"""``scada model sv`` and ``scada model topology``: is a model electrically true?"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import click


@click.command(
    epilog="Example: scada model sv network.zip --worst 20. Buses with many MVA show where an impedance, tap or section is wrong."
)
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--worst", default=10, show_default=True, type=click.IntRange(0, 10_000), help="How many buses to name.")
@click.option("--limit", type=click.FloatRange(min=0), help="Exit code 1 if a bus is off by more than so many MVA.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def sv(path: Path, *, worst: int, limit: float | None, as_json: bool) -> None:
    """Does a model's own solution fit its own network?

    Takes the solved voltages of the model's SV profile and compares, bus by bus, what they drive into the network with what is
    injected there (SvPowerFlow, else SSH).
    """
    from scada.apps.network.solved_state import sv_check
    from scada.model_cim.reader import ModelReader

    found = sv_check(ModelReader(path).read(), worst=worst)
    if as_json:
        click.echo(json.dumps(found.as_dict(), ensure_ascii=False))
    else:
        turned = "turned by vector groups" if found.vector_groups else "without vector groups"
        click.echo(f"{found.buses} buses checked, {found.unchecked} not (a neighbour has no voltage); angles {turned}")
        click.echo(f"mismatch: median {found.median:.4g} MVA, 95 % {found.p95:.4g}, greatest {found.greatest:.4g}")
        click.echo(f"below 0.1 MVA {found.below_01:.1%}, below 1 MVA {found.below_1:.1%} of the buses")
        click.echo(f"injected {found.generation:.1f} MW, drawn {found.load:.1f} MW")
        for bus in found.worst:
            click.echo(f"{bus.mva:10.3f} MVA  {bus.p:+.2f} MW {bus.q:+.2f} Mvar  {bus.kv:.1f} kV  {bus.path}  {bus.mrid}")
    sys.exit(1 if limit is not None and found.greatest > limit else 0)


@click.command(epilog="Example: scada model topology network.zip. Exit code 1 if its TP profile has other buses.")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def topology(path: Path, *, as_json: bool) -> None:
    """Buses, islands and dead equipment as the switches stand in the files; beside the model's own TP profile if it has one."""
    from scada.model_cim.reader import ModelReader
    from scada.model_cim.topology import Topology

    model = ModelReader(path).read()
    graph = Topology(model)
    state = graph.process()
    told = {
        "nodes": len(graph.nodes),
        "switches": len(graph.switches),
        "closed": int((graph.graph.usable & ~graph.initial_open).sum()),
        "buses": state.buses,
        "live_islands": len(set(state.island_of_bus[state.energised].tolist())),
        "equipment": len(graph.equipment),
        "dead": int((state.equipment == 0).sum()),
        "earthed": int((state.equipment == 2).sum()),
    }
    exported = graph.process(graph.initial_open | graph.retained).bus_of_node.tolist()
    official = [model.ref(node, "ConnectivityNode.TopologicalNode") for node in graph.nodes]
    pairs = {(bus, node) for bus, node in zip(exported, official, strict=True) if node is not None}
    buses, nodes = {bus for bus, _ in pairs}, {node for _, node in pairs}
    same = len(pairs) == len(buses) == len(nodes)
    if pairs:
        told |= {"tp_nodes": len(nodes), "own_buses_of_tp": len(buses), "tp_equal": same}
    if as_json:
        click.echo(json.dumps(told))
    else:
        for name, value in told.items():
            click.echo(f"{name.replace('_', ' ')}: {value}")
        for bus, node in sorted(_odd(pairs), key=str):
            click.echo(f"not the official bus: {model.path(node)} {node} (our bus {bus})")
    sys.exit(0 if same else 1)


def _odd(pairs: set[tuple[int, str]]) -> set[tuple[int, str]]:
    """Pairs whose bus or node stands in another pair too."""
    buses, nodes = Counter(bus for bus, _ in pairs), Counter(node for _, node in pairs)
    return {(bus, node) for bus, node in pairs if buses[bus] > 1 or nodes[node] > 1}
