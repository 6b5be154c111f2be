"""The feed on the loop that the server uses: uvloop, whose handles differ from asyncio's."""

from __future__ import annotations

import uvloop

from scada.actors.base import Address
from scada.actors.wire import Feed, Wire
from scada.core.batch import PointBatch, RecordFlag


def test_status_changes_in_one_turn_of_the_loop_leave_together_and_at_once():
    wire, rtdb = Wire(), Address("rtdb")
    assert isinstance(wire.loop, uvloop.Loop)
    feed = Feed(wire, rtdb)

    async def burst():
        for pid in range(3):
            feed.deliver(PointBatch.of([pid], [1.0], received_at=1, flags=RecordFlag.EVENT))

    try:
        wire.start()
        wire.submit(burst()).result(timeout=5)
        sent = rtdb.mailbox.get().message
    finally:
        wire.stop()
    assert [batch.records["pid"].tolist() for batch in sent.batches] == [[0], [1], [2]]
    assert rtdb.mailbox.empty()
