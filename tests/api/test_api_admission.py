"""What passes before the gate: versions of TLS, allowances of peers, time limits; without a server."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from scada.api import admission as module
from scada.api.admission import BURST_S, CALLS_OF_A_PEER, FORGERY_COST, REFUSALS_PER_S, TOLD_SINGLY, Admission
from scada.core.clock import SystemClock, VirtualClock
from scada.core.settings import ApiSettings
from scada.security.tls_identities import FILES, init_tls
from scada.security.tls_trust import TlsTrust, peer_certificate

PATH = "/scadapb.v1.Control/Select"


class AbortedError(grpc.aio.AbortError):
    """What a real context raises."""


class Context:
    """As much of a call as the admission asks for."""

    def __init__(self, address="ipv4:10.0.0.1:5000", *, pem=b"", version="TLSv1.3", remaining=10.0):
        self.address, self.pem, self.version, self.remaining = address, pem, version, remaining
        self.status = self.code = None
        self.messages = []

    async def read(self):
        return self.messages.pop(0) if self.messages else grpc.aio.EOF

    def auth_context(self):
        return {"x509_pem_cert": [self.pem], "ssl_tls_version": [self.version.encode()]} if self.pem else {}

    def peer(self):
        return self.address

    def time_remaining(self):
        return self.remaining

    async def abort(self, status, details, trailing_metadata):
        self.status, self.code = status, dict(trailing_metadata)["scada-code"]
        raise AbortedError(details)


async def answer(raw, context):
    return raw


def guarded(admission, inner=answer, path=PATH):
    behaviour = admission.guard(path, grpc.unary_unary_rpc_method_handler(inner)).stream_unary

    async def call(raw, context):
        context.messages.append(raw)
        return await behaviour(None, context)

    return call


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    init_tls(folder, ["server", "operator"], SystemClock().now_ns())
    return TlsTrust(folder)


@pytest.fixture
def told():
    return []


@pytest.fixture
def closed():
    """Addresses whose connections were closed."""
    return []


@pytest.fixture
def waited():
    """How long each refusal waited, s."""
    return []


@pytest.fixture
def make(monkeypatch, told, closed, waited):
    """An admission on a driven clock, whose refusals do not really wait."""
    sleep = asyncio.sleep

    async def wait(seconds):
        waited.append(seconds)
        await sleep(0)

    monkeypatch.setattr(module.asyncio, "sleep", wait)

    def one(tls=None, *, orders=True, **settings):
        clock = VirtualClock() if tls is None else SystemClock()
        admission = Admission(
            ApiSettings(**settings),
            tls,
            lambda *report: told.append(report),
            orders=orders,
            clock=clock,
            close=lambda port, address: closed.append(address) or True,
        )
        admission.advance = clock.advance if tls is None else None
        return admission

    return one


@pytest.mark.parametrize(("version", "code"), [("TLSv1.2", "tls_version"), ("", "tls_version"), ("TLSv1.3", None)])
async def test_older_tls_is_refused_before_anything(make, tls, version, code):
    context = Context(pem=FILES.certificate(tls.folder, "operator").read_bytes(), version=version)
    acted = []

    async def act(raw, context):
        acted.append(raw)
        return raw

    call = guarded(make(tls), act)(b"x", context)
    if code is None:
        assert await call == b"x"
        return
    with pytest.raises(AbortedError):
        await call
    assert (context.status, context.code, acted) == (grpc.StatusCode.UNAUTHENTICATED, code, [])


async def test_a_connection_without_a_certificate_is_refused(make, tls):
    context = Context()
    with pytest.raises(AbortedError):
        await guarded(make(tls))(b"x", context)
    assert context.code == "no_certificate"


async def test_a_certificate_that_cannot_be_read_is_refused(make, tls):
    context = Context(pem=b"-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----\n")
    with pytest.raises(AbortedError):
        await guarded(make(tls))(b"x", context)
    assert context.code == "tls_refused"


async def test_a_peer_has_its_allowance_and_no_more(make, told):
    admission = make(orders_per_s=2.0)
    call = guarded(admission)
    for number in range(int(2 * BURST_S)):
        assert await call(b"x", Context(f"ipv4:10.0.0.1:{number}")) == b"x", "another port is the same peer"
    over = Context()
    with pytest.raises(AbortedError):
        await call(b"x", over)
    assert (over.status, over.code) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "rate_limited")
    assert await call(b"x", Context("ipv4:10.0.0.2:5000")) == b"x", "others do not pay"
    admission.advance(0.5)
    assert await call(b"x", Context()) == b"x"
    with pytest.raises(AbortedError):
        await call(b"x", Context())
    admission.report()
    assert [(peer.address, dict(kinds), gone) for peer, kinds, gone in told] == [("ipv4:10.0.0.1:0", {"orders": 2}, 0)]
    admission.report()
    assert len(told) == 1, "told once"


async def test_logins_orders_and_views_do_not_use_up_each_other(make):
    admission = make(logins_per_s=0.2, orders_per_s=2.0)
    login = guarded(admission, path="/scadapb.v1.Session/Login")
    assert await login(b"x", Context()) == b"x"
    with pytest.raises(AbortedError):
        await login(b"x", Context())
    assert await guarded(admission)(b"x", Context()) == b"x"


async def test_peers_behind_one_address_are_told_apart_by_certificate(make, tls):
    admission = make(tls, orders_per_s=0.2)
    call = guarded(admission)
    operator, server = (FILES.certificate(tls.folder, name).read_bytes() for name in ("operator", "server"))
    assert await call(b"x", Context(pem=operator)) == b"x"
    with pytest.raises(AbortedError):
        await call(b"x", Context(pem=operator))
    assert await call(b"x", Context(pem=server)) == b"x"


@pytest.mark.parametrize("remaining", [None, 1e6])
async def test_a_call_without_a_deadline_gets_one(make, remaining):
    async def forever(raw, context):
        await asyncio.Event().wait()

    context = Context(remaining=remaining)
    with pytest.raises(AbortedError):
        await guarded(make(call_s=0.01), forever)(b"x", context)
    assert context.status is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_peer_that_opens_too_many_calls_is_refused_and_gets_them_back(make, told):
    gate = asyncio.Event()

    async def wait(raw, context):
        await gate.wait()
        return raw

    admission = make(orders_per_s=1e6)
    call = guarded(admission, wait)
    standing = [asyncio.create_task(call(b"x", Context())) for _ in range(CALLS_OF_A_PEER)]
    await asyncio.sleep(0)
    over = Context()
    with pytest.raises(AbortedError):
        await call(b"x", over)
    assert over.code == "rate_limited"
    other = asyncio.create_task(call(b"y", Context("ipv4:10.0.0.2:1")))
    gate.set()
    assert await other == b"y"
    await asyncio.gather(*standing)
    assert await call(b"x", Context()) == b"x"
    admission.report()
    assert [dict(kinds) for _, kinds, _ in told] == [{"calls": 1}]


def test_reading_a_certificate_twice_costs_nothing(tls):
    pem = FILES.certificate(tls.folder, "operator").read_bytes()
    assert peer_certificate(pem) is peer_certificate(bytes(pem))


async def outrun(call, calls, *, address="ipv4:10.0.0.1:5000", pem=b"", code="rate_limited"):
    """So many calls at once; how many of them were answered with a refusal, the others lost their connection."""
    contexts = [Context(address, pem=pem) for _ in range(calls)]
    ends = await asyncio.gather(*(call(b"x", context) for context in contexts), return_exceptions=True)
    assert all(isinstance(end, AbortedError | asyncio.CancelledError) for end in ends)
    assert {context.code for context in contexts} <= {code, None}
    return sum(isinstance(end, AbortedError) for end in ends)


async def test_refusals_of_one_peer_come_one_after_the_other_and_what_is_too_much_costs_the_connection(
    make, told, closed, waited
):
    admission = make(orders_per_s=0.2)
    call = guarded(admission)
    assert await call(b"x", Context()) == b"x"
    most = round((module.LONGEST_WAIT_S - module.PENALTY_S) * REFUSALS_PER_S) + 1
    assert await outrun(call, most) == most
    assert closed == []
    assert waited == pytest.approx([module.PENALTY_S + number / REFUSALS_PER_S for number in range(most)])
    assert await outrun(call, 100, address="ipv4:10.0.0.1:5001") == 0
    assert closed == ["ipv4:10.0.0.1:5001"], "that one, and once"
    assert await guarded(admission)(b"x", Context("ipv4:10.0.0.2:1")) == b"x", "others do not pay"
    admission.report()
    ((_, kinds, gone),) = told
    assert (dict(kinds), gone) == ({"orders": most + 100}, 1)
    admission.advance(module.LONGEST_WAIT_S)
    assert await call(b"x", Context("ipv4:10.0.0.1:5002")) == b"x", "in seconds all is as before"
    waited.clear()
    assert await outrun(call, 1) == 1
    assert waited == [module.PENALTY_S]


async def test_what_cannot_be_closed_waits_longest(make, monkeypatch, waited):
    admission = make(orders_per_s=0.2)
    admission._close = lambda port, address: False
    call = guarded(admission)
    await call(b"x", Context())
    most = round((module.LONGEST_WAIT_S - module.PENALTY_S) * REFUSALS_PER_S) + 1
    assert await outrun(call, most + 2) == most + 2
    assert waited[-2:] == [module.LONGEST_WAIT_S] * 2


async def test_a_revoked_certificate_that_calls_without_end_loses_its_connections(make, tls, told, closed, waited, monkeypatch):
    monkeypatch.setattr(tls, "refusal", lambda peer, now_ns: "revoked")
    admission = make(tls)
    admission._clock = VirtualClock(SystemClock().now_ns())
    pem = FILES.certificate(tls.folder, "operator").read_bytes()
    call = guarded(admission)
    assert await outrun(call, 1, pem=pem, code="tls_refused") == 1
    assert waited == [pytest.approx(0.0)], "it is told at once why"
    admission.report()
    assert told == []
    await outrun(call, round(module.LONGEST_WAIT_S * REFUSALS_PER_S) + 200, pem=pem, code="tls_refused")
    assert closed == ["ipv4:10.0.0.1:5000"]


async def test_a_call_without_its_message_counts_and_ends(make):
    """Not even read by grpc before: calls whose message never came used up the calls of everybody."""
    admission = make(call_s=0.01, orders_per_s=1e6)
    behaviour = admission.guard(PATH, grpc.unary_unary_rpc_method_handler(answer)).stream_unary

    class Silent(Context):
        async def read(self):
            await asyncio.Event().wait()

    silent = [Silent(remaining=None) for _ in range(CALLS_OF_A_PEER)]
    standing = [asyncio.create_task(behaviour(None, context)) for context in silent]
    await asyncio.get_running_loop().run_in_executor(None, lambda: None)
    assert await outrun(guarded(admission), 1) == 1
    await asyncio.gather(*standing, return_exceptions=True)
    assert {context.status for context in silent} == {grpc.StatusCode.DEADLINE_EXCEEDED}
    ended = Context()
    with pytest.raises(AbortedError):
        await behaviour(None, ended)
    assert ended.code == "malformed"


async def test_forged_messages_cost_more_and_are_told_singly_only_at_first(make, told):
    admission = make(orders_per_s=30.0)
    call = guarded(admission)
    singly = []

    async def forge(raw, context):
        singly.append(admission.refused(module.peer_of(context), PATH, forged=True))
        raise AbortedError

    forged = guarded(admission, forge)
    most = round(30.0 * BURST_S / FORGERY_COST)
    for _ in range(most):
        with pytest.raises(AbortedError):
            await forged(b"x", Context())
    with pytest.raises(AbortedError, match="asks too much"):
        await call(b"x", Context())
    assert sum(singly) == TOLD_SINGLY
    admission.report()
    assert [dict(kinds) for _, kinds, _ in told] == [{"forged": most - TOLD_SINGLY, "orders": 1}]
    admission.advance(1.0)
    assert await call(b"x", Context()) == b"x"


async def test_other_refusals_cost_a_call_and_are_counted_in_the_same_way(make, told):
    admission = make(orders_per_s=30.0)
    assert await guarded(admission)(b"x", Context()) == b"x"
    told_singly = [admission.refused(module.Peer("ipv4:10.0.0.1:5000"), PATH, forged=False) for _ in range(TOLD_SINGLY + 3)]
    assert told_singly == [True] * TOLD_SINGLY + [False] * 3
    admission.report()
    assert [dict(kinds) for _, kinds, _ in told] == [{"refused": 3}]
    for _ in range(round(30.0 * BURST_S) - 1):
        assert await guarded(admission)(b"x", Context()) == b"x"


async def test_a_refusal_that_reaches_nobody_is_no_error(make):
    """grpc would write a traceback for each."""
    admission = make(orders_per_s=0.2)
    call = guarded(admission)
    await call(b"x", Context())
    gone = Context()

    async def abort(*arguments, **more):
        raise RuntimeError("the batch failed")

    gone.abort = abort
    with pytest.raises(asyncio.CancelledError):
        await call(b"x", gone)
