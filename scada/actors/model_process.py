"""The server's side of the worker process: start it, hear it, end it."""

from __future__ import annotations

import contextlib
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

import structlog

from scada.actors.model_handover import unpack
from scada.actors.model_jobs import CheckResult, Job, Kind, WorkError, read_frames
from scada.core.errors import ScadaError
from scada.model_cim.cim import CimModel
from scada.model_cim.tables import ModelTables

_log = structlog.get_logger("model")
_END_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Built:
    """A version, ready to be run."""

    model: CimModel
    tables: ModelTables


Heard = Callable[[float, str], None]
Ended = Callable[[CheckResult | Built | ScadaError], None]


class Work(Protocol):
    """A job on its way."""

    def kill(self) -> None:
        """Give it up; nothing more is heard of it."""
        ...


class WorkProcess:
    """One job in a process of its own.

    Args:
        job: what to do.
        heard: told of progress, from a thread of our own.
        ended: told once how it ended, from that thread.

    Raises:
        WorkError: the process cannot be started.
    """

    def __init__(self, job: Job, heard: Heard, ended: Ended) -> None:
        self._heard, self._ended = heard, ended
        self._given_up = False
        line = [sys.executable, "-m", "scada.actors.model_work"]
        try:
            self._process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603 - ourselves
        except OSError as error:
            raise WorkError(f"the worker process cannot be started: {error.strerror}", mend="look at the host") from error
        self._thread = threading.Thread(target=self._hear, args=(pickle.dumps(job, protocol=5),), name="model work", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def kill(self) -> None:
        """End the process; nothing more is heard of it."""
        self._given_up = True
        self._process.kill()
        self._thread.join(_END_S)

    def _hear(self, job: bytes) -> None:
        try:
            found = self._answer(job)
        except ScadaError as error:
            found = error
        except (pickle.UnpicklingError, EOFError, OSError) as error:
            found = self._silent(f"{type(error).__name__}: {error}")
        except Exception as error:  # noqa: BLE001 - no memory for the model ...: whatever it is, the actor waits for an end
            found = self._not_taken(error)
        with contextlib.suppress(OSError):
            self._process.stdin.close()  # type: ignore[union-attr]
        self._process.kill()
        self._process.wait()
        if not self._given_up:
            self._ended(found)

    def _answer(self, job: bytes) -> CheckResult | Built | ScadaError:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended: what it left on the other pipe says why
            self._process.stdin.write(len(job).to_bytes(8, "little") + job)
            self._process.stdin.flush()
        answer: list[Any] = []
        with self._process.stdout as source:
            chunks = self._chunks(read_frames(source), answer)
            first = next(chunks, None)
            if first is not None:
                return Built(*unpack(_again(first, chunks)))
        if answer:
            return WorkError(answer[0]) if isinstance(answer[0], str) else answer[0]
        return self._silent("")

    def _chunks(self, frames: Iterator[tuple[Kind, bytes]], answer: list[Any]) -> Iterator[bytes]:
        """Pieces of a packed model; progress is passed on, any other answer is put aside."""
        for kind, body in frames:
            if kind is Kind.CHUNK:
                yield body
            elif kind is Kind.PROGRESS:
                self._heard(*pickle.loads(body))  # noqa: S301 - from our own worker process
            else:
                answer.append(pickle.loads(body))  # noqa: S301 - from our own worker process

    def _not_taken(self, error: Exception) -> WorkError:
        cause = f"{type(error).__name__}: {error}"
        _log.error("the answer of the worker process of the model cannot be taken over", cause=cause)
        mend = "see the log; look whether the host has memory left"
        return WorkError(f"the answer of the worker process cannot be taken over: {cause}", mend=mend)

    def _silent(self, cause: str) -> WorkError:
        code = self._process.wait()
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        _log.error("the worker process of the model gave no answer", how=how, cause=cause)
        return WorkError(f"the worker process {how}", mend="see the log; for signal 9 look whether the host has memory left")


def _again(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest
