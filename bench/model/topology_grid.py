"""A synthetic node-breaker grid as CIM XML: double busbars, half of them with a transfer busbar, 4 to 8 bays, a coupler."""

from __future__ import annotations

import random
from pathlib import Path

LEVELS = 2880
_HEAD = '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:cim="http://iec.ch/TC57/CIM100#">\n'


class _Writer:
    def __init__(self, chance: random.Random) -> None:
        self.lines: list[str] = [_HEAD]
        self.chance = chance
        self.nodes = 0
        self.count = 0

    def node(self) -> str:
        self.nodes += 1
        self.lines.append(f'<cim:ConnectivityNode rdf:ID="_n{self.nodes}"/>\n')
        return f"n{self.nodes}"

    def equipment(self, kind: str, *nodes: str, values: str = "") -> None:
        self.count += 1
        mrid = f"e{self.count}"
        self.lines.append(f'<cim:{kind} rdf:ID="_{mrid}">{values}</cim:{kind}>\n')
        self.lines.extend(
            f'<cim:Terminal rdf:ID="_{mrid}t{number}"><cim:Terminal.ConductingEquipment rdf:resource="#_{mrid}"/>'
            f'<cim:Terminal.ConnectivityNode rdf:resource="#_{node}"/>'
            "<cim:ACDCTerminal.connected>true</cim:ACDCTerminal.connected></cim:Terminal>\n"
            for number, node in enumerate(nodes)
        )

    def switch(self, kind: str, one: str, two: str, *, is_open: bool) -> None:
        self.equipment(kind, one, two, values=f"<cim:Switch.open>{str(is_open).lower()}</cim:Switch.open>")

    def level(self, transfer: bool) -> list[str]:
        """One voltage level; the nodes where its bays end."""
        bars = [self.node() for _ in range(3 if transfer else 2)]
        ends = []
        for bar in bars:
            self.equipment("BusbarSection", bar)
        for _ in range(self.chance.randint(4, 8)):
            inner, outer, end = self.node(), self.node(), self.node()
            on = self.chance.randrange(2)
            for number, bar in enumerate(bars[:2]):
                self.switch("Disconnector", bar, inner, is_open=number != on)
            self.switch("Breaker", inner, outer, is_open=self.chance.random() < 0.02)
            self.switch("Disconnector", outer, end, is_open=False)
            if transfer:
                self.switch("Disconnector", end, bars[2], is_open=True)
            ends.append(end)
        one, two = self.node(), self.node()
        self.switch("Disconnector", bars[0], one, is_open=False)
        self.switch("Breaker", one, two, is_open=self.chance.random() < 0.3)
        self.switch("Disconnector", two, bars[1], is_open=False)
        return ends


def write_grid(path: Path, levels: int = LEVELS, seed: int = 7) -> None:
    """Write the grid: bays joined in pairs by lines, one in twelve with a generating unit, the rest with loads."""
    writer = _Writer(random.Random(seed))
    ends = [end for level in range(levels) for end in writer.level(level % 2 == 0)]
    writer.chance.shuffle(ends)
    lines = len(ends) // 3
    for one, two in zip(ends[:lines], ends[lines : 2 * lines], strict=True):
        writer.equipment("ACLineSegment", one, two)
    for number, end in enumerate(ends[2 * lines :]):
        if number % 4:
            writer.equipment("EnergyConsumer", end)
        else:
            unit = '<cim:RotatingMachine.GeneratingUnit rdf:resource="#_unit"/>'
            writer.equipment("SynchronousMachine", end, values=unit)
    writer.lines.append('<cim:GeneratingUnit rdf:ID="_unit"/>\n</rdf:RDF>\n')
    path.write_text("".join(writer.lines), encoding="utf-8")
