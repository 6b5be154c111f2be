"""Single-line diagrams of stations and diagrams of areas, drawn by pypowsybl (extra ``diagrams``) in a process of its own.

Each becomes ``<stem>.svg`` and ``<stem>.json`` beside the index of :mod:`scada.model_cim.drawings`: in the metadata every node
names its ``equipmentId``, which is our mRID, and its ``id`` in the SVG, so that a page binds live values by mRID. Switches carry
their device numbers. What stands in an area keeps its place when the area is drawn again: operators know their map by heart.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from scada.core.errors import ModelError
from scada.model_cim.cim import CimModel
from scada.model_cim.drawings import Drawing, Drawings, read_index, wanted_drawings, write_index
from scada.model_cim.reader import SC

_TIME_LIMIT_S = 300
_SWITCHES = {"BREAKER": (-3, 13), "DISCONNECTOR": (-4, 1), "LOAD_BREAK_SWITCH": (-3, 13), "GROUND_DISCONNECTION": (8, -2)}
"""Component type -> where its device number stands, relative to the symbol."""
_LABEL_STYLE = ".sld-device-number {font: 7px sans-serif; fill: currentColor; stroke: none}\n"
_SUFFIXES = (".svg", ".json")
_NONE = Drawing("", "", "", "")


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What became of the drawings of a model.

    Attributes:
        drawn: names of those drawn now.
        kept: names of those that show what they showed before.
        stale: names of those that could not be drawn anew: they show an earlier version, or are missing.
        why: why they could not, empty if none is stale.
    """

    drawn: tuple[str, ...]
    kept: tuple[str, ...]
    stale: tuple[str, ...]
    why: str = ""


def refresh_diagrams(model: CimModel, folder: Path, previous: Path | None = None) -> Refreshed:
    """Bring the drawings of a version up to date: what changed is drawn, the rest is taken over.

    Drawing is a convenience: whatever goes wrong with it, the last drawings stay in use and the reason is returned.

    Args:
        model: a model read from files; its CGMES profiles are what is drawn.
        folder: where the drawings of this version go; made if missing.
        previous: folder of the version before, if another one.
    """
    source = folder if previous is None else previous
    before, wanted = read_index(source), wanted_drawings(model)
    folder.mkdir(parents=True, exist_ok=True)
    names = {drawing.key: drawing.name or model.title for drawing in _all(wanted)}
    due = {drawing.key for drawing in _all(wanted) if not _is_current(drawing, _known(before).get(drawing.key), source)}
    missed = _draw(model, wanted, due, source, folder) if due else {}
    for drawing in _all(wanted):
        old = _known(before).get(drawing.key)
        if old is not None and (drawing.key not in due or drawing.key in missed):
            _take_over(source, old.stem, folder, drawing.stem)
    known = {drawing.stem for drawing in _all(wanted)}
    for old in _all(before):
        if old.stem not in known and source == folder:
            for suffix in _SUFFIXES:
                (folder / f"{old.stem}{suffix}").unlink(missing_ok=True)
    write_index(folder, _as_drawn(wanted, before, missed.keys(), folder))
    return Refreshed(
        tuple(names[key] for key in names if key in due - missed.keys()),
        tuple(names[key] for key in names if key not in due),
        tuple(names[key] for key in names if key in missed),
        next(iter(missed.values()), ""),
    )


def _all(drawings: Drawings) -> Iterable[Drawing]:
    return chain(drawings.stations.values(), drawings.areas.values())


def _known(drawings: Drawings) -> Mapping[str, Drawing]:
    return {**drawings.stations, **drawings.areas}


def _has_files(folder: Path, stem: str) -> bool:
    return all((folder / f"{stem}{suffix}").is_file() for suffix in _SUFFIXES)


def _is_current(drawing: Drawing, old: Drawing | None, folder: Path) -> bool:
    return old is not None and not old.stale and old.digest == drawing.digest and _has_files(folder, old.stem)


