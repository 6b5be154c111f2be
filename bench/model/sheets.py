"""One process: a large model exported as a workbook, imported untouched and with edits, and exported again."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from model.large import write_large
from model.used import used

from scada.model_cim.reader import ModelReader
from scada.model_cim.sheets.importing import import_tables
from scada.model_cim.sheets.reading import read_tables
from scada.model_cim.sheets.writing import views, write_workbook


def main(points: int) -> None:
    """Print what it took."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_large(folder, points)
        model = ModelReader(folder).read()
        one, other = folder / "one.xlsx", folder / "other.xlsx"
        before = time.process_time()
        at = [time.perf_counter()]
        write_workbook(one, views(model))
        at.append(time.perf_counter())
        tables = read_tables(one)
        at.append(time.perf_counter())
        done = import_tables(model, tables)
        at.append(time.perf_counter())
        write_workbook(other, views(model))
        at.append(time.perf_counter())
        round_trip_cpu_s = time.process_time() - before
        steps = [end - start for start, end in pairwise(at)]
        print(
            json.dumps(
                {
                    "round_trip_s": at[-1] - at[0],
                    "round_trip_cpu_s": round_trip_cpu_s,
                    "steps": dict(zip(("export", "read", "compare", "export_again"), steps, strict=True)),
                    "same": one.read_bytes() == other.read_bytes(),
                    "changed": done.changed + done.new + len(done.faults) + bool(done.difference),
                    "rows": sum(len(table.rows) for table in tables),
                    "file_mb": one.stat().st_size / 1e6,
                    **used(),
                }
            )
        )


if __name__ == "__main__":
    main(int(sys.argv[1]))
