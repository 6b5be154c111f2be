"""Child processes that cannot outlive us: each in its own session, told to die with its parent, stopped within a deadline."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from scada.core.errors import ConfigError

_PR_SET_PDEATHSIG = 1
_RESTART_AFTER_S = 1.0


@dataclass(slots=True)
class _Child:
    argv: Sequence[str]
    process: subprocess.Popen[bytes]
    started: float
    read: int = 0


@contextlib.contextmanager
def sole_use(folder: Path) -> Iterator[None]:
    """Hold a folder for this process; the kernel lets go of it however the process ends.

    Raises:
        ConfigError: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(
                "another demo runs in this folder", where=str(folder), mend="end it, or give another --dir"
            ) from error
        yield


class ProcessGroup:
    """Starts processes whose output goes to ``<folder>/<name>.log``.

    Args:
        folder: where the logs go.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._children: dict[str, _Child] = {}

    def start(self, name: str, argv: Sequence[str]) -> None:
        """Start ``argv`` under ``name``."""
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(  # noqa: S603 - the command lines are our own
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with(os.getpid()),  # noqa: PLW1509 - no threads here; two system calls
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        self._children[name] = _Child(argv, process, time.monotonic())

    def pid(self, name: str) -> int:
        """Process id of a child."""
        return self._children[name].process.pid

    def new_lines(self, name: str) -> list[str]:
        """Whole lines a child wrote since the last call."""
        child = self._children[name]
        data = (self.folder / f"{name}.log").read_bytes()[child.read :]
        whole = data[: data.rfind(b"\n") + 1]
        child.read += len(whole)
        return whole.decode("utf-8", "replace").splitlines()

    def last_line(self, name: str) -> str:
        """Last line a child wrote."""
        lines = (self.folder / f"{name}.log").read_text("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    def ended(self) -> list[tuple[str, int]]:
        """Children that have ended, with their exit codes."""
        return [(name, code) for name, child in self._children.items() if (code := child.process.poll()) is not None]

    def revive(self) -> list[tuple[str, int]]:
        """Start ended children again (each at most once a second); returns those restarted."""
        revived = []
        for name, code in self.ended():
            child = self._children[name]
            if time.monotonic() - child.started < _RESTART_AFTER_S:
                continue
            log = self.folder / f"{name}.log"
            log.replace(log.with_suffix(".previous.log"))
            self.start(name, child.argv)
            revived.append((name, code))
        return revived

    def stop(self, within_s: float) -> list[str]:
        """Ask every child to stop, newest first, then kill what is left after ``within_s``; returns the killed."""
        for child in reversed(self._children.values()):
            _signal(child.process, signal.SIGTERM)
        deadline = time.monotonic() + within_s
        late = []
        for name, child in self._children.items():
            try:
                child.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                late.append(name)
            # its session may hold grandchildren that ignored the request
            _signal_group(child.process, signal.SIGKILL)
            child.process.wait()
        return late


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    if process.poll() is None:
        process.send_signal(number)


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):
        return


class _die_with:  # noqa: N801 - reads as a verb where it is used
    """Run in the child before exec: ask the kernel for SIGTERM when the parent is gone, however it went."""

    def __init__(self, parent: int) -> None:
        self._parent = parent
        self._prctl = ctypes.CDLL(None, use_errno=True).prctl

    def __call__(self) -> None:
        self._prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != self._parent:
            os._exit(1)
