"""Our server against asyncua's client: tree, values, rights, and everything a stranger may try."""

import asyncio
import contextlib
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from asyncua import ua
from asyncua.client.client import Client
from asyncua.crypto import security_policies
from asyncua.ua.uaerrors import UaError
from protocols.opcua.rig import Sink, free_port, issue, key, write_pair
from structlog.testing import capture_logs

from scada.core.batch import POINT_DTYPE
from scada.core.clock import SystemClock
from scada.core.errors import ConfigError, SecurityError, StoreError
from scada.core.quality import Quality
from scada.model_cim.addresses import OpcUaAddress
from scada.model_cim.tables import ChannelSpec, ModelTables, Point, PointKind, Station
from scada.protocols.driver import LinkState
from scada.protocols.opcua.application import CERTIFICATE_FILE, KEY_FILE, make_certificate
from scada.protocols.opcua.driver import OpcUaDriver
from scada.protocols.opcua.publishing import FOLDER_CHILDREN, plan_tree, status_of
from scada.protocols.opcua.server import OpcUaServer, ServerWish
from scada.protocols.opcua.trust import TrustList, read_certificate, thumbprint
from scada.protocols.opcua.viewers import hash_password, read_users, verify_password
from scada.rtdb.changes import ChangeSet, GapError, Snapshot

pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("ignore::ResourceWarning")]

NOW = SystemClock().now_ns()
CODES = ua.StatusCodes


def point(pid, path, kind=PointKind.ANALOG, **more):
    station, *_, name = path.split("/")
    return Point(pid, f"mrid-{pid}", path, name, kind, "", more.pop("unit", ""), "", "", station, "", 0, None, **more)


POINTS = (
    point(0, "Alpha/110 kV/Bay 1/P", unit="MW", minimum=-50.0, maximum=50.0),
    point(1, "Alpha/110 kV/Bay 1/Breaker", PointKind.DOUBLE, states={0: "between", 1: "open", 2: "closed", 3: "faulty"}),
    point(2, "Alpha/110 kV/Bay 1/Alarm", PointKind.STATUS),
    point(3, "Beta/U", unit="kV"),
    replace(point(4, "Beta/gone"), removed=True),
)


def tables(points=POINTS):
    stations = [Station("s1", "Alpha", "North", ()), Station("s2", "Beta", "", ())]
    return ModelTables("v", "m", points, [], [], stations, [], [])


class Database:
    """What the shared image gives, in memory."""

    def __init__(self, count):
        self.alive, self.silence_s, self.seq, self.sets, self.forgotten, self.broken = True, 0.0, 0, [], 0, False
        self.value, self.quality = np.full(count, np.nan), np.full(count, int(Quality.NEVER_RECEIVED), np.uint32)
        self.source_time = np.zeros(count, np.int64)

    def change(self, *rows):
        records = np.zeros(len(rows), POINT_DTYPE)
        for record, (pid, value, quality, time) in zip(records, rows, strict=True):
            record["pid"], record["value"], record["quality"], record["source_time"] = pid, value, quality, time
            self.value[pid], self.quality[pid], self.source_time[pid] = value, quality, time
        self.sets.append(ChangeSet(self.seq + 1, records, np.full(len(rows), NOW), NOW))
        self.seq += len(rows)

    def snapshot(self):
        pids = np.arange(len(self.value), dtype=np.uint32)
        received = np.full(len(pids), NOW)
        return Snapshot(self.seq, pids, self.value.copy(), self.quality.copy(), self.source_time.copy(), received)

    def changes(self, after, limit=None):
        if self.broken:
            raise StoreError("broken")
        if after < self.forgotten:
            raise GapError(after + 1, self.forgotten + 1)
        given = 0
        for one in self.sets:
            if one.last > after and (limit is None or given < limit):
                given += len(one)
                yield one


@contextlib.asynccontextmanager
async def serving(points=POINTS, **wish):
    database = Database(len(points))
    database.change((0, 12.5, 0, NOW), (1, 2.0, 0, NOW), (2, 0.0, 0, NOW))
    given = {"endpoint": f"opc.tcp://127.0.0.1:{free_port()}/", "policies": ("None",), "anonymous": True, "interval_s": 0.02}
    server = OpcUaServer(ServerWish(**(given | wish)), tables(points), database, SystemClock())
    await server.start()
    follow = asyncio.create_task(server.follow())
    try:
        yield server, database
    finally:
        follow.cancel()
        await asyncio.gather(follow, return_exceptions=True)
        await server.stop()


