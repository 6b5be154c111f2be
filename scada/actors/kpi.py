"""The alarm figures of a running server: what the event log covers of the span asked, and how things stand at its end."""

from __future__ import annotations

from dataclasses import asdict

from scadapb.v1 import scada_pb2 as pb

from scada.actors.alarm_view import AlarmView
from scada.events.kpi import KINDS, Present, alarm_kpi
from scada.events.log import EventLog
from scada.events.log_index import Order, Query


def kpi_reply(log: EventLog, view: AlarmView, request: pb.AlarmKpiRequest, now_ns: int) -> pb.AlarmKpi:
    """Figures of a span of the event log. Callable from any thread; goes through the events once, and keeps none.

    Args:
        log: the event log.
        view: present alarms and suppressions.
        request: a start of 0 is the oldest event, an end of 0 is now; the reply says what the log really covers.
        now_ns: ns UTC.
    """
    to_ns = min(request.to_ns or now_ns, now_ns)
    from_ns = min(max(request.from_ns, log.oldest_ns() or to_ns), to_ns)
    kinds = frozenset(int(kind) for kind in KINDS)
    alarms, last = view.read()
    suppressions = view.suppressions
    later = (event for event in log.walk(Query(Order.TIME, from_ns=to_ns, kinds=kinds)) if event.event_id <= last)
    present = Present(alarms, suppressions, later, lambda number: _time_of(log, number))
    events = log.walk(Query(Order.TIME, from_ns=from_ns, to_ns=to_ns, kinds=kinds, station=request.station))
    return pb.AlarmKpi(**asdict(alarm_kpi(events, from_ns, to_ns, present, request.station)))


def _time_of(log: EventLog, number: int) -> int:
    event = log.get(number)
    return 0 if event is None else event.time_ns
