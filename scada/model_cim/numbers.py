"""Numbers of points, controls and channels, kept beside the database over all versions of the model.

A number once given is never given to anything else: what an edited model no longer has leaves a tombstone. So everything that
holds numbers while the model is changed under it (messages on their way, tables of the wire, viewers) stays right.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from scada.core.errors import ModelError, StoreError
from scada.model_cim.tables import ModelTables, removed_channel, removed_control, removed_point

FILE: Final = "points.json"
_RESTORE: Final = "restore it from a backup, or move the whole database folder away to start anew"


@dataclass(frozen=True, slots=True)
class Numbers:
    """What was given, tombstones included, each by mRID."""

    points: Mapping[str, int] = field(default_factory=dict)
    """pid of each MeasurementValue."""
    controls: Mapping[str, int] = field(default_factory=dict)
    """cid of each Control."""
    channels: Mapping[str, int] = field(default_factory=dict)
    """Channel index of each RemoteUnit."""

    @classmethod
    def of(cls, tables: ModelTables) -> Numbers:
        """Those of a model version and of all before it."""
        return cls(
            {point.mrid: int(point.pid) for point in tables.points},
            {control.mrid: control.cid for control in tables.controls},
            {channel.mrid: channel.index for channel in tables.channels},
        )

    def check(self) -> None:
        """See that every number stands for one thing.

        Raises:
            ModelError: one is negative or given twice; points would overwrite each other.
        """
        for what in (self.points, self.controls, self.channels):
            if len(set(what.values())) < len(what) or min(what.values(), default=0) < 0:
                raise ModelError("the kept numbers are corrupt: one is negative or given twice", mend=_RESTORE)


def kept_numbers(folder: Path) -> Numbers:
    """Numbers of every version that ran on this database; none before the first.

    Files of earlier programs hold the points alone: their controls and channels are numbered by the next version in the order
    of its files, as those programs did.

    Raises:
        ModelError: the file cannot be read; going on without it would give numbers anew.
    """
    path = folder / FILE
    if not path.exists():
        return Numbers()
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"the kept point numbers cannot be read: {error}", where=str(path), mend=_RESTORE) from error
    if isinstance(known, dict) and isinstance(known.get("points"), dict):
        parts = [known.get(name, {}) for name in ("points", "controls", "channels")]
    else:
        parts = [known]
    if not all(_are_numbers(part) for part in parts):
        raise ModelError("the kept point numbers are corrupt", where=str(path), mend=_RESTORE)
    return Numbers(*parts)


def _are_numbers(part: Any) -> bool:
    return isinstance(part, dict) and all(type(number) is int for number in part.values())


def keep_numbers(folder: Path, tables: ModelTables) -> None:
    """Keep the numbers of this version, whole or not at all. Call it after the database was opened: only its writer may.

    Numbers of a version that is never applied after this are not used again.

    Raises:
        StoreError: they cannot be written, or the tables were not built with the numbers kept before.
    """
    fresh, kept = Numbers.of(tables), kept_numbers(folder)
    if fresh == kept:
        return
    for given, now in ((kept.points, fresh.points), (kept.controls, fresh.controls), (kept.channels, fresh.channels)):
        if not given.items() <= now.items():
            raise StoreError("other numbers were given meanwhile", where=str(folder / FILE), mend="build the tables again")
    path = folder / FILE
    aside = path.with_suffix(".new")
    try:
        with aside.open("w", encoding="utf-8") as file:
            json.dump({"points": fresh.points, "controls": fresh.controls, "channels": fresh.channels}, file)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)  # the database may survive a loss of power with more points than these
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StoreError(f"cannot keep the point numbers: {error}", where=str(path), mend="check the disk") from error


def with_tombstones(tables: ModelTables, numbers: Numbers) -> ModelTables:
    """A version's tables after others gave further numbers, each of which is a tombstone in it; itself if there are none.

    Args:
        tables: built when fewer numbers were given.
        numbers: all that are given now; those that the tables hold are the same.
    """
    points, controls, channels = (
        {number: mrid for mrid, number in given.items() if number >= len(known)}
        for given, known in (
            (numbers.points, tables.points),
            (numbers.controls, tables.controls),
            (numbers.channels, tables.channels),
        )
    )
    if not (points or controls or channels):
        return tables
    return replace(
        tables,
        points=[*tables.points, *(removed_point(points[pid], pid) for pid in sorted(points))],
        controls=[*tables.controls, *(removed_control(controls[cid], cid) for cid in sorted(controls))],
        channels=[*tables.channels, *(removed_channel(channels[index], index) for index in sorted(channels))],
    )