def url(server):
    return server.wish.endpoint


async def until(condition, seconds=10):
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - a remote value
            await asyncio.sleep(0.02)


async def test_tree_values_times_units_and_ranges():
    async with serving() as (server, database), Client(url(server)) as client:
        index = await client.get_namespace_index("urn:scada-ems:scada:points")
        path = ["0:Objects", *(f"{index}:{name}" for name in ("scada", "North", "Alpha", "110 kV", "Bay 1", "P"))]
        node = await client.nodes.root.get_child(path)
        assert node.nodeid.to_string() == f"ns={index};s=mrid-0"
        data = await node.read_data_value()
        assert (data.Value.Value, data.StatusCode.value) == (12.5, 0)
        assert int(data.SourceTimestamp.timestamp()) == NOW // 10**9
        assert data.ServerTimestamp is not None
        unit = await (await node.get_child("0:EngineeringUnits")).read_value()
        assert (unit.DisplayName.Text, unit.UnitId) == ("MW", int.from_bytes(b"MAW", "big"))
        span = await (await node.get_child("0:EURange")).read_value()
        assert (span.Low, span.High) == (-50.0, 50.0)
        breaker = client.get_node(f"ns={index};s=mrid-1")
        assert await breaker.read_value() == 2
        names = await (await breaker.get_child("0:EnumStrings")).read_value()
        assert [name.Text for name in names] == ["between", "open", "closed", "faulty"]
        never = await client.get_node(f"ns={index};s=mrid-3").read_data_value(raise_on_bad_status=False)
        assert never.StatusCode.value == CODES.BadWaitingForInitialData
        assert never.Value is None or never.Value.Value is None
        with pytest.raises(UaError):
            await client.get_node(f"ns={index};s=mrid-4").read_value()
        database.change((0, 13.0, int(Quality.COMM_LOST), NOW), (2, np.nan, int(Quality.INVALID), NOW))
        await until(lambda: same(node, 13.0))
        lost = await node.read_data_value(raise_on_bad_status=False)
        assert lost.StatusCode.value == CODES.UncertainNoCommunicationLastUsableValue
        alarm = await client.get_node(f"ns={index};s=mrid-2").read_data_value(raise_on_bad_status=False)
        assert alarm.StatusCode.value == CODES.Bad


async def test_only_the_named_stations_are_published():
    async with serving(stations=("Beta",)) as (server, database), Client(url(server)) as client:
        index = await client.get_namespace_index("urn:scada-ems:scada:points")
        database.change((0, 1.0, 0, NOW), (3, 220.0, 0, NOW))
        await until(lambda: same(client.get_node(f"ns={index};s=mrid-3"), 220.0))
        with pytest.raises(UaError):
            await client.get_node(f"ns={index};s=mrid-0").read_value()
    with pytest.raises(ConfigError, match="Gamma"):
        async with serving(stations=("Gamma",)):
            pass


async def same(node, value):
    return (await node.read_data_value(raise_on_bad_status=False)).Value.Value == value


async def test_only_changes_are_written_and_every_change_of_a_status_is():
    async with serving() as (server, database):
        spec = ChannelSpec(
            0, "m", "W", "opcua", "127.0.0.1", int(url(server).split(":")[2].strip("/")), "S", {"publishing_ms": 100}
        )
        nodes = ("nsu=urn:scada-ems:scada:points;s=mrid-0", "nsu=urn:scada-ems:scada:points;s=mrid-2")
        kinds = (PointKind.ANALOG, PointKind.STATUS)
        watched = [replace(point(pid, f"x/{pid}", kinds[pid]), address=OpcUaAddress(nodes[pid])) for pid in (0, 1)]
        sink = Sink()
        driver = OpcUaDriver(spec, watched, (), sink, SystemClock())
        task = asyncio.create_task(driver.run())
        await sink.until(lambda: len(sink.values) == 2 and sink.states[-1][0] is LinkState.UP)
        sink.records.clear()
        written = server.counters.written
        database.change(
            *((2, float(number % 2), 0, NOW + number) for number in range(1, 6)), *((0, float(n), 0, NOW) for n in range(50))
        )
        await sink.until(lambda: len(sink.of(1)) >= 5 and sink.of(0)[-1:] == [49.0])
        assert sink.of(1) == [1.0, 0.0, 1.0, 0.0, 1.0]
        assert server.counters.written - written == 6
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_fast_database_does_not_leave_it_behind():
    """However much has changed: after an update the variables show the present."""
    async with serving(interval_s=60) as (server, database):
        for number in range(4):
            database.change(*((0, float(number * 6000 + n), 0, NOW) for n in range(6000)))
        await server.update()
        assert server._last[0][0] == 23999.0
        assert server._seq == database.seq


