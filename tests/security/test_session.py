from __future__ import annotations

import random
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scadapb.v1 import scada_pb2 as pb

from scada.core.clock import NS_PER_S, ScaledClock, VirtualClock
from scada.core.errors import SecurityError
from scada.security import envelope
from scada.security import session as session_module
from scada.security.client import SessionClient
from scada.security.envelope import (
    BadMacError,
    BadSignatureError,
    EnvelopeError,
    MalformedError,
    MessageExpiredError,
    ReplayedError,
    SessionExpiredError,
    TimeWindowError,
    UnauthorisedError,
    UnknownSessionError,
    UnsignedError,
    UntrustedError,
    WrongMethodError,
    WrongRecipientError,
    WrongSenderError,
)
from scada.security.identities import Identity, issue_identity, load_authority, load_identity
from scada.security.sequence import SequenceWindow
from scada.security.session import SessionServer
from scada.security.sm2 import Sm2Key
from scada.security.trust import Trust

SELECT = "/scadapb.v1.Control/Select"
EXECUTE = "/scadapb.v1.Control/Execute"
ACKNOWLEDGE = "/scadapb.v1.Events/Acknowledge"
READ = "/scadapb.v1.Realtime/Read"
REQUEST = pb.SelectRequest(control="c-1", value=2.0, device_number="2211")


@pytest.fixture
def new_client(made_keys, clock):
    def make(name="operator", site="demo", folder=made_keys):
        return SessionClient(load_identity(folder, name, clock), site, load_authority(made_keys), clock, station="desk 1")

    return make


@pytest.fixture
def client(server, new_client):
    made = new_client()
    made.accept(server.login(made.login_request())[0])
    return made


def test_login_and_a_signed_command(server, new_client):
    client = new_client()
    reply, principal = server.login(client.login_request())
    told = client.accept(reply)
    assert (principal.name, principal.station, principal.session) == ("operator", "desk 1", client.session)
    assert set(told.rights) == set(principal.rights)
    assert told.site == "demo"
    sender, body = server.open(client.seal(SELECT, REQUEST), SELECT, client.session)
    assert sender == principal
    assert pb.SelectRequest.FromString(body) == REQUEST


def test_keys_of_two_sessions_differ(server, new_client):
    first, second = new_client(), new_client()
    for each in (first, second):
        each.accept(server.login(each.login_request())[0])
    tags = {each.ring.for_request(0, 0.0).tag(b"x") for each in server.sessions()}
    assert len(tags) == 2
    assert first._state.ring.for_next_request().requests.tag(b"x") in tags
    assert first._state.ring.for_next_request().replies.tag(b"x") not in tags
    assert server.sessions()[0].identifier.hex() not in repr(server.sessions()[0]).replace(first.session, "").replace(
        server.sessions()[0].principal.session, ""
    )


def test_every_flipped_bit_is_refused(server, client):
    sealed = client.seal(SELECT, REQUEST)
    assert 200 < len(sealed) < 400
    for bit in range(len(sealed) * 8):
        flipped = bytearray(sealed)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(EnvelopeError):
            server.open(bytes(flipped), SELECT, client.session)
    server.open(sealed, SELECT, client.session)  # the attempts used nothing up


def test_every_flipped_bit_of_a_login_is_refused(server, new_client):
    request = new_client().login_request()
    for bit in range(3, len(request) * 8, 11):
        flipped = bytearray(request)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(EnvelopeError):
            server.login(bytes(flipped))
    assert server.sessions() == []


def test_every_flipped_bit_of_the_reply_is_refused(server, new_client):
    client = new_client()
    reply, _ = server.login(client.login_request())
    for bit in range(3, len(reply) * 8, 11):
        flipped = bytearray(reply)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SecurityError):
            client.accept(bytes(flipped))
    client.accept(reply)


@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_mutations_are_refused(server, client, data):
    sealed = bytearray(client.seal(SELECT, REQUEST))
    original = bytes(sealed)
    for _ in range(data.draw(st.integers(1, 4))):
        match data.draw(st.sampled_from(["set", "drop", "put", "cut"])):
            case "set":
                sealed[data.draw(st.integers(0, len(sealed) - 1))] = data.draw(st.integers(0, 255))
            case "drop":
                del sealed[data.draw(st.integers(0, len(sealed) - 1))]
            case "put":
                sealed.insert(data.draw(st.integers(0, len(sealed))), data.draw(st.integers(0, 255)))
            case "cut":
                del sealed[data.draw(st.integers(1, len(sealed))) :]
        if not sealed:
            break
    if bytes(sealed) == original:
        return
    # an unknown protobuf field beside the four is outside of what is signed and changes none of them
    try:
        _, body = server.open(bytes(sealed), SELECT, client.session)
    except EnvelopeError:
        return
    assert body == REQUEST.SerializeToString()


