"""A disturbance recall as the messages of its stream."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from scadapb.v1 import scada_pb2 as pb

from scada.api.messages import event_info
from scada.events.recall import Recall
from scada.events.records import Event
from scada.events.soe import order_time

SLICE = 5000
"""Changes, values or events in one message."""


def recall_parts(found: Recall) -> Iterator[pb.RecallPart]:
    """A recall as messages. A slice of changes follows the events that are not later than its last change."""
    yield pb.RecallPart(
        head=pb.RecallHead(
            from_ns=found.from_ns, to_ns=found.to_ns, source=found.source, complete=found.complete, reason=found.reason
        )
    )
    for begin in range(0, max(1, len(found.start)), SLICE):
        rows = found.start[begin : begin + SLICE]
        yield pb.RecallPart(
            start=pb.PointFrame(
                time_ns=found.from_ns,
                full=True,
                pid=rows["pid"].tolist(),
                value=rows["value"].tolist(),
                quality=rows["quality"].tolist(),
                source_time_ns=rows["time"].tolist(),
                received_ns=rows["received"].tolist(),
            )
        )
    events = deque(found.events)
    for begin in range(0, len(found.changes), SLICE):
        rows = found.changes[begin : begin + SLICE]
        yield from _event_parts(events, int(rows["time"][-1]))
        yield pb.RecallPart(
            changes=pb.RecallChanges(
                time_ns=rows["time"].tolist(),
                pid=rows["pid"].tolist(),
                value=rows["value"].tolist(),
                quality=rows["quality"].tolist(),
                received_ns=rows["received"].tolist(),
            )
        )
    yield from _event_parts(events, found.to_ns)


def _event_parts(events: deque[Event], until_ns: int) -> Iterator[pb.RecallPart]:
    while events and order_time(events[0]) <= until_ns:
        page = pb.EventList()
        while events and order_time(events[0]) <= until_ns and len(page.events) < SLICE:
            page.events.append(event_info(events.popleft()))
        yield pb.RecallPart(events=page)