async def test_a_gap_and_a_server_that_goes_and_comes():
    async with serving() as (server, database), Client(url(server)) as client:
        index = await client.get_namespace_index("urn:scada-ems:scada:points")
        node = client.get_node(f"ns={index};s=mrid-0")
        database.change((0, 77.0, 0, NOW))
        database.seq += 10
        database.forgotten = database.seq
        await until(lambda: same(node, 77.0))
        assert server.counters.gaps == 1
        database.alive = False
        await until(lambda: has(node, CODES.UncertainNoCommunicationLastUsableValue))
        assert await same(node, 77.0)
        database.value[0] = 78.0
        database.alive = True
        await until(lambda: has(node, CODES.Good))
        assert await same(node, 78.0)
        database.silence_s = 11.0
        await until(lambda: has(node, CODES.UncertainNoCommunicationLastUsableValue))
        database.silence_s = 0.0
        await until(lambda: has(node, CODES.Good))
        database.broken = True
        await until(lambda: has(node, CODES.UncertainNoCommunicationLastUsableValue))


async def has(node, code):
    return (await node.read_data_value(raise_on_bad_status=False)).StatusCode.value == code


async def test_nothing_can_be_done_but_looking():
    async with serving() as (server, _), Client(url(server)) as client:
        index = await client.get_namespace_index("urn:scada-ems:scada:points")
        node = client.get_node(f"ns={index};s=mrid-0")
        codes = await client.uaclient.session.write_attributes([node.nodeid], [ua.DataValue(ua.Variant(1.0))])
        assert [code.value for code in codes] == [CODES.BadNotWritable]
        codes = await client.uaclient.session.write_attributes(
            [node.nodeid], [ua.DataValue(ua.Variant(3, ua.VariantType.Byte))], ua.AttributeIds.AccessLevel
        )
        assert [code.value for code in codes] == [CODES.BadNotWritable]
        assert await node.read_value() == 12.5
        with pytest.raises(UaError):
            await client.nodes.objects.add_variable(index, "mine", 1.0)
        with pytest.raises(UaError):
            await client.delete_nodes([node])
        server_node = client.get_node(ua.ObjectIds.Server)
        with pytest.raises(UaError):
            await server_node.call_method("0:GetMonitoredItems", 1)
        with pytest.raises(UaError):
            await node.read_raw_history(None, None)


async def test_others_subscriptions_cannot_be_reached():
    async with serving() as (server, _), Client(url(server)) as victim, Client(url(server)) as thief:
        mine = await victim.create_subscription(100, SimpleNamespace(datachange_notification=lambda *_: None))
        session = thief.uaclient.session
        with pytest.raises(UaError):
            await session.delete_subscriptions([mine.subscription_id])
        with pytest.raises(UaError):
            await session.republish(mine.subscription_id, 1)
        transfer = ua.TransferSubscriptionsParameters()
        transfer.SubscriptionIds = [mine.subscription_id]
        with pytest.raises(UaError):
            await session.transfer_subscriptions(transfer)
        assert mine.subscription_id in server._server.iserver.subscription_service.subscriptions


async def test_who_has_not_logged_in_reads_nothing():
    async with serving() as (server, _):
        client = Client(url(server))
        await client.connect_socket()
        await client.send_hello()
        await client.open_secure_channel()
        await client.create_session()
        with pytest.raises(UaError):
            await client.nodes.namespace_array.read_value()
        client.disconnect_socket()


# ---------------------------------------------------------------- security


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pki")
    make_certificate(folder / "own", uri="urn:scada-ems:site", name="scada", hosts=["127.0.0.1"], now_ns=NOW)
    viewer = key()
    write_pair(folder, issue(viewer, "Viewer", uri="urn:test:viewer"), viewer, "viewer")
    users = folder / "users.toml"
    users.write_text(f'third = "{hash_password("party")}"\n')
    users.chmod(0o600)
    return folder


