"""Data cleaning between a driver and the database: marks in order behind the values, notices, a lost channel."""

from actors.harness import Box, point

from scada.actors.cleaning import CleaningStage
from scada.actors.messages import MarkQuality
from scada.actors.wire import ChannelSink
from scada.core.batch import PointBatch
from scada.core.clock import VirtualClock
from scada.core.quality import Quality
from scada.model_cim.tables import Cleaning
from scada.protocols.cleaning import Cleaner
from scada.protocols.driver import LinkState


class PlainFeed:
    """A feed that keeps the order of what it is given; like the real one it hands over before a mark."""

    def __init__(self, rtdb):
        self.rtdb, self.waiting = rtdb, []

    def deliver(self, batch):
        self.waiting.append(batch)
        return 0

    def mark(self, pids, set_bits):
        for batch in self.waiting:
            self.rtdb.tell(batch)
        self.waiting.clear()
        self.rtdb.tell(MarkQuality(pids, set_bits=set_bits))


class Rig:
    def __init__(self, *points):
        self.clock, self.rtdb, self.channel, self.notices = VirtualClock(), Box(), Box(), []
        self.feed = PlainFeed(self.rtdb)
        self.stage = CleaningStage(Cleaner(points, 1), self.feed, self.clock, lambda pid: points[pid].path)
        self.sink = ChannelSink(
            self.feed, self.channel, lambda kind, text: self.notices.append((kind, text)), self.clock, cleaning=self.stage
        )

    def deliver(self, pid, value):
        self.sink.deliver(PointBatch.of([pid], [value], received_at=self.clock.now_ns(), channel=0))

    def wait(self, seconds):
        self.clock.advance(seconds)
        self.stage.tick()


def test_a_mark_of_the_timer_stands_behind_the_values_that_came_before_it():
    rig = Rig(point(0, cleaning=Cleaning(frozen_s=10.0)))
    rig.deliver(0, 50.0)
    rig.wait(11.0)
    value, mark = rig.rtdb.got
    assert isinstance(value, PointBatch)
    assert isinstance(mark, MarkQuality)
    assert (mark.pids.tolist(), mark.set_bits) == ([0], int(Quality.OLD_DATA))
    assert rig.notices == [("cleaning_frozen", "S/0: stood still for too long; marked old until it moves")]


def test_what_is_handed_on_carries_the_mark_and_the_channel_is_told_once():
    rig = Rig(point(0, maximum=10.0), point(1, maximum=10.0))
    rig.deliver(0, 11.0)
    rig.deliver(0, 12.0)
    flagged = int(Quality.OUT_OF_RANGE | Quality.QUESTIONABLE)
    assert [int(batch.records["quality"][0]) for batch in rig.feed.waiting] == [flagged, flagged]
    assert [batch.records["value"][0] for batch in rig.feed.waiting] == [11.0, 12.0]
    assert rig.notices == [("cleaning_range", "S/0: beyond the range of the instrument; kept and marked")]


def test_a_channel_that_is_down_or_stands_by_owes_no_values():
    rig = Rig(point(0, cleaning=Cleaning(period_s=5.0)))
    rig.deliver(0, 1.0)
    rig.sink.state(LinkState.UP, "up")
    rig.sink.state(LinkState.DOWN, "cable")
    rig.wait(100.0)
    assert not rig.rtdb.take(MarkQuality)
    rig.sink.state(LinkState.UP, "up")
    rig.deliver(0, 1.0)
    rig.wait(8.0)
    assert len(rig.rtdb.take(MarkQuality)) == 1