@given(st.binary(max_size=300))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_garbage_is_refused(server, garbage):
    for call in (lambda: server.open(garbage, SELECT, ""), lambda: server.login(garbage)):
        with pytest.raises(EnvelopeError):
            call()


def test_header_of_one_with_body_of_another(server, client):
    first = pb.Signed.FromString(client.seal(SELECT, REQUEST))
    second = pb.Signed.FromString(client.seal(SELECT, pb.SelectRequest(control="c-2", value=1.0)))
    first.body = second.body
    with pytest.raises(BadMacError):
        server.open(first.SerializeToString(), SELECT, client.session)


def test_moved_boundary_between_header_and_body(server, client):
    signed = pb.Signed.FromString(client.seal(SELECT, REQUEST))
    signed.header, signed.body = signed.header[:-1], signed.header[-1:] + signed.body
    with pytest.raises(EnvelopeError):
        server.open(signed.SerializeToString(), SELECT, client.session)


def test_replay_and_reorder(server, client):
    sealed = [client.seal(SELECT, REQUEST) for _ in range(6)]
    for number in (2, 0, 1, 5):
        server.open(sealed[number], SELECT, client.session)
    for number in (0, 1, 2, 5):
        with pytest.raises(ReplayedError):
            server.open(sealed[number], SELECT, client.session)
    server.open(sealed[3], SELECT, client.session)


def test_replay_after_restart_and_at_another_site(made_keys, clock, client):
    sealed = client.seal(SELECT, REQUEST)
    for site, refusal in (("demo", UnknownSessionError), ("other", WrongRecipientError)):
        other = SessionServer(
            site=site,
            identity=load_identity(made_keys, "server", clock),
            trust=Trust(made_keys),
            clock=clock,
        )
        with pytest.raises(refusal):
            other.open(sealed, SELECT, client.session)


def test_sent_by_another_call(server, client):
    sealed = client.seal(SELECT, REQUEST)
    with pytest.raises(WrongMethodError):
        server.open(sealed, EXECUTE, client.session)


def test_under_another_session(server, client, new_client):
    second = new_client("dispatcher")
    second.accept(server.login(second.login_request())[0])
    with pytest.raises(WrongSenderError):
        server.open(client.seal(SELECT, REQUEST), SELECT, second.session)


def test_unsigned(server, client):
    sealed = pb.Signed.FromString(client.seal(SELECT, REQUEST))
    with pytest.raises(UnsignedError):
        server.open(b"", SELECT, client.session)
    for part in ("header", "sig", "mac"):
        stripped = pb.Signed.FromString(sealed.SerializeToString())
        stripped.ClearField(part)
        with pytest.raises(UnsignedError):
            server.open(stripped.SerializeToString(), SELECT, client.session)
    with pytest.raises((UnsignedError, MalformedError)):
        server.open(REQUEST.SerializeToString(), SELECT, client.session)


def reseal(client, header, body, key=None):
    """What someone could make who has the session key but signs with another SM2 key, or changes the header first."""
    signer = key or client._identity.signer
    header_bytes = header.SerializeToString()
    authenticated = envelope.authenticated_bytes(header_bytes, body)
    signature = signer.sign(authenticated)
    tag = client._state.ring.for_next_request().requests.tag(authenticated, signature)
    return pb.Signed(header=header_bytes, body=body, sig=signature, mac=tag).SerializeToString()


@pytest.fixture
def header(client):
    return pb.Header.FromString(pb.Signed.FromString(client.seal(SELECT, REQUEST)).header)


def test_right_tag_with_another_signature(server, client, header):
    with pytest.raises(BadSignatureError):
        server.open(reseal(client, header, b"", Sm2Key.generate()), SELECT, client.session)


def test_right_signature_with_another_tag(server, client):
    signed = pb.Signed.FromString(client.seal(SELECT, REQUEST))
    signed.mac = bytes(16)
    with pytest.raises(BadMacError):
        server.open(signed.SerializeToString(), SELECT, client.session)


def test_a_false_tag_costs_no_signature(server, client, monkeypatch):
    signed = pb.Signed.FromString(client.seal(SELECT, REQUEST))
    signed.mac = bytes(16)
    monkeypatch.setattr(session_module.Sm2PublicKey, "verify", lambda *_: pytest.fail("the signature was verified"))
    with pytest.raises(BadMacError):
        server.open(signed.SerializeToString(), SELECT, client.session)


