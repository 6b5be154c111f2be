"""What-if over recorded cycles in a process of its own: a day takes seconds of a core, which the server needs for itself.

The process gets a ``WhatIfRequest`` on its standard input and answers with one line of JSON (a refusal) or an empty line and a
``WhatIfReply``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from scadapb.v1 import scada_pb2 as pb

from scada.actors.cycle_files import RunFile, cycles_between, runs_in
from scada.apps.agc_avc.errors import RegulationError
from scada.apps.agc_avc.what_if import Comparison, Side, compare
from scada.core.errors import ScadaError

LIMIT_S: Final = 600.0
"""Longest run."""


class WhatIfProcess:
    """Starts the process, one at a time.

    Args:
        folder: of the recordings.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._busy = False

    async def run(self, request: pb.WhatIfRequest) -> pb.WhatIfReply:
        """Run recorded cycles; ends with the call that wanted it.

        Raises:
            RegulationError: nothing is recorded, a parameter that does not exist or cannot have the value, or another one runs.
            ScadaError: it failed or took too long.
        """
        if self._busy:
            raise RegulationError("another what-if runs", mend="wait until it is done")
        self._busy = True
        try:
            answer, code = await self._answer(request.SerializeToString())
        finally:
            self._busy = False
        refusal, end, reply = answer.partition(b"\n")
        if not end:
            raise ScadaError(f"the what-if ended with code {code}", mend="look whether the host has memory left")
        if refusal:
            raise RegulationError(**json.loads(refusal))
        return pb.WhatIfReply.FromString(reply)

    async def _answer(self, request: bytes) -> tuple[bytes, int | None]:
        """What the process writes, and its exit code."""
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "scada.actors.what_if", str(self._folder)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
        except OSError as error:
            raise ScadaError(f"the what-if cannot be started: {error}", mend="look at the load of the host") from error
        try:
            answer, _ = await asyncio.wait_for(process.communicate(request), LIMIT_S)
        except TimeoutError as error:
            raise ScadaError(f"the what-if did not end within {LIMIT_S:g} s", mend="ask for a shorter time") from error
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        return answer, process.returncode


def what_if(folder: Path, request: pb.WhatIfRequest) -> pb.WhatIfReply:
    """Run recorded cycles as they were and with changes.

    Raises:
        ScadaError: nothing is recorded, a damaged recording, or a parameter that does not exist or cannot have the value.
    """
    runs = one_controller([run for run in runs_in(folder) if run.application == request.application], request.area)
    changes = {name: parameter(value) for name, value in request.changes.items()}
    found = compare(cycles_between(runs, request.from_ns, request.to_ns), changes, request.from_ns)
    if not found.cycles:
        raise RegulationError("no cycle was recorded in that time", mend="see `scada agc runs`")
    return what_if_reply(found)


def one_controller(runs: Sequence[RunFile], area: str) -> list[RunFile]:
    """The recordings of one controller.

    Raises:
        RegulationError: there are none, or those of several areas.
    """
    names = sorted({run.name for run in runs})
    if not area and len(names) == 1:
        return list(runs)
    found = [run for run in runs if run.name == area]
    if not found:
        what = (
            f"no cycles of area {area!r} are recorded" if area or not names else "cycles of several areas are recorded: name one"
        )
        raise RegulationError(what, mend=f"recorded are: {', '.join(names) or 'none; see [cycles] record'}")
    return found


def parameter(text: str) -> Any:
    """A value as TOML writes it; what is none is text, so that names need no quotes.

    >>> parameter("0.3"), parameter("true"), parameter("TLBC+TEC")
    (0.3, True, 'TLBC+TEC')
    """
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):  # a number of thousands of digits is no TOML error
        return text


def what_if_reply(found: Comparison) -> pb.WhatIfReply:
    """The message of a comparison."""
    reply = pb.WhatIfReply(
        cycles=found.cycles,
        faithful=found.faithful,
        first_deviation_ns=found.first_deviation_ns,
        recorded=_side(found.recorded, found.cycles),
        other=_side(found.other, found.cycles),
    )
    for cid in sorted({*found.recorded.controls, *found.other.controls}):
        one, other = found.recorded.of(cid), found.other.of(cid)
        reply.controls.add(
            cid=cid,
            name=one.name or other.name,
            commands=one.commands,
            mileage=one.mileage,
            last=one.last,
            commands_other=other.commands,
            mileage_other=other.mileage,
            last_other=other.last,
        )
    for name, column in found.series.items():
        getattr(reply, name).extend(map(int, column) if name == "time_ns" else column)
    return reply


def _side(side: Side, cycles: int) -> pb.WhatIfSide:
    rms = math.sqrt(side.square / cycles) if cycles else math.nan
    return pb.WhatIfSide(cycles_on=side.on, commands=side.commands, mileage=side.mileage, requirement_rms=rms)


def main() -> None:
    """The process."""
    out = sys.stdout.buffer
    try:
        reply = what_if(Path(sys.argv[1]), pb.WhatIfRequest.FromString(sys.stdin.buffer.read()))
    except ScadaError as error:
        out.write(json.dumps({"what": error.what, "where": error.where, "mend": error.mend}).encode() + b"\n")
    else:
        out.write(b"\n" + reply.SerializeToString())
    out.flush()


if __name__ == "__main__":
    main()
