"""Threat table: altered message, type or context confusion, replayed set-point."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scadapb.v1 import scada_pb2 as pb

from scada.core.errors import SecurityError
from scada.security.envelope import (
    BadMacError,
    EnvelopeError,
    MalformedError,
    ReplayedError,
    TimeWindowError,
    UnknownSessionError,
    WrongAlgorithmError,
    WrongMethodError,
    WrongRecipientError,
    WrongSenderError,
)
from scada.security.session import SessionPolicy
from tests.security.session_rig import EXECUTE, READ, REQUEST, SELECT, Rig

FUZZ = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "secrecy"])
def rig(made_keys, request):
    return Rig(made_keys, SessionPolicy(secrecy=request.param))


@pytest.fixture(scope="module")
def client(rig):
    return rig.login()


CHANGES = st.lists(
    st.tuples(st.sampled_from(["set", "drop", "put", "cut", "swap"]), st.integers(0, 1 << 16), st.integers(0, 255)),
    min_size=1,
    max_size=4,
)


def mutate(changes, original: bytes) -> bytes:
    """What a few changes of bytes make of a message."""
    changed = bytearray(original)
    for what, where, value in changes:
        at = where % max(len(changed), 1)
        match what:
            case "set" if changed:
                changed[at] = value
            case "drop" if changed:
                del changed[at]
            case "put":
                changed.insert(at, value)
            case "cut":
                del changed[at:]
            case "swap" if len(changed) > 8:
                changed[at : at + 4], changed[:4] = changed[:4], changed[at : at + 4]
    return bytes(changed)


def fields_of(kind, message: bytes):
    """The declared fields: an unknown one beside them is outside of what is signed, and means nothing."""
    parsed = kind.FromString(message)
    parsed.DiscardUnknownFields()
    return parsed.SerializeToString(deterministic=True)


def test_altered_message_every_bit_of_an_order(rig, client):
    sealed = client.seal(SELECT, REQUEST)
    for bit in range(len(sealed) * 8):
        flipped = bytearray(sealed)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(EnvelopeError):
            rig.open(client, bytes(flipped))
    assert rig.open(client, sealed)[1] == REQUEST.SerializeToString()


def test_altered_message_every_bit_of_a_renewal_and_its_answer(rig):
    client = rig.login()
    request = client.rekey_request()
    for bit in range(0, len(request) * 8, 5):
        flipped = bytearray(request)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(EnvelopeError):
            rig.server.rekey(bytes(flipped), client.session)
    reply = rig.server.rekey(request, client.session)
    for bit in range(0, len(reply) * 8, 5):
        flipped = bytearray(reply)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SecurityError):
            client.accept_rekey(bytes(flipped))
    client.accept_rekey(reply)
    rig.open(client, client.seal(SELECT, REQUEST))


@FUZZ
@given(changes=CHANGES)
def test_altered_message_mutated_orders(rig, client, changes):
    sealed = client.seal(SELECT, REQUEST)
    changed = mutate(changes, sealed)
    try:
        _, body = rig.open(client, changed)
    except EnvelopeError:
        return
    assert fields_of(pb.Signed, changed) == fields_of(pb.Signed, sealed)
    assert body == REQUEST.SerializeToString()


@FUZZ
@given(changes=CHANGES)
def test_altered_message_mutated_logins(rig, changes):
    client = rig.client()
    request = client.login_request()
    changed = mutate(changes, request)
    try:
        rig.server.login(changed)
    except EnvelopeError:
        return
    assert fields_of(pb.Signed, changed) == fields_of(pb.Signed, request)


@FUZZ
@given(changes=CHANGES)
def test_altered_message_mutated_renewals(rig, client, changes):
    request = client.rekey_request()
    changed = mutate(changes, request)
    epoch = rig.server.find(client.session).ring.epoch
    try:
        reply = rig.server.rekey(changed, client.session)
    except EnvelopeError:
        assert rig.server.find(client.session).ring.epoch == epoch
        return
    assert fields_of(pb.Signed, changed) == fields_of(pb.Signed, request)
    if changed == request:
        client.accept_rekey(reply)
    else:  # the client asked with other bytes and must not believe the answer; it logs in again
        with pytest.raises(SecurityError):
            client.accept_rekey(reply)
        client.accept(rig.server.login(client.login_request())[0])


def test_altered_message_swapped_headers_and_bodies(rig, client):
    one = pb.Signed.FromString(client.seal(SELECT, REQUEST))
    two = pb.Signed.FromString(client.seal(SELECT, pb.SelectRequest(control="c-2", value=1.0)))
    for header, body, sig, mac in ((one, two, one, one), (one, two, two, two), (two, one, one, two), (two, two, one, two)):
        mixed = pb.Signed(header=header.header, body=body.body, sig=sig.sig, mac=mac.mac)
        if mixed.SerializeToString() in (one.SerializeToString(), two.SerializeToString()):
            continue
        with pytest.raises(BadMacError):
            rig.open(client, mixed.SerializeToString())


@pytest.mark.parametrize("shift", [-3, -1, 1, 3])
def test_context_confusion_length_boundary(rig, client, shift):
    signed = pb.Signed.FromString(client.seal(SELECT, REQUEST))
    joined, at = signed.header + signed.body, len(signed.header) + shift
    signed.header, signed.body = joined[:at], joined[at:]
    with pytest.raises(EnvelopeError):
        rig.open(client, signed.SerializeToString())


def test_context_confusion_algorithms(made_keys):
    """A site that demands secrecy takes no plain order, and the other way round; unknown algorithms nowhere."""
    plain, secret = Rig(made_keys), Rig(made_keys, SessionPolicy(secrecy=True))
    for rig in (plain, secret):
        client = rig.login()
        client._state.secrecy = not client._state.secrecy
        with pytest.raises(WrongAlgorithmError):
            rig.open(client, client.seal(SELECT, REQUEST))
        signed = pb.Signed.FromString(client.seal(SELECT, REQUEST))
        header = pb.Header.FromString(signed.header)
        for algorithm in (0, 1, 2, 3, 6, 1 << 31):
            header.algorithm = algorithm
            signed.header = header.SerializeToString()
            with pytest.raises(MalformedError):
                rig.open(client, signed.SerializeToString())


def test_secrecy_hides_body_and_signature_and_leaves_evidence(made_keys):
    rig = Rig(made_keys, SessionPolicy(secrecy=True))
    client = rig.login()
    sealed = client.seal(SELECT, REQUEST)
    assert b"2211" not in sealed
    assert b"2211" in Rig(made_keys).login().seal(SELECT, REQUEST)
    assert pb.Signed.FromString(sealed).sig == b""
    order = rig.server.prove(sealed, SELECT, client.session)
    kept = pb.Signed.FromString(order.evidence)
    assert kept.body == REQUEST.SerializeToString()
    pae = b"SCADAv1\0" + len(kept.header).to_bytes(4, "little") + len(kept.body).to_bytes(4, "little") + kept.header + kept.body
    assert order.session.certificate.public_key.verify(kept.sig, pae)


def test_replayed_setpoint_on_the_same_and_a_new_connection(rig, client):
    sealed = client.seal(SELECT, REQUEST)
    rig.open(client, sealed)
    with pytest.raises(ReplayedError):
        rig.open(client, sealed)
    other = rig.login()
    with pytest.raises(WrongSenderError):  # under the new session
        rig.open(other, sealed)
    with pytest.raises(ReplayedError):  # under its own, which still lives
        rig.server.open(sealed, SELECT, client.session)


def test_replayed_setpoint_by_another_method_and_reordered(rig, client):
    sealed = [client.seal(SELECT, REQUEST) for _ in range(5)]
    with pytest.raises(WrongMethodError):
        rig.open(client, sealed[0], EXECUTE)
    for number in (3, 1, 4, 0):
        rig.open(client, sealed[number])
    for number in (0, 1, 3, 4):
        with pytest.raises(ReplayedError):
            rig.open(client, sealed[number])


def test_replayed_setpoint_after_a_restart_and_to_another_server(made_keys):
    rig, other = Rig(made_keys), Rig(made_keys, site="elsewhere")
    client = rig.login()
    sealed = client.seal(SELECT, REQUEST)
    with pytest.raises(WrongRecipientError):
        other.server.open(sealed, SELECT, client.session)
    rig.start()
    with pytest.raises(UnknownSessionError):
        rig.open(client, sealed)


def test_replayed_login_after_a_restart(made_keys):
    """Its answer would give the session id away, by which one may read."""
    rig = Rig(made_keys)
    rig.advance(5.0)
    client = rig.client()
    request = client.login_request()
    rig.server.login(request)
    rig.advance(1.0)
    rig.start()
    with pytest.raises(TimeWindowError):
        rig.server.login(request)
    assert rig.server.sessions() == []
    rig.login()


def test_a_login_envelope_is_no_order_and_an_order_no_login(rig, client):
    with pytest.raises(EnvelopeError):
        rig.open(client, client.login_request(), "/scadapb.v1.Session/Login")
    with pytest.raises(EnvelopeError):
        rig.server.login(client.seal("/scadapb.v1.Session/Login", REQUEST))
    with pytest.raises(EnvelopeError):
        rig.server.rekey(client.seal(READ, REQUEST), client.session)


@pytest.mark.parametrize("with_challenge", [False, True])
def test_a_login_is_not_replayed_in_another_wrapping(made_keys, with_challenge):
    """What is signed is header and body: the same two in other bytes around them are the same login."""
    rig = Rig(made_keys)
    challenge = rig.server.challenge().challenge if with_challenge else b""
    login = rig.client().login_request(challenge)
    rig.server.login(login)
    signed = pb.Signed.FromString(login)
    backwards = pb.Signed(sig=signed.sig).SerializeToString() + pb.Signed(body=signed.body).SerializeToString()
    for same in (login, login + b"\xa0\x06\x01", backwards + pb.Signed(header=signed.header).SerializeToString()):
        with pytest.raises(EnvelopeError) as caught:
            rig.server.login(same)
        assert caught.value.code in ("replayed", "unknown_challenge")
    assert len(rig.server.sessions()) == 1


def test_a_login_is_short(rig):
    """It is kept as evidence: nobody fills the disk with what stands around a good one."""
    padded = rig.client().login_request() + b"\xa2\x06\xff\x7f" + bytes(0x3FFF)
    with pytest.raises(MalformedError, match="more than"):
        rig.server.login(padded)
