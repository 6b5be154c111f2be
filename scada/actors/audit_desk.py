"""The audit log for the faces: what they read of it and what they tell it, in threads of its own; hourly checkpoints."""

from __future__ import annotations

import asyncio
import csv
import io
import threading
from collections.abc import AsyncGenerator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

import structlog
from scadapb.v1 import scada_pb2 as pb

from scada import __version__
from scada.core.clock import Clock
from scada.core.errors import ScadaError
from scada.core.settings import Settings
from scada.events.records import Event, EventKind
from scada.model_cim.tables import AlarmClass
from scada.security.audit import AuditLog
from scada.security.audit_chain import AuditRow, link
from scada.security.audit_evidence import EvidenceChecker, Proof
from scada.security.audit_query import COLUMNS, AuditFilter, AuditReader, StoredRecord, export_row, json_line
from scada.security.audit_tree import Proofs
from scada.security.authorities import Authorities
from scada.security.checkpoints import CHECKPOINTS, CheckpointError, SignedCheckpoint, read_checkpoints
from scada.security.identities import IdentityHolder
from scada.security.merkle import leaf_hash
from scada.security.sm3 import sm3
from scada.security.trust import Trust

LONGEST_PAGE: Final = 2000
USUAL_PAGE: Final = 200
ASKED_S: Final = 60.0
"""A witness gets a checkpoint no older than this, where there are records since, s."""
LOOK_S: Final = 10.0
"""How often the keeper looks whether a checkpoint is due, real s."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")

T = TypeVar("T")
_log = structlog.get_logger("audit")


class AuditDesk:
    """The audit log of a running server.

    Args:
        audit: the open log; closed by its owner, after :meth:`close`.
        clock: of the plant; stamps events.

    Attributes:
        trust: proves the certificates of the envelopes; None proves nothing.
    """

    def __init__(self, audit: AuditLog, clock: Clock) -> None:
        self.trust: Trust | None = None
        self._audit = audit
        self._clock = clock
        self._folder = audit.folder
        self._reader = AuditReader(audit.folder)
        self._readers = ThreadPoolExecutor(1, "audit reading")
        self._writer = ThreadPoolExecutor(1, "audit writing")
        self._told: list[AuditRow] = []
        self._lock = threading.Lock()
        self._keeper: AuditKeeper | None = None

    def keep(self, identity: IdentityHolder, settings: Settings, clock: Clock, report: Callable[[Event], None]) -> None:
        """Sign checkpoints from now on, see :meth:`scada.security.audit.AuditLog.sign_with`, and tell the start.

        Args:
            identity: asked for the signer of each checkpoint.
            settings: what the server runs with; their digest is audited.
            clock: of the host.
            report: told when a checkpoint could not be made, and when one can be made again.

        Raises:
            SecurityError: the log is not what its newest checkpoint says.
            StoreError: checkpoints or the start cannot be stored.
        """
        digest = sm3(settings.model_dump_json().encode()).hex()
        self._audit.sign_with(identity, settings.site.name, clock)  # a log that is not what was signed gets no more rows
        self._audit.append(AuditRow("system", "start", "system", code=f"scada {__version__}", reason=f"settings SM3 {digest}"))
        self._audit.checkpoint()

        def tell(fault: str) -> None:
            key = "audit.checkpoint_failed" if fault else "audit.checkpoint_again"
            parameters, told = ({"reason": fault}, AlarmClass.ABNORMAL) if fault else ({}, AlarmClass.NOTICE)
            report(Event(self._clock.now_ns(), EventKind.SYSTEM, told, 2 if fault else 4, key, parameters))

        self._keeper = AuditKeeper(self._audit, tell, lambda: self.trust)
        self._keeper.start()

    def close(self) -> None:
        """Store what was told, and stop."""
        if self._keeper is not None:
            self._keeper.stop()
            self.tell(AuditRow("system", "stop", "system"))
        self._writer.shutdown()
        self._readers.shutdown()

    def tell(self, *rows: AuditRow) -> None:
        """Store rows about what was already done, without waiting; what cannot be stored is logged. From any thread."""
        with self._lock:
            begun = bool(self._told)
            self._told += rows
        if not begun:
            try:
                self._writer.submit(self._write_told)
            except RuntimeError:  # closed: the server is stopping
                self._write_told()

    async def store(self, *rows: AuditRow) -> None:
        """Store rows; they are on disk when this returns.

        Raises:
            StoreError: they could not be stored; nothing may act on them.
        """
        await asyncio.get_running_loop().run_in_executor(self._writer, self._audit.append_many, rows)

    def _write_told(self) -> None:
        with self._lock:
            rows, self._told = self._told, []
        try:
            self._audit.append_many(rows)
        except ScadaError as error:  # nothing can be taken back
            _log.error(
                "the audit log cannot be written", cause=str(error), rows=[(row.kind, row.step, row.actor) for row in rows]
            )

    async def query(self, request: pb.AuditQuery) -> pb.AuditPage:
        """The newest wanted records, newest first, each with what its envelope is worth.

        Raises:
            ScadaError: the log cannot be read.
        """
        return await self._do(self._query, request)

    async def export(self, request: pb.AuditQuery, form: str) -> AsyncGenerator[bytes, None]:
        """All wanted records, oldest first, as ``jsonl`` or ``csv``, in pieces.

        Raises:
            ScadaError: the log cannot be read.
        """
        yield export_head(form)
        parts = self._reader.oldest(_filter(request))
        while (part := await self._do(next, parts, None)) is not None:
            yield await self._do(export_part, form, part)

    async def checkpoint(self, since: int) -> pb.AuditCheckpoint | None:
        """The newest checkpoint, with the proof that it extends number ``since`` (0 = none asked); None = there is none.

        Raises:
            ScadaError: there is no checkpoint ``since``, or the log is not what was signed.
        """
        return await self._do(self._checkpoint, since)

    async def prove(self, record: int) -> pb.AuditProof:
        """That a record is under the newest checkpoint.

        Raises:
            ScadaError: it is not, or the log is not what was signed.
        """
        return await self._do(self._prove, record)

    async def _do(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._readers, work, *arguments)

    def _query(self, request: pb.AuditQuery) -> pb.AuditPage:
        limit = min(request.limit or USUAL_PAGE, LONGEST_PAGE)
        return audit_page(self._reader, _filter(request), limit, self.trust.authorities if self.trust else None)

    def _checkpoint(self, since: int) -> pb.AuditCheckpoint | None:
        self._audit.checkpoint_if_due(ASKED_S)
        signed = read_checkpoints(self._folder / CHECKPOINTS)
        if not signed:
            return None
        told = _told(signed[-1])
        if since:
            before = next((each.checkpoint for each in signed if each.checkpoint.number == since), None)
            if before is None:
                raise CheckpointError(f"there is no checkpoint {since} in this log", where=str(self._folder))
            told.consistency.extend(Proofs(self._folder).consistency(before, signed[-1].checkpoint))
        return told

    def _prove(self, record: int) -> pb.AuditProof:
        signed = read_checkpoints(self._folder / CHECKPOINTS)
        if not signed or record > signed[-1].checkpoint.records:
            self._audit.checkpoint_if_due(0.0)
            signed = read_checkpoints(self._folder / CHECKPOINTS)
        if not signed:
            raise CheckpointError("there is no checkpoint yet", where=str(self._folder))
        leaf, path = Proofs(self._folder).inclusion(record, signed[-1].checkpoint)
        before, stored = self._reader.stored(record)
        if leaf_hash(link(before, stored)) != leaf:
            raise CheckpointError(f"record {record} is not what was signed", where=str(self._folder))
        return pb.AuditProof(record=record, leaf=leaf, path=path, checkpoint=_told(signed[-1]), before=before, stored=stored)


class AuditKeeper:
    """Makes checkpoints when they are due, in a thread of its own.

    Args:
        audit: the open log; it signs already.
        tell: told why a checkpoint could not be made, once, and with an empty text when one could be made again.
        trust: where there is one; each change is a row.
        look_s: how often to look, real s.
    """

    def __init__(
        self,
        audit: AuditLog,
        tell: Callable[[str], None],
        trust: Callable[[], Trust | None] = lambda: None,
        look_s: float = LOOK_S,
    ) -> None:
        self._audit = audit
        self._tell = tell
        self._trust = trust
        self._trusted = self._revision()
        self._look_s = look_s
        self._stop = threading.Event()
        self._told = ""
        self._thread = threading.Thread(target=self._run, name="audit keeper", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Stop looking; the log makes its last checkpoint when it is closed."""
        self._stop.set()
        self._thread.join()

    def look(self) -> None:
        """Make a checkpoint if one is due; audit that the trust has changed."""
        trust, trusted = self._trust(), self._revision()
        self._trusted = self._trusted or trusted
        if trust is not None and trusted != self._trusted:
            why = f"read anew: {trust.taken_since(self._trusted)}"
            self._audit.append(
                AuditRow("security", "trust_changed", "system", old=self._trusted, value=trusted, reason=why[:1000])
            )
            self._trusted = trusted
        self._audit.checkpoint_if_due()
        fault = self._audit.checkpoint_fault
        if bool(fault) != bool(self._told):
            self._tell(fault)
        self._told = fault

    def _revision(self) -> int:
        trust = self._trust()
        return trust.revision if trust else 0

    def _run(self) -> None:
        while not self._stop.wait(self._look_s):
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - the thread must live as long as the log
                _log.error("audit keeper", exc_info=error)


