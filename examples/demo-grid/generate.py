"""Writes the CIM files of the demo grid: ``python generate.py [FOLDER]``.

The files are the source of the demo; this script is how they were made. Two control areas on 50 Hz: East, controlled, about
580 MW of load, 8 stations; West, seen only, 2 stations; two 220 kV tie lines between them.
"""

from __future__ import annotations

import sys
from pathlib import Path

from cimxml import Value
from instrument import Instrument
from network import Network
from parts import Bay, Level, Station
from upstream import write_upstream


def agc(ramp: float, deadband: float = 0.5) -> dict[str, Value]:
    """AGC attributes of a generating unit: ramp rate in MW/min, dead band of the set-point in MW."""
    return {
        "GeneratingUnit__raiseRampRate": ramp,
        "GeneratingUnit__lowerRampRate": ramp,
        "GeneratingUnit__controlDeadband": deadband,
    }


class Grid(Network):
    """The stations and what joins them."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: dict[str, list[Bay]] = {}

    def line_bay(self, level: Level, number: int, line: str, *, bus: int = 0) -> None:
        """A bay of a line, named after the far station; the line itself is drawn when both ends are there."""
        far = next(part for part in line.rsplit(" ", 1)[0].split("-") if part != level.station.name)
        name = f"{far} {line.rsplit(' ', 1)[1]}"
        self.ends.setdefault(line, []).append(self.bay(level, number, name, bus=bus, earths=2))

    def main_transformers(
        self, station: Station, levels: list[Level], rated: list[float], mva: list[float], x: list[float]
    ) -> None:
        """T1 and T2, each on its own busbar or section."""
        for place in (0, 1):
            name = f"T{place + 1}"
            bays = [(self.bay(level, place + 1, name, bus=place), kv) for level, kv in zip(levels, rated, strict=True)]
            self.transformer(station, name, list(bays), mva, x, step=STEPS[station.name])

    def feeders(self, level: Level, loads: list[tuple[float, float]]) -> None:
        """Load feeders F1, F2 ... spread over the sections."""
        for place, (p, q) in enumerate(loads):
            bay = self.bay(level, 11 + place, f"F{place + 1}", bus=place % len(level.buses), isolator=False)
            self.load(bay, p, q)

    def capacitors(self, level: Level, mvar: float, *, on: bool = True) -> None:
        """Capacitor banks C1 and C2, one on each section."""
        for place in (0, 1):
            self.shunt(self.bay(level, 31 + place, f"C{place + 1}", bus=place, isolator=False), mvar, on=on)

    def block(self, station: Station, level: Level, name: str, number: int, *, bus: int, kv: float, mva: float) -> Bay:
        """A unit's block: bay on the high side, step-up transformer, generator bay on its own busbar."""
        high = self.bay(level, number, f"{name} block", bus=bus)
        low = self.level(station, kv, name=f"{name} {kv:g}kV")
        step_up = level.kv * 1.05
        self.transformer(station, f"{name}T", [(high, step_up), (low, kv)], [mva, mva], [12.0], tapped=False)
        return self.bay(low, number, name, isolator=False)


STEPS = {"Beishan": 2, "Donghu": 2, "Nanping": 4, "Xicheng": 4}
"""Tap position of the main transformers at the start."""


def beishan(grid: Grid) -> None:
    """220 kV double bus with coupler, 110 and 10 kV single bus in two sections."""
    station = grid.station("Beishan", "北山变", "East")
    high = grid.level(station, 220.0, buses=2, double=True)
    mid = grid.level(station, 110.0, buses=2)
    low = grid.level(station, 10.0, buses=2)
    grid.main_transformers(station, [high, mid, low], [220.0, 115.0, 10.5], [180.0, 180.0, 60.0], [11.0, 0.5, 7.0])
    for number, (line, bus) in enumerate(
        (("Heishan-Beishan 1", 0), ("Heishan-Beishan 2", 1), ("Beishan-Donghu 1", 0), ("Beishan-Lianhua 1", 1)), start=11
    ):
        grid.line_bay(high, number, line, bus=bus)
    grid.coupler(high, 10, "Coupler", closed=True)
    for number, (line, bus) in enumerate(
        (("Beishan-Nanping 1", 0), ("Beishan-Xicheng 1", 1), ("Longtan-Beishan 1", 0)), start=11
    ):
        grid.line_bay(mid, number, line, bus=bus)
    grid.load(grid.bay(mid, 21, "Steelworks", bus=1), 75.0, 22.0)
    grid.load(grid.bay(mid, 22, "Railway", bus=0), 45.0, 12.0)
    grid.coupler(mid, 10, "Section", closed=True)
    grid.feeders(low, [(11.0, 3.2), (9.5, 2.6), (8.0, 2.1), (10.5, 2.9)])
    grid.capacitors(low, 12.0)
    grid.shunt(grid.bay(low, 35, "R1", bus=0, isolator=False), -10.0, on=False)
    grid.coupler(low, 10, "Section", closed=False)


