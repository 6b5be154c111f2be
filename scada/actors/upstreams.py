"""All upstream stations of a server: made from the model and the configuration, on an event loop of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from scadapb.v1 import scada_pb2 as pb

from scada.actors.base import Address, Factory
from scada.actors.upstream import CONSUMER, UpstreamActor, UpstreamView
from scada.actors.upstream_masters import standing_principals
from scada.actors.upstream_station import check_parameters, configured, queue_name
from scada.actors.wire import Wire
from scada.core.errors import ConfigError
from scada.core.settings import Settings, UpstreamStationSettings
from scada.model_cim.tables import ModelTables, UpstreamStation
from scada.protocols.iec104.event_queue import EventQueue
from scada.rtdb.store import Store


class Upstreams:
    """The stations that listen; those that the configuration switches off are only named in the status.

    Args:
        settings: the configuration.
        tables: the model.

    Raises:
        ScadaError: the configuration names what the model does not have, or a role that does not exist.
    """

    def __init__(self, settings: Settings, tables: ModelTables) -> None:
        named = settings.upstream.stations
        if unknown := named.keys() - {station.name for station in tables.upstream}:
            names = ", ".join(sorted(unknown))
            mend = "see `scada model show --upstream`"
            raise ConfigError(f"[upstream.stations] names what the model does not have: {names}", mend=mend)
        path = settings.model.path
        folder = path if path.is_dir() else path.parent
        default = UpstreamStationSettings()
        self._off = [station for station in tables.upstream if not named.get(station.name, default).enabled]
        self.views = [
            UpstreamView(configured(station, named.get(station.name, default), folder))
            for station in tables.upstream
            if station not in self._off
        ]
        for view in self.views:
            check_parameters(view.station)
        self._masters = {
            view.station.name: standing_principals(named.get(view.station.name, default).masters) for view in self.views
        }
        self.addresses = [Address(f"upstream {view.station.name}") for view in self.views]
        self._wire, self._folder = Wire("upstream"), settings.upstream.path

    @property
    def folders(self) -> Mapping[str, Path]:
        """Where they keep their queues, by name; nothing if there are none."""
        return {"upstream": self._folder} if self.views else {}

    @property
    def stations(self) -> Sequence[UpstreamStation]:
        """Those that listen."""
        return [view.station for view in self.views]

    def start(self) -> None:
        """Start the event loop."""
        if self.views:
            self._wire.start()

    def stop(self) -> None:
        """End the event loop, when every actor has stopped."""
        self._wire.stop()

    def factories(self, store: Store, queues: Mapping[str, EventQueue], **shared: Any) -> list[tuple[Address, Factory]]:
        """Actors by address. The journal is no longer kept for stations that are not here any more.

        Args:
            store: the database.
            queues: by mRID of the station.
            shared: what every actor gets.
        """
        present = {CONSUMER + queue_name(station) for station in self.stations}
        for consumer in store.consumers():
            if consumer.name.startswith(CONSUMER) and consumer.name not in present:
                store.unregister(consumer.name)
        return [
            (
                address,
                partial(
                    UpstreamActor,
                    view=view,
                    wire=self._wire,
                    store=store,
                    queue=queues[view.station.mrid],
                    masters=self._masters[view.station.name],
                    **shared,
                ),
            )
            for address, view in zip(self.addresses, self.views, strict=True)
        ]

    def status(self) -> pb.UpstreamStatus:
        """How every station stands."""
        off = [
            pb.UpstreamStation(
                name=station.name,
                endpoint=f"{station.host}:{station.port}",
                reason="switched off by the configuration",
                points=len(station.points),
                controls=len(station.controls),
            )
            for station in self._off
        ]
        return pb.UpstreamStatus(stations=[*(view.status for view in self.views), *off])