@pytest.fixture
def wish(pki, tmp_path):
    own = pki / "own"
    return {
        "policies": ("Basic256Sha256", "Aes256Sha256RsaPss"),
        "certificate": own / CERTIFICATE_FILE,
        "key": own / KEY_FILE,
        "trust": tmp_path / "trust",
        "users": pki / "users.toml",
        "anonymous": False,
    }


async def viewer(server, pki, user="third", password="party", uri="urn:test:viewer", policy="Basic256Sha256"):
    client = Client(url(server), timeout=2)
    client.application_uri = uri
    if user:
        client.set_user(user)
        client.set_password(password)
    await client.set_security(
        getattr(security_policies, f"SecurityPolicy{policy}"), str(pki / "viewer.der"), str(pki / "viewer-key.pem")
    )
    return client


async def refused(client):
    with pytest.raises((UaError, OSError, TimeoutError)):
        await client.connect()


async def test_a_client_must_be_trusted_and_logged_in(wish, pki):
    async with serving(**wish) as (server, _):
        await refused(await viewer(server, pki))
        trust = TrustList(wish["trust"])
        assert [thumbprint(each) for each in trust.rejected()] == [thumbprint(read_certificate(pki / "viewer.der"))]
        trust.trust(thumbprint(trust.rejected()[0]))
        await refused(await viewer(server, pki, password="wrong"))
        await refused(await viewer(server, pki, user="nobody"))
        await refused(await viewer(server, pki, user=""))
        await refused(await viewer(server, pki, uri="urn:test:other"))
        for policy in ("Basic256Sha256", "Aes256Sha256RsaPss"):
            async with await viewer(server, pki, policy=policy) as client:
                index = await client.get_namespace_index("urn:scada-ems:scada:points")
                assert await client.get_node(f"ns={index};s=mrid-0").read_value() == 12.5


async def test_a_channel_without_security_is_for_asking_endpoints_only(wish):
    async with serving(**(wish | {"anonymous": True})) as (server, _):
        client = Client(url(server), timeout=2)
        offered = await client.connect_and_get_server_endpoints()
        assert {each.SecurityMode for each in offered} == {ua.MessageSecurityMode.Sign, ua.MessageSecurityMode.SignAndEncrypt}
        await client.connect_socket()
        await client.send_hello()
        await client.open_secure_channel()
        parameters = ua.CreateSessionParameters()
        parameters.ClientNonce, parameters.RequestedSessionTimeout = b"n" * 32, 10_000.0
        with pytest.raises(UaError):
            await client.uaclient.create_session(parameters)
        with pytest.raises(UaError):
            await client.nodes.namespace_array.read_value()
        assert not server._server.iserver._external_sessions
        client.disconnect_socket()


@pytest.mark.parametrize("is_trusted", [False, True])
async def test_a_session_is_not_taken_by_who_overheard_its_token(wish, pki, is_trusted):
    """In mode Sign everybody on the way can read it."""
    trust = TrustList(wish["trust"])
    other = key()
    for certificate in (read_certificate(pki / "viewer.der"), issue(other, "Other", uri="urn:test:other")):
        trust.add(certificate)
    write_pair(pki, certificate, other, "other")
    async with serving(**wish) as (server, _), await viewer(server, pki) as victim:
        thief = Client(url(server), timeout=2)
        if is_trusted:
            await thief.set_security(
                security_policies.SecurityPolicyBasic256Sha256, str(pki / "other.der"), str(pki / "other-key.pem")
            )
        await thief.connect_socket()
        await thief.send_hello()
        await thief.open_secure_channel()
        thief.uaclient.protocol.authentication_token = victim.uaclient.protocol.authentication_token
        activate = ua.ActivateSessionParameters()
        activate.UserIdentityToken = ua.AnonymousIdentityToken(PolicyId="anonymous")
        with pytest.raises(UaError):
            await thief.uaclient.activate_session(activate)
        with pytest.raises(UaError):
            await thief.uaclient.session.read_attributes([thief.nodes.namespace_array.nodeid], ua.AttributeIds.Value)
        thief.disconnect_socket()
        assert await victim.nodes.namespace_array.read_value()