def donghu(grid: Grid) -> None:
    """220, 110 and 35 kV, single bus in two sections each."""
    station = grid.station("Donghu", "东湖变", "East")
    high = grid.level(station, 220.0, buses=2)
    mid = grid.level(station, 110.0, buses=2)
    low = grid.level(station, 35.0, buses=2)
    grid.main_transformers(station, [high, mid, low], [220.0, 115.0, 36.6], [180.0, 180.0, 90.0], [11.0, 0.5, 7.0])
    for number, (line, bus) in enumerate((("Beishan-Donghu 1", 0), ("Heishan-Donghu 1", 1), ("Donghu-Hongqi 1", 1)), start=11):
        grid.line_bay(high, number, line, bus=bus)
    grid.coupler(high, 10, "Section", closed=True)
    lines = ("Donghu-Nanping 1", "Donghu-Xicheng 1", "Longtan-Donghu 1", "Qingyuan-Donghu 1", "Fenghe-Donghu 1")
    for place, line in enumerate(lines):
        grid.line_bay(mid, 11 + place, line, bus=place % 2)
    grid.load(grid.bay(mid, 21, "Chemical works", bus=0), 90.0, 27.0)
    grid.coupler(mid, 10, "Section", closed=True)
    grid.feeders(low, [(22.0, 6.0), (19.0, 5.2), (17.0, 4.4), (21.0, 5.8)])
    grid.capacitors(low, 15.0)
    grid.coupler(low, 10, "Section", closed=False)


def heishan(grid: Grid) -> None:
    """Thermal plant on a 220 kV double bus."""
    station = grid.station("Heishan", "黑山电厂", "East")
    high = grid.level(station, 220.0, buses=2, double=True)
    g1 = grid.block(station, high, "G1", 1, bus=0, kv=20.0, mva=300.0)
    grid.unit(g1, "thermal", (100.0, 240.0), 175.0, (-80.0, 130.0), voltage=20.1, agc=agc(7.0, 1.0))
    g2 = grid.block(station, high, "G2", 2, bus=1, kv=15.75, mva=290.0)
    grid.unit(g2, "thermal", (90.0, 230.0), 155.0, (-70.0, 120.0), voltage=15.8, agc=agc(8.0, 1.0))
    for number, (line, bus) in enumerate((("Heishan-Beishan 1", 0), ("Heishan-Beishan 2", 1), ("Heishan-Donghu 1", 0)), start=11):
        grid.line_bay(high, number, line, bus=bus)
    grid.load(grid.bay(high, 21, "Aluminium works", bus=1), 130.0, 38.0)
    grid.coupler(high, 10, "Coupler", closed=True)


def longtan(grid: Grid) -> None:
    """Hydro plant on a 110 kV bus in two sections; H2 has a forbidden zone."""
    station = grid.station("Longtan", "龙潭水电站", "East")
    high = grid.level(station, 110.0, buses=2)
    h1 = grid.block(station, high, "H1", 1, bus=0, kv=15.75, mva=135.0)
    grid.unit(h1, "hydro", (10.0, 110.0), 65.0, (-25.0, 40.0), voltage=15.7, agc=agc(40.0))
    h2 = grid.block(station, high, "H2", 2, bus=1, kv=15.75, mva=100.0)
    grid.unit(h2, "hydro", (5.0, 80.0), 50.0, (-20.0, 30.0), voltage=15.7, agc=agc(30.0))
    grid.line_bay(high, 11, "Longtan-Beishan 1", bus=0)
    grid.line_bay(high, 12, "Longtan-Donghu 1", bus=1)
    grid.coupler(high, 10, "Section", closed=True)


def distribution(grid: Grid, name: str, zh: str, loads: list[tuple[float, float]]) -> None:
    """A 110/10 kV substation fed from Beishan and Donghu."""
    station = grid.station(name, zh, "East")
    high = grid.level(station, 110.0, buses=2)
    low = grid.level(station, 10.0, buses=2)
    grid.main_transformers(station, [high, low], [110.0, 10.5], [63.0, 63.0], [12.0])
    grid.line_bay(high, 11, f"Beishan-{name} 1", bus=0)
    grid.line_bay(high, 12, f"Donghu-{name} 1", bus=1)
    grid.coupler(high, 10, "Section", closed=True)
    grid.feeders(low, loads)
    grid.capacitors(low, 8.0)
    grid.coupler(low, 10, "Section", closed=False)


def qingyuan(grid: Grid) -> None:
    """PV plant, 110/35 kV."""
    station = grid.station("Qingyuan", "清源光伏电站", "East")
    high, low = grid.level(station, 110.0), grid.level(station, 35.0)
    grid.line_bay(high, 11, "Qingyuan-Donghu 1")
    bays = [(grid.bay(high, 1, "T1"), 115.0), (grid.bay(low, 1, "T1", isolator=False), 37.0)]
    grid.transformer(station, "T1", list(bays), [80.0, 80.0], [10.5])
    pv = grid.bay(low, 11, "PV1", isolator=False)
    grid.unit(pv, "pv", (0.0, 60.0), 38.0, (-20.0, 20.0), voltage=36.4, agc=agc(30.0))


