"""What the OPC UA tests share: a sink, a station on asyncua's server, a proxy that can be cut, a small authority."""

import asyncio
import contextlib
import gc
import ipaddress
import logging
import pickle
import socket
from datetime import UTC, datetime, timedelta

from asyncua import Server, ua
from asyncua.server.internal_server import InternalServer
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from scada.core.clock import SystemClock
from scada.model_cim.addresses import OpcUaAddress
from scada.model_cim.tables import ChannelSpec, Control, ControlKind, Point, PointKind
from scada.protocols.driver import LinkState
from scada.protocols.opcua.driver import OpcUaDriver

_fill = InternalServer.load_standard_address_space
_filled = []


async def _fill_quickly(self, shelf_file=None):
    """The library adds the standard's nodes one by one, for seconds; here only for the first server, the others get copies."""
    self.disabled_clock = True  # to stop it takes a second
    if not _filled:
        await _fill(self, shelf_file)
        _filled.append(pickle.dumps(self.aspace._nodes))
    else:
        gc.disable()  # it would look at the half million new objects again and again
        self.aspace._nodes = pickle.loads(_filled[0])
        gc.enable()


InternalServer.load_standard_address_space = _fill_quickly

STAMP = datetime(2024, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)
SERVER_URI = "urn:test:server"


class Sink:
    """Keeps what the driver says; tests wait for it."""

    def __init__(self):
        self.values, self.states, self.notices, self.records, self.batches = {}, [], [], [], 0
        self.changed = asyncio.Event()
        self.behind = None

    def deliver(self, batch):
        self.batches += 1
        for record in batch.records:
            row = (
                int(record["pid"]),
                float(record["value"]),
                int(record["quality"]),
                int(record["flags"]),
                int(record["source_time"]),
            )
            self.records.append(row)
            self.values[row[0]] = row[1:3]
        self.changed.set()

    async def ready(self):
        if self.behind is not None:
            await self.behind.wait()
        await asyncio.sleep(0)

    def state(self, state, reason):
        self.states.append((state, reason))
        self.changed.set()

    def notice(self, kind, text):
        self.notices.append((kind, text))
        self.changed.set()

    async def until(self, condition, seconds=15):
        async with asyncio.timeout(seconds):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    def of(self, pid):
        """Values of a point in the order in which they came."""
        return [row[1] for row in self.records if row[0] == pid]


def point(pid, name, kind=PointKind.ANALOG, index=-1, **more):
    address = OpcUaAddress(f"ns=2;s={name}", index)
    return Point(pid, f"m{pid}", f"S/{name}", name, kind, "", "", "", "", "S", "", 0, address, **more)


def control(cid, name, kind=ControlKind.SETPOINT, index=-1):
    address = OpcUaAddress(f"ns=2;s={name}", index)
    return Control(cid, f"c{cid}", f"S/{name}", name, kind, "", "", "", "S", 0, address, None, "")


POINTS = (point(0, "P"), point(1, "Breaker", PointKind.DOUBLE), point(2, "Alarm", PointKind.STATUS), point(3, "P", scale=10.0))
NODES = (
    ("P", 12.5, ua.VariantType.Double),
    ("Breaker", 2, ua.VariantType.Int32),
    ("Alarm", False, ua.VariantType.Boolean),
    ("Setpoint", 0.0, ua.VariantType.Float),
    ("Switch", False, ua.VariantType.Boolean),
    ("Name", "text", ua.VariantType.String),
    ("Array", [1.5, 2.5, 3.5], ua.VariantType.Double),
    ("Flags", [False, True], ua.VariantType.Boolean),
)


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Station:
    """A server of the library, with what a test wants of security."""

    def __init__(self, policies=(ua.SecurityPolicyType.NoSecurity,), files=None, uri=SERVER_URI):
        self.port = free_port()
        self.nodes = {}
        self.policies, self.files, self.uri = list(policies), files, uri
        self.user_manager = None
        self.tokens = None

    async def start(self):
        logging.getLogger("asyncua").setLevel(logging.CRITICAL)
        self.server = Server(user_manager=self.user_manager)
        await self.server.init()
        await self.server.set_application_uri(self.uri)
        self.server.set_endpoint(f"opc.tcp://127.0.0.1:{self.port}/")
        self.server.set_security_policy(self.policies)
        if self.tokens is not None:
            self.server.set_identity_tokens(self.tokens)
        if self.files is not None:
            await self.server.load_certificate(str(self.files[0]))
            await self.server.load_private_key(str(self.files[1]))
        assert await self.server.register_namespace("urn:test") == 2
        objects = self.server.nodes.objects
        for name, value, kind in NODES:
            self.nodes[name] = await objects.add_variable(ua.NodeId(name, 2), name, ua.Variant(value, kind))
        await self.nodes["Setpoint"].set_writable()
        await self.nodes["Switch"].set_writable()
        await self.server.start()

    async def write(self, name, value, kind, status=ua.StatusCodes.Good, stamp=STAMP):
        content = ua.DataValue(ua.Variant(value, kind), ua.StatusCode(status), SourceTimestamp=stamp)
        await self.server.write_attribute_value(self.nodes[name].nodeid, content)

    async def stop(self):
        await self.server.stop()


