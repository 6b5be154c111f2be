"""The running system: opens the stores, builds the actors for one model version, ties them together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import structlog

from scada.actors.agc import AgcView
from scada.actors.alarm_view import AlarmView
from scada.actors.avc import AvcView
from scada.actors.base import Address, Supervisor
from scada.actors.calc import TICK_S
from scada.actors.calc_keeper import CalcKeeper
from scada.actors.channel import ChannelView
from scada.actors.cleaning import CleaningStage
from scada.actors.dispatch import DispatchView
from scada.actors.generation import Generation, SwapReport, check_settings, prepare_generation, unconfigured
from scada.actors.history import operations_since
from scada.actors.lives import Lives, fed_by
from scada.actors.messages import (
    AccidentsSeen,
    Checkpoint,
    MarkQuality,
    Report,
    Tick,
)
from scada.actors.model_adopter import SystemAdopter
from scada.actors.model_start import running_model
from scada.actors.model_view import ModelView
from scada.actors.operator import OperatorView
from scada.actors.performance import PerformanceView, rules_of
from scada.actors.programmes import TICK_S as PROGRAMMES_S
from scada.actors.recall import Recaller, is_accident
from scada.actors.recorder import WRITE_S, RecorderView
from scada.actors.replay import ReplayView
from scada.actors.resources import LOOK_S
from scada.actors.standing import Standing, standing_orders
from scada.actors.stores import Stores
from scada.actors.swap import Swap
from scada.actors.timers import Timers
from scada.actors.tracing import TraceHub
from scada.actors.upstreams import Upstreams
from scada.actors.wire import LOST, ChannelSink, Feed, Wire
from scada.apps.calc.graph import expression_findings
from scada.control.records import Principal
from scada.control.tags import TagBoard
from scada.core.clock import NS_PER_S, Clock
from scada.core.settings import Settings
from scada.events.recall import RecallFolder
from scada.events.records import Event, EventKind
from scada.history.postgres import PostgresHistorian
from scada.model_cim.cim import CimModel
from scada.model_cim.numbers import kept_numbers
from scada.model_cim.objects import PlantObjects
from scada.model_cim.points import load_model
from scada.model_cim.tables import AlarmClass, ChannelSpec, ModelTables
from scada.protocols.cleaning import Cleaner
from scada.protocols.driver import LinkState
from scada.protocols.registry import Drivers
from scada.rtdb.changes import ChangeSet

_log = structlog.get_logger("system")

DAY_NS = 86_400 * NS_PER_S
_ORDINARY = {"end_of_initialisation", "standby_restored", "unit_back"}
"""Kinds of protocol notices that are no fault."""
T = TypeVar("T")


class System:
    """All actors of a server. What the faces ask of it goes through :class:`scada.actors.facade.Facade`.

    Args:
        settings: the configuration.
        clock: time.
        rights_now: what an identity may do now, None = nothing any more; asked before a control executes.
        seal: key of what only this server may have written; empty in tests.

    Raises:
        ScadaError: the model cannot be run, or a database cannot be opened.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        rights_now: Callable[[Principal], Principal | None] = lambda principal: principal,
        seal: bytes = b"",
    ) -> None:
        self.settings = settings
        self.rights_now = rights_now
        self.clock = clock
        self.site = settings.site.name
        self._started: list[Event] = []
        self.rules = rules_of(settings.performance)
        """Rule profiles by which regulation is judged."""
        self.drivers = Drivers(settings.drivers)
        self.running = running_model(settings, clock)
        """The version of the model that runs, and the store of all versions."""
        self._started += self.running.events
        with ExitStack() as undo:
            undo.callback(self.running.store.close)
            self.started_ns, self._generations = clock.now_ns(), 0
            self.generation = self.prepare(*self._load_model(), self.running.folder)
            self.running.loaded()
            self._open(settings, clock, seal)
            undo.pop_all()
        self.lives, self._swap = Lives(self), Swap(self)
        self.adopter = SystemAdopter(self)

    def _open(self, settings: Settings, clock: Clock, seal: bytes) -> None:
        """Open the databases and make what the actors share."""
        self.timers = Timers(clock)
        self.supervisor = Supervisor(clock, self.timers, escalate=self._escalated, failed=self._failed)
        self.wire = Wire()
        self.upstreams = Upstreams(settings, self.tables)
        self.stores = Stores(settings, self.tables, self.objects, clock, self.upstreams.stations, seal)
        self.store, self.log, self.samples = self.stores.rtdb, self.stores.log, self.stores.samples
        self.audit, self.marks = self.stores.audit, self.stores.marks
        self._started += self.stores.damage
        self.calc_keeper, self.zone = CalcKeeper(self.stores.totals, self.store), ZoneInfo(settings.site.time_zone)
        self._views()
        self._addresses()

    # ---------------------------------------------------------------- construction

    def _load_model(self) -> tuple[CimModel, ModelTables]:
        """Read the model with the numbers of earlier versions."""
        path = self.running.folder
        model, tables, findings = load_model(path, kept_numbers(self.settings.rtdb.path), self.drivers)
        findings += expression_findings(model, tables.points)
        for finding in findings:
            log = _log.error if finding.severity in {"error", "fatal"} else _log.warning
            log("model", finding=str(finding))
        if findings:
            parameters = {"count": str(len(findings)), "first": str(findings[0])}
            self._started.append(self._event("model.findings", AlarmClass.ABNORMAL, 2, parameters))
        if self.running.number == self.running.store.current:
            self._say_unconfigured(tables)
        else:
            check_settings(tables, self.settings)
        return model, tables

    def _say_unconfigured(self, tables: ModelTables) -> None:
        """A version that took over in service may lack what the configuration names; the server must start all the same."""
        for text in unconfigured(tables, self.settings):
            _log.warning("part of the configuration has no effect", cause=text)
            self._started.append(self._event("model.unconfigured", AlarmClass.ABNORMAL, 2, {"reason": text}))

    def _views(self) -> None:
        self.alarm_view, self.agc_view, self.avc_view = AlarmView(), AgcView(), AvcView()
        self.performance_view = PerformanceView()
        self.dispatch_view, self.replay_view, self.recorder_view = DispatchView(), ReplayView({}), RecorderView()
        self.change_listeners: list[Callable[[ChangeSet], None]] = []
        self.uncommitted: list[tuple[Callable[[], None], bool]] = []
        self.event_listeners: list[Callable[[Sequence[Event]], None]] = []
        marks = tuple(self.marks.marks.values())
        self.operator_view = OperatorView(TagBoard(marks, self.objects), marks)

    def _addresses(self) -> None:
        self.rtdb, self.events = Address("rtdb"), Address("events")
        self.calc, self.topology, self.history = Address("calc"), Address("topology"), Address("history")
        self.archive = Address("archive")
        self.control, self.agc, self.avc = Address("control"), Address("agc"), Address("avc")
        self.performance, self.programmes = Address("performance"), Address("programmes")
        self.dispatch, self.replay, self.resources = Address("dispatch"), Address("replay"), Address("resources")
        self.operator, self.recall, self.recorder = Address("operator"), Address("recall"), Address("recorder")
        self.model, self.model_view = Address("model"), ModelView()
        self.feed = Feed(self.wire, self.rtdb, self.settings.rtdb.tick_ms / 1000)
        self.cleaning = CleaningStage(Cleaner(self.tables.points, len(self.tables.channels)), self.feed, self.clock, self.path)
        self.recalls = RecallFolder(self.settings.events.recalls, self.settings.events.recall_keep)
        self.recaller = Recaller(self.tables, self.store, self.log, self.recalls, self.history, self.clock)
        if self.settings.events.recall_keep:
            self.event_listeners.append(self._see_accidents)
        self.channels: dict[int, Address] = {}
        self.views: dict[int, ChannelView] = {}
        """What the actors of the channels publish, by channel index, as :attr:`channels`, :attr:`sinks`."""
        self.sinks: dict[int, ChannelSink] = {}
        self.hubs: dict[str, TraceHub] = {}
        quarantined = self.standing().quarantined
        for index in self.generation.channels:
            self.add_channel(index, quarantined)

    def add_channel(self, index: int, quarantined: Mapping[str, str]) -> None:
        """Make what belongs to a channel of the generation that runs, but not its actor."""
        spec = self.generation.channels[index]
        view = ChannelView(spec, cleaning=partial(self.cleaning.counts, index))
        if user := quarantined.get(spec.name):
            view.state, view.reason = LinkState.QUARANTINED, f"quarantined by {user}"
        address = Address(f"channel {spec.name}")
        self.sinks[index] = ChannelSink(
            self.feed,
            address,
            lambda kind, text: self._protocol_notice(view.spec, kind, text),
            self.clock,
            self.path,
            cleaning=self.cleaning,
            index=index,
            pids=fed_by(self.tables, index),
        )
        self.hubs[spec.name] = TraceHub(self.wire.loop)
        self.views[index], self.channels[index] = view, address

    def remove_channel(self, index: int) -> None:
        """Forget a channel whose actor has stopped."""
        view = self.views.pop(index)
        del self.channels[index], self.sinks[index]
        self.hubs.pop(view.spec.name, None)

    # ---------------------------------------------------------------- the model

    @property
    def tables(self) -> ModelTables:
        """Tables of the model version that runs; another object after a swap."""
        return self.generation.tables

    @property
    def objects(self) -> PlantObjects:
        """Objects of the model version that runs."""
        return self.generation.objects

    @property
    def channel_views(self) -> list[ChannelView]:
        """What the actors of the channels publish, in order of the channels' numbers."""
        return [view for _, view in sorted(self.views.items())]

    def path(self, pid: int) -> str:
        """Path of a point."""
        points = self.tables.points
        return points[pid].path if pid < len(points) else f"point {pid}"

    def standing(self) -> Standing:
        """What operators ordered and what outlives a restart."""
        return standing_orders(self.audit.records())

    def recorded(self) -> list[tuple[ChannelSpec, TraceHub]]:
        """Channels that are always recorded."""
        wanted = self.settings.recording.channels
        return [(view.spec, self.hubs[view.spec.name]) for view in self.channel_views if view.spec.name in wanted]

    def prepare(self, model: CimModel, tables: ModelTables, folder: Path) -> Generation:
        """Make everything of a model version that takes long; what runs is not touched.

        Args:
            model: the CIM model.
            tables: its tables, built with :func:`~scada.model_cim.numbers.kept_numbers`.
            folder: its files; they must stay as long as the version may run.

        Raises:
            ScadaError: the version cannot be run.
        """
        shared: dict[str, Any] = {"site": self.site, "started_ns": self.started_ns, "earthed": self._earthed}
        return prepare_generation(self.next_number(), model, tables, folder, self.settings, **shared)

    def next_number(self) -> int:
        """Of the next generation."""
        self._generations += 1
        return self._generations

    def swap(self, generation: Generation) -> SwapReport:
        """Let a prepared generation take over; also one that ran before (rollback). Blocks; not from an actor that it restarts.

        Returns:
            What became of it; a swap that fails leaves the generation before it running, and says why.
        """
        return self._swap.to(generation)

    def adopt(self, model: CimModel, tables: ModelTables, folder: Path) -> SwapReport:
        """:meth:`prepare` and :meth:`swap`."""
        return self.swap(self.prepare(model, tables, folder))

    def _earthed(self) -> Sequence[str]:
        return self.operator_view.board.earthed

    # ---------------------------------------------------------------- life

    def start(self) -> None:
        """Start every actor, the database's first, the channels last."""
        self.wire.start()
        self.upstreams.start()
        self.timers.start()
        now = self.clock.now_ns()
        self.operations = operations_since(self.samples, self.tables, now - now % DAY_NS, now)
        """Of each device of AVC before this start: mRID -> (operations today, time of the last one)."""
        for address, factory in self.lives.all():
            self.supervisor.start(address, factory)
        self.upstreams.forget_others(self.store)
        for station in self.upstreams.stations:
            self.supervisor.start(self.upstreams.address(station.mrid), self.lives.upstream(station.mrid))
        for index, address in self.channels.items():
            self.supervisor.start(address, self.lives.channel(index))
        for seconds, address, message in self._beats():
            self.timers.every(seconds, lambda to=address, what=message: to.tell(what))  # type: ignore[misc]
        self.timers.every(1.0, self._beat_stations)
        self.timers.every(1.0, self._clean)
        started = self._event(
            "system.started", AlarmClass.NOTICE, 4, {"model": self.tables.name, "version": self.tables.version[:12]}
        )
        self.events.tell(Report((*self._started, started)))

    def stop(self) -> None:
        """Stop the channels, let everything that waits be handled and committed, close the databases."""
        self.timers.stop()
        names = [address.name for address in (self.model, *self.channels.values(), *self.upstreams.addresses)]
        names += [
            "recorder",
            "resources",
            "recall",
            "replay",
            "dispatch",
            "avc",
            "agc",
            "performance",
            "programmes",
            "control",
            "operator",
            "rtdb",
            "topology",
            "calc",
            "history",
            "archive",
            "events",
        ]
        late = self.supervisor.stop(names)
        if late:
            _log.warning("actors did not stop in time", actors=late)
        self.wire.stop()
        self.upstreams.stop()
        self.stores.close()
        self.running.store.close()

    def _clean(self) -> None:
        self.wire.loop.call_soon_threadsafe(self.cleaning.tick)

    def _beats(self) -> list[tuple[float, Address, Any]]:
        tick, settings = Tick(), self.settings
        beats: list[tuple[float, Address, Any]] = [
            (1.0, self.rtdb, tick),
            (settings.rtdb.checkpoint_s, self.rtdb, Checkpoint()),
            (0.1, self.events, tick),
            (1.0, self.history, tick),
            *([(1.0, self.archive, tick)] if isinstance(self.samples, PostgresHistorian) else []),
            (1.0, self.recall, tick),
            (TICK_S, self.calc, tick),
            (LOOK_S, self.resources, tick),
            (0.1, self.control, tick),
            (PROGRAMMES_S, self.programmes, tick),
            (1.0, self.dispatch, tick),
            (1.0, self.model, tick),
            (0.1, self.replay, tick),
            (WRITE_S, self.recorder, tick),
            (settings.avc.cycle_s, self.avc, tick),
            (settings.agc.cycle_s, self.agc, tick),
        ]
        return beats

    def _beat_stations(self) -> None:
        """Beats of the actors that come and go with the model."""
        for address in (*list(self.channels.values()), *self.upstreams.addresses):
            address.tell(Tick())

    # ---------------------------------------------------------------- what is reported

    def _event(self, key: str, alarm_class: AlarmClass, priority: int, parameters: dict[str, str], **more: Any) -> Event:
        return Event(self.clock.now_ns(), more.pop("kind", EventKind.SYSTEM), alarm_class, priority, key, parameters, **more)

    def _failed(self, name: str, reason: str) -> None:
        self.events.tell(Report((self._event("actor.failed", AlarmClass.ABNORMAL, 2, {"actor": name, "reason": reason}),)))
        for index, address in list(self.channels.items()):
            if address.name == name:
                self.rtdb.tell(MarkQuality(fed_by(self.tables, index), set_bits=LOST))

    def _see_accidents(self, events: Sequence[Event]) -> None:
        accidents = [event for event in events if is_accident(event)]
        if accidents:
            self.recall.tell(AccidentsSeen(accidents))

    def _escalated(self, name: str, reason: str) -> None:
        self.events.tell(Report((self._event("actor.failing", AlarmClass.ACCIDENT, 1, {"actor": name, "reason": reason}),)))

    def _protocol_notice(self, spec: ChannelSpec, kind: str, text: str) -> None:
        log, alarm_class, priority = _log.warning, AlarmClass.ABNORMAL, 3
        if kind in _ORDINARY:
            log, alarm_class, priority = _log.info, AlarmClass.NOTICE, 4
        log("protocol", channel=spec.name, kind=kind, text=text)
        parameters = {"channel": spec.name, "kind": kind, "text": text}
        event = self._event(
            f"protocol.{kind}", alarm_class, priority, parameters, kind=EventKind.PROTOCOL, mrid=spec.mrid, path=spec.name
        )
        self.events.tell(Report((event,)))
