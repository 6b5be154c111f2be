"""OPC UA server that publishes points to third parties, for looking only. Control over OPC UA is out of scope."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import numpy as np
import structlog
from asyncua import ua
from asyncua.server.server import Server
from asyncua.ua.attribute_ids import AttributeIds

from scada.core.clock import Clock
from scada.core.errors import ConfigError, SecurityError, StoreError
from scada.core.quality import Quality
from scada.model_cim.tables import ModelTables, Point, PointKind
from scada.protocols.opcua.address_space import AddressSpaceBuilder
from scada.protocols.opcua.admission import AdmittingServer, Refusals, limits
from scada.protocols.opcua.publishing import data_value, plan_tree
from scada.protocols.opcua.security import SecurityPolicy, read_key
from scada.protocols.opcua.trust import CertificateRefusedError, Peer, TrustList, application_uri, parse_der, read_certificate
from scada.protocols.opcua.viewers import LookOnly, ProvingFactory, Users, ViewerServer, check_uri
from scada.rtdb.changes import ChangeSet, GapError, Snapshot

logging.getLogger("asyncua").setLevel(logging.CRITICAL)
_log = structlog.get_logger("opcua")

_NODES_PER_CALL: Final = 500
_RECORDS_PER_TURN: Final = 5_000
_WRITES_PER_BREATH: Final = 200
"""Clients are served in between."""
_EXPEL_S: Final = 60.0
SILENT_S: Final = 10.0
"""A server that lives but has committed nothing, not even that nothing changed, for so long hangs."""
_STATUS_KINDS: Final = (PointKind.STATUS, PointKind.DOUBLE)
_GONE: Final = int(Quality.COMM_LOST)


class Values(Protocol):
    """Where values come from: the shared image of the real-time database, see :class:`scada.rtdb.reader.StoreReader`."""

    @property
    def alive(self) -> bool:
        """A server writes it."""
        ...

    @property
    def silence_s(self) -> float:
        """Seconds since it last did, with or without changes."""
        ...

    def snapshot(self) -> Snapshot:
        """Every point."""
        ...

    def changes(self, after: int, limit: int | None = None) -> Any:
        """Change sets after a sequence number."""
        ...


@dataclass(frozen=True, slots=True)
class ServerWish:
    """How to serve.

    Attributes:
        endpoint: ``opc.tcp://host:port/path``; the host is the address to listen on.
        policies: security policies offered, each with Sign and SignAndEncrypt; ``None`` = without security.
        certificate: our application certificate.
        key: its key.
        trust: folder of the trust list of clients.
        users: file of users; None = none.
        anonymous: who is proven by certificate need not log in.
        interval_s: time between two updates of the variables; the fastest publishing interval too.
        allow_deprecated: SHA-1 policies may be offered.
        site: name of the site.
        stations: names of the stations that are published; empty = all.
    """

    endpoint: str
    policies: Sequence[str] = ("Basic256Sha256",)
    certificate: Path | None = None
    key: Path | None = None
    trust: Path | None = None
    users: Path | None = None
    anonymous: bool = False
    interval_s: float = 0.5
    allow_deprecated: bool = False
    site: str = "scada"
    stations: Sequence[str] = ()

    def chosen(self) -> tuple[SecurityPolicy, ...]:
        """The policies.

        Raises:
            ConfigError: one is not known, deprecated, or what it needs is missing.
        """
        chosen = []
        for text in self.policies:
            policy = SecurityPolicy.named(text)
            if policy is None:
                known = ", ".join(each.value for each in SecurityPolicy)
                raise ConfigError(f"no security policy {text!r}", where="[opcua] policies", mend=f"one of {known}")
            if policy.deprecated and not self.allow_deprecated:
                raise ConfigError(f"{policy.value} is deprecated (SHA-1)", where="[opcua] policies", mend="leave it out")
            chosen.append(policy)
        secured = [policy for policy in chosen if policy is not SecurityPolicy.NONE]
        if not chosen:
            raise ConfigError("no security policy", where="[opcua] policies", mend="name one")
        if secured and not (self.certificate and self.key and self.trust):
            raise ConfigError("certificate, key and trust are needed", where="[opcua]", mend="see `scada opcua certificate`")
        if SecurityPolicy.NONE in chosen and self.users is not None:
            text = "users and policy None: a password would be sent in the clear"
            raise ConfigError(text, where="[opcua] policies", mend="leave out one of them")
        if self.users is None and not self.anonymous:
            raise ConfigError("nobody may log in", where="[opcua]", mend="name a file of users, or set anonymous = true")
        return tuple(chosen)


@dataclass(slots=True)
class PublishCounters:
    """What was done; for a status page and benches."""

    written: int = 0
    gaps: int = 0
    """Times that the database no longer held what followed; every value was compared again."""


@dataclass(slots=True)
class OpcUaServer:
    """Publishes the points of one model version.

    Args:
        wish: how to serve.
        tables: the model.
        values: the real-time database, read only.
        clock: for certificates and time stamps.
        silent_s: a database without a commit for so long is one that hangs, in seconds of its clock.
    """

    wish: ServerWish
    tables: ModelTables
    values: Values
    clock: Clock
    silent_s: float = SILENT_S
    counters: PublishCounters = field(default_factory=PublishCounters)
    _server: Server | None = None
    _trust: TrustList | None = None
    _users: Users | None = None
    _refusals: Refusals = field(init=False)
    _nodes: dict[int, ua.NodeId] = field(default_factory=dict)
    _last: dict[int, tuple[float, int, int]] = field(default_factory=dict)
    _seq: int = -1
    _stale: bool = False

    def __post_init__(self) -> None:
        """Who is refused is logged."""
        self._refusals = Refusals(self.clock)

    # ------------------------------------------------------------ start and stop

    async def start(self) -> None:
        """Build the address space with the present values, then listen.

        Raises:
            ConfigError, SecurityError: settings or files cannot be used.
            OSError: the port is taken.
        """
        wish, chosen = self.wish, self.wish.chosen()
        unknown = set(wish.stations) - {station.name for station in self.tables.stations}
        if unknown:
            raise ConfigError(
                f"the model has no station {', '.join(sorted(unknown))}", where="[opcua] stations", mend="correct it"
            )
        users = self._users = Users(wish.users, anonymous=wish.anonymous, refused=self._refusals.add)
        inner = ViewerServer(users, allow_open=SecurityPolicy.NONE in chosen, fastest_ms=wish.interval_s * 1000)
        server = _PublishingServer(iserver=inner)
        uri = f"urn:scada-ems:{wish.site}"
        if wish.certificate is not None and wish.key is not None:
            certificate = read_certificate(wish.certificate)
            uri = application_uri(certificate)
            inner.certificate, inner.private_key = certificate, read_key(wish.key)
        await server.init()
        await server.set_application_uri(uri)
        server.set_server_name(f"scada {wish.site}")
        server.set_endpoint(wish.endpoint)
        address = urlsplit(wish.endpoint)
        server.socket_address = (address.hostname or "127.0.0.1", address.port or 4840)
        server.product_uri, server.manufacturer_name = "urn:scada-ems", "scada"
        server.application_type = ua.ApplicationType.Server
        server.set_security_policy([_library_type(policy, mode) for policy in chosen for mode in _modes(policy)], LookOnly())
        server.set_match_discovery_client_ip(False)
        inner.certificate_validator = check_uri
        if wish.trust is not None:
            trust = TrustList(wish.trust, allow_deprecated=wish.allow_deprecated)
            trust.prepare()
            server.prove = self._prove
            self._trust = trust
        self._server = server
        await self._build()
        self._resynchronise()
        await self._write_all()
        await server.start()

    @property
    def published(self) -> int:
        """Number of points that are published."""
        return len(self._nodes)

    async def stop(self) -> None:
        """Drop the clients and stop listening."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop()

    def _prove(self, data: bytes) -> None:
        assert self._trust is not None
        try:
            certificate = parse_der(data)
            self._trust.check(certificate, Peer(application_uri(certificate), server=False), self.clock.now_ns())
        except SecurityError as error:
            self._refusals.add(str(error))
            raise

    async def expel(self) -> None:
        """Cut off clients whose certificate was revoked, expired or left the trust list, and users that were taken out."""
        if self._server is not None and isinstance(self._server.bserver, AdmittingServer):
            await self._server.bserver.expel(self._fault)

    def _fault(self, certificate: bytes | None, user: str) -> str:
        try:
            if certificate is not None and self._trust is not None:
                self._prove(certificate)
        except CertificateRefusedError as error:
            return str(error)
        except SecurityError:
            return ""  # the trust list cannot be read: nobody new comes in, who is in stays
        return "" if self._users is None or self._users.may_stay(user) else "no such user"

    # ------------------------------------------------------------ address space

    async def _build(self) -> None:
        assert self._server is not None
        server = self._server
        namespace = await server.register_namespace(f"urn:scada-ems:{self.wish.site}:points")
        published = [point for point in self.tables.points if not point.removed and self._is_published(point)]
        tree = plan_tree(published, self.tables.stations)
        builder = AddressSpaceBuilder(server, namespace)
        folders = {"": builder.folder("site", self.wish.site, server.nodes.objects.nodeid)}
        for folder in tree.folders:
            folders[folder.key] = builder.folder(f"folder:{folder.key}", folder.name, folders[folder.parent])
        for count, point in enumerate(published):
            self._nodes[int(point.pid)] = builder.variable(point, folders[tree.place[int(point.pid)]])
            if count % _NODES_PER_CALL == 0:
                await asyncio.sleep(0)

    def _is_published(self, point: Point) -> bool:
        return not self.wish.stations or point.station in self.wish.stations

    # ------------------------------------------------------------ values

    async def follow(self) -> None:
        """Keep the variables up to date; ends only by cancellation."""
        looked = self.clock.monotonic()
        while True:
            await asyncio.sleep(self.wish.interval_s)
            await self.update()
            if self.clock.monotonic() - looked >= _EXPEL_S:
                looked = self.clock.monotonic()
                await self.expel()

    async def update(self) -> None:
        """Write what has changed since the last time."""
        try:
            if not self.values.alive or self.values.silence_s > self.silent_s:
                await self._mark_gone()
                return
            if self._stale:
                self._resynchronise()
                await self._write_all()
                return
            await self._take_changes()
        except GapError:
            self.counters.gaps += 1
            _log.warning("opcua fell behind the database: status changes in between are lost to clients")
            before = dict(self._last)
            self._resynchronise()
            await self._write([pid for pid, now in self._last.items() if before.get(pid) != now])
        except StoreError:
            await self._mark_gone()

    async def _take_changes(self) -> None:
        """Everything up to the present, turn by turn: who takes less than comes shows the past as the present."""
        given = _RECORDS_PER_TURN
        while given >= _RECORDS_PER_TURN:
            given, newest = 0, dict[int, int]()
            for change in self.values.changes(self._seq, _RECORDS_PER_TURN):
                await self._take(change, newest)
                self._seq = change.last
                given += len(change)
            await self._write(list(newest), newest)
            await asyncio.sleep(0)

    async def _take(self, change: ChangeSet, newest: dict[int, int]) -> None:
        """Status changes are written one by one, in order; of the others the last of this turn."""
        records, received_at = change.shown(self._seq)
        columns = (records["pid"], records["value"], records["quality"], records["source_time"], received_at)
        for pid, value, quality, source_time, received in zip(*(column.tolist() for column in columns), strict=True):
            if pid not in self._nodes:
                continue
            self._last[pid] = (value, quality, source_time)
            if self.tables.points[pid].kind in _STATUS_KINDS:
                newest.pop(pid, None)
                await self._write([pid], {pid: received})
            else:
                newest[pid] = received

    def _resynchronise(self) -> None:
        """Take the state of every point."""
        try:
            found = self.values.snapshot()
        except StoreError:
            return
        self._seq, self._stale = found.seq, False
        columns = (found.pid, found.value, found.quality, found.source_time)
        for pid, value, quality, source_time in zip(*(np.asarray(column).tolist() for column in columns), strict=True):
            if pid in self._nodes:
                self._last[pid] = (value, quality, source_time)

    async def _mark_gone(self) -> None:
        """The server that writes the database has gone: every value is only the last one known."""
        if not self._stale:
            self._stale = True
            await self._write_all()

    async def _write_all(self) -> None:
        for pid in self._nodes:
            self._last.setdefault(pid, (float("nan"), int(Quality.NEVER_RECEIVED), 0))
        await self._write(list(self._nodes))

    async def _write(self, pids: Sequence[int], received: Mapping[int, int] | None = None) -> None:
        assert self._server is not None
        write = self._server.iserver.aspace.write_attribute_value
        now = self.clock.now_ns()
        for count, pid in enumerate(pids, 1):
            value, quality, source_time = self._last[pid]
            if self._stale and not quality & int(Quality.NEVER_RECEIVED):
                quality = (quality & ~int(Quality.MANUAL)) | _GONE
            when = received.get(pid, now) if received is not None else now
            content = data_value(self.tables.points[pid], value, quality, source_time, when)
            await write(self._nodes[pid], AttributeIds.Value, content)
            if count % _WRITES_PER_BREATH == 0:
                await asyncio.sleep(0)
        self.counters.written += len(pids)