class Proxy:
    """Between client and server; can be cut, and can swallow what the server says."""

    def __init__(self, port):
        self.target, self.port = port, free_port()
        self.deaf = False
        self._writers = []

    async def start(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _serve(self, reader, writer):
        try:
            onward, back = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.close()
            return
        self._writers += [writer, back]
        await asyncio.gather(self._copy(reader, back, False), self._copy(onward, writer, True))

    async def _copy(self, reader, writer, from_server):
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if not (from_server and self.deaf):
                    writer.write(data)
                    await writer.drain()
        writer.close()

    def cut(self):
        writers, self._writers = self._writers, []
        for writer in writers:
            writer.transport.abort()

    async def stop(self):
        self._server.close()
        self.cut()
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def running(station, points=POINTS, port=None, **params):
    sink = Sink()
    given = {"publishing_ms": 20, "timeout_s": 2} | params
    spec = ChannelSpec(3, "m", "W", "opcua", "127.0.0.1", port or station.port, "S", given)
    driver = OpcUaDriver(spec, points, (), sink, SystemClock())
    task = asyncio.create_task(driver.run())
    try:
        yield driver, sink
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def up(sink):
    return lambda: any(state is LinkState.UP for state, _ in sink.states)


# ---------------------------------------------------------------- certificates


def key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def now():
    return datetime.fromtimestamp(SystemClock().now_ns() / 1e9, UTC)


class Authority:
    """Issues application certificates and revokes them."""

    def __init__(self, name="Test CA"):
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.key = key()
        self.certificate = issue(self.key, name, issuer=self, authority=True)
        self.revoked = []

    def crl(self, days=30):
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.name).last_update(now() - timedelta(days=40))
        for serial in self.revoked:
            revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now() - timedelta(hours=1))
            builder = builder.add_revoked_certificate(revoked.build())
        return builder.next_update(now() + timedelta(days=days)).sign(self.key, hashes.SHA256()).public_bytes(Encoding.DER)


def issue(own, name="Server", *, issuer=None, authority=False, **made):
    """An application certificate; what is given is wrong with it."""
    uri, days, usage = made.get("uri", SERVER_URI), made.get("days", (-1, 30)), made.get("usage", True)
    hosts = made.get("hosts", ("127.0.0.1",))
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    purposes = made.get("purposes", [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    names = [x509.UniformResourceIdentifier(uri), *(x509.IPAddress(ipaddress.ip_address(host)) for host in hosts)]
    signer = issuer.key if issuer else own
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.name if issuer else subject)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now() + timedelta(days=days[0]))
        .not_valid_after(now() + timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(usage, usage, usage, usage, False, authority, authority, False, False),
            critical=True,
        )
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(signer, hashes.SHA256())
    )


def write_pair(folder, certificate, own, name):
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / f"{name}.der", folder / f"{name}-key.pem"
    paths[0].write_bytes(certificate.public_bytes(Encoding.DER))
    paths[1].write_bytes(own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return paths
