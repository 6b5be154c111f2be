"""One process: a network read, instrumented and written."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

from model.used import used

from scada.model_cim.instrument import instrument
from scada.model_cim.instrument_files import cim_namespace, write_files
from scada.model_cim.reader import ModelReader


def main(path: Path) -> None:
    """Print what it took."""
    model = ModelReader(path).read()
    start = time.process_time()
    done = instrument(model)
    laid = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        namespace = cim_namespace([header.cim_namespace for header in model.headers])
        written = write_files(path, Path(folder) / "out", done.additions.files, namespace, "2026-11-21T00:00:00Z")
        files_s = time.process_time() - laid
    print(
        json.dumps(
            {
                "lay_s": laid - start,
                "files_s": files_s,
                "channels": done.counts["channels"],
                "points": sum(done.counts.values()) - done.counts["channels"],
                "objects": sum(len(objects) for objects in done.additions.files.values()),
                "files": len(written),
                **used(),
            }
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
