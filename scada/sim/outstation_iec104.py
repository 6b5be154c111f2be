"""IEC 104 outstation on our own slave stack."""

from __future__ import annotations

import logging

from scada.core.batch import Records
from scada.core.clock import Clock
from scada.protocols.iec104.link import LinkParameters
from scada.protocols.iec104.operate import CommandAsked
from scada.protocols.iec104.outstation import Outstation, OutstationParameters
from scada.protocols.iec104.server import OutstationServer
from scada.sim.outstation import Station
from scada.sim.wire import PlantLink, Setup

_log = logging.getLogger(__name__)


class Iec104Station(Station):
    """A controlled station of our own."""

    def __init__(self, setup: Setup, link: PlantLink, clock: Clock) -> None:
        super().__init__(setup, link, clock)
        spec = setup.spec
        parameters = OutstationParameters(
            link=LinkParameters.of(spec.params, spec.name),
            zone_minutes=int(float(spec.params.get("time_zone_minutes", 0))),
            select_timeout_s=90.0,
        )
        self._outstation = Outstation(setup.points, setup.controls, clock, on_command=self._command, parameters=parameters)
        self._server = OutstationServer(
            self._outstation, spec.host, spec.port, on_remark=lambda text: _log.warning("%s: %s", spec.name, text)
        )
        self.update(setup.values)

    def _command(self, asked: CommandAsked) -> bool:
        """The plant checks a select and carries out an execute; a selection is the station's own, so a cancel needs no plant."""
        return asked.step == "cancel" or self.link.command(asked.control, asked.value, asked.step == "select")

    async def start(self) -> None:
        """Listen."""
        await self._server.start()

    def update(self, records: Records) -> None:
        """Into the image and the event store."""
        self._outstation.update(records["pid"], records["value"], records["quality"], records["source_time"])

    async def stop(self) -> None:
        """Drop the masters and stop listening."""
        await self._server.stop_listening()