def _take_over(source: Path, old_stem: str, folder: Path, stem: str) -> None:
    for suffix in _SUFFIXES:
        old, new = source / f"{old_stem}{suffix}", folder / f"{stem}{suffix}"
        if old != new and old.is_file() and not new.is_file():
            shutil.copyfile(old, new)


def _as_drawn(wanted: Drawings, before: Drawings, missed: AbstractSet[str], folder: Path) -> Drawings:
    """The index of what is there now: a missed drawing keeps the digest of its picture, one without a picture is left out."""

    def entries(part: Mapping[str, Drawing], old: Mapping[str, Drawing]) -> dict[str, Drawing]:
        there = {key: drawing for key, drawing in part.items() if _has_files(folder, drawing.stem)}
        stale = {key: replace(there[key], digest=old.get(key, _NONE).digest, stale=True) for key in there.keys() & missed}
        return {**there, **stale}

    return Drawings(entries(wanted.stations, before.stations), entries(wanted.areas, before.areas))


def _draw(model: CimModel, wanted: Drawings, due: AbstractSet[str], source: Path, folder: Path) -> dict[str, str]:
    """Draw what is due; why it could not be done, by key."""
    if importlib.util.find_spec("pypowsybl") is None:
        why = "diagrams need pypowsybl, which is not installed; install the extra: pip install 'scada-ems[diagrams]'"
        return dict.fromkeys(due, why)
    stations = [drawing for drawing in wanted.stations.values() if drawing.key in due]
    areas = [drawing for drawing in wanted.areas.values() if drawing.key in due]
    past = read_index(source).areas
    try:
        with tempfile.TemporaryDirectory() as scratch:
            archive = Path(scratch) / "model.zip"
            _pack(model, archive)
            failed = _run_worker(
                {
                    "archive": str(archive),
                    "folder": scratch,
                    "stations": {drawing.key: drawing.stem for drawing in stations},
                    "areas": {drawing.key: (drawing.stem, drawing.levels) for drawing in areas},
                    "places": {drawing.key: _places(source, past.get(drawing.key)) for drawing in areas},
                }
            )
            numbers = {mrid: model.name(mrid) for mrid in model.ids("Switch")}
            for drawing in (*stations, *areas):
                if drawing.key not in failed:
                    _finish(Path(scratch), folder, drawing.stem, numbers)
    except (ModelError, OSError, ValueError, KeyError) as error:
        return dict.fromkeys(due, str(error))
    return failed


def _places(folder: Path, old: Drawing | None) -> dict[str, tuple[float, float]]:
    """Where the voltage levels of an area stood in its last picture."""
    if old is None:
        return {}
    try:
        nodes = json.loads((folder / f"{old.stem}.json").read_text(encoding="utf-8"))["nodes"]
        return {node["equipmentId"]: (float(node["x"]), float(node["y"])) for node in nodes}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _pack(model: CimModel, archive: Path) -> None:
    """Zip the network profiles; our own SC files mean nothing to other programs."""
    ours = {header.file for header in model.headers if SC in header.profiles}
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for number, label in enumerate(model.files):
            if label in ours or not label.lower().endswith(".xml"):
                continue
            container, _, member = label.partition("!")
            if member:
                with zipfile.ZipFile(container) as source:
                    packed.writestr(f"{number}-{Path(member).name}", source.read(member))
            else:
                packed.write(label, f"{number}-{Path(label).name}")


def _run_worker(job: Mapping[str, Any]) -> dict[str, str]:
    """Draw in a process of its own; why something could not be drawn, by key."""
    command = [sys.executable, "-m", "scada.model_cim.diagrams"]
    try:
        done = subprocess.run(  # noqa: S603 - our own module; the job goes by standard input
            command,
            input=json.dumps(job),
            capture_output=True,
            text=True,
            check=False,
            timeout=_TIME_LIMIT_S,
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"drawing the diagrams took more than {_TIME_LIMIT_S} s") from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise ModelError(f"drawing the diagrams failed: {lines[-1]}", mend="check the model with `scada model check`")
    failed: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return failed


def _finish(drawn: Path, folder: Path, stem: str, numbers: Mapping[str, str]) -> None:
    """Label the switches and put both files in place."""
    metadata = json.loads((drawn / f"{stem}.json").read_text(encoding="utf-8"))
    svg = (drawn / f"{stem}.svg").read_text(encoding="utf-8")
    for node in metadata["nodes"]:
        place = _SWITCHES.get(node.get("componentType", ""))
        number = numbers.get(node.get("equipmentId", ""))
        if place is not None and number is not None:
            svg = _label(svg, node["id"], number, place)
    svg = svg.replace("]]></style>", f"{_LABEL_STYLE}]]></style>", 1)
    (folder / f"{stem}.json").write_text(json.dumps(metadata, indent=1), encoding="utf-8")
    (folder / f"{stem}.svg").write_text(svg, encoding="utf-8")


def _label(svg: str, node: str, number: str, place: tuple[int, int]) -> str:
    found = re.search(rf'<g [^>]*id="{re.escape(node)}"[^>]*>', svg)
    if found is None:
        return svg
    x, y = place
    anchor = "end" if x < 0 else "start"
    if "rotate(" in svg[found.end() : svg.index("</g>", found.end())] and y > 10:
        x, y, anchor = 10, -4, "middle"  # a coupler lies on its side: above it is more room
    text = f'<text class="sld-device-number" x="{x}" y="{y}" text-anchor="{anchor}">{escape(number)}</text>'
    return svg[: found.end()] + text + svg[found.end() :]


def _work() -> None:
    """The worker: read a job from standard input, draw with pypowsybl, say what could not be drawn."""
    job = json.load(sys.stdin)
    powsybl = importlib.import_module("pypowsybl")
    network = powsybl.network.load(job["archive"])
    style = powsybl.network.SldParameters(use_name=True, nodes_infos=False, topological_coloring=False)
    folder = Path(job["folder"])
    failed: dict[str, str] = {}
    for mrid, stem in job["stations"].items():
        try:
            network.write_single_line_diagram_svg(
                mrid, str(folder / f"{stem}.svg"), str(folder / f"{stem}.json"), parameters=style
            )
        except Exception as error:  # noqa: BLE001 - one station costs none of the others its drawing
            failed[mrid] = str(error)
    for key, (stem, levels) in job["areas"].items():
        try:
            _draw_area(powsybl, network, folder / stem, levels, job["places"][key])
        except Exception as error:  # noqa: BLE001
            failed[key] = str(error)
    print(json.dumps(failed))  # noqa: T201 - to the parent


_NO_LEGEND = dict.fromkeys(("legend_shift_x", "legend_shift_y", "legend_connection_shift_x", "legend_connection_shift_y"), 0.0)


def _draw_area(powsybl: Any, network: Any, target: Path, levels: list[str], places: Mapping[str, tuple[float, float]]) -> None:
    style = powsybl.network.NadParameters(
        edge_name_displayed=False, edge_info_included=False, voltage_level_legends_included=False, bus_legend=False
    )
    known = set(network.get_voltage_levels().index)
    fixed = None
    if kept := [{"id": mrid, "x": x, "y": y, **_NO_LEGEND} for mrid, (x, y) in places.items() if mrid in known]:
        fixed = importlib.import_module("pandas").DataFrame(kept).set_index("id")
    network.write_network_area_diagram(
        str(target.with_name(f"{target.name}.svg")),
        [level for level in levels if level in known],
        1,
        nad_parameters=style,
        metadata_file=str(target.with_name(f"{target.name}.json")),
        fixed_positions=fixed,
    )


if __name__ == "__main__":
    _work()
