"""Our reader at one model: read, tables made, checked; then the model edited."""

from __future__ import annotations

import json
import sys
import time

from model.used import used

from scada.model_cim.check import check_model
from scada.model_cim.points import build_tables
from scada.model_cim.reader import ModelReader
from scada.model_cim.statements import Difference, Statement

EDITS = 200
_NAME = "IdentifiedObject.name"


def main(path: str) -> None:
    """Print what it took."""
    before = time.process_time()
    model = ModelReader(path).read()
    read_s = time.process_time() - before
    tables, built = build_tables(model)
    before = time.process_time()
    findings = check_model(model, tables, found=built)
    check_s = time.process_time() - before
    told = sum(finding.count for finding in findings)
    done = {"objects": len(model) + len(model.headers), "findings": told, "read_s": read_s, "check_s": check_s, **used()}
    changed = model.mrids[:EDITS]
    reverse = tuple(Statement(mrid, _NAME, model.text(mrid, _NAME) or "") for mrid in changed)
    forward = tuple(Statement(mrid, _NAME, f"edited {mrid}") for mrid in changed)
    before = time.process_time()
    model.edited(Difference(forward=forward, reverse=reverse))
    print(json.dumps({**done, "edited_s": time.process_time() - before}))


if __name__ == "__main__":
    main(sys.argv[1])
