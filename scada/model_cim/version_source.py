"""Where the files of a proposed version come from: :func:`gather`."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from scada.core.errors import ModelError
from scada.model_cim.cim import CimModel
from scada.model_cim.difference import apply_difference, diff_models
from scada.model_cim.difference_file import read_difference
from scada.model_cim.merge import merge
from scada.model_cim.reader import ModelReader
from scada.model_cim.statements import Difference
from scada.model_cim.version_files import DRAWINGS, copy_model, explained, hashes_of, sync_folder, unpack_model
from scada.model_cim.writer import write_model
from scada.protocols.registry import Drivers

_NAMED: Final = 20


def gather(origin: str, source: Path, base: Path, running: Path, target: Path, *, most_bytes: int, drivers: Drivers) -> None:
    """Put the files of a proposed version into a new folder, changed so that they follow from the version that runs.

    Work that started from another version than the one that runs is laid over the latter: what its maker changed is changed
    there. Where somebody else changed the same meanwhile, nothing is done and every conflict is named.

    Args:
        origin: ``upload`` (a zip of a model folder), ``difference`` (a difference model), ``version`` (a folder).
        source: the file or folder.
        base: folder of the version the work started from.
        running: folder of the version that runs.
        target: folder to make.
        most_bytes: largest model.
        drivers: whose protocols channels may name.

    Raises:
        DifferenceError: the difference does not fit its base, and why.
        ModelError: the files are no model, or conflicts, which are named.
        StoreError: they cannot be written.
    """
    match origin:
        case "difference":
            model = ModelReader(base).read()
            _write(model, read_difference(source), target)
            _copy_others(base, target)
        case "upload":
            unpack_model(source, target, most_bytes)
        case "version":
            copy_model(source, target)
        case _:
            raise ModelError(f"versions do not come from {origin!r}", mend="upload, difference or version")
    if base != running:
        _rebase(base, running, target, drivers)


def _rebase(base: Path, running: Path, target: Path, drivers: Drivers) -> None:
    """Lay what changed from ``base`` to ``target`` over ``running``; the folder ``target`` is replaced."""
    aside = target.with_name(f"{target.name}-own")
    shutil.rmtree(aside, ignore_errors=True)
    target.rename(aside)
    try:
        _merge(ModelReader(base).read(), ModelReader(aside).read(), ModelReader(running).read(), target, drivers)
        _merge_others(base, running, aside, target)
    except ModelError as error:
        shutil.rmtree(target, ignore_errors=True)
        what = error.what
        for folder, name in ((aside, "yours"), (running, "theirs"), (base, "before")):
            what = what.replace(f"{folder}/", f"{name}:")
        raise ModelError(what, where=error.where, mend=error.mend) from error
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _merge(base: CimModel, mine: CimModel, theirs: CimModel, target: Path, drivers: Drivers) -> None:
    merged = merge(base, mine, theirs, drivers=drivers)
    if merged.conflicts:
        named = [str(one) for one in merged.conflicts[:_NAMED]]
        more = [f"and {len(merged.conflicts) - _NAMED} more"] if len(merged.conflicts) > _NAMED else []
        text = f"in conflict with the version that runs, {len(merged.conflicts)} times: {'; '.join([*named, *more])}"
        raise ModelError(text, mend="agree with who made that, and change the version that runs")
    _write(theirs, diff_models(theirs, apply_difference(base, merged.difference)), target)


def _write(model: CimModel, difference: Difference, target: Path) -> None:
    try:
        write_model(apply_difference(model, difference), target)
    except OSError as error:
        raise explained(error, target) from error


def _others(folder: Path) -> dict[str, str]:
    """Files beside the XML, with their digests."""
    return {name: digest for name, digest in hashes_of(folder).items() if not name.lower().endswith((".xml", ".zip"))}


def _copy_others(source: Path, target: Path) -> None:
    for name in _others(source):
        _copy(source, target, name)
    sync_folder(target)


def _merge_others(base: Path, running: Path, own: Path, target: Path) -> None:
    """Templates, waivers and drawings: each file as it was changed; one that both changed is a conflict, drawings are not."""
    was, runs, mine = _others(base), _others(running), _others(own)
    for name in sorted({*was, *runs, *mine}):
        place = _newer(name, was, runs, mine)
        if place:
            _copy(own if place == "own" else running, target, name)
    sync_folder(target)


def _newer(name: str, was: Mapping[str, str], runs: Mapping[str, str], mine: Mapping[str, str]) -> str:
    """Whose file it is: ``own``, ``running``, or empty for none."""
    before, theirs, ours = was.get(name), runs.get(name), mine.get(name)
    if ours in (theirs, before) or name.startswith(f"{DRAWINGS}/"):
        return "running" if theirs else ""
    if theirs == before:
        return "own" if ours else ""
    raise ModelError(f"{name} was changed by both", where=name, mend="take the file of the version that runs and change it there")


def _copy(source: Path, target: Path, name: str) -> None:
    place = target / name
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, place)
    except OSError as error:
        raise explained(error, place) from error