def fenghe(grid: Grid) -> None:
    """Wind farm with storage, 110/35 kV."""
    station = grid.station("Fenghe", "风河风储电站", "East")
    high, low = grid.level(station, 110.0), grid.level(station, 35.0)
    grid.line_bay(high, 11, "Fenghe-Donghu 1")
    bays = [(grid.bay(high, 1, "T1"), 115.0), (grid.bay(low, 1, "T1", isolator=False), 37.0)]
    grid.transformer(station, "T1", list(bays), [130.0, 130.0], [10.5])
    wind = grid.bay(low, 11, "W1", isolator=False)
    grid.unit(wind, "wind", (0.0, 80.0), 45.0, (-25.0, 25.0), voltage=36.4, agc=agc(40.0))
    storage = grid.bay(low, 12, "B1", isolator=False)
    grid.unit(storage, "storage", (-50.0, 50.0), 0.0, (-20.0, 20.0), voltage=36.4, agc=agc(600.0, 0.2))
    grid.load(grid.bay(low, 13, "Auxiliaries", isolator=False), 1.2, 0.3)


def west(grid: Grid) -> None:
    """The neighbour: three aggregated units, two large loads."""
    hongqi = grid.station("Hongqi", "红旗变", "West")
    high = grid.level(hongqi, 220.0, buses=2)
    wg1 = grid.block(hongqi, high, "WG1", 1, bus=0, kv=20.0, mva=800.0)
    grid.unit(wg1, "thermal", (150.0, 600.0), 420.0, (-250.0, 350.0), voltage=20.1)
    grid.line_bay(high, 11, "Donghu-Hongqi 1", bus=0)
    grid.line_bay(high, 12, "Hongqi-Lianhua 1", bus=1)
    grid.line_bay(high, 13, "Hongqi-Lianhua 2", bus=0)
    grid.load(grid.bay(high, 21, "Hongqi area", bus=1), 330.0, 80.0)
    grid.coupler(high, 10, "Section", closed=True)
    lianhua = grid.station("Lianhua", "莲花变", "West")
    high = grid.level(lianhua, 220.0, buses=2)
    wg2 = grid.block(lianhua, high, "WG2", 1, bus=0, kv=20.0, mva=500.0)
    grid.unit(wg2, "thermal", (100.0, 400.0), 260.0, (-150.0, 220.0), voltage=20.1)
    wg3 = grid.block(lianhua, high, "WG3", 2, bus=1, kv=15.75, mva=350.0)
    grid.unit(wg3, "hydro", (30.0, 280.0), 180.0, (-100.0, 150.0), voltage=15.8)
    grid.line_bay(high, 11, "Beishan-Lianhua 1", bus=0)
    grid.line_bay(high, 12, "Hongqi-Lianhua 1", bus=0)
    grid.line_bay(high, 13, "Hongqi-Lianhua 2", bus=1)
    grid.load(grid.bay(high, 21, "Lianhua area", bus=1), 460.0, 110.0)
    grid.coupler(high, 10, "Section", closed=True)


KM = {
    "Heishan-Beishan 1": 38.0,
    "Heishan-Beishan 2": 38.0,
    "Heishan-Donghu 1": 52.0,
    "Beishan-Donghu 1": 45.0,
    "Beishan-Lianhua 1": 64.0,
    "Donghu-Hongqi 1": 58.0,
    "Hongqi-Lianhua 1": 40.0,
    "Hongqi-Lianhua 2": 40.0,
    "Beishan-Nanping 1": 18.0,
    "Donghu-Nanping 1": 16.0,
    "Beishan-Xicheng 1": 14.0,
    "Donghu-Xicheng 1": 22.0,
    "Longtan-Beishan 1": 31.0,
    "Longtan-Donghu 1": 27.0,
    "Qingyuan-Donghu 1": 20.0,
    "Fenghe-Donghu 1": 24.0,
}


def build() -> Grid:
    """The whole network."""
    grid = Grid()
    beishan(grid)
    donghu(grid)
    heishan(grid)
    longtan(grid)
    distribution(grid, "Nanping", "南坪变", [(12.0, 3.5), (11.0, 3.1), (9.0, 2.4), (10.0, 2.8), (8.5, 2.2), (9.5, 2.6)])
    distribution(grid, "Xicheng", "西城变", [(10.0, 3.0), (11.5, 3.3), (9.5, 2.6), (8.0, 2.2), (10.5, 2.9), (9.0, 2.5)])
    qingyuan(grid)
    fenghe(grid)
    west(grid)
    for name, km in KM.items():
        first, second = grid.ends[name]
        grid.line(name, (first, second), km)
    grid.finish()
    return grid


def main(folder: Path) -> None:
    """Write every file into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    grid = build()
    for profile in (grid.eq, grid.ssh, *Instrument(grid).profiles()):
        profile.write(folder)
    write_upstream(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
