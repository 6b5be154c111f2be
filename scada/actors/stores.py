"""Everything a server keeps on disk, opened and closed as one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import structlog

from scada.actors.store_anchor import keep_head, known_head
from scada.actors.upstream_station import event_capacity, queue_name
from scada.apps.agc_avc.performance.store import PerformanceStore
from scada.apps.calc.state import CalcFile
from scada.apps.dispatch.order_store import OrderStore
from scada.control.operator_ledger import marks_from_audit
from scada.control.operator_store import OperatorStore
from scada.control.programme_store import ProgrammeStore
from scada.core.clock import Clock
from scada.core.errors import ScadaError
from scada.core.settings import Settings
from scada.events.log import EventLog
from scada.events.records import Event, EventKind
from scada.events.soe import STATUS_KINDS
from scada.history.archive import Archive
from scada.history.interface import Retention
from scada.history.postgres import PostgresHistorian
from scada.history.store import HistoryStore
from scada.model_cim.numbers import keep_numbers
from scada.model_cim.objects import PlantObjects
from scada.model_cim.tables import AlarmClass, ModelTables, Point, UpstreamStation
from scada.protocols.iec104.event_queue import StoredEventQueue
from scada.rtdb.lmdb_file import CorruptFileError, quarantine
from scada.rtdb.store import Store
from scada.security.audit import AuditLog, read_audit
from scada.security.audit_query import AuditReader

_log = structlog.get_logger("system")


class _Closable(Protocol):
    def close(self) -> None: ...


Closable = TypeVar("Closable", bound=_Closable)


class Stores:
    """The open databases of a server. A damaged one is moved aside, said, and begun anew.

    Args:
        settings: where they are, and how much they keep.
        tables: the model.
        objects: what operators can hang tags on.
        clock: stamps.
        upstream: stations whose queues are opened.

    Raises:
        ScadaError: one cannot be opened; those opened before are closed again.

    Attributes:
        rtdb: the real-time database.
        log: the event log.
        totals: what calculated points remember.
        samples: the historian.
        performance: accounts of regulation.
        audit: the audit log.
        marks: operator data.
        programmes: versions of programmes and their runs.
        orders: orders of dispatch.
        queues: events that upstream masters have not acknowledged, by mRID of the station.
        damage: events that say what was found damaged.
    """

    def __init__(
        self,
        settings: Settings,
        tables: ModelTables,
        objects: PlantObjects,
        clock: Clock,
        upstream: Sequence[UpstreamStation] = (),
        seal: bytes = b"",
    ) -> None:
        self._settings, self._tables, self._clock = settings, tables, clock
        self._closing = ExitStack()
        self.damage: list[Event] = []
        with ExitStack() as undo:
            undo.callback(self._closing.close)
            self.rtdb = self._opened("rtdb.damaged", "database", self._open_rtdb())
            log = EventLog.open_or_quarantine(
                settings.events.path, clock, map_mb=settings.events.map_mb, keep_days=settings.events.keep_days
            )
            self.log = self._opened("events.damaged", "event log", log)
            self.totals = self._opened("calc.damaged", "totals", CalcFile.open_or_quarantine(settings.rtdb.path, clock))
            self.samples = self._opened("history.damaged", "history", self._open_history())
            self.performance = self._opened("performance.damaged", "accounts of regulation", self._open_performance())
            self.audit = AuditLog(settings.security.audit, clock)
            self._closing.callback(self.audit.close)
            self._note("audit.repaired", self.audit.repaired)
            self._open_marks(objects)
            programmes = ProgrammeStore.open_or_quarantine(settings.control.programmes, clock)
            self.programmes = self._opened("programmes.damaged", "programmes", programmes)
            known, told = known_head(AuditReader(settings.security.audit)), partial(keep_head, self.audit)
            orders = OrderStore.open_or_quarantine(settings.dispatch.path, clock, key=seal, known=known, told=told)
            self.orders = self._opened("dispatch.damaged", "orders", orders)
            self._note("dispatch.store_incomplete", self.orders.incomplete)
            self.queues: dict[str, StoredEventQueue] = {}
            for station in upstream:
                self.open_queue(station)
            keep_numbers(settings.rtdb.path, tables)
            undo.pop_all()

    def close(self) -> None:
        """Close all, the latest opened first; what cannot be closed whole is logged."""
        self._closing.close()

    def open_queue(self, station: UpstreamStation) -> None:
        """Open the queue of an upstream station, if it is not open.

        Raises:
            ScadaError: it cannot be opened.
        """
        if station.mrid not in self.queues:
            queue = self._opened("upstream.damaged", f"queue of {station.name}", self._open_queue(station))
            self.queues[station.mrid] = queue

    def _opened(self, key: str, what: str, found: tuple[Closable, str]) -> Closable:
        store, damaged = found
        self._closing.callback(_close, what, store.close)
        self._note(key, damaged)
        return store

    def _open_rtdb(self) -> tuple[Store, str]:
        points, settings = self._tables.points, self._settings.rtdb
        return Store.open_or_quarantine(
            settings.path,
            len(points),
            self._clock,
            durable=settings.durable,
            map_mb=settings.map_mb,
            journal_mb=settings.journal_mb,
            journal_hours=settings.journal_hours,
            event_pids=status_mask(points),
            identity=identities(points),
        )

    def _open_history(self) -> tuple[HistoryStore, str]:
        """The historian that the settings ask for, and what was damaged; PostgreSQL itself may come later."""
        settings = self._settings.history
        retention = Retention(settings.raw_days, settings.minute_days)
        kept: tuple[Any, ...] = (settings.path, self._clock, self._tables.points)
        if settings.backend == "embedded":
            return HistoryStore.open_or_quarantine(*kept, map_mb=settings.map_mb, retention=retention)
        from scada.history.driver import PsycopgConnection, parse_dsn  # noqa: PLC0415 - an extra that only this needs

        parse_dsn(settings.dsn)
        names = {"schema": settings.db_schema, "reader": settings.reader_role}
        archive = Archive(partial(PsycopgConnection, settings.dsn), self._clock, retention=retention, **names)
        return PostgresHistorian.open_with(archive, *kept, map_mb=settings.map_mb, retention=retention)

    def _open_performance(self) -> tuple[PerformanceStore, str]:
        settings = self._settings.performance
        kept = {"map_mb": settings.map_mb, "unit_days": settings.unit_days}
        return PerformanceStore.open_or_quarantine(settings.path, self._clock, **kept)

    def _open_marks(self, objects: PlantObjects) -> None:
        """Marks of operators; a damaged or lost file is rebuilt from the audit log: a lost tag could let a control through."""
        found = OperatorStore.open_or_quarantine(self._settings.operator.path, self._clock)
        self.marks = self._opened("operator.damaged", "operator data", found)
        if not self.marks.is_new:
            return
        audited = read_audit(self._settings.security.audit)
        orders = [record for record in audited if record.row.kind == "operator" and record.row.sequence_id]
        rebuilt = marks_from_audit(orders, objects)
        used = self._clock.now_ns() // 1_000_000 if orders else 0  # higher than any number in the audit log
        self.marks.write(rebuilt, (), max(self.marks.next_id, used))
        if rebuilt or found[1]:
            self._say("operator.rebuilt", {"count": str(len(rebuilt))})

    def _open_queue(self, station: UpstreamStation) -> tuple[StoredEventQueue, str]:
        """The queue of an upstream station; a damaged one is begun anew, and what it held is told to be lost."""
        folder, name, capacity = self._settings.upstream.path, queue_name(station), event_capacity(station)
        try:
            return StoredEventQueue(folder, name, capacity), ""
        except CorruptFileError as error:
            aside = quarantine(folder, name, self._clock.now_ns())
            text = f"{station.name}: {error.what}; {error.where} was moved to {aside.name} and an empty queue started"
            return StoredEventQueue(folder, name, capacity), text

    def _note(self, key: str, text: str) -> None:
        if text:
            _log.error("damaged database moved aside", what=text)
            self._say(key, {"reason": text})

    def _say(self, key: str, parameters: dict[str, str]) -> None:
        self.damage.append(Event(self._clock.now_ns(), EventKind.SYSTEM, AlarmClass.ACCIDENT, 1, key, parameters))


def _close(what: str, close: Callable[[], None]) -> None:
    try:
        close()
    except ScadaError as error:
        _log.error("could not be closed whole", what=what, cause=str(error))


def status_mask(points: Sequence[Point]) -> npt.NDArray[np.bool_]:
    """Which points are status points: their changes carry the EVENT flag."""
    return np.array([point.kind in STATUS_KINDS for point in points], dtype=np.bool_)


def identities(points: Sequence[Point]) -> npt.NDArray[np.uint64]:
    """One number a point, by which the database knows what each pid stands for."""
    return np.array([_identity(point.mrid) for point in points], dtype=np.uint64)


def _identity(mrid: str) -> int:
    return int.from_bytes(hashlib.blake2b(mrid.encode(), digest_size=8).digest(), "big")