async def test_who_is_no_longer_trusted_or_no_longer_a_user_is_cut_off(wish, pki, tmp_path):
    trust, users = TrustList(wish["trust"]), tmp_path / "users.toml"
    users.write_bytes((pki / "users.toml").read_bytes())
    users.chmod(0o600)
    trust.add(read_certificate(pki / "viewer.der"))
    async with serving(**(wish | {"users": users})) as (server, _):
        client = await viewer(server, pki)
        await client.connect()
        await server.expel()
        assert await client.nodes.namespace_array.read_value()
        users.write_text("")
        await server.expel()
        await cut_off(client)
        await refused(await viewer(server, pki))
        users.write_bytes((pki / "users.toml").read_bytes())
        client = await viewer(server, pki)
        await client.connect()
        (certificate,) = (wish["trust"] / "trusted" / "certs").iterdir()
        (wish["trust"] / "trusted" / "certs" / "broken.der").write_bytes(b"half")
        certificate.rename(tmp_path / "away.der")
        await server.expel()
        assert await client.nodes.namespace_array.read_value(), "a trust list that cannot be read says nothing of who is in"
        (wish["trust"] / "trusted" / "certs" / "broken.der").unlink()
        await server.expel()
        await cut_off(client)
        assert not server._server.iserver._external_sessions


async def cut_off(client):
    with pytest.raises((UaError, OSError, TimeoutError)):
        await client.nodes.namespace_array.read_value()
    with contextlib.suppress(UaError, OSError, TimeoutError):
        await client.disconnect()


async def test_who_was_refused_and_why_is_logged_once(wish, pki):
    with capture_logs() as logs:
        async with serving(**wish) as (server, _):
            for _ in range(2):
                await refused(await viewer(server, pki))
            TrustList(wish["trust"]).add(read_certificate(pki / "viewer.der"))
            await refused(await viewer(server, pki, password="wrong"))
            await refused(await viewer(server, pki, user="a-password"))
    reasons = [entry["reason"] for entry in logs]
    assert len(reasons) == 3
    assert "BadCertificateUntrusted" in reasons[0]
    assert reasons[1:] == ["wrong password of user 'third'", "login by an unknown name"]


async def test_a_connection_holds_one_session_that_has_not_logged_in():
    async with serving() as (server, _):
        client = Client(url(server), timeout=2)
        await client.connect_socket()
        await client.send_hello()
        await client.open_secure_channel()
        for _ in range(5):
            await client.create_session()
        assert len(server._server.iserver._external_sessions) == 1
        client.disconnect_socket()


async def test_a_message_that_says_it_is_endless_is_not_gathered():
    async with serving() as (server, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url(server).split(":")[2].strip("/")))
        writer.write(b"HELF" + (0xFFFF_FFFF).to_bytes(4, "little") + bytes(200_000))
        async with asyncio.timeout(10):
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
        writer.close()


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"policies": ("Basic256Sha256",)}, "certificate"),
        ({"policies": ("Basic257",)}, "no security policy"),
        ({"policies": ("Basic256",)}, "deprecated"),
        ({"policies": ()}, "no security policy"),
        ({"policies": ("None",), "anonymous": False}, "nobody"),
    ],
)
def test_settings_that_cannot_be_served(given, match):
    with pytest.raises(ConfigError, match=match):
        ServerWish("opc.tcp://127.0.0.1:1/", **({"anonymous": True} | given)).chosen()


def test_passwords(tmp_path):
    known = hash_password("right")
    assert verify_password("right", known)
    assert not verify_password("wrong", known)
    assert not verify_password("right", "nonsense")
    assert known != hash_password("right")
    path = tmp_path / "users.toml"
    path.write_text('one = "plain"\n')
    path.chmod(0o600)
    with pytest.raises(SecurityError, match="hash"):
        read_users(path)
    path.chmod(0o644)
    with pytest.raises(SecurityError, match="others"):
        read_users(path)


def test_no_folder_has_too_many_children():
    many = [point(pid, f"Alpha/Bay/{pid}") for pid in range(1, 1001)]
    tree = plan_tree(many, tables().stations)
    count = {}
    for folder in tree.folders:
        count[folder.parent] = count.get(folder.parent, 0) + 1
    for key_ in tree.place.values():
        count[key_] = count.get(key_, 0) + 1
    assert max(count.values()) <= FOLDER_CHILDREN + 5
    assert len(tree.place) == 1000
    known = {""}
    for folder in tree.folders:
        assert folder.parent in known
        known.add(folder.key)


def test_a_value_not_to_be_acted_on_is_never_good():
    from scada.core.quality import BAD_MASK, HELD_MASK

    for bit in Quality:
        code = status_of(int(bit))
        if int(bit) & BAD_MASK and not int(bit) & HELD_MASK:
            assert code >> 30, bit
    assert status_of(0) == 0
