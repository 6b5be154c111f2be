"""Parameters and endpoints; the driver against asyncua's server under each policy and mode, and against hostile ones."""

import pytest
from asyncua import ua
from asyncua.crypto.permission_rules import User, UserRole
from protocols.opcua.rig import SERVER_URI, Proxy, Station, issue, key, running, up, write_pair

from scada.core.clock import SystemClock
from scada.core.errors import ConfigError, SecurityError
from scada.protocols.driver import LinkState
from scada.protocols.opcua.application import CERTIFICATE_FILE, KEY_FILE, make_certificate
from scada.protocols.opcua.parameters import OpcUaParameters
from scada.protocols.opcua.security import SecurityPolicy, SecurityWish, choose_endpoint, read_login
from scada.protocols.opcua.trust import TrustList, read_certificate, thumbprint

pytestmark = [pytest.mark.filterwarnings("ignore::ResourceWarning")]

P = ua.SecurityPolicyType
EVERY = (
    ("Basic256Sha256", "Sign", P.Basic256Sha256_Sign),
    ("Basic256Sha256", "SignAndEncrypt", P.Basic256Sha256_SignAndEncrypt),
    ("Aes128Sha256RsaOaep", "Sign", P.Aes128Sha256RsaOaep_Sign),
    ("Aes128Sha256RsaOaep", "SignAndEncrypt", P.Aes128Sha256RsaOaep_SignAndEncrypt),
    ("Aes256Sha256RsaPss", "Sign", P.Aes256Sha256RsaPss_Sign),
    ("Aes256Sha256RsaPss", "SignAndEncrypt", P.Aes256Sha256RsaPss_SignAndEncrypt),
)
ALL = [each[2] for each in EVERY]


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    """Our own pair, and a server's."""
    folder = tmp_path_factory.mktemp("pki")
    make_certificate(folder / "own", uri="urn:test:scada", name="scada", hosts=[], now_ns=SystemClock().now_ns())
    own_key = key()
    write_pair(folder, issue(own_key), own_key, "server")
    return folder


@pytest.fixture
def wish(pki, tmp_path):
    """Parameters of a secured channel whose trust list knows the server."""
    TrustList(tmp_path / "trust").add(read_certificate(pki / "server.der"))
    return {
        "certificate": str(pki / "own" / CERTIFICATE_FILE),
        "key": str(pki / "own" / KEY_FILE),
        "trust": str(tmp_path / "trust"),
        "security_policy": "Basic256Sha256",
    }


@pytest.fixture
async def secured(pki):
    station = Station([P.NoSecurity, *ALL], (pki / "server.der", pki / "server-key.pem"))
    await station.start()
    yield station
    await station.stop()


def down(sink):
    return lambda: any(state is LinkState.DOWN for state, _ in sink.states)


@pytest.mark.interop
@pytest.mark.parametrize(("policy", "mode"), [each[:2] for each in EVERY])
async def test_every_policy_and_mode(secured, wish, policy, mode):
    wish = wish | {"security_policy": policy, "security_mode": mode}
    async with running(secured, **wish) as (_, sink):
        await sink.until(lambda: len(sink.values) == 4 and up(sink)())
        assert sink.values[0] == (12.5, 0)
        assert any(mode in reason for state, reason in sink.states if state is LinkState.UP)


@pytest.mark.interop
async def test_an_unknown_server_is_refused_until_it_is_trusted(secured, wish, tmp_path):
    wish["trust"] = str(tmp_path / "other")
    async with running(secured, **wish) as (_, sink):
        await sink.until(down(sink))
        assert "BadCertificateUntrusted" in sink.states[-1][1]
        assert not sink.values
        trust = TrustList(tmp_path / "other")
        trust.trust(thumbprint(trust.rejected()[0]))
        await sink.until(lambda: len(sink.values) == 4 and up(sink)())


@pytest.mark.interop
async def test_a_server_that_is_no_longer_trusted_is_not_resumed(secured, wish, tmp_path):
    proxy = Proxy(secured.port)
    await proxy.start()
    async with running(secured, port=proxy.port, **wish) as (_, sink):
        await sink.until(up(sink))
        (certificate,) = (tmp_path / "trust" / "trusted" / "certs").iterdir()
        certificate.unlink()
        proxy.cut()
        await sink.until(lambda: "BadCertificateUntrusted" in sink.states[-1][1])
        assert sum(state is LinkState.UP for state, _ in sink.states) == 1
    await proxy.stop()


@pytest.mark.interop
@pytest.mark.parametrize(
    ("made", "announced", "status"),
    [
        ({"days": (-30, -1)}, SERVER_URI, "BadCertificateTimeInvalid"),
        ({}, "urn:test:impostor", "BadCertificateUriInvalid"),
    ],
)
async def test_a_trusted_certificate_that_is_expired_or_of_another_application(wish, tmp_path, made, announced, status):
    own = key()
    certificate = issue(own, **made)
    files = write_pair(tmp_path, certificate, own, "hostile")
    TrustList(tmp_path / "trust").add(certificate)
    station = Station([P.Basic256Sha256_SignAndEncrypt], files, uri=announced)
    await station.start()
    async with running(station, **wish) as (_, sink):
        await sink.until(down(sink))
        assert status in sink.states[-1][1]
        assert not sink.values
    await station.stop()


@pytest.mark.interop
async def test_a_server_that_offers_less_is_refused(wish, pki):
    station = Station([P.NoSecurity, P.Basic256Sha256_Sign], (pki / "server.der", pki / "server-key.pem"))
    await station.start()
    async with running(station, **wish) as (_, sink):
        await sink.until(down(sink))
        assert "no endpoint Basic256Sha256/SignAndEncrypt; it offers Basic256Sha256/Sign, None/None" in sink.states[-1][1]
        assert not sink.values
    await station.stop()


