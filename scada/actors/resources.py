"""Resource actor: tells when an actor falls behind, and when memory, files or disk space run out, and when it is over."""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog

from scada.actors.base import Actor, Address
from scada.actors.messages import Report, Tick
from scada.core.clock import Clock
from scada.core.settings import ResourceSettings
from scada.events.records import Event, EventKind
from scada.model_cim.tables import AlarmClass

_log = structlog.get_logger("resources")

LOOK_S = 2.0
"""How often it looks."""
_EASED = 0.9
"""Share of a limit below which it is over, so that a value at the limit is told once."""
_MIB = 1 << 20
_CONTAINER = Path("/sys/fs/cgroup/memory.max")


class ResourceActor(Actor):
    """Looks at what the server runs on.

    Args:
        address, failed: see :class:`~scada.actors.base.Actor`.
        actors: the actors to watch.
        folders: folders whose disks are watched, by what they hold.
        settings: limits.
        events: told.
        clock: stamps.
    """

    def __init__(
        self,
        address: Address,
        failed: Callable[[BaseException], None],
        *,
        actors: Callable[[], Sequence[Address]],
        folders: Mapping[str, Path],
        settings: ResourceSettings,
        events: Address,
        clock: Clock,
    ) -> None:
        super().__init__(address, failed)
        self._actors = actors
        self._folders = folders
        self._settings = settings
        self._events = events
        self._clock = clock
        self._over: set[str] = set()

    def receive(self, message: Any) -> Any:
        """Look."""
        match message:
            case Tick():
                self._look_at_actors()
                self._look_at_process()
                self._look_at_disks()
            case _:
                return super().receive(message)
        return None

    def _look_at_actors(self) -> None:
        limit = self._settings.behind_s
        for address in self._actors():
            age, name = address.age_s(), address.name
            parameters = {"actor": name, "seconds": f"{age:.0f}", "waiting": str(address.mailbox.qsize())}
            self._judge(f"actor {name}", age / limit, "actor.behind", "actor.caught_up", parameters)

    def _look_at_process(self) -> None:
        memory, host = resident_bytes(), host_bytes()
        share = memory / host / (self._settings.memory_percent / 100)
        parameters = {"mib": str(memory // _MIB), "percent": f"{100 * memory / host:.0f}"}
        self._judge("memory", share, "resource.memory", "resource.memory_eased", parameters)
        files, limit = open_files(), resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        parameters = {"count": str(files), "limit": str(limit)}
        self._judge(
            "files", files / limit / (self._settings.files_percent / 100), "resource.files", "resource.files_eased", parameters
        )

    def _look_at_disks(self) -> None:
        for what, folder in self._folders.items():
            try:
                free = shutil.disk_usage(folder).free
            except OSError:  # not made yet
                continue
            parameters = {"folder": what, "mib": str(free // _MIB)}
            share = self._settings.disk_mb * _MIB / max(free, 1)
            self._judge(f"disk {what}", share, "resource.disk", "resource.disk_eased", parameters)

    def _judge(self, what: str, share: float, key: str, over: str, parameters: dict[str, str]) -> None:
        """Tell once when ``share`` of a limit passes 1, and once when it has eased."""
        if share >= 1.0 and what not in self._over:
            self._over.add(what)
            _log.warning(key, **parameters)
            self._tell(key, AlarmClass.ABNORMAL, 2, parameters)
        elif share < _EASED and what in self._over:
            self._over.discard(what)
            self._tell(over, AlarmClass.NOTICE, 4, parameters)

    def _tell(self, key: str, alarm_class: AlarmClass, priority: int, parameters: dict[str, str]) -> None:
        self._events.tell(Report((Event(self._clock.now_ns(), EventKind.SYSTEM, alarm_class, priority, key, parameters),)))


def resident_bytes() -> int:
    """Memory of this process that is in RAM."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def host_bytes() -> int:
    """RAM of this host, or what a container lets us have of it."""
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        allowed = _CONTAINER.read_text("ascii").strip()
    except OSError:
        return physical
    return min(physical, int(allowed)) if allowed.isdigit() else physical


def open_files() -> int:
    """File descriptors of this process."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a path object a descriptor would only be thrown away