def _filter(request: pb.AuditQuery) -> AuditFilter:
    return AuditFilter(
        from_ns=request.from_ns,
        to_ns=request.to_ns,
        kinds=frozenset(request.kinds),
        actor=request.actor,
        object=request.object,
        code=request.code,
        text=request.text,
        sequence_id=request.sequence_id,
        before=request.before,
    )


def _told(signed: SignedCheckpoint) -> pb.AuditCheckpoint:
    state = signed.checkpoint
    return pb.AuditCheckpoint(
        records=state.records,
        digest=state.digest,
        merkle_root=state.root,
        time_ns=state.time_ns,
        signer=state.signer,
        key_id=signed.key_id(),
        signature=signed.signature,
        number=state.number,
        encoded=signed.encoded,
        certificate=signed.certificate,
    )


def audit_page(reader: AuditReader, wanted: AuditFilter, limit: int, authorities: Authorities | None) -> pb.AuditPage:
    """The newest wanted records, newest first, each with what its envelope is worth.

    Args:
        reader: of the log.
        wanted: which.
        limit: how many.
        authorities: who is trusted; None proves only that signatures and certificates agree.
    """
    found, more = reader.newest(wanted, limit)
    checker, sought = EvidenceChecker(authorities), set[bytes]()
    page = pb.AuditPage(total=reader.size()[1], more=more)
    for stored in found:
        row = stored.record.row
        checker.learn(row)
        evidence = checker.check(row)
        if evidence.proof is Proof.UNKNOWN and evidence.key_id not in sought:
            sought.add(evidence.key_id)
            for login in reader.logins(evidence.key_id):
                checker.learn(login.row)
            evidence = checker.check(row)
        page.entries.append(_entry(stored, evidence.proof, trusted=authorities is not None))
    return page


