"""Point numbers, kept beside the database over all versions of the model: a number is never given to another point."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final

from scada.core.errors import ModelError, StoreError
from scada.model_cim.points import pids
from scada.model_cim.tables import ModelTables

FILE: Final = "points.json"
_RESTORE: Final = "restore it from a backup, or move the whole database folder away to start anew"


def kept_numbers(folder: Path) -> dict[str, int]:
    """Point number by mRID of every version that ran on this database; empty before the first.

    Raises:
        ModelError: the file cannot be read; going on without it would give numbers anew.
    """
    path = folder / FILE
    if not path.exists():
        return {}
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"the kept point numbers cannot be read: {error}", where=str(path), mend=_RESTORE) from error
    if not isinstance(known, dict) or not all(type(pid) is int for pid in known.values()):
        raise ModelError("the kept point numbers are corrupt", where=str(path), mend=_RESTORE)
    return known


def keep_numbers(folder: Path, tables: ModelTables) -> None:
    """Keep the numbers of this version. Call it after the database was opened: only its writer may.

    Raises:
        StoreError: they cannot be written.
    """
    fresh = pids(tables)
    if fresh == kept_numbers(folder):
        return
    path = folder / FILE
    aside = path.with_suffix(".new")
    try:
        with aside.open("w", encoding="utf-8") as file:
            json.dump(fresh, file)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        raise StoreError(f"cannot keep the point numbers: {error}", where=str(path), mend="check the disk") from error
