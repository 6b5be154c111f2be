"""The running system: opens the stores, builds the actors for one model version, ties them together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import numpy as np
import structlog
from scadapb.v1 import scada_pb2 as pb

from scada.actors.agc import AgcActor, AgcView
from scada.actors.alarm_view import AlarmView
from scada.actors.archive import ArchiveActor
from scada.actors.avc import AvcActor, AvcView
from scada.actors.base import Address, Factory, Supervisor
from scada.actors.calc import TICK_S, CalcActor
from scada.actors.calc_keeper import CalcKeeper
from scada.actors.channel import ChannelActor, ChannelView
from scada.actors.cleaning import CleaningStage
from scada.actors.control import ControlActor
from scada.actors.dispatch import DispatchActor, DispatchView, past_orders
from scada.actors.events import EventActor
from scada.actors.history import HistoryActor, operations_since
from scada.actors.messages import (
    AccidentsSeen,
    Checkpoint,
    MarkQuality,
    Report,
    Tick,
)
from scada.actors.model_start import running_model
from scada.actors.operator import OperatorActor, OperatorView
from scada.actors.recall import RecallActor, Recaller, is_accident
from scada.actors.recorder import WRITE_S, RecorderActor, RecorderView
from scada.actors.replay import ReplayActor, ReplayView
from scada.actors.resources import LOOK_S, ResourceActor
from scada.actors.rtdb import RtdbActor
from scada.actors.standing import Standing, standing_orders
from scada.actors.stores import Stores
from scada.actors.timers import Timers
from scada.actors.topology import LiveTopology, TopologyActor
from scada.actors.tracing import TraceHub
from scada.actors.upstreams import Upstreams
from scada.actors.wire import LOST, ChannelSink, Feed, Wire
from scada.apps.agc_avc.voltage_network import VoltageNetwork
from scada.apps.calc.graph import expression_findings
from scada.control.tags import TagBoard
from scada.core.clock import NS_PER_S, Clock
from scada.core.errors import ConfigError, ModelError
from scada.core.settings import ChannelSettings, Settings, place_files
from scada.events.recall import RecallFolder
from scada.events.records import Event, EventKind
from scada.history.postgres import Beside, PostgresHistorian
from scada.model_cim.cim import CimModel
from scada.model_cim.objects import PlantObjects
from scada.model_cim.numbers import kept_numbers
from scada.model_cim.points import load_model
from scada.model_cim.tables import AlarmClass, ChannelSpec, ModelTables
from scada.protocols.cleaning import Cleaner
from scada.protocols.driver import LinkState
from scada.protocols.registry import Drivers, make_driver
from scada.rtdb.changes import ChangeSet
from scada.security.roles import Right, system_principal

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

    Raises:
        ScadaError: the model cannot be run, or a database cannot be opened.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.site = settings.site.name
        self._started: list[Event] = []
        self.drivers = Drivers(settings.drivers)
        self.running = running_model(settings, clock)
        """The version of the model that runs, and the store of all versions."""
        self._started += self.running.events
        with ExitStack() as undo:
            undo.callback(self.running.store.close)
            self._model, self.tables = self._load_model()
            self.running.loaded()
            self._open(settings, clock)
            undo.pop_all()
        self.started_ns = clock.now_ns()

    def _open(self, settings: Settings, clock: Clock) -> None:
        """Open the databases and make what the actors share."""
        self.objects = PlantObjects(self.tables, self._model)
        self.timers = Timers(clock)
        self.supervisor = Supervisor(clock, self.timers, escalate=self._escalated, failed=self._failed)
        self.wire = Wire()
        self.upstreams = Upstreams(settings, self.tables)
        self._stores = Stores(settings, self.tables, self.objects, clock, self.upstreams.stations)
        self.store, self.log, self.samples = self._stores.rtdb, self._stores.log, self._stores.samples
        self.audit, self.marks = self._stores.audit, self._stores.marks
        self._started += self._stores.damage
        self._calc_keeper, self._zone = CalcKeeper(self._stores.totals, self.store), ZoneInfo(settings.site.time_zone)
        self._views()
        self._addresses()

    # ---------------------------------------------------------------- construction

    def _load_model(self) -> tuple[CimModel, ModelTables]:
        """Read the model with the point numbers of earlier versions, and keep the new ones."""
        path = self.running.folder
        model, tables, findings = load_model(path, kept_numbers(self.settings.rtdb.path), self.drivers)
        findings += expression_findings(model, tables.points)
        for finding in findings:
            log = _log.error if finding.severity in {"error", "fatal"} else _log.warning
            log("model", finding=str(finding))
        if findings:
            parameters = {"count": str(len(findings)), "first": str(findings[0])}
            self._started.append(self._event("model.findings", AlarmClass.ABNORMAL, 2, parameters))
        if not tables.points:
            raise ModelError("the model has no points", where=str(path), mend="see `scada model check`")
        if unknown := self.settings.channels.keys() - {spec.name for spec in tables.channels}:
            names = ", ".join(sorted(unknown))
            raise ConfigError(f"[channels] names what the model does not have: {names}", mend="see `scada model show --channels`")
        if unknown := set(self.settings.recording.channels) - {spec.name for spec in tables.channels}:
            names = ", ".join(sorted(unknown))
            raise ConfigError(f"[recording] channels are not in the model: {names}", mend="see `scada model show --channels`")
        return model, tables

    def _views(self) -> None:
        self.channel_views = [ChannelView(self._endpoint(spec)) for spec in self.tables.channels]
        self.alarm_view, self.agc_view, self.avc_view = AlarmView(), AgcView(), AvcView()
        self.dispatch_view, self.replay_view, self.recorder_view = DispatchView(), ReplayView({}), RecorderView()
        self.hubs = {view.spec.name: TraceHub(self.wire.loop) for view in self.channel_views}
        self._change_listeners: list[Callable[[ChangeSet], None]] = []
        self._uncommitted: list[tuple[Callable[[], None], bool]] = []
        self._event_listeners: list[Callable[[Sequence[Event]], None]] = []
        quarantined = self._standing().quarantined
        for view in self.channel_views:
            user = quarantined.get(view.spec.name)
            if user is not None:
                view.state, view.reason = LinkState.QUARANTINED, f"quarantined by {user}"
        self._topology = LiveTopology(self._model, self.tables, lambda: self.operator_view.board.earthed)
        self.operator_view = OperatorView(TagBoard(self.marks.marks.values(), self.objects), tuple(self.marks.marks.values()))

    def _standing(self) -> Standing:
        return standing_orders(self.audit.records())

    def _endpoint(self, spec: ChannelSpec) -> ChannelSpec:
        """A channel's address and parameters, as overridden by the configuration; files that the model names are beside it."""
        override = self.settings.channels.get(spec.name, ChannelSettings())
        path = self.settings.model.path
        params = {**place_files(spec.params, path if path.is_dir() else path.parent), **override.params}
        host, port = override.host or spec.host, override.port or spec.port
        return ChannelSpec(spec.index, spec.mrid, spec.name, spec.protocol, host, port, spec.station, params)

    def _addresses(self) -> None:
        self.rtdb, self.events = Address("rtdb"), Address("events")
        self.calc, self.topology, self.history = Address("calc"), Address("topology"), Address("history")
        self.archive = Address("archive")
        self.control, self.agc, self.avc = Address("control"), Address("agc"), Address("avc")
        self.dispatch, self.replay, self.resources = Address("dispatch"), Address("replay"), Address("resources")
        self.operator, self.recall, self.recorder = Address("operator"), Address("recall"), Address("recorder")
        self.channels = {view.spec.index: Address(f"channel {view.spec.name}") for view in self.channel_views}
        self.feed = Feed(self.wire, self.rtdb, self.settings.rtdb.tick_ms / 1000)
        self.cleaner = Cleaner(self.tables.points, len(self.tables.channels))
        self.cleaning = CleaningStage(self.cleaner, self.feed, self.clock, self._path)
        self.recalls = RecallFolder(self.settings.events.recalls, self.settings.events.recall_keep)
        self.recaller = Recaller(self.tables, self.store, self.log, self.recalls, self.history, self.clock)
        if self.settings.events.recall_keep:
            self._event_listeners.append(self._see_accidents)

    # ---------------------------------------------------------------- life

    def start(self) -> None:
        """Start every actor, the database's first, the channels last."""
        self.wire.start()
        self.upstreams.start()
        self.timers.start()
        for address, factory in self._factories():
            self.supervisor.start(address, factory)
        for seconds, address, message in self._beats():
            self.timers.every(seconds, lambda to=address, what=message: to.tell(what))  # type: ignore[misc]
        self.timers.every(1.0, self._clean)
        started = self._event(
            "system.started", AlarmClass.NOTICE, 4, {"model": self.tables.name, "version": self.tables.version[:12]}
        )
        self.events.tell(Report((*self._started, started)))

    def stop(self) -> None:
        """Stop the channels, let everything that waits be handled and committed, close the databases."""
        self.timers.stop()
        names = [address.name for address in (*self.channels.values(), *self.upstreams.addresses)]
        names += [
            "recorder",
            "resources",
            "recall",
            "replay",
            "dispatch",
            "avc",
            "agc",
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
        self._stores.close()
        self.running.store.close()

    def _factories(self) -> list[tuple[Address, Factory]]:
        channels = [(self.channels[view.spec.index], self._channel_factory(view)) for view in self.channel_views]
        return [*self._keepers(), *self._deciders(), *self._forwarding(), *channels]

    def _keepers(self) -> list[tuple[Address, Factory]]:
        """Actors that keep what happened, and derive from it."""
        common: dict[str, Any] = {"clock": self.clock}
        model: dict[str, Any] = {"tables": self.tables, **common}
        reads: dict[str, Any] = {"snapshot": self.store.snapshot, "rtdb": self.rtdb, **model}
        events = partial(
            EventActor,
            store=self.store,
            log=self.log,
            view=self.alarm_view,
            listeners=self._event_listeners,
            tagged=self.operator_view.silenced,
            soe_window_s=self.settings.events.soe_window_ms / 1000,
            settings=self.settings.alarms,
            **model,
        )
        rtdb = partial(
            RtdbActor,
            store=self.store,
            readers=self.upstreams.addresses,  # first: a change that proves a command is there before the command's result
            followers=[self.control, self.topology, self.calc, self.events, self.history],
            listeners=self._change_listeners,
            waiting=self._uncommitted,
            events=self.events,
            **common,
        )
        calc = partial(CalcActor, events=self.events, zone=self._zone, keeper=self._calc_keeper, **reads)
        return [
            (self.events, events),
            *self._historians(),
            *self._capturing(),
            (self.rtdb, rtdb),
            (self.topology, partial(TopologyActor, live=self._topology, **reads)),
            (self.calc, calc),
        ]

    def _historians(self) -> list[tuple[Address, Factory]]:
        """The history's actor, and that of its archive if there is one."""
        kept: dict[str, Any] = {"rtdb": self.store, "store": self.samples, "events": self.events, "clock": self.clock}
        if not isinstance(self.samples, PostgresHistorian):
            return [(self.history, partial(HistoryActor, **kept))]
        archive = partial(ArchiveActor, historian=self.samples, events=self.events, clock=self.clock)
        answers = self.samples.answers

        def has(request: pb.HistoryRequest) -> bool:
            return answers(request.from_ns, periods=bool(request.period_s))

        history = partial(HistoryActor, archive=self.archive, has=has, answers=Beside(self.samples), **kept)
        return [(self.history, history), (self.archive, archive)]

    def _capturing(self) -> list[tuple[Address, Factory]]:
        """The actor that captures disturbances, unless none are to be kept."""
        if not self.settings.events.recall_keep:
            return []
        capturing = partial(
            RecallActor,
            recaller=self.recaller,
            folder=self.recalls,
            store=self.store,
            log=self.log,
            events=self.events,
            settings=self.settings.events,
            clock=self.clock,
        )
        return [(self.recall, capturing)]

    def _deciders(self) -> list[tuple[Address, Factory]]:
        """Actors that act on the plant, and the replay."""
        settings, now = self.settings, self.clock.now_ns()
        common: dict[str, Any] = {"tables": self.tables, "events": self.events, "clock": self.clock}
        acts: dict[str, Any] = {"snapshot": self.store.snapshot, "control": self.control, **common}
        agc_principal, avc_principal = (system_principal(name, {Right.CONTROL, Right.SETPOINT}) for name in ("agc", "avc"))
        standing = self._standing
        control = partial(
            ControlActor,
            topology=self._topology,
            audit=self.audit,
            snapshot=self.store.snapshot,
            views=self.channel_views,
            channels=self.channels,
            tags=self.operator_view.forbids,
            **common,
        )
        operator = partial(
            OperatorActor,
            objects=self.objects,
            store=self.marks,
            view=self.operator_view,
            database=self.store,
            audit=self.audit,
            rtdb=self.rtdb,
            channels=self.channels,
            **common,
        )
        avc = partial(
            AvcActor,
            network=self._voltage_network(),
            settings=settings.avc,
            principal=avc_principal,
            standing=standing,
            operations=operations_since(self.samples, self.tables, now - now % DAY_NS, now),
            tags=self.operator_view.forbids,
            view=self.avc_view,
            **acts,
        )

        def dispatch(address: Address, failed: Callable[[BaseException], None]) -> DispatchActor:
            # read anew for each life: the one before may have accepted more
            answered = self.log.query(kinds=[EventKind.DISPATCH], limit=10_000)
            accepted = {event.parameters["order"] for event in answered if event.key in {"dispatch.accepted", "dispatch.clipped"}}
            past = past_orders(self.audit.records(), accepted)
            view = self.dispatch_view
            return DispatchActor(address, failed, past=past, seen=sorted(accepted), agc=self.agc, view=view, **common)

        traces = (settings.replay.path, settings.recording.path)
        deciders: list[tuple[Address, Factory]] = [
            (self.operator, operator),
            (self.control, control),
            (self.dispatch, dispatch),
            (self.replay, partial(ReplayActor, folders=traces, view=self.replay_view, clock=self.clock)),
            (self.resources, self._resources()),
            (self.recorder, self._recording()),
            (self.avc, avc),
        ]
        area = next((area for area in self.tables.areas if area.controlled), None)
        if area is not None:
            agc = partial(
                AgcActor,
                area=area,
                settings=settings.agc,
                rtdb=self.rtdb,
                principal=agc_principal,
                standing=standing,
                tags=self.operator_view.forbids,
                view=self.agc_view,
                **acts,
            )
            deciders.append((self.agc, agc))
        return deciders

    def _forwarding(self) -> list[tuple[Address, Factory]]:
        """Actors towards upstream control centres."""
        shared = {"tables": self.tables, "control": self.control, "audit": self.audit}
        return self.upstreams.factories(self.store, self._stores.queues, events=self.events, clock=self.clock, **shared)

    def _channel_factory(self, view: ChannelView) -> Factory:
        spec, address = view.spec, self.channels[view.spec.index]
        points, controls = self.tables.points_of_channel(spec.index), self.tables.controls_of_channel(spec.index)
        fed = np.array([point.pid for point in points], dtype=np.uint32)
        sink = ChannelSink(
            self.feed,
            address,
            lambda kind, text: self._protocol_notice(spec, kind, text),
            self.clock,
            self._path,
            cleaning=self.cleaning,
            index=spec.index,
            pids=fed,
        )
        view.cleaning = partial(self.cleaner.counts, spec.index)
        return lambda a, f: ChannelActor(
            a,
            f,
            view=view,
            wire=self.wire,
            make=lambda: make_driver(spec, points, controls, sink, self.clock, self.drivers),
            pids=fed,
            rtdb=self.rtdb,
            events=self.events,
            clock=self.clock,
            hub=self.hubs[spec.name],
            recorder=self.recorder,
        )

    def _recording(self) -> Factory:
        always = [(view.spec, self.hubs[view.spec.name]) for view in self.channel_views]
        return partial(
            RecorderActor,
            settings=self.settings.recording,
            disk_mb=self.settings.resources.disk_mb,
            site=self.site,
            model=self.tables.version,
            always=[(spec, hub) for spec, hub in always if spec.name in self.settings.recording.channels],
            view=self.recorder_view,
            events=self.events,
            clock=self.clock,
        )

    def _clean(self) -> None:
        self.wire.loop.call_soon_threadsafe(self.cleaning.tick)

    def _path(self, pid: int) -> str:
        return self.tables.points[pid].path

    def _resources(self) -> Factory:
        settings = self.settings
        folders = {"rtdb": settings.rtdb.path, "events": settings.events.path, "history": settings.history.path}
        return partial(
            ResourceActor,
            actors=self.supervisor.addresses,
            folders={**folders, "audit": settings.security.audit, **self.upstreams.folders},
            settings=settings.resources,
            events=self.events,
            clock=self.clock,
        )

    def _voltage_network(self) -> VoltageNetwork | None:
        try:
            return VoltageNetwork(self._model, self.tables, self.tables.zones) if self.tables.zones else None
        except ModelError as error:
            _log.warning("AVC has no network model", cause=str(error))
            return None

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
            (1.0, self.dispatch, tick),
            (0.1, self.replay, tick),
            (WRITE_S, self.recorder, tick),
            (settings.avc.cycle_s, self.avc, tick),
            (settings.agc.cycle_s, self.agc, tick),
        ]
        return beats + [(1.0, address, tick) for address in (*self.channels.values(), *self.upstreams.addresses)]

    # ---------------------------------------------------------------- what is reported

    def _event(self, key: str, alarm_class: AlarmClass, priority: int, parameters: dict[str, str], **more: Any) -> Event:
        return Event(self.clock.now_ns(), more.pop("kind", EventKind.SYSTEM), alarm_class, priority, key, parameters, **more)

    def _failed(self, name: str, reason: str) -> None:
        self.events.tell(Report((self._event("actor.failed", AlarmClass.ABNORMAL, 2, {"actor": name, "reason": reason}),)))
        for view in self.channel_views:
            if self.channels[view.spec.index].name == name:
                fed = [point.pid for point in self.tables.points_of_channel(view.spec.index)]
                self.rtdb.tell(MarkQuality(np.array(fed, dtype=np.uint32), set_bits=LOST))

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
