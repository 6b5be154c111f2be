"""docs/model/classes.md names exactly the classes and properties of CIM that the code reads, and what for."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from scada.apps.network.equipment import read_equipment
from scada.model_cim.cim import CimModel
from scada.model_cim.points import build_tables
from scada.model_cim.reader import ModelReader

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "model" / "classes.md"
USES = {
    "points": ("addresses", "channels", "controls", "limits", "modbus", "points", "objects"),
    "AGC, AVC": ("applications/*",),
    "place, topology": ("bay_roles", "cim", "locate", "topology", "topology_graph", "topology_columns"),
    "instrument": ("instrument*",),
    "spreadsheets": ("sheets/*",),
    "power flow": ("scada/apps/network/*",),
    "simulator": ("scada/sim/*",),
}
"""What for -> modules, of ``scada/model_cim`` where no folder is given. The rules of the check are told in checking.md."""
_BRANCH = dict.fromkeys(("ACLineSegment", "SeriesCompensator", "EquivalentBranch"), "r x")
_POWER = dict.fromkeys(
    (
        "EnergyConsumer",
        "EquivalentInjection",
        "ExternalNetworkInjection",
        "RotatingMachine",
        "StaticVarCompensator",
        "ACDCConverter",
    ),
    "p q",
)
BUILT: dict[str, dict[str, str]] = {
    "points": {
        **dict.fromkeys(("Analog", "Discrete", "Accumulator"), "minValue maxValue"),
        "Measurement": "unitSymbol unitMultiplier",
        "Control": "unitSymbol unitMultiplier",
        "DiscreteValue": "Discrete",
    },
    "instrument": dict.fromkeys(("CurrentLimit", "VoltageLimit"), "value normalValue"),
    "place, topology": {"TopologicalNode": "ConnectivityNodeContainer"},
    "power flow": {
        **_BRANCH,
        **_POWER,
        "ACLineSegment": "r x gch bch",
        "EnergySource": "activePower reactivePower",
        "RotatingMachine": "p q ratedS",
        "PowerElectronicsConnection": "p q ratedS minQ maxQ",
        "SynchronousMachine": "minQ maxQ",
        "RatioTapChanger": "RatioTapChangerTable",
        "PhaseTapChangerTabular": "PhaseTapChangerTable",
        "NonlinearShuntCompensatorPoint": "g b",
    },
}
"""Names put together when it runs: what for -> class -> properties."""
PROPERTY = re.compile(r"[A-Z][A-Za-z0-9]+\.[A-Za-z]\w*")


def _files(patterns: tuple[str, ...]) -> Iterator[Path]:
    for pattern in patterns:
        where = ROOT if pattern.startswith("scada/") else ROOT / "scada" / "model_cim"
        yield from where.glob(f"{pattern}.py")


def _read(path: Path) -> set[str]:
    """Texts of a module that are ``Class.property`` of CIM; documentation is none."""
    tree = ast.parse(path.read_text())
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and id(node) not in documentation and isinstance(node.value, str)
        if PROPERTY.fullmatch(node.value) and not node.value.startswith(("UnitSymbol.", "UnitMultiplier.", "PhaseCode."))
        if not node.value.endswith((".xml", ".toml", ".csv", ".json"))
    }


def _used() -> dict[str, list[str]]:
    """Property -> what for."""
    found: dict[str, list[str]] = {}
    for use, patterns in USES.items():
        built = {f"{owner}.{name}" for owner, names in BUILT.get(use, {}).items() for name in names.split()}
        for prop in sorted(built.union(*(_read(path) for path in _files(patterns)))):
            found.setdefault(prop, []).append(use)
    return found


def rows() -> list[str]:
    """The table as it should be."""
    used = _used()
    lines = []
    for owner in sorted({prop.partition(".")[0] for prop in used}):
        for uses in sorted({tuple(used[prop]) for prop in used if prop.startswith(f"{owner}.")}):
            names = sorted(
                prop.partition(".")[2] for prop, what in used.items() if prop.startswith(f"{owner}.") and tuple(what) == uses
            )
            lines.append(f"| `{owner}` | {', '.join(f'`{name}`' for name in names)} | {'; '.join(uses)} |")
    return lines


def test_the_page_names_what_the_code_reads() -> None:
    table = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    assert table == rows(), "the table should be:\n" + "\n".join(rows())


def test_the_reading_of_the_code_finds_what_is_known_to_be_read() -> None:
    used = _used()
    assert "points" in used["Measurement.PowerSystemResource"]
    assert "AGC, AVC" in used["ControlArea.netInterchange"]
    assert "power flow" in used["ACLineSegment.x"]
    assert len(used) > 120


def test_every_page_of_the_folder_is_in_its_index() -> None:
    index = (PAGE.parent / "README.md").read_text()
    for page in PAGE.parent.glob("*.md"):
        assert page.name == "README.md" or f"({page.name})" in index, page.name


def test_what_a_run_asks_is_on_the_page(demo_path, monkeypatch) -> None:
    asked: set[str] = set()
    for name in ("text", "number", "truth", "enum", "ref", "refs", "refs_to"):
        plain = getattr(CimModel, name)

        def recording(self, mrid, prop, *rest, plain=plain, **named):
            asked.add(prop)
            return plain(self, mrid, prop, *rest, **named)

        monkeypatch.setattr(CimModel, name, recording)
    model = ModelReader(demo_path).read()
    build_tables(model)
    read_equipment(model)
    unknown = {prop for prop in asked if PROPERTY.fullmatch(prop)} - _used().keys()
    assert unknown == set(), "names built when it runs: add them to BUILT"
