"""The overview a face shows: assembled from the published views and one snapshot, when asked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scadapb.v1 import scada_pb2 as pb

from scada import __version__
from scada.actors.alarm_view import AlarmView
from scada.actors.base import Address
from scada.actors.channel import ChannelView
from scada.core.quality import is_good
from scada.events.records import AlarmPhase
from scada.model_cim.regulation import ControlArea
from scada.model_cim.tables import ModelTables
from scada.protocols.driver import LinkState
from scada.rtdb.changes import Snapshot

NAN = float("nan")
_ACTIVE = {AlarmPhase.UNACK_ACTIVE, AlarmPhase.ACK_ACTIVE}
_UNACKNOWLEDGED = {AlarmPhase.UNACK_ACTIVE, AlarmPhase.UNACK_RETURNED}


class StatusReport:
    """Makes :class:`pb.SystemStatus`.

    Args:
        tables: the model.
        site: name of the site.
        started_ns: start of the server.
    """

    def __init__(self, tables: ModelTables, site: str, started_ns: int) -> None:
        self._tables = tables
        self._site = site
        self._started_ns = started_ns
        self._live = np.array([not point.removed for point in tables.points], dtype=np.bool_)
        self._area_points = {
            (point.equipment, point.measurement_type): int(point.pid)
            for point in tables.points
            if point.measurement_type.startswith("Area")
        }

    def make(
        self,
        now_ns: int,
        snapshot: Snapshot,
        channels: Sequence[ChannelView],
        alarms: AlarmView,
        actors: Sequence[Address],
        agc: pb.AgcStatus,
        avc: pb.AvcStatus,
    ) -> pb.SystemStatus:
        """The status as of ``snapshot``."""
        count = len(self._live)
        good = is_good(snapshot.quality[:count]) & ~np.isnan(snapshot.value[:count]) & self._live
        phases = [alarm.phase for alarm in alarms.alarms]
        status = pb.SystemStatus(
            site=self._site,
            version=__version__,
            time_ns=now_ns,
            started_ns=self._started_ns,
            points_total=int(self._live.sum()),
            points_good=int(good.sum()),
            channels_total=len(channels),
            channels_up=sum(view.state is LinkState.UP for view in channels),
            agc_state=agc.state,
            agc_reason=agc.reason,
            avc_state=avc.state,
            avc_reason=avc.reason,
            alarms_unacknowledged=sum(phase in _UNACKNOWLEDGED for phase in phases),
            alarms_active=sum(phase in _ACTIVE for phase in phases),
            seq=snapshot.seq,
        )
        values = np.where(good, snapshot.value[:count], NAN)
        status.areas.extend(self._area(area, values) for area in self._tables.areas)
        status.channels.extend(self._channel(view, good) for view in channels)
        for address in actors:
            health = address.health
            status.actors.add(
                name=health.name,
                state=health.state,
                mailbox=address.mailbox.qsize(),
                restarts=health.restarts,
                reason=health.reason,
            )
        return status

    def _area(self, area: ControlArea, values: npt.NDArray[np.float64]) -> pb.AreaStatus:
        def of(measurement_type: str) -> float:
            pid = self._area_points.get((area.mrid, measurement_type))
            return NAN if pid is None else float(values[pid])

        frequency = next((float(values[pid]) for pid in area.frequency if not np.isnan(values[pid])), NAN)
        return pb.AreaStatus(
            name=area.name,
            controlled=area.controlled,
            frequency_hz=frequency,
            ace_mw=of("AreaControlError"),
            interchange_mw=of("AreaInterchange"),
            scheduled_interchange_mw=area.scheduled_interchange,
            generation_mw=of("AreaGeneration"),
            load_mw=of("AreaLoad"),
        )

    def channel(self, view: ChannelView, snapshot: Snapshot) -> pb.ChannelStatus:
        """The status of one channel."""
        count = len(self._live)
        good = is_good(snapshot.quality[:count]) & ~np.isnan(snapshot.value[:count]) & self._live
        return self._channel(view, good)

    def _channel(self, view: ChannelView, good: npt.NDArray[np.bool_]) -> pb.ChannelStatus:
        spec = view.spec
        mine = (self._tables.channel_of == spec.index) & self._live
        status = pb.ChannelStatus(
            name=spec.name,
            protocol=spec.protocol,
            endpoint=f"{spec.host}:{spec.port}",
            state=view.state.value,
            reason=view.reason,
            since_ns=view.since_ns,
            points_total=int(mine.sum()),
            points_good=int((mine & good).sum()),
            station=spec.station,
            round_trip_s=NAN,
        )
        counted = view.statistics
        if counted is not None:
            for name in ("frames_in", "frames_out", "values_in", "malformed", "unknown_addresses", "connects", "round_trip_s"):
                setattr(status, name, getattr(counted, name))
            status.last_receive_ns = counted.last_receive_ns
        return status
