"""The history actor's answers: periods, late values, status; what it says of gaps and damage."""

import math

import numpy as np
import pytest
from actors.harness import Box, Disk, S, make
from scadapb.v1 import scada_pb2 as pb

from scada.actors import history
from scada.actors.history import HistoryActor
from scada.actors.messages import Changed, Tick
from scada.actors.order_messages import HistoryAsked
from scada.core.errors import ScadaError
from scada.core.quality import Quality
from scada.history.interface import NOT_RECORDED


@pytest.fixture
def disk(tmp_path):
    disk = Disk(tmp_path)
    yield disk
    disk.die()


def started(disk, events=None):
    actor = make(HistoryActor, rtdb=disk.store, store=disk.samples, events=events or Box(), clock=disk.clock)
    actor.started()
    return actor


def ask(actor, request):
    answers = []
    actor.receive(HistoryAsked(request, answers.append))
    [answer] = answers
    return answer


def fed(disk, actor, pid, *values, seconds=30):
    for value in values:
        actor.receive(Changed(disk.put([pid], [value])))
        disk.clock.advance(seconds)
        actor.receive(Tick())


def whole_minute(disk):
    disk.clock.advance(60 - disk.clock.now_ns() / S % 60)
    return disk.clock.now_ns()


def test_periods_carry_all_their_figures(disk):
    start, actor = whole_minute(disk), started(disk)
    fed(disk, actor, 3, 1.0, 3.0, 5.0)
    request = pb.HistoryRequest(pids=[3, 2], from_ns=start, to_ns=disk.clock.now_ns(), period_s=60)
    first, second = ask(actor, request).series
    assert list(first.time_ns) == [start, start + 60 * S]
    assert (list(first.minimum), list(first.maximum), list(first.value)) == ([1, 5], [3, 5], [3, 5])
    assert (list(first.mean), list(first.time_weighted), list(first.count)) == ([2, 5], [2, 5], [2, 1])
    assert (list(first.good_s), list(first.quality), first.has_before) == ([60, 30], [0, 0], False)
    assert (second.pid, len(second.time_ns)) == (2, 0)
    request.from_ns += 60 * S
    [later, _] = ask(actor, request).series
    assert (later.has_before, later.before_value, later.before_quality) == (True, 3.0, 0)
    request.period_s = 90
    assert "60" in str(ask(actor, request))


def test_late_values_are_stored_counted_durable_and_told(disk):
    events = Box()
    start, actor = whole_minute(disk), started(disk, events)
    fed(disk, actor, 3, 1.0, 2.0)
    column = pb.BackfillColumns(pid=3, time_ns=[start + 10 * S, disk.clock.now_ns() + S], value=[7.0, 8.0], quality=[0, 0])
    request = pb.BackfillRequest(points=[column], source="RTU buffer", reason="line was cut")
    reply = ask(actor, request)
    assert (reply.stored, reply.known, reply.refused) == (1, 0, 1)
    assert "future" in reply.reason
    assert events.keys() == ["history.backfilled"]
    disk.die()
    disk.open()
    actor = started(disk)
    assert ask(actor, request).known == 1
    assert ask(actor, pb.HistoryStatusRequest()).backfilled == 0
    [series] = ask(actor, pb.HistoryRequest(pids=[3], from_ns=start, to_ns=start + 60 * S)).series
    assert list(series.value) == [1.0, 7.0, 2.0]


def test_status_says_how_it_stands(disk):
    actor = started(disk)
    fed(disk, actor, 3, 1.0)
    status = ask(actor, pb.HistoryStatusRequest())
    assert (status.backend, status.fault, status.lost, status.damaged) == ("embedded", "", 0, 0)
    assert status.stored_bytes > 0


@pytest.mark.parametrize("how", ["die", "close"])
def test_a_restart_is_a_gap_and_values_are_old_until_they_come_again(disk, how):
    start, actor = whole_minute(disk), started(disk)
    fed(disk, actor, 3, 4.0, seconds=15)
    actor.receive(Tick())
    actor.stopped()
    getattr(disk, how)()
    disk.clock.advance(100)
    begun = disk.clock.now_ns()
    disk.open()
    actor = started(disk)
    disk.clock.advance(1)
    [series] = ask(actor, pb.HistoryRequest(pids=[3], from_ns=start, to_ns=disk.clock.now_ns())).series
    assert list(series.quality) == [0, NOT_RECORDED, int(Quality.OLD_DATA)]
    assert math.isnan(series.value[1])
    assert start < series.time_ns[1] <= start + 15 * S
    assert (series.time_ns[2], series.value[2]) == (begun, 4.0)
    [before] = ask(actor, pb.HistoryRequest(pids=[3], from_ns=begun - S, to_ns=begun)).series
    assert (before.has_before, before.before_quality, math.isnan(before.before_value)) == (True, NOT_RECORDED, True)


def test_an_actor_that_begins_anew_leaves_no_gap(disk):
    start, actor = whole_minute(disk), started(disk)
    fed(disk, actor, 3, 4.0)
    actor = started(disk)
    fed(disk, actor, 3, 5.0)
    [series] = ask(actor, pb.HistoryRequest(pids=[3], from_ns=start, to_ns=disk.clock.now_ns())).series
    assert list(series.value) == [4.0, 5.0]


def test_a_damaged_part_is_told_once(disk):
    events = Box()
    actor = started(disk, events)
    fed(disk, actor, 3, *np.arange(5.0), seconds=300)
    with disk.samples._file.write() as txn:
        key, blob = next(iter(txn.ascending("chunks")))
        txn.put("chunks", key, blob[:-1] + b"!")
    now = disk.clock.now_ns()
    [series] = ask(actor, pb.HistoryRequest(pids=[3], from_ns=now - 7200 * S, to_ns=now)).series
    assert NOT_RECORDED in list(series.quality)
    for _ in range(2):
        actor.receive(Tick())
    assert events.keys() == ["history.damaged_parts"]


def test_an_answer_of_too_many_rows_is_refused_in_a_sentence(disk, monkeypatch):
    monkeypatch.setattr(history, "MAX_ROWS", 5)
    start, actor = whole_minute(disk), started(disk)
    fed(disk, actor, 3, *[float(value) for value in range(6)])
    request = pb.HistoryRequest(pids=[3], from_ns=start, to_ns=disk.clock.now_ns())
    with pytest.raises(ScadaError, match="fewer points"):
        raise ask(actor, request)
    request.period_s = 60
    assert len(ask(actor, request).series[0].time_ns) == 3


def test_a_point_that_is_not_there_is_an_error_not_a_crash(disk):
    assert isinstance(ask(started(disk), pb.HistoryRequest(pids=[99], from_ns=1, to_ns=2)), ScadaError)
