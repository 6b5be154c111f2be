"""A process of a measurement: started, asked line by line, ended; or run once for one answer."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class WorkerError(RuntimeError):
    """A process of the measurement ended or did not answer."""


BENCH = Path(__file__).resolve().parent


def own_memory_mb() -> float:
    """Memory of this process in RAM, MiB, without the pages of mapped files: the kernel takes those back when it needs them."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon")) / 1024


def once(module: str, *arguments: str, timeout_s: float, python: str = sys.executable) -> dict[str, Any]:
    """Run a module of the bench in a process of its own; what its last line says.

    Raises:
        WorkerError: it failed or took too long.
    """
    command, variables = [python, "-m", module, *arguments], {**os.environ, "PYTHONPATH": str(BENCH)}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False, env=variables)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise WorkerError(f"{module}: {error}") from error
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        raise WorkerError(f"{module} {' '.join(arguments[:1])} failed: {last[0][:300]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def cpu_seconds(pid: int) -> float:
    """CPU seconds of a process so far, from ``/proc`` (steps of 10 ms)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Worker:
    """A child process that reads one JSON object a line and answers with one.

    Args:
        name: for messages.
        command: what to start; it must print one JSON line when it is ready.
        log: file that takes its stderr.
        environment: added to ours.
    """

    def __init__(self, name: str, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.log = log
        with log.open("w", encoding="utf-8") as errors:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env={**os.environ, **(environment or {})}
            )
        self._rest = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def answer(self, timeout_s: float) -> dict[str, Any]:
        """The next answer.

        Raises:
            WorkerError: the process ended, or said nothing within the time.
        """
        assert self._process.stdout is not None
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self._rest:
            left = deadline - time.monotonic()
            readable, _, _ = select.select([self._process.stdout], [], [], max(0.0, left))
            data = os.read(self._process.stdout.fileno(), 1 << 16) if readable else b""
            if not data:
                why = "ended" if readable else f"did not answer within {timeout_s:g} s"
                raise WorkerError(f"{self.name} {why}: {self._last_words()}")
            self._rest += data
        line, self._rest = self._rest.split(b"\n", 1)
        answer: dict[str, Any] = json.loads(line)
        return answer

    def tell(self, what: str, **arguments: Any) -> None:
        """Send a request without waiting."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"what": what, **arguments}).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise WorkerError(f"{self.name} ended: {self._last_words()}") from error

    def ask(self, what: str, timeout_s: float = 20.0, **arguments: Any) -> dict[str, Any]:
        """Send a request and wait for its answer."""
        self.tell(what, **arguments)
        return self.answer(timeout_s)

    def cpu_s(self) -> float:
        """CPU seconds of the process so far."""
        return cpu_seconds(self._process.pid)

    def close(self) -> None:
        """End the process: asked first, killed after 5 s."""
        if self._process.poll() is None:
            assert self._process.stdin is not None
            self._process.stdin.close()  # the end of its input is the order to stop
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.terminate()
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _last_words(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else "it wrote nothing"
