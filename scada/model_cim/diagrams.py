"""Station single-line diagrams, drawn offline by pypowsybl (extra ``diagrams``) in a process of its own.

Each station becomes ``<stem>.svg`` and ``<stem>.json`` (:func:`diagram_stem`): in the metadata every node names its
``equipmentId``, which is our mRID, and its ``id`` in the SVG, so that a page binds live values by mRID. Switches carry their
device numbers.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from scada.core.errors import ModelError
from scada.model_cim.cim import CimModel
from scada.model_cim.reader import SC

_TIME_LIMIT_S = 300
_SWITCHES = {"BREAKER": (-3, 13), "DISCONNECTOR": (-4, 1), "LOAD_BREAK_SWITCH": (-3, 13), "GROUND_DISCONNECTION": (8, -2)}
"""Component type -> where its device number stands, relative to the symbol."""
_LABEL_STYLE = ".sld-device-number {font: 7px sans-serif; fill: currentColor; stroke: none}\n"


def diagram_stem(station: str) -> str:
    """File name (without suffix) of a station's diagram: its name with everything unusual in a file name replaced.

    >>> diagram_stem("North/Old town")
    'North_Old_town'
    """
    return re.sub(r"[^\w-]+", "_", station)


def draw_diagrams(model: CimModel, folder: Path) -> list[Path]:
    """Draw every station of a model.

    Args:
        model: a model read from files; its CGMES profiles are what is drawn.
        folder: where the files go; made if missing.

    Returns:
        The SVG files, by name.

    Raises:
        ModelError: the extra is not installed, or drawing failed.
    """
    if importlib.util.find_spec("pypowsybl") is None:
        raise ModelError(
            "diagrams need pypowsybl, which is not installed",
            mend="install the extra: pip install 'scada-ems[diagrams]'; diagrams drawn before stay in use",
        )
    with tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch) / "model.zip"
        _pack(model, archive)
        stations = {mrid: model.name(mrid) for mrid in model.ids("Substation")}
        _run_worker({"archive": str(archive), "folder": scratch, "stations": list(stations)})
        numbers = {mrid: model.name(mrid) for mrid in model.ids("Switch")}
        folder.mkdir(parents=True, exist_ok=True)
        return [_finish(Path(scratch) / mrid, folder / diagram_stem(name), numbers) for mrid, name in stations.items()]


def _pack(model: CimModel, archive: Path) -> None:
    """Zip the network profiles; our own SC files mean nothing to other programs."""
    ours = {header.file for header in model.headers if SC in header.profiles}
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for number, label in enumerate(model.files):
            if label in ours:
                continue
            container, _, member = label.partition("!")
            if member:
                with zipfile.ZipFile(container) as source:
                    packed.writestr(f"{number}-{Path(member).name}", source.read(member))
            else:
                packed.write(label, f"{number}-{Path(label).name}")


def _run_worker(job: Mapping[str, Any]) -> None:
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


def _finish(drawn: Path, target: Path, numbers: Mapping[str, str]) -> Path:
    """Label the switches and put both files in place."""
    metadata = json.loads(drawn.with_suffix(".json").read_text(encoding="utf-8"))
    svg = drawn.with_suffix(".svg").read_text(encoding="utf-8")
    for node in metadata["nodes"]:
        place = _SWITCHES.get(node.get("componentType", ""))
        number = numbers.get(node.get("equipmentId", ""))
        if place is not None and number is not None:
            svg = _label(svg, node["id"], number, place)
    svg = svg.replace("]]></style>", f"{_LABEL_STYLE}]]></style>", 1)
    target.with_suffix(".json").write_text(json.dumps(metadata, indent=1), encoding="utf-8")
    picture = target.with_suffix(".svg")
    picture.write_text(svg, encoding="utf-8")
    return picture


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
    """The worker: read a job from standard input, draw with pypowsybl."""
    job = json.load(sys.stdin)
    powsybl = importlib.import_module("pypowsybl")
    network = powsybl.network.load(job["archive"])
    style = powsybl.network.SldParameters(use_name=True, nodes_infos=False, topological_coloring=False)
    folder = Path(job["folder"])
    for mrid in job["stations"]:
        network.write_single_line_diagram_svg(mrid, str(folder / f"{mrid}.svg"), str(folder / f"{mrid}.json"), parameters=style)


if __name__ == "__main__":
    _work()