def export_head(form: str) -> bytes:
    """First bytes of an export as ``jsonl`` or ``csv``."""
    return _csv([COLUMNS]) if form == "csv" else b""


def export_part(form: str, part: Iterable[StoredRecord]) -> bytes:
    """Records as lines of an export."""
    if form == "csv":
        return _csv([map(_cell, export_row(stored).values()) for stored in part])
    return "".join(map(json_line, part)).encode()


def _entry(stored: StoredRecord, proof: Proof, *, trusted: bool) -> pb.AuditEntry:
    row = stored.record.row
    return pb.AuditEntry(
        number=stored.record.number,
        time_ns=stored.record.time_ns,
        kind=row.kind,
        step=row.step,
        actor=row.actor,
        workstation=row.station,
        session=row.session,
        sequence_id=row.sequence_id,
        mrid=row.mrid,
        path=row.path,
        old=row.old,
        value=row.value,
        code=row.code,
        reason=row.reason,
        evidence=row.evidence,
        digest=stored.digest,
        signature_ok=trusted and proof is Proof.PROVEN,
        proof=proof.value,
    )


def _cell(value: object) -> object:
    """A cell that no table calculator takes for a formula: what people wrote begins with an apostrophe then."""
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return "" if value is None else value


def _csv(rows: Iterable[Iterable[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()
