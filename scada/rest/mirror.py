"""A copy of model and values that follows the server's stream, so that no third party's request reaches the server for them."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import structlog
from google.protobuf.message import Message
from scadapb.v1 import scada_pb2 as pb

from scada.core.clock import Clock
from scada.core.errors import ScadaError
from scada.core.quality import Quality
from scada.rest.problems import RestError

SILENT_S: Final = 3.0
"""Without a frame for so long (the server sends one a second) nothing is known any more, real s."""
PERIOD_MS: Final = 250
_AGAIN_S: Final = 2.0

_log = structlog.get_logger("rest")


class Server(Protocol):
    """What is asked of the server; :class:`scada.api.client.ScadaClient` is one."""

    async def call(self, method: str, request: Message, *, timeout_s: float = 10.0) -> Any:
        """A plain call."""
        ...

    def watch(self, pids: Iterable[int] = (), *, period_ms: int = 0, credit: int = 2) -> AsyncGenerator[pb.PointFrame, None]:
        """Point frames, also over breaks of the connection."""
        ...


class Mirror:
    """Model and values as of the last frame.

    Args:
        server: followed.
        clock: its monotonic time tells how old the last frame is.

    Attributes:
        model: of the last full frame.
        points: by pid, those that are left out of the model are not here.
        controls: by cid.
        seq: the values are consistent as of it.
        turn: counts the frames taken.
        life: names the span in which no change can have been missed; every full frame begins another.
        time_ns: of the server at the last frame.
    """

    def __init__(self, server: Server, clock: Clock) -> None:
        self._server = server
        self._clock = clock
        self._heard: float | None = None
        self.model = pb.ModelInfo()
        self.points: Mapping[int, pb.PointInfo] = {}
        self.controls: Sequence[pb.ControlInfo] = ()
        self._by_name: dict[str, int] = {}
        self.seq = self.time_ns = self.turn = 0
        self.life = ""
        self._news = asyncio.Event()
        self._changed = np.zeros(0, dtype=np.int64)
        self._value = np.zeros(0)
        self._quality = np.zeros(0, dtype=np.uint32)
        self._times = np.zeros((2, 0), dtype=np.int64)

    @property
    def fault(self) -> str:
        """Why nothing is known, empty if all is."""
        if self._heard is None:
            return "no values of the server have arrived yet"
        silent = self._clock.monotonic() - self._heard
        return f"the server has been silent for {silent:.0f} s" if silent > SILENT_S else ""

    def check(self) -> None:
        """Make sure that values are of now.

        Raises:
            RestError: they are not: 503, never old values.
        """
        if fault := self.fault:
            raise RestError(503, "stale", fault, {"Retry-After": "3"})

    def pid_of(self, name: str) -> int | None:
        """Number of a point by its mRID or number."""
        if name.isascii() and name.isdigit() and len(name) < 10:
            return int(name) if int(name) in self.points else None
        return self._by_name.get(name)

    def row(self, pid: int) -> tuple[float, int, int, int]:
        """Value, quality word, time of the source and of receipt of a point."""
        if pid >= len(self._value):
            return float("nan"), int(Quality.NEVER_RECEIVED), 0, 0
        source, received = self._times[:, pid]
        return float(self._value[pid]), int(self._quality[pid]), int(source), int(received)

    def changed_after(self, turn: int, pids: npt.NDArray[np.int64]) -> list[int]:
        """Places in ``pids`` of those that changed after a turn."""
        if turn >= self.turn:
            return []
        there = np.nonzero(pids < len(self._changed))[0]
        return [int(at) for at in there[self._changed[pids[there]] > turn]]

    async def news(self, timeout_s: float) -> None:
        """Wait for the next frame, or so long, real s."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), timeout_s)

    async def run(self) -> None:
        """Follow the server until cancelled, whatever happens to it."""
        while True:
            try:
                await self._take_model()
                async with aclosing(self._server.watch(period_ms=PERIOD_MS)) as frames:
                    async for frame in frames:
                        await self._take(frame)
            except ScadaError as error:
                _log.warning("the server cannot be followed", cause=str(error))
            except Exception:  # noqa: BLE001 - the next attempt must come whatever happened
                _log.exception("following the server")
            self._heard = None
            await asyncio.sleep(_AGAIN_S)

    async def _take(self, frame: pb.PointFrame) -> None:
        if frame.full:
            await self._take_model()
        columns = (frame.pid, frame.value, frame.quality, frame.source_time_ns, frame.received_ns)
        self.apply(frame, columns)
        self._heard = self._clock.monotonic()
        news, self._news = self._news, asyncio.Event()
        news.set()

    def apply(self, frame: pb.PointFrame, columns: Sequence[Sequence[float]]) -> None:
        """Take the columns of a frame; a full one replaces all."""
        pids = np.array(columns[0], dtype=np.int64)
        size = max(len(self._value), int(pids.max()) + 1 if len(pids) else 0)
        if frame.full or size > len(self._value):
            value, words = np.full(size, np.nan), np.full(size, int(Quality.NEVER_RECEIVED), dtype=np.uint32)
            times, changed = np.zeros((2, size), dtype=np.int64), np.zeros(size, dtype=np.int64)
            if not frame.full:
                old = len(self._value)
                value[:old], words[:old], times[:, :old] = self._value, self._quality, self._times
                changed[:old] = self._changed
            self._value, self._quality, self._times, self._changed = value, words, times, changed
        self.turn += 1
        if frame.full:
            self.life = secrets.token_hex(6)
        self._changed[pids] = self.turn
        self._value[pids], self._quality[pids] = columns[1], columns[2]
        self._times[0, pids], self._times[1, pids] = columns[3], columns[4]
        self.seq, self.time_ns = frame.seq, frame.time_ns

    async def _take_model(self) -> None:
        model = await self._server.call("Model/GetModel", pb.GetModelRequest())
        if model.version != self.model.version or not self.points:
            found = await self._server.call("Model/ListPoints", pb.ListPointsRequest(), timeout_s=60.0)
            controls = await self._server.call("Model/ListControls", pb.ListControlsRequest(), timeout_s=60.0)
            self.controls = sorted(controls.controls, key=lambda each: each.cid)
            self.points = {point.pid: point for point in found.points}
            self._by_name = {point.mrid: point.pid for point in found.points}
        self.model = model
