"""The service History over real loopback gRPC."""

from __future__ import annotations

import pytest
from scadapb.v1 import scada_pb2 as pb

from scada.api import history_services
from scada.api.faults import CallError


def late(pid=2, times=(5, 6), values=(1.0, 2.0), quality=(0, 0), source="file", reason="line was cut"):
    column = pb.BackfillColumns(pid=pid, time_ns=times, value=values, quality=quality)
    return pb.BackfillRequest(points=[column], source=source, reason=reason)


async def test_late_values_go_signed_to_the_server_of_the_views(connect, backend):
    engineer = await connect("engineer")
    reply = await engineer.signed("History/Backfill", late())
    assert reply.stored == 2
    [(what, request, name, evidence)] = backend.acted
    assert (what, name) == ("backfill", "engineer")
    assert request == late()
    assert evidence


async def test_only_an_engineer_may_fill_in(operator, backend):
    with pytest.raises(CallError) as refused:
        await operator.signed("History/Backfill", late())
    assert refused.value.code == "unauthorised"
    assert backend.acted == []


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (late(source=""), "source"),
        (late(reason=""), "reason"),
        (late(values=(1.0,)), "length"),
        (late(pid=99), "not in the model"),
    ],
)
async def test_late_values_that_make_no_sense(connect, backend, request_, says):
    engineer = await connect("engineer")
    with pytest.raises(CallError, match=says):
        await engineer.signed("History/Backfill", request_)
    assert backend.acted == []


async def test_not_too_many_at_once(connect, backend, monkeypatch):
    monkeypatch.setattr(history_services, "LATE_VALUES", 1)
    engineer = await connect("engineer")
    with pytest.raises(CallError, match="at most 1"):
        await engineer.signed("History/Backfill", late())
    assert backend.acted == []


async def test_status_and_periods(operator):
    status = await operator.call("History/GetHistoryStatus", pb.HistoryStatusRequest())
    assert (status.backend, status.raw_days) == ("embedded", 30)
    await operator.call("History/Query", pb.HistoryRequest(pids=[1], from_ns=5, to_ns=6, period_s=60))
    for more, says in (({"period_s": 61}, "60"), ({"period_s": 60, "buckets": 5}, "both")):
        with pytest.raises(CallError, match=says):
            await operator.call("History/Query", pb.HistoryRequest(pids=[1], from_ns=5, to_ns=6, **more))
