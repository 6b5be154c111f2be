"""Threat table: altered message, replay and confusion on the way back: the seals of replies."""

from __future__ import annotations

import threading

import pytest
from hypothesis import HealthCheck, given, settings
from scadapb.v1 import scada_pb2 as pb

from scada.core.errors import SecurityError
from scada.security.envelope import BadSealError
from scada.security.session import SessionPolicy
from scada.security.sm2 import Sm2Key
from tests.security.session_rig import READ, SELECT, Rig
from tests.security.test_threats_messages import CHANGES, mutate

REPLY = pb.ControlReply(sequence_id="7", code="selected").SerializeToString()


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "secrecy"])
def rig(made_keys, request):
    return Rig(made_keys, SessionPolicy(secrecy=request.param))


@pytest.fixture(scope="module")
def client(rig):
    return rig.login()


def test_a_reply_comes_through_and_who_does_not_check_skips_the_seal(rig, client):
    sealed = rig.sealer(client).seal(REPLY)
    assert rig.reader(client).open(sealed) == REPLY
    skipped = pb.ControlReply.FromString(sealed)
    skipped.DiscardUnknownFields()
    assert skipped == (pb.ControlReply() if rig.policy.secrecy else pb.ControlReply.FromString(REPLY))
    assert rig.policy.secrecy != (REPLY in sealed)
    assert rig.reader(client).open(rig.sealer(client).seal(b"")) == b""


def test_altered_reply_every_bit(rig, client):
    for signed in (False, True):
        sealed = rig.sealer(client, SELECT).seal(REPLY, rig.server.signer(rig.server.find(client.session)) if signed else None)
        reader = rig.reader(client, SELECT, signed=signed)
        for bit in range(len(sealed) * 8):
            flipped = bytearray(sealed)
            flipped[bit // 8] ^= 1 << bit % 8
            with pytest.raises(BadSealError):
                reader.open(bytes(flipped))
        assert reader.open(sealed) == REPLY


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(changes=CHANGES)
def test_altered_reply_mutations(rig, client, changes):
    sealed = rig.sealer(client).seal(REPLY)
    changed = mutate(changes, sealed)
    if changed != sealed:
        with pytest.raises(SecurityError):
            rig.reader(client).open(changed)


def test_unsealed_and_unenciphered_replies(rig, client):
    reader = rig.reader(client)
    for bare in (b"", REPLY, rig.sealer(client).seal(REPLY)[:-1]):
        with pytest.raises(BadSealError, match="not sealed"):
            reader.open(bare)
    sealer = rig.sealer(client)
    sealer._secrecy = False
    if rig.policy.secrecy:
        with pytest.raises(BadSealError, match="not enciphered"):
            reader.open(sealer.seal(REPLY))


def test_a_reply_to_an_order_must_be_signed_by_the_server(rig, client):
    reader = rig.reader(client, SELECT, signed=True)
    with pytest.raises(BadSealError):
        reader.open(rig.sealer(client, SELECT).seal(REPLY))
    with pytest.raises(BadSealError, match="not signed by the server"):
        reader.open(rig.sealer(client, SELECT).seal(REPLY, Sm2Key.generate()))
    assert reader.open(rig.sealer(client, SELECT).seal(REPLY, rig.server.signer(rig.server.find(client.session)))) == REPLY


def test_a_reply_to_another_request_method_or_session(rig, client):
    other = rig.login("viewer")
    for sealer in (rig.sealer(client, READ, b"another"), rig.sealer(client, SELECT), rig.sealer(other)):
        with pytest.raises(BadSealError, match="wrong seal"):
            rig.reader(client).open(sealer.seal(REPLY))


def test_replayed_and_reordered_replies(rig, client):
    sealer = rig.sealer(client)
    first, second, third = (sealer.seal(bytes((number,))) for number in range(3))
    stream = rig.reader(client)
    stream.open(first)
    stream.open(third)
    for late in (second, first, third):
        with pytest.raises(BadSealError, match="out of order"):
            stream.open(late)
    with pytest.raises(BadSealError, match="came before"):
        rig.reader(client).open(third)
    assert rig.reader(client).open(second) == b"\x01"  # a call beside it that was slower


def test_no_number_is_used_twice_by_many_threads(rig):
    """The same number twice under one key would give the text of both away (SM4-GCM)."""
    client = rig.login()
    sealed: list[list[bytes]] = [[] for _ in range(8)]
    barrier = threading.Barrier(8)

    def work(mine):
        sealer = rig.sealer(client)
        barrier.wait()
        mine.extend(sealer.seal(b"x") for _ in range(200))

    threads = [threading.Thread(target=work, args=(mine,)) for mine in sealed]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    numbers = [int.from_bytes(each[-24:-16], "little") for mine in sealed for each in mine]
    assert len(set(numbers)) == len(numbers) == 1600
    assert sorted(numbers) == list(range(1, 1601))
    for mine in sealed:
        reader = rig.reader(client)
        assert {reader.open(each) for each in mine} == {b"x"}


def test_orders_of_many_threads_have_numbers_of_their_own(rig):
    client = rig.login()
    numbers: list[int] = []

    def work():
        for _ in range(30):
            header = pb.Header.FromString(pb.Signed.FromString(client.seal(READ, pb.ReadRequest())).header)
            numbers.append(header.sequence)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == list(range(1, 181))


def test_a_shared_message_is_the_same_for_all_but_for_the_seal(made_keys):
    rig = Rig(made_keys)
    clients = [rig.login("viewer") for _ in range(3)]
    frame = bytes(range(256)) * 40
    sealed = [rig.sealer(each).seal(frame, shared=True) for each in clients]
    assert all(each.startswith(frame) and len(each) == len(frame) + 27 for each in sealed)
    assert len({each[len(frame) :] for each in sealed}) == 3
    for client, each in zip(clients, sealed, strict=True):
        assert rig.reader(client).open(each) == frame
