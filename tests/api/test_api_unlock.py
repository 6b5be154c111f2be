"""The operator station over a session that only looks: it says so, and acts again only when it is asked to."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import grpc
import pytest
from scada_hmi.methods import allowed_methods
from scada_hmi.tunnel import Kind, Tunnel, pack
from scada_hmi.upstream import ServerLink
from scadapb.v1 import scada_pb2 as pb

from scada.api.faults import CallError

SET_MODE = allowed_methods()["/scadapb.v1.Control/SetMode"]


@pytest.fixture
def policy(sessions):
    """Sets what the site demands."""

    def change(**values):
        sessions.policy = sessions._locks._policy = replace(sessions.policy, **values)

    return change


async def order(link):
    """One signed call as the page makes it."""

    async def messages():
        yield pb.Signed(body=pb.SetModeRequest(agc="on").SerializeToString()).SerializeToString()

    return [pb.ModeReply.FromString(reply).accepted async for reply in link.call(SET_MODE, messages())]


@pytest.fixture
async def link(operator):
    return ServerLink(operator, "server", "operator")


@pytest.fixture
def told(link):
    """Locks that the page was told."""
    locks = []
    link.on_state(lambda state: locks.append(state.lock))
    return locks


async def unlock(link):
    """Status of an unlock of the page."""

    async def send(_: bytes) -> None: ...

    tunnel = Tunnel(link, {}, send)
    tunnel.receive(pack(Kind.UNLOCK, 1))
    ended = await asyncio.wait_for(tunnel.outbox.get(), 10)
    assert ended[0] == Kind.END
    return ended[5]


async def test_an_idle_station_acts_again_when_it_is_unlocked(operator, sessions, clock, policy, link, told):
    policy(idle_s=1800.0)
    before = operator.session.session
    assert await order(link) == [True]
    clock.advance(1801)
    for _ in range(2):  # it never unlocks by itself
        with pytest.raises(CallError) as caught:
            await order(link)
        assert caught.value.code == "idle_locked"
    assert (told[-1], (await link._look()).lock) == ("idle_locked", "idle_locked")
    assert await unlock(link) == 0
    assert (told[-1], (await link._look()).lock) == ("", "")
    assert await order(link) == [True]
    assert before not in [each.identifier.hex() for each in sessions.sessions()]


async def test_a_superseded_station_takes_over_when_it_is_unlocked(operator, connect, backend, policy, link, told):
    policy(one_control_session=True)
    operator.session._station = "desk 1"
    await unlock(link)
    other = await connect("operator")
    event = [each for each in backend.stored if each.key == "security.superseded"][-1]
    assert event.parameters == {"name": "operator", "station": "test", "elsewhere": "desk 1"}
    assert [row.reason for row in backend.audit.told if row.step == "login"][-1] == "only looks: desk 1"
    with pytest.raises(CallError) as caught:
        await order(link)
    assert (caught.value.code, told[-1]) == ("superseded", "superseded")
    await unlock(link)
    assert await order(link) == [True]
    with pytest.raises(CallError, match="logged in at desk 1"):
        await other.signed("Control/SetMode", pb.SetModeRequest(agc="on"))


async def test_a_refused_unlock_is_told(operator, sessions, link, monkeypatch):
    def refuse(*_):
        raise CallError(grpc.StatusCode.UNAUTHENTICATED, "untrusted", "revoked")

    monkeypatch.setattr(sessions, "login", refuse)
    assert await unlock(link) == grpc.StatusCode.UNAUTHENTICATED.value[0]


async def test_the_watch_over_the_server_survives_what_nobody_foresaw(operator, link, monkeypatch):
    states, told = [], asyncio.Event()
    link.on_state(lambda state: (states.append(state.state), told.set()))
    call = operator.call

    async def broken(*_, **__):
        raise RuntimeError("odd")

    monkeypatch.setattr("scada_hmi.upstream.CHECK_S", 0.001)
    async with asyncio.timeout(20), link:
        for wanted, answer in (("up", call), ("refused", broken), ("up", call)):
            monkeypatch.setattr(operator, "call", answer)
            while states[-1] != wanted:
                told.clear()
                await told.wait()
    assert states == ["connecting", "up", "refused", "up"]
