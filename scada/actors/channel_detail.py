"""Everything that is known of one channel, for its page and its command line."""

from __future__ import annotations

import math
from collections.abc import Callable

from scadapb.v1 import scada_pb2 as pb

from scada.actors.channel import ChannelView
from scada.actors.channel_orders import ACTIONS
from scada.actors.recorder import RecorderView

_SECRET = ("password", "secret", "token")
"""Parameters whose names hold one of these are not shown."""


def channel_detail(
    view: ChannelView, status: pb.ChannelStatus, recorder: RecorderView, path: Callable[[int], str]
) -> pb.ChannelDetail:
    """The detail of a channel as of now.

    Args:
        view: what its actor publishes.
        status: its line of the overview.
        recorder: what is being recorded.
        path: names a point.
    """
    in_force = view.spec.params if view.driver is None else view.driver.in_force()
    detail = pb.ChannelDetail(
        status=status,
        clock_skew_s=math.nan,
        up_share=view.up_s / view.known_s if view.known_s else math.nan,
        parameters={name: _shown(name, value) for name, value in sorted(in_force.items())},
    )
    counted = view.statistics
    if counted is not None:
        for name in ("bytes_in", "bytes_out", "lost_frames", "duplicates", "switches", "clock_skew_s"):
            setattr(detail, name, getattr(counted, name))
        for time_ns, reason in reversed(list(counted.disconnects)):
            detail.disconnects.add(time_ns=time_ns, reason=reason)
    driver = view.driver
    if driver is not None:
        detail.orders.extend(name for name in driver.orders if name not in ACTIONS)
        for link in driver.links():
            detail.links.add(
                name=link.name, endpoint=link.endpoint, state=link.state.value, reason=link.reason, since_ns=link.since_ns
            )
    if view.cleaning is not None:
        for found in view.cleaning():
            detail.cleaning.add(
                finding=found.finding.name.lower(),
                count=found.count,
                points=found.points,
                last_path=path(found.last_pid) if found.last_pid >= 0 else "",
                last_ns=found.last_ns,
            )
    file = recorder.files.get(view.spec.name)
    if file is not None:
        detail.recording, detail.recording_bytes = file.name, file.octets
    return detail


def _shown(name: str, value: float | str) -> str:
    if any(part in name.casefold() for part in _SECRET):
        return "(not shown)"
    return value if isinstance(value, str) else f"{value:.12g}"
