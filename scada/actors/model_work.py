"""The worker process of the model: ``python -m scada.actors.model_work``; it does what takes long, beside the server.

It reads one job from its standard input (:mod:`scada.actors.model_jobs`), answers on its standard output, and ends. When its
standard input closes, the server is gone or has given the job up, and it ends at once.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

from scada.actors.model_check import check_version
from scada.actors.model_handover import pack
from scada.actors.model_jobs import BuildJob, CheckJob, Job, Kind, write_frame, write_object
from scada.core.errors import ScadaError
from scada.model_cim.numbers import kept_numbers
from scada.model_cim.points import load_model
from scada.model_cim.version_files import check_hashes
from scada.protocols.registry import Drivers

Progress = Callable[[float, str], None]
OOM_SCORE: Final = Path("/proc/self/oom_score_adj")
"""What the kernel looks at when memory runs out: -1000 (never) to 1000 (first)."""


def work(job: Job, out: BinaryIO) -> None:
    """Do a job; what makes it impossible is an answer too."""

    def progress(share: float, what: str) -> None:
        write_object(out, Kind.PROGRESS, (share, what))

    try:
        match job:
            case CheckJob():
                write_object(out, Kind.RESULT, check_version(job, progress))
            case BuildJob():
                _build(job, progress, out)
    except ScadaError as error:
        write_object(out, Kind.REFUSED, str(error))


def _build(job: BuildJob, progress: Progress, out: BinaryIO) -> None:
    progress(0.1, "read")
    if job.files:
        check_hashes(job.folder, job.files, job.number)
    model, tables, _ = load_model(job.folder, kept_numbers(job.numbers), Drivers(job.drivers))
    progress(0.7, "hand_over")
    for chunk in pack(model, tables):
        write_frame(out, Kind.CHUNK, chunk)
    progress(0.9, "take_over")


def come_last() -> None:
    """The server's threads come first, and if memory runs out it is this process that goes."""
    os.nice(10)
    with contextlib.suppress(OSError):
        OOM_SCORE.write_text("900")


def main() -> None:
    """Read a job, do it, end."""
    come_last()
    source, out = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints must not get between the frames
    size = int.from_bytes(source.read(8), "little")
    job = pickle.loads(source.read(size))  # noqa: S301 - from the server that started us

    def watch() -> None:
        source.read(1)
        os._exit(3)

    threading.Thread(target=watch, daemon=True).start()
    code = 1
    try:
        work(job, out)
        out.close()
        code = 0
    except Exception:  # noqa: BLE001 - it goes to the log of the server, which learns the code
        traceback.print_exc()
    finally:
        os._exit(code)  # the thread that watches would keep us in its read


if __name__ == "__main__":
    main()
