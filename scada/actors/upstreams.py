"""All upstream stations of a server: made from the model and the configuration, on an event loop of their own."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path
from typing import Any

from scadapb.v1 import scada_pb2 as pb

from scada.actors.base import Address
from scada.actors.upstream import UpstreamActor, UpstreamView
from scada.actors.upstream_following import CONSUMER
from scada.actors.upstream_masters import standing_principals
from scada.actors.upstream_station import check_parameters, configured, queue_name
from scada.actors.wire import Wire
from scada.core.settings import Settings, UpstreamStationSettings, beside_model
from scada.model_cim.tables import ModelTables, UpstreamStation
from scada.rtdb.store import Store
from scada.security.policy import PolicyFiles
from scada.security.roles import load_roles


class Upstreams:
    """The stations that listen; those that the configuration switches off are only named in the status.

    Args:
        settings: the configuration.
        tables: the model.
        before: the stations of the version before.

    Raises:
        ScadaError: a parameter cannot be used, or the configuration names a role that does not exist.
    """

    def __init__(self, settings: Settings, tables: ModelTables, *, before: Upstreams | None = None) -> None:
        named = settings.upstream.stations
        folder = beside_model(settings)
        default = UpstreamStationSettings()
        self._off = [station for station in tables.upstream if not named.get(station.name, default).enabled]
        self.views = [
            UpstreamView(configured(station, named.get(station.name, default), folder))
            for station in tables.upstream
            if station not in self._off
        ]
        for view in self.views:
            check_parameters(view.station)
        roles = load_roles(PolicyFiles(settings.security.keys, settings.security.roles).roles)
        self._masters = {
            view.station.name: standing_principals(named.get(view.station.name, default).masters, roles) for view in self.views
        }
        self._folder = settings.upstream.path
        self._wire: Wire = Wire("upstream") if before is None else before._wire  # noqa: SLF001 - our own
        known: Mapping[str, Address] = {} if before is None else before._addresses  # noqa: SLF001
        self._addresses: dict[str, Address] = {
            view.station.mrid: known.get(view.station.mrid) or Address(f"upstream {view.station.name}") for view in self.views
        }
        """By mRID; an address stays with its station over versions of the model."""

    @property
    def folders(self) -> Mapping[str, Path]:
        """Where they keep their queues, by name; nothing if there are none."""
        return {"upstream": self._folder} if self.views else {}

    @property
    def stations(self) -> Sequence[UpstreamStation]:
        """Those that listen."""
        return [view.station for view in self.views]

    @property
    def addresses(self) -> list[Address]:
        """Those of the stations that listen."""
        return list(self._addresses.values())

    def address(self, mrid: str) -> Address:
        """That of one station."""
        return self._addresses[mrid]

    def keep(self, before: Upstreams, mrids: Container[str]) -> None:
        """Leave stations as they run: their views are those of the version before."""
        known = {view.station.mrid: view for view in before.views}
        self.views = [known[view.station.mrid] if view.station.mrid in mrids else view for view in self.views]

    def start(self) -> None:
        """Start the event loop, unless it runs or nobody needs it."""
        if self.views:
            self._wire.start()

    def stop(self) -> None:
        """End the event loop, when every actor has stopped."""
        self._wire.stop()

    def forget_others(self, store: Store) -> None:
        """Keep the journal no longer for stations that are not here any more."""
        present = {CONSUMER + queue_name(station) for station in self.stations}
        for consumer in store.consumers():
            if consumer.name.startswith(CONSUMER) and consumer.name not in present:
                store.unregister(consumer.name)

    def life(self, mrid: str, address: Address, failed: Callable[[BaseException], None], **shared: Any) -> UpstreamActor:
        """One life of a station's actor.

        Args:
            mrid: of the station.
            address: see :class:`~scada.actors.base.Actor`.
            failed: likewise.
            shared: what every such actor gets.
        """
        view = next(view for view in self.views if view.station.mrid == mrid)
        return UpstreamActor(address, failed, view=view, wire=self._wire, masters=self._masters[view.station.name], **shared)

    def status(self) -> pb.UpstreamStatus:
        """How every station stands."""
        off = [
            pb.UpstreamStation(
                name=station.name,
                endpoint=f"{station.host}:{station.port}",
                reason="switched off by the configuration",
                points=len(station.points),
                controls=len(station.controls) + len(station.setpoints),
            )
            for station in self._off
        ]
        return pb.UpstreamStatus(stations=[*(view.status for view in self.views), *off])
