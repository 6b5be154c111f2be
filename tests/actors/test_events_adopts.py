"""The event actor at a change of the model: what waits behind it is judged once, in its order."""

from dataclasses import replace
from types import SimpleNamespace

from actors.harness import TABLES
from actors.test_event_actor import events, life

from scada.actors.messages import Changed, ModelChanged
from scada.events.alarms import AlarmEngine
from scada.events.records import EventKind
from scada.model_cim.tables import Limits, PointKind


def with_limit(hi):
    limits = Limits(hi=hi)
    return replace(TABLES, points=[replace(one, limits=limits) if one.kind is PointKind.ANALOG else one for one in TABLES.points])


def test_a_limit_that_is_new_is_judged_where_the_actor_stands_and_each_alarm_is_told_once(disk):
    """The database is ahead of the actor: its present value must not be judged before those that led to it."""
    pid, other = (int(point.pid) for point in TABLES.points if point.kind is PointKind.ANALOG)
    disk.put([pid, other], [10.0, 90.0])
    actor = life(disk)
    waiting = [disk.put([pid], [value]) for value in (90.0, 20.0, 95.0)]
    tables = with_limit(50.0)
    actor.receive(ModelChanged(SimpleNamespace(tables=tables), AlarmEngine(tables.points, disk.clock, disk.log.next_id), None))
    for change in waiting:
        actor.receive(Changed(change))
    told = events(disk, EventKind.LIMIT_VIOLATED, EventKind.LIMIT_RETURNED)
    assert [(event.key, event.value) for event in told if event.pid == pid] == [
        ("limit.hi", 90.0),
        ("limit.hi.returned", 20.0),
        ("limit.hi", 95.0),
    ]
    assert [event.key for event in told if event.pid == other] == ["limit.hi"], "one that did not change is judged at once"
