"""The model of the measurement: a number of IEC 104 channels with the same number of measurands each."""

from __future__ import annotations

import numpy as np

from scada.core.ids import PointId
from scada.model_cim.addresses import Iec104Address
from scada.model_cim.cim import CimModel
from scada.model_cim.tables import ChannelSpec, Limits, ModelTables, Point, PointKind, Station

FIRST_IOA = 1000
"""Address of a channel's first point, as the outstations have it."""


def tables(ports: list[int], points: int, params: dict[str, float | str], *, status: bool = False) -> ModelTables:
    """Points ``i * points .. (i + 1) * points - 1`` belong to channel ``i``; every one is judged against four limits.

    Args:
        ports: TCP port of each channel's outstation.
        points: measurands of each channel.
        params: protocol parameters of every channel.
        status: single points (type 30) instead of measurands; no state of them is an alarm.
    """
    names = [f"RTU {index + 1}" for index in range(len(ports))]
    return ModelTables(
        version="bench",
        name="bench",
        points=[_point(pid, pid // points, pid % points, status=status) for pid in range(len(ports) * points)],
        controls=[],
        channels=[
            ChannelSpec(index, f"channel-{index}", name, "iec104", "127.0.0.1", ports[index], name, params)
            for index, name in enumerate(names)
        ],
        stations=[Station(f"station-{index}", name, "", []) for index, name in enumerate(names)],
        areas=[],
        zones=[],
    )


def _point(pid: int, channel: int, place: int, *, status: bool) -> Point:
    station = f"RTU {channel + 1}"
    return Point(
        pid=PointId(pid),
        mrid=f"point-{pid}",
        path=f"{station}/110 kV/Bay {place // 8}/P{place}",
        name=f"P{place}",
        kind=PointKind.STATUS if status else PointKind.ANALOG,
        measurement_type="ThreePhaseActivePower",
        unit="MW",
        equipment=f"equipment-{pid}",
        terminal="",
        station=station,
        bay=f"Bay {place // 8}",
        channel=channel,
        address=Iec104Address(channel + 1, FIRST_IOA + place, 30 if status else 36),
        limits=Limits() if status else Limits(lolo=-2e9, lo=-1e9, hi=1e9, hihi=2e9),
    )


def no_grid() -> CimModel:
    """A CIM model without any object: nothing to compute a topology of."""
    return CimModel(
        title="bench",
        digest="bench",
        files=[],
        headers=[],
        mrids=[],
        classes=[],
        places=(np.zeros(0, np.int32), np.zeros(0, np.int32)),
        texts={},
        refs={},
        findings=[],
    )