class _PublishingServer(Server):
    """Puts the proof of clients into every secured policy, and narrows connections."""

    prove: Any = None

    async def start(self) -> None:
        """As the library's, with our own connections."""
        await self._setup_server_nodes()
        await self.iserver.start()
        host, port = self.socket_address or ("127.0.0.1", 4840)
        self.bserver = AdmittingServer(self.iserver, host or "", port or 0, limits())
        self.bserver.set_policies(self._policies)
        try:
            await self.bserver.start()
        except OSError:
            await self.iserver.stop()
            raise

    async def _setup_server_nodes(self) -> None:
        await super()._setup_server_nodes()
        if self.prove is not None:
            self._policies = [each if SecurityPolicy.NONE.uri == each.cls.URI else self._proving(each) for each in self._policies]

    def _proving(self, plain: Any) -> ProvingFactory:
        rights = self._permission_ruleset
        return ProvingFactory(
            plain.cls, plain.mode, plain.certificate, plain.private_key, permission_ruleset=rights, prove=self.prove
        )


def _modes(policy: SecurityPolicy) -> tuple[str, ...]:
    return ("None",) if policy is SecurityPolicy.NONE else ("Sign", "SignAndEncrypt")


def _library_type(policy: SecurityPolicy, mode: str) -> ua.SecurityPolicyType:
    if policy is SecurityPolicy.NONE:
        return ua.SecurityPolicyType.NoSecurity
    return ua.SecurityPolicyType[f"{policy.value.replace('_', '')}_{mode}"]