@pytest.mark.parametrize(
    ("field", "value", "refusal"),
    [
        ("version", 2, MalformedError),
        ("algorithm", 2, MalformedError),
        ("algorithm", 1, MalformedError),
        ("sender", "dispatcher", WrongSenderError),
        ("recipient", "other", WrongRecipientError),
        ("method", EXECUTE, WrongMethodError),
        ("session", bytes(16), UnknownSessionError),
        ("session", b"", UnknownSessionError),
        ("key_id", bytes(16), WrongSenderError),
        ("sequence", 0, ReplayedError),
        ("expires_us", 0, MessageExpiredError),
        ("time_us", 0, TimeWindowError),
    ],
)
def test_header_fields(server, client, header, field, value, refusal):
    setattr(header, field, value)
    with pytest.raises(refusal):
        server.open(reseal(client, header, b""), SELECT, client.session)


def test_codes_are_distinct():
    kinds = EnvelopeError.__subclasses__()
    assert len({kind.code for kind in kinds}) == len(kinds) == 23


@pytest.mark.parametrize("offset", [-2.5, 2.5])
def test_clock_differences(server, client, clock, offset):
    client._clock = VirtualClock(clock.now_ns() + round(offset * NS_PER_S))
    sealed, mild = client.seal(SELECT, REQUEST, valid_s=60), client.seal(ACKNOWLEDGE, pb.AcknowledgeRequest(), valid_s=60)
    with pytest.raises(TimeWindowError, match="2 s are allowed"):
        server.open(sealed, SELECT, client.session)
    server.open(mild, ACKNOWLEDGE, client.session)
    client._clock = clock
    server.open(client.seal(SELECT, REQUEST), SELECT, client.session)


def test_message_expires(server, client, clock):
    sealed = client.seal(SELECT, REQUEST, valid_s=1.0)
    clock.advance(1.5)
    with pytest.raises(MessageExpiredError):
        server.open(sealed, SELECT, client.session)


def test_windows_are_real_time_on_a_fast_clock():
    fast = ScaledClock(20.0, 0)
    assert envelope.span_us(fast, 2.0) == 40_000_000
    assert envelope.span_us(VirtualClock(), 2.0) == 2_000_000


def test_session_ends(server, client, clock):
    assert server.authenticate(client.session, READ).name == "operator"
    clock.advance(12 * 3600 + 1)
    with pytest.raises(SessionExpiredError):
        server.authenticate(client.session, READ)
    assert [each.principal.name for each in server.expire()] == ["operator"]
    with pytest.raises(UnknownSessionError):
        server.authenticate(client.session, READ)


def test_a_clock_set_back_does_not_lengthen_a_session_nor_one_set_forward_end_it(server, client, clock):
    clock.jump(20 * 3600)
    server.authenticate(client.session, READ)
    clock.jump(-40 * 3600)
    clock.advance(12 * 3600)
    with pytest.raises(SessionExpiredError):
        server.authenticate(client.session, READ)


def test_logout(server, client):
    assert server.logout(client.session)
    assert not server.logout(client.session)
    assert not server.logout("zz")
    for text in (client.session, "", "zz", "00" * 16):
        with pytest.raises(UnknownSessionError):
            server.authenticate(text, READ)
    with pytest.raises(UnknownSessionError):
        server.open(client.seal(SELECT, REQUEST), SELECT, client.session)


def test_rights(server, new_client):
    viewer = new_client("viewer")
    viewer.accept(server.login(viewer.login_request())[0])
    server.authenticate(viewer.session, READ)
    with pytest.raises(UnauthorisedError):
        server.open(viewer.seal(SELECT, REQUEST), SELECT, viewer.session)
    with pytest.raises(UnauthorisedError):
        server.authenticate(viewer.session, "/scadapb.v1.Replay/Start")
    with pytest.raises(UnauthorisedError):
        server.authenticate(viewer.session, "/no/such")


def test_login_replayed(server, new_client):
    request = new_client().login_request()
    server.login(request)
    with pytest.raises(ReplayedError):
        server.login(request)
    assert len(server.sessions()) == 1


def test_old_login(server, new_client, clock):
    request = new_client().login_request()
    clock.advance(31)
    with pytest.raises(TimeWindowError):
        server.login(request)


def test_login_for_another_site(server, new_client):
    with pytest.raises(WrongRecipientError):
        server.login(new_client(site="other").login_request())


def test_foreign_and_unknown_identities(server, keys, clock, made_keys):
    from scada.security.identities import init_identities

    foreign = keys.parent / "foreign"
    init_identities(foreign, clock)
    issue_identity(keys, "stranger", ["OPERATOR"], clock)
    authority = load_authority(made_keys)
    for identity in (load_identity(foreign, "operator", clock), load_identity(keys, "stranger", clock)):
        with pytest.raises(UntrustedError):
            server.login(SessionClient(identity, "demo", authority, clock).login_request())


