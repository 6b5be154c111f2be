"""What the faces may ask about versions of the model; one object of the backend."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO, Final, Self

from scadapb.v1 import scada_pb2 as pb

from scada.actors.answers import answer_of
from scada.actors.base import Address
from scada.actors.model import EngineeringAsked, Order
from scada.actors.model_view import ModelView, VersionReader
from scada.control.records import Principal
from scada.core.errors import ModelError
from scada.core.settings import ModelSettings
from scada.model_cim.version_files import explained, pack_model
from scada.model_cim.versions import VersionStore
from scada.rtdb.mapped import sync_path

ORDER_S: Final = 60.0
"""Longest wait for the answer to an order; a version that is in memory takes over within it."""
MOST_UPLOADS: Final = 4
"""Uploads at a time."""
MOST_DOWNLOADS: Final = 2
"""Downloads at a time: each is held in memory as a whole."""
KEPT_UPLOADS: Final = 8
"""Uploads kept that nobody has proposed."""


class Engineering:
    """Versions of the model, for the faces.

    Args:
        actor: the model actor.
        store: of the versions.
        view: of the model actor.
        settings: of the model.
    """

    def __init__(self, actor: Address, store: VersionStore, view: ModelView, settings: ModelSettings) -> None:
        self._actor, self._store = actor, store
        self._reader = VersionReader(store, view, approval=settings.approval)
        self._most = settings.upload_mb << 20
        self._uploads = self._downloads = 0

    async def versions(self, limit: int) -> pb.VersionList:
        """Versions, the newest first."""
        return await asyncio.to_thread(self._reader.versions, limit)

    async def detail(self, request: pb.GetVersionRequest) -> pb.VersionDetail:
        """One version with its reports.

        Raises:
            ModelError: there is none of this number.
        """
        return await asyncio.to_thread(self._reader.detail, request)

    async def log(self, request: pb.VersionLogRequest) -> pb.VersionLog:
        """Entries of the log, the newest first."""
        return await asyncio.to_thread(self._reader.log, request)

    @asynccontextmanager
    async def packed(self, number: int) -> AsyncIterator[bytes]:
        """The files of a version as a zip, in memory until the block ends.

        Raises:
            ModelError: there are none, or too many are on their way.
        """
        if self._downloads >= MOST_DOWNLOADS:
            raise ModelError(f"{MOST_DOWNLOADS} downloads are on their way", mend="try again in a minute")
        self._downloads += 1
        try:
            yield await asyncio.to_thread(pack_model, self._store.path(number))
        finally:
            self._downloads -= 1

    async def order(self, request: Order, principal: Principal, evidence: bytes) -> pb.EngineeringReply:
        """Propose, approve, withdraw, apply or roll back; audited before it acts."""
        reply: pb.EngineeringReply = await answer_of(self._actor, EngineeringAsked(request, principal, evidence), ORDER_S)
        return reply

    def upload(self) -> Upload:
        """Take a file in.

        Raises:
            ModelError: too many are on their way.
        """
        if self._uploads >= MOST_UPLOADS:
            raise ModelError(f"{MOST_UPLOADS} uploads are on their way", mend="try again in a minute")
        self._store.forget_uploads(KEPT_UPLOADS)
        self._uploads += 1
        return Upload(self._store.uploads, self._most, self._closed)

    def _closed(self) -> None:
        self._uploads -= 1


class Upload:
    """A file on its way in; it counts only once it is whole. Use it in a ``with`` statement.

    Args:
        folder: where uploads are kept.
        most: bytes it may have.
        closed: called at the end.
    """

    def __init__(self, folder: Path, most: int, closed: Callable[[], None]) -> None:
        self._folder, self._left, self._closed = folder, most, closed
        self._most = most
        self._hash = hashlib.sha256()
        self._path = folder / f".part-{os.urandom(8).hex()}"
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
        self._path.unlink(missing_ok=True)
        self._closed()

    def write(self, data: bytes) -> None:
        """Take the next piece.

        Raises:
            ModelError: the file is too large, or cannot be written.
            StoreFullError: the disk is full.
        """
        self._left -= len(data)
        if self._left < 0:
            raise ModelError(f"the upload is larger than {self._most >> 20} MiB", mend="raise [model] upload_mb")
        try:
            if self._file is None:
                self._file = self._path.open("xb")
            self._file.write(data)
        except OSError as error:
            raise explained(error, self._path) from error
        self._hash.update(data)

    def finish(self) -> pb.UploadReply:
        """It is whole: keep it under its digest, on disk when this returns.

        Raises:
            ModelError: there was nothing in it, or it cannot be written.
        """
        if self._file is None:
            raise ModelError("the upload is empty", mend="send a zip of a model folder, or a difference model")
        name = self._hash.hexdigest()
        try:
            self._file.close()
            sync_path(self._path)
            self._path.replace(self._folder / name)
            sync_path(self._folder)
        except OSError as error:
            raise explained(error, self._path) from error
        return pb.UploadReply(sha256=name, bytes=self._most - self._left)
