"""The service Channels: how each channel stands, its live frames, recordings, and the stations towards upstream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import grpc
from scadapb.v1 import scada_pb2 as pb

from scada.actors.backend import Backend
from scada.api.faults import CallError, not_found
from scada.api.gate import Gate, Method
from scada.api.responsibility import check_channel
from scada.control.records import Principal

FRAMES_PER_PERIOD = 100
PERIOD_S = 0.1
"""Time between two messages of a trace: with the number above, what all readers together can make the server decode."""
MOST_TRACES = 16
HEARTBEAT_S = 0.9


class ChannelServices:
    """Methods of the service Channels, in the order of the proto file.

    Args:
        backend: the running server.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._traces = 0

    async def get_channel(self, request: pb.ChannelQuery, principal: Principal) -> pb.ChannelDetail:
        """Everything that is known of one channel."""
        del principal
        self._check_known(request.channel)
        return self._backend.channel(request.channel)

    async def trace(self, request: pb.ChannelTraceRequest, principal: Principal) -> AsyncGenerator[pb.ChannelTrace, None]:
        """Frames as they pass; an empty message is a heartbeat."""
        self._check_known(request.channel)
        check_channel(request.channel, principal, self._backend.tables)
        if self._traces >= MOST_TRACES:
            raise CallError(
                grpc.StatusCode.RESOURCE_EXHAUSTED, "too_many", f"{MOST_TRACES} traces are open", mend="end one of them"
            )
        queue, close = self._backend.trace(request.channel, values=request.values)
        self._traces += 1
        silent_s = HEARTBEAT_S
        try:
            while True:
                frames, missed = queue.take(max(1, FRAMES_PER_PERIOD // self._traces))
                silent_s += PERIOD_S
                if frames or missed or silent_s > HEARTBEAT_S:
                    silent_s = 0.0
                    message = pb.ChannelTrace(missed=missed)
                    for one in frames:
                        message.frames.add(
                            time_ns=one.time_ns, received=one.received, link=one.link, data=one.frame.data, text=one.frame.text
                        )
                    yield message
                await asyncio.sleep(PERIOD_S)
        finally:
            self._traces -= 1
            close()

    async def list_recordings(self, request: pb.ListRecordingsRequest, principal: Principal) -> pb.RecordingList:
        """Recordings on disk, newest first."""
        del request, principal
        return await self._backend.recordings()

    async def get_upstream(self, request: pb.GetUpstreamRequest, principal: Principal) -> pb.UpstreamStatus:
        """Stations towards upstream dispatch."""
        del request, principal
        return self._backend.upstream()

    def _check_known(self, name: str) -> None:
        names = [channel.name for channel in self._backend.tables.live_channels]
        if name not in names:
            raise not_found(f"no channel {name!r}", f"channels are {', '.join(names) or 'none'}")

    def view_methods(self, gate: Gate) -> tuple[Method, ...]:
        """What the view server offers."""
        return (
            gate.query("Channels/GetChannel", pb.ChannelQuery, self.get_channel),
            gate.follow("Channels/Trace", pb.ChannelTraceRequest, self.trace),
            gate.query("Channels/ListRecordings", pb.ListRecordingsRequest, self.list_recordings),
            gate.query("Channels/GetUpstream", pb.GetUpstreamRequest, self.get_upstream),
        )