def test_certificate_of_another_with_own_key(server, made_keys, clock):
    stolen = Identity(load_identity(made_keys, "operator", clock).certificate, Sm2Key.generate())
    with pytest.raises(WrongSenderError):
        server.login(SessionClient(stolen, "demo", load_authority(made_keys), clock).login_request())


def test_expired_certificate(server, new_client, clock):
    client = new_client()
    clock.advance(2 * 365 * 86400)
    with pytest.raises(UntrustedError, match="expired"):
        server.login(client.login_request())


def test_session_ends_with_the_certificate(server, keys, clock, made_keys):
    issue_identity(keys, "operator", ["OPERATOR"], clock, years=1 / 365 / 24)  # one hour
    client = SessionClient(load_identity(keys, "operator", clock), "demo", load_authority(made_keys), clock)
    told = client.accept(server.login(client.login_request())[0])
    assert told.expires_ns - clock.now_ns() <= 3600 * NS_PER_S
    clock.advance(3601)
    with pytest.raises(SessionExpiredError):
        server.authenticate(client.session, READ)


def test_identity_without_a_role_cannot_log_in(keys, clock, new_client):
    table = keys / "roles.toml"
    table.write_text(table.read_text().replace('roles = ["OPERATOR"]', 'roles = ["SECADM"]'))
    server = SessionServer(site="demo", identity=load_identity(keys, "server", clock), trust=Trust(keys), clock=clock)
    with pytest.raises(UnauthorisedError, match="no role"):
        server.login(new_client().login_request())


def test_another_identity_cannot_play_the_server(made_keys, clock, new_client):
    """A valid certificate of the same authority, but not a server's."""
    false = SessionServer(
        site="demo",
        identity=load_identity(made_keys, "dispatcher", clock),
        trust=Trust(made_keys),
        clock=clock,
    )
    client = new_client()
    with pytest.raises(UntrustedError, match="not signed by a server"):
        client.accept(false.login(client.login_request())[0])


def test_answer_to_another_login(server, new_client):
    first, second = new_client(), new_client()
    answer, _ = server.login(first.login_request())
    second.login_request()
    with pytest.raises(UntrustedError, match="not to our request"):
        second.accept(answer)


@pytest.mark.parametrize("station", ["x" * 65, "desk\x1b[2J"])
def test_workstation_that_cannot_be_shown(server, made_keys, clock, station):
    client = SessionClient(load_identity(made_keys, "operator", clock), "demo", load_authority(made_keys), clock, station=station)
    with pytest.raises(MalformedError, match="workstation"):
        server.login(client.login_request())


def test_client_without_a_login(new_client, server):
    client = new_client()
    with pytest.raises(UnknownSessionError):
        client.seal(SELECT, REQUEST)
    with pytest.raises(UnknownSessionError):
        client.accept(b"")


def test_too_long(server, client):
    with pytest.raises(MalformedError, match="more than"):
        server.open(client.seal(SELECT, pb.SelectRequest(control="x" * 300_000)), SELECT, client.session)


def test_sessions_of_one_identity_are_bounded(server, new_client):
    clients = [new_client() for _ in range(34)]
    for each in clients:
        each.accept(server.login(each.login_request())[0])
    assert len(server.sessions()) == 32
    with pytest.raises(UnknownSessionError):
        server.authenticate(clients[0].session, READ)
    server.authenticate(clients[-1].session, READ)


def test_many_threads_seal_and_open_each_number_once(server, client):
    accepted, refused = [], []

    def work():
        for _ in range(8):
            sealed = client.seal(SELECT, REQUEST)
            for _ in range(2):
                try:
                    server.open(sealed, SELECT, client.session)
                    accepted.append(1)
                except ReplayedError:
                    refused.append(1)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(accepted), len(refused)) == (48, 48)


@given(st.lists(st.integers(-5, 4000), max_size=300))
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_sequence_window_against_a_set(numbers):
    window, seen, highest = SequenceWindow(), set(), 0
    for number in numbers:
        expected = number > 0 and number not in seen and number > highest - 1024
        assert window.is_fresh(number) == expected
        assert window.admit(number) == expected
        if expected:
            seen.add(number)
            highest = max(highest, number)


def test_window_slides_far():
    window = SequenceWindow()
    numbers = list(range(1, 5000))
    random.Random(1).shuffle(numbers)
    admitted = [number for number in numbers if window.admit(number)]
    assert len(admitted) == len(set(admitted))
    assert window.admit(10**12)
    assert not window.admit(4999)
