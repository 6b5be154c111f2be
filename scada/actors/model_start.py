"""What a server runs when it starts: :func:`running_model`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import structlog

from scada.core.clock import Clock
from scada.core.errors import ScadaError
from scada.core.settings import Settings
from scada.events.records import Event, EventKind
from scada.model_cim.tables import AlarmClass
from scada.model_cim.version_files import digest_of, hashes_of
from scada.model_cim.versions import Step, VersionStore

_log = structlog.get_logger("model")


@dataclass(frozen=True, slots=True)
class RunningModel:
    """The version to run.

    Attributes:
        store: open store of the versions; whoever asked for it closes it.
        number: of the version.
        folder: its files, which nobody may change.
        events: what is to be told once the event log runs.
    """

    store: VersionStore
    number: int
    folder: Path
    events: list[Event] = field(default_factory=list)


def running_model(settings: Settings, clock: Clock) -> RunningModel:
    """Open the store of versions and say which one runs.

    An empty store takes the folder ``[model] path`` as version 1. Later the current version runs, whatever is in the folder; if
    that differs, an event says so. With ``[model] at_start = "folder"`` it is taken as a new version instead.

    Raises:
        ScadaError: the store is damaged or cannot be opened, or there is no model to begin with.
    """
    store = VersionStore(settings.model.versions, clock)
    try:
        events = [
            _event(clock, "model.interrupted", AlarmClass.ABNORMAL, {"version": str(entry.version), "reason": entry.text})
            for entry in store.mend()
            if entry.step is Step.FAILED
        ]
        events += _take_folder(settings, store, clock)
        store.check_files(store.current)
    except BaseException:
        store.close()
        raise
    return RunningModel(store, store.current, store.path(store.current), events)


def _take_folder(settings: Settings, store: VersionStore, clock: Clock) -> list[Event]:
    """Take the folder as a version if it must be, and say where it differs from what runs."""
    path = settings.model.path
    if not store.current:
        number = store.adopt_folder(path, f"first start, from {path.name}").number
        return [_event(clock, "model.imported", AlarmClass.NOTICE, {"version": str(number), "path": str(path)})]
    try:
        differs = digest_of(hashes_of(path)) != store.version(store.current).digest
    except (ScadaError, OSError) as error:
        _log.info("the model folder is not compared with the current version", cause=str(error))
        return []
    if not differs:
        return []
    if settings.model.at_start == "folder":
        number = store.adopt_folder(path, f"start with at_start = folder, from {path.name}").number
        return [_event(clock, "model.imported", AlarmClass.NOTICE, {"version": str(number), "path": str(path)})]
    mend = f"scada model apply {path}"
    _log.warning("the model folder differs from the version that runs", path=str(path), version=store.current, mend=mend)
    return [_event(clock, "model.folder_differs", AlarmClass.NOTICE, {"version": str(store.current), "path": str(path)})]


def _event(clock: Clock, key: str, alarm_class: AlarmClass, parameters: dict[str, str]) -> Event:
    return Event(clock.now_ns(), EventKind.SYSTEM, alarm_class, 3, key, parameters)
