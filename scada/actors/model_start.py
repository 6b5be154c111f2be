"""What a server runs when it starts: :func:`running_model`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import structlog

from scada.core.clock import Clock
from scada.core.errors import ScadaError, StoreError
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
        events: what is to be told once the event log runs.
    """

    store: VersionStore
    number: int
    events: list[Event] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        """Its files, which nobody may change."""
        return self.store.path(self.number)

    def loaded(self) -> None:
        """It could be loaded: make it the current one if it was just taken from the folder.

        Raises:
            StoreError: it could not be written.
        """
        if self.number != self.store.current:
            self.store.note(Step.APPLIED, self.number, text="taken from the folder at the start")


def running_model(settings: Settings, clock: Clock) -> RunningModel:
    """Open the store of versions and say which one runs.

    Call :meth:`RunningModel.loaded` once the model could be loaded: one that cannot be never becomes the current one.

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
        number, told = _chosen(settings, store, clock)
        store.check_files(number)
        _prune(store, settings.model.keep_versions)
    except BaseException:
        store.close()
        raise
    return RunningModel(store, number, [*events, *told])


def _prune(store: VersionStore, keep: int) -> None:
    try:
        store.prune(keep)
    except StoreError as error:  # a full disk is no reason not to start
        _log.warning("old versions could not be removed", cause=str(error))


def _chosen(settings: Settings, store: VersionStore, clock: Clock) -> tuple[int, list[Event]]:
    """The version to run: the folder taken as one if it must be, else the current one; and what is to be said of it."""
    path = settings.model.path
    if not store.current:
        return _taken(store, path, f"first start, from {path.name}", clock)
    try:
        differs = digest_of(hashes_of(path)) != store.version(store.current).digest
    except (ScadaError, OSError) as error:
        _log.info("the model folder is not compared with the current version", cause=str(error))
        return store.current, []
    if not differs:
        return store.current, []
    if settings.model.at_start == "folder":
        return _taken(store, path, f"start with at_start = folder, from {path.name}", clock)
    mend = f"scada model apply {path}"
    _log.warning("the model folder differs from the version that runs", path=str(path), version=store.current, mend=mend)
    parameters = {"version": str(store.current), "path": str(path)}
    return store.current, [_event(clock, "model.folder_differs", AlarmClass.NOTICE, parameters)]


def _taken(store: VersionStore, path: Path, text: str, clock: Clock) -> tuple[int, list[Event]]:
    number = store.take_folder(path, text).number
    return number, [_event(clock, "model.imported", AlarmClass.NOTICE, {"version": str(number), "path": str(path)})]


def _event(clock: Clock, key: str, alarm_class: AlarmClass, parameters: dict[str, str]) -> Event:
    return Event(clock.now_ns(), EventKind.SYSTEM, alarm_class, 3, key, parameters)