@pytest.mark.interop
async def test_who_shows_a_trusted_certificate_without_its_key_gets_nowhere(wish, pki, tmp_path):
    """A copied certificate; the key is another one."""
    write_pair(tmp_path, read_certificate(pki / "server.der"), key(), "thief")
    station = Station([P.Basic256Sha256_SignAndEncrypt], (tmp_path / "thief.der", tmp_path / "thief-key.pem"))
    await station.start()
    async with running(station, timeout_s=0.5, **wish) as (_, sink):
        await sink.until(down(sink))
        assert not sink.values
        assert not up(sink)()
    await station.stop()


class Users:
    def get_user(self, iserver, username=None, password=None, certificate=None):
        return User(role=UserRole.User) if (username, password) == ("scada", "right one") else None


@pytest.mark.interop
@pytest.mark.parametrize("mode", ["Sign", "SignAndEncrypt"])
async def test_login(pki, wish, tmp_path, mode):
    station = Station(ALL, (pki / "server.der", pki / "server-key.pem"))
    station.user_manager, station.tokens = Users(), [ua.UserNameIdentityToken]
    await station.start()
    secrets = tmp_path / "secrets.toml"
    secrets.write_text('user = "scada"\npassword = "wrong one"\n')
    secrets.chmod(0o600)
    wish |= {"credentials": str(secrets), "security_mode": mode}
    async with running(station, **wish) as (_, sink):
        await sink.until(down(sink))
        assert "Denied" in sink.states[-1][1] or "denied" in sink.states[-1][1]
        secrets.write_text('user = "scada"\npassword = "right one"\n')
        await sink.until(lambda: len(sink.values) == 4 and up(sink)())
    assert "right one" not in repr(sink.states) + repr(sink.notices)
    await station.stop()


@pytest.mark.interop
async def test_login_by_certificate(pki, wish, tmp_path):
    own = key()
    files = write_pair(tmp_path, issue(own, "Operator", uri="urn:test:user"), own, "user")
    known = files[0].read_bytes()

    class Known:
        def get_user(self, iserver, username=None, password=None, certificate=None):
            return User(role=UserRole.User) if certificate == known else None

    station = Station(ALL, (pki / "server.der", pki / "server-key.pem"))
    station.user_manager, station.tokens = Known(), [ua.X509IdentityToken]
    await station.start()
    async with running(station, user_certificate=str(files[0]), user_key=str(files[1]), **wish) as (_, sink):
        await sink.until(lambda: len(sink.values) == 4 and up(sink)())
    write_pair(tmp_path, issue(own, "Stranger", uri="urn:test:user"), own, "user")
    async with running(station, user_certificate=str(files[0]), user_key=str(files[1]), **wish) as (_, sink):
        await sink.until(down(sink))
        assert not sink.values
    await station.stop()


def test_credentials(tmp_path):
    assert read_login("") is None
    found = read_login("env:PLANT", {"PLANT_USER": "u", "PLANT_PASSWORD": "p"})
    assert (found.user, found.password) == ("u", "p")
    assert "'p'" not in repr(found)
    with pytest.raises(SecurityError, match="PLANT_PASSWORD"):
        read_login("env:PLANT", {"PLANT_USER": "u"})
    path = tmp_path / "secrets.toml"
    path.write_text('user = "u"\npassword = "p"\n')
    path.chmod(0o644)
    with pytest.raises(SecurityError, match="others may read"):
        read_login(str(path))
    path.chmod(0o600)
    assert read_login(str(path)).user == "u"
    with pytest.raises(SecurityError, match="cannot read"):
        read_login(str(tmp_path / "nothing"))


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ({"security_policy": "Basic257"}, "security_policy"),
        ({"security_policy": "Basic256Sha256"}, "needs certificate"),
        ({"security_mode": "Sign"}, "does not go with"),
        ({"security_mode": "Encrypt"}, "not one of"),
        ({"security_policy": "Basic256", "certificate": "a", "key": "b", "trust": "c"}, "deprecated"),
        ({"password": "secret"}, "does not belong"),
        ({"credentials": "file"}, "nothing protects"),
        ({"security_policy": "Basic256Sha256", "certificate": "a", "key": "b", "trust": "c", "user_key": "d"}, "go together"),
        ({"publishing_ms": "fast"}, "publishing_ms"),
        ({"chunk": 0}, "chunk"),
        ({"path": 3.0}, "path"),
    ],
)
def test_parameters_that_cannot_be_used(params, match):
    with pytest.raises(ConfigError, match=match) as caught:
        OpcUaParameters.of(params, "channel W")
    assert str(caught.value).startswith("channel W")


def test_deprecated_policies_only_when_allowed():
    given = {"security_policy": "Basic128Rsa15", "certificate": "a", "key": "b", "trust": "c", "allow_deprecated": 1}
    assert OpcUaParameters.of(given, "channel W").security.policy is SecurityPolicy.BASIC128RSA15


def test_no_endpoint_is_chosen_in_place_of_the_wished_one():
    offered = [
        ua.EndpointDescription(EndpointUrl="opc.tcp://x:1", SecurityPolicyUri=policy.uri, SecurityMode=mode)
        for policy in (SecurityPolicy.NONE, SecurityPolicy.BASIC256)
        for mode in (ua.MessageSecurityMode.None_, ua.MessageSecurityMode.Sign)
    ]
    with pytest.raises(SecurityError, match="offers"):
        choose_endpoint(offered, SecurityWish(SecurityPolicy.BASIC256SHA256, "Sign"))
    with pytest.raises(SecurityError, match="offers none"):
        choose_endpoint([], SecurityWish())
    assert choose_endpoint(offered, SecurityWish()).SecurityMode is ua.MessageSecurityMode.None_
