"""The service Engineering: versions of the model, their reports and log, files in and out, and the orders of engineers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final

import grpc
from scadapb.v1 import scada_pb2 as pb

from scada.actors.backend import Backend
from scada.api.faults import CallError, not_found
from scada.api.gate import Gate, Method
from scada.control.records import Principal
from scada.core.errors import ModelError

CHUNK: Final = 256 << 10
"""Bytes in a piece of a file."""
PIECE_S: Final = 30.0
"""Longest wait for the next piece of a file."""
MOST_FINDINGS: Final = 2000
"""Findings in one answer."""


class EngineeringServices:
    """Methods of the service Engineering, in the order of the proto file.

    Args:
        backend: the running server.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def list_versions(self, request: pb.ListVersionsRequest, principal: Principal) -> pb.VersionList:
        """Versions, the newest first."""
        del principal
        return await self._backend.engineering.versions(request.limit)

    async def get_version(self, request: pb.GetVersionRequest, principal: Principal) -> pb.VersionDetail:
        """One version: findings page by page, effects, shadow run, difference."""
        del principal
        request.limit = min(request.limit, MOST_FINDINGS)
        try:
            return await self._backend.engineering.detail(request)
        except ModelError as error:
            raise not_found(error.what, error.mend) from error

    async def get_log(self, request: pb.VersionLogRequest, principal: Principal) -> pb.VersionLog:
        """Entries of the log, the newest first."""
        del principal
        return await self._backend.engineering.log(request)

    async def download(self, request: pb.DownloadRequest, principal: Principal) -> AsyncGenerator[pb.FileChunk, None]:
        """The files of a version as a zip."""
        del principal
        try:
            async with self._backend.engineering.packed(request.number) as data:
                for at in range(0, len(data), CHUNK):
                    yield pb.FileChunk(data=data[at : at + CHUNK])
        except ModelError as error:
            raise not_found(error.what, error.mend) from error

    async def upload(self, chunks: AsyncIterator[pb.FileChunk], principal: Principal) -> pb.UploadReply:
        """Take a file in; it is kept under its SHA-256 for the proposal that names it."""
        del principal
        try:
            with self._backend.engineering.upload() as incoming:
                async for chunk in _in_time(chunks):
                    await asyncio.to_thread(incoming.write, chunk.data)
                return await asyncio.to_thread(incoming.finish)
        except ModelError as error:
            raise CallError(grpc.StatusCode.RESOURCE_EXHAUSTED, "upload", error.what, mend=error.mend) from error

    async def propose(self, request: pb.ProposeRequest, principal: Principal, evidence: bytes) -> pb.EngineeringReply:
        """Make an upload, or an earlier version, a version that may be applied; it is checked at once."""
        return await self._backend.engineering.order(request, principal, evidence)

    async def approve(self, request: pb.ApproveRequest, principal: Principal, evidence: bytes) -> pb.EngineeringReply:
        """The second engineer's consent."""
        return await self._backend.engineering.order(request, principal, evidence)

    async def withdraw(self, request: pb.WithdrawRequest, principal: Principal, evidence: bytes) -> pb.EngineeringReply:
        """Give a version up."""
        return await self._backend.engineering.order(request, principal, evidence)

    async def apply(self, request: pb.ApplyRequest, principal: Principal, evidence: bytes) -> pb.EngineeringReply:
        """Begin to run a version; how it ends is seen in its state."""
        return await self._backend.engineering.order(request, principal, evidence)

    async def rollback(self, request: pb.RollbackRequest, principal: Principal, evidence: bytes) -> pb.EngineeringReply:
        """Run an earlier version again."""
        return await self._backend.engineering.order(request, principal, evidence)

    def view_methods(self, gate: Gate) -> tuple[Method, ...]:
        """What the view server offers."""
        return (
            gate.query("Engineering/ListVersions", pb.ListVersionsRequest, self.list_versions),
            gate.query("Engineering/GetVersion", pb.GetVersionRequest, self.get_version),
            gate.query("Engineering/GetLog", pb.VersionLogRequest, self.get_log),
            gate.follow("Engineering/Download", pb.DownloadRequest, self.download),
            gate.collect("Engineering/Upload", pb.FileChunk, self.upload),
        )

    def orders(self, gate: Gate) -> tuple[Method, ...]:
        """What the control server offers."""
        return (
            gate.order("Engineering/Propose", pb.ProposeRequest, self.propose),
            gate.order("Engineering/Approve", pb.ApproveRequest, self.approve),
            gate.order("Engineering/Withdraw", pb.WithdrawRequest, self.withdraw),
            gate.order("Engineering/Apply", pb.ApplyRequest, self.apply),
            gate.order("Engineering/Rollback", pb.RollbackRequest, self.rollback),
        )


async def _in_time(chunks: AsyncIterator[pb.FileChunk]) -> AsyncGenerator[pb.FileChunk, None]:
    """Pieces of a file; who sends nothing more does not keep the place of another."""
    while True:
        try:
            async with asyncio.timeout(PIECE_S):
                chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise ModelError(f"nothing came for {PIECE_S:g} s", mend="send it again") from error
        yield chunk
