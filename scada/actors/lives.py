"""Makes the lives of all actors: each one from the generation of the model that runs when it begins."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scadapb.v1 import scada_pb2 as pb

from scada.actors.agc import AgcActor, controlled_areas
from scada.actors.archive import ArchiveActor
from scada.actors.avc import AvcActor
from scada.actors.base import Actor, Address, Factory
from scada.actors.calc import CalcActor
from scada.actors.channel import ChannelActor
from scada.actors.control import ControlActor
from scada.actors.dispatch import DispatchActor
from scada.actors.dispatch_requests import accepted_orders, is_kept, past_orders
from scada.actors.events import EventActor
from scada.actors.history import HistoryActor
from scada.actors.model import ModelActor
from scada.actors.model_process import WorkProcess
from scada.actors.operator import OperatorActor
from scada.actors.performance import PerformanceActor
from scada.actors.programmes import ProgrammesActor
from scada.actors.recall import RecallActor
from scada.actors.recorder import RecorderActor
from scada.actors.replay import ReplayActor
from scada.actors.resources import ResourceActor
from scada.actors.rtdb import RtdbActor
from scada.actors.topology import TopologyActor
from scada.core.clock import NS_PER_S
from scada.history.postgres import Beside, PostgresHistorian
from scada.model_cim.tables import ModelTables
from scada.protocols.driver import Driver
from scada.protocols.registry import make_driver
from scada.security.audit import read_audit
from scada.security.roles import Right, system_principal

if TYPE_CHECKING:
    from scada.actors.system import System

Failed = Callable[[BaseException], None]


class Lives:
    """Factories of a system's actors.

    A factory reads what it needs when it is called: a life that begins after a swap of generations, for whatever reason, begins
    with the new one.

    Args:
        system: the stores, views and addresses, and the generation that runs.
    """

    def __init__(self, system: System) -> None:
        self._system = system

    def all(self) -> list[tuple[Address, Factory]]:
        """Every actor but those of channels and upstream stations, the database's keepers first."""
        system = self._system
        lives: list[tuple[Address, Factory]] = [(system.events, self._events), (system.history, self._history)]
        if isinstance(system.samples, PostgresHistorian):
            lives.append((system.archive, self._archive))
        if system.settings.events.recall_keep:
            lives.append((system.recall, self._recall))
        lives += [(system.rtdb, self._rtdb), (system.topology, self._topology), (system.calc, self._calc)]
        lives += [(system.operator, self._operator), (system.control, self._control), (system.dispatch, self.dispatch)]
        lives += [(system.programmes, self._programmes), (system.performance, self._performance)]
        lives += [(system.replay, self._replay), (system.resources, self._resources), (system.recorder, self._recorder)]
        lives += [(system.avc, self.avc), (system.model, self._model)]
        if controlled_areas(system.tables):
            lives.append((system.agc, self.agc))
        return lives

    def channel(self, index: int) -> Factory:
        """Factory of a channel's actor."""
        return lambda address, failed: self._channel(index, address, failed)

    def driver(self, index: int) -> Driver:
        """The driver of a channel, not yet running.

        Raises:
            ConfigError: its parameters cannot be used.
        """
        system = self._system
        tables, spec = system.tables, system.views[index].spec
        points, controls = tables.points_of_channel(index), tables.controls_of_channel(index)
        return make_driver(spec, points, controls, system.sinks[index], system.clock, system.drivers)

    def upstream(self, mrid: str) -> Factory:
        """Factory of an upstream station's actor."""
        return lambda address, failed: self._upstream(mrid, address, failed)

    # ---------------------------------------------------------------- those that keep what happened, and derive from it

    def _events(self, address: Address, failed: Failed) -> Actor:
        system = self._system
        return EventActor(
            address,
            failed,
            tables=system.tables,
            store=system.store,
            log=system.log,
            view=system.alarm_view,
            listeners=system.event_listeners,
            clock=system.clock,
            tagged=system.operator_view.silenced,
            soe_window_s=system.settings.events.soe_window_ms / 1000,
            settings=system.settings.alarms,
        )

    def _model(self, address: Address, failed: Failed) -> Actor:
        system = self._system
        return ModelActor(
            address,
            failed,
            store=system.running.store,
            settings=system.settings.model,
            numbers=system.settings.rtdb.path,
            drivers=system.settings.drivers,
            adopter=system.adopter,
            start_work=WorkProcess,
            live=system.adopter.live,
            audit=system.audit,
            events=system.events,
            view=system.model_view,
            clock=system.clock,
        )

    def _rtdb(self, address: Address, failed: Failed) -> Actor:
        system = self._system
        return RtdbActor(
            address,
            failed,
            store=system.store,
            readers=system.upstreams.addresses,  # first: a change that proves a command is there before the command's result
            followers=[system.control, system.topology, system.calc, system.events, system.history],
            listeners=system.change_listeners,
            waiting=system.uncommitted,
            events=system.events,
            clock=system.clock,
        )

    def _topology(self, address: Address, failed: Failed) -> Actor:
        system = self._system
        return TopologyActor(address, failed, live=system.generation.topology, **self._reads())

    def _calc(self, address: Address, failed: Failed) -> Actor:
        system = self._system
        zone, keeper = system.zone, system.calc_keeper
        return CalcActor(address, failed, events=system.events, zone=zone, keeper=keeper, **self._reads())

    def _reads(self) -> dict[str, Any]:
        system = self._system
        return {"snapshot": system.store.snapshot, "rtdb": system.rtdb, "tables": system.tables, "clock": system.clock}

    def _history(self, address: Address, failed: Failed) -> Actor:
        system, samples = self._system, self._system.samples
        kept: dict[str, Any] = {"rtdb": system.store, "store": samples, "events": system.events, "clock": system.clock}
        if not isinstance(samples, PostgresHistorian):
            return HistoryActor(address, failed, **kept)
        answers = samples.answers

        def has(request: pb.HistoryRequest) -> bool:
            return answers(request.from_ns, periods=bool(request.period_s))

        return HistoryActor(address, failed, archive=system.archive, has=has, answers=Beside(samples), **kept)

    def _archive(self, address: Address, failed: Failed) -> Actor:
        system = self._system
        assert isinstance(system.samples, PostgresHistorian)
        return ArchiveActor(address, failed, historian=system.samples, events=system.events, clock=system.clock)

    def _recall(self, address: Address, failed: Failed) -> Actor:
        system = self._system
        return RecallActor(
            address,
            failed,
            recaller=system.recaller,
            folder=system.recalls,
            store=system.store,
            log=system.log,
            events=system.events,
            settings=system.settings.events,
            clock=system.clock,
        )

    # ---------------------------------------------------------------- those that act on the plant

    def _common(self) -> dict[str, Any]:
        system = self._system
        return {"tables": system.tables, "events": system.events, "clock": system.clock}

    def _acts(self, name: str) -> dict[str, Any]:
        """What AGC and AVC have in common."""
        system = self._system
        return {
            "snapshot": system.store.snapshot,
            "control": system.control,
            "principal": system_principal(name, {Right.CONTROL, Right.SETPOINT}),
            "standing": system.standing,
            "tags": system.operator_view.forbids,
            **self._common(),
        }

    def _control(self, address: Address, failed: Failed) -> Actor:
        system = self._system
        return ControlActor(
            address,
            failed,
            topology=system.generation.topology,
            audit=system.audit,
            snapshot=system.store.snapshot,
            views=system.views,
            channels=system.channels,
            tags=system.operator_view.forbids,
            settings=system.settings.control,
            standing=system.rights_now,
            **self._common(),
        )

    def _programmes(self, address: Address, failed: Failed) -> Actor:
        system = self._system
        return ProgrammesActor(
            address,
            failed,
            model=system.generation.model,
            topology=system.generation.topology,
            database=system.store,
            views=system.views,
            store=system.stores.programmes,
            audit=system.audit,
            control=system.control,
            settings=system.settings.control,
            rights_now=system.rights_now,
            **self._common(),
        )

    def _operator(self, address: Address, failed: Failed) -> Actor:
        system = self._system
        return OperatorActor(
            address,
            failed,
            objects=system.objects,
            store=system.marks,
            view=system.operator_view,
            database=system.store,
            audit=system.audit,
            rtdb=system.rtdb,
            channels=system.channels,
            **self._common(),
        )

    def dispatch(self, address: Address, failed: Failed) -> Actor:
        """A life of the dispatch actor; the one before may have accepted more than the one before it."""
        system = self._system
        store, avc = system.stores.orders, system.avc if system.tables.zones else None
        accepted = accepted_orders(system.log) if store.is_new else {}
        # a day more, because a day begins elsewhere at another time
        oldest = system.clock.now_ns() - (system.settings.dispatch.keep_days + 2) * 86_400 * NS_PER_S
        records = read_audit(system.settings.security.audit) if accepted else ()
        past = [one for one in past_orders(records, accepted) if is_kept(one, oldest)]
        orders: dict[str, Any] = {"past": past, "seen": sorted(accepted), "measured": system.agc_view, "store": store}
        orders |= {"settings": system.settings.dispatch, "zone": system.zone, "avc": avc, "voltages": system.avc_view}
        return DispatchActor(address, failed, agc=system.agc, view=system.dispatch_view, **orders, **self._common())

    def agc(self, address: Address, failed: Failed) -> Actor:
        """A life of AGC; there must be a controlled area."""
        system, settings = self._system, self._system.settings
        views: dict[str, Any] = {"view": system.agc_view, "performance": system.performance}
        shared: dict[str, Any] = {"rtdb": system.rtdb, **views, **self._acts("agc")}
        return AgcActor(address, failed, settings=settings.agc, cycles=settings.cycles, **shared)

    def _performance(self, address: Address, failed: Failed) -> Actor:
        system, settings = self._system, self._system.settings
        return PerformanceActor(
            address,
            failed,
            store=system.stores.performance,
            agc=settings.agc,
            settings=settings.performance,
            profiles=system.rules,
            zone=system.zone,
            events=system.events,
            view=system.performance_view,
            clock=system.clock,
        )

    def avc(self, address: Address, failed: Failed) -> Actor:
        """A life of AVC."""
        system = self._system
        return AvcActor(
            address,
            failed,
            network=system.generation.network,
            settings=system.settings.avc,
            cycles=system.settings.cycles,
            operations=system.operations,
            view=system.avc_view,
            **self._acts("avc"),
        )

    def _upstream(self, mrid: str, address: Address, failed: Failed) -> Actor:
        system = self._system
        shared: dict[str, Any] = {"store": system.store, "queue": system.stores.queues[mrid], **self._common()}
        return system.upstreams.life(
            mrid, address, failed, control=system.control, dispatch=system.dispatch, audit=system.audit, **shared
        )

    # ---------------------------------------------------------------- the rest

    def _replay(self, address: Address, failed: Failed) -> Actor:
        system = self._system
        traces = (system.settings.replay.path, system.settings.recording.path)
        return ReplayActor(address, failed, folders=traces, view=system.replay_view, clock=system.clock)

    def _resources(self, address: Address, failed: Failed) -> Actor:
        system, settings = self._system, self._system.settings
        folders = {"rtdb": settings.rtdb.path, "events": settings.events.path, "history": settings.history.path}
        folders["performance"], folders["dispatch"] = settings.performance.path, settings.dispatch.path
        return ResourceActor(
            address,
            failed,
            actors=system.supervisor.addresses,
            folders={**folders, "audit": settings.security.audit, **system.upstreams.folders},
            settings=settings.resources,
            events=system.events,
            clock=system.clock,
        )

    def _recorder(self, address: Address, failed: Failed) -> Actor:
        system, settings = self._system, self._system.settings
        return RecorderActor(
            address,
            failed,
            settings=settings.recording,
            disk_mb=settings.resources.disk_mb,
            site=system.site,
            model=system.tables.version,
            always=system.recorded(),
            view=system.recorder_view,
            events=system.events,
            clock=system.clock,
        )

    def _channel(self, index: int, address: Address, failed: Failed) -> Actor:
        system = self._system
        view = system.views[index]
        return ChannelActor(
            address,
            failed,
            view=view,
            wire=system.wire,
            make=lambda: self.driver(index),
            pids=fed_by(system.tables, index),
            rtdb=system.rtdb,
            events=system.events,
            clock=system.clock,
            hub=system.hubs[view.spec.name],
            recorder=system.recorder,
            sink=system.sinks[index],
        )


def fed_by(tables: ModelTables, index: int) -> npt.NDArray[np.uint32]:
    """Points that a channel feeds."""
    return np.array([point.pid for point in tables.points_of_channel(index)], dtype=np.uint32)
