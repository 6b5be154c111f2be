"""One process: a large model read twice, one of them edited, and compared."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

from scada.model_cim.cim import CimModel
from scada.model_cim.difference import apply_difference, diff_models
from scada.model_cim.difference_file import parse_difference
from scada.model_cim.difference_writer import difference_xml
from scada.model_cim.reader import ModelReader
from scada.model_cim.statements import Difference, Statement

CHANGES = 198
_PROPERTY = "ACLineSegment.r"


def edits(model: CimModel) -> Difference:
    """198 changed resistances, a new breaker, a limit that goes."""
    reverse = [statement for mrid in model.ids("ACLineSegment") for statement in model.statements_of(mrid)]
    reverse = [statement for statement in reverse if statement.prop == _PROPERTY][:: len(reverse) // 20_000 + 1][:CHANGES]
    forward = [Statement(statement.mrid, _PROPERTY, f"9.{number:03d}5") for number, statement in enumerate(reverse)]
    limit = model.ids("CurrentLimit")[0]
    return Difference(
        added={"bench-breaker": "Breaker"},
        removed={limit: "CurrentLimit"},
        forward=tuple(sorted([*forward, Statement("bench-breaker", "IdentifiedObject.name", "Q0")])),
        reverse=tuple(sorted([*reverse, *model.statements_of(limit)])),
    )


def main(path: str, runs: int) -> None:
    """Print what it took."""
    old, again = ModelReader(path).read(), ModelReader(path).read()
    edit = edits(old)
    new = again.edited(edit)
    same, same_s = _best(runs, lambda: diff_models(old, again, spelling=True))
    found, diff_s = _best(runs, lambda: diff_models(old, new))
    applied, apply_s = _best(1, lambda: apply_difference(old, edit))
    read, file_s = _best(1, lambda: parse_difference(difference_xml(edit), "bench"))
    back = apply_difference(applied, edit.reversed())
    print(
        json.dumps(
            {
                "objects": len(old),
                "statements": sum(len(column.values) for prop in old.property_names() for column in old.columns(prop)),
                "edits": CHANGES + len(edit.added) + len(edit.removed),
                "exact": found == edit and read == edit,
                "none": not same,
                "back": not diff_models(old, back, spelling=True),
                "same_s": same_s,
                "diff_s": diff_s,
                "apply_s": apply_s,
                "file_s": file_s,
            }
        )
    )


def _best(runs: int, work: Callable[[], Any]) -> tuple[Any, float]:
    took = []
    result = None
    for _ in range(runs):
        before = time.process_time()
        result = work()
        took.append(time.process_time() - before)
    return result, min(took)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
