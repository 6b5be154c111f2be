"""Whatever a group's links do - switched, cut, blocked, the station restarted - its events come in order, none is lost, and none
comes again once its acknowledgement was read."""

import contextlib

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scada.core.clock import VirtualClock
from scada.model_cim.tables import RedundancyGroup
from scada.protocols.iec104.event_queue import StoredEventQueue
from scada.protocols.iec104.outstation import Outstation
from tests.protocols.iec104.raw_master import RawMaster, clock_of, objects

BEGIN_NS = 1_780_000_000_000_000_000
HOSTS = ("10.0.0.1", "10.0.0.2")
STEPS = st.one_of(
    st.tuples(st.just("events"), st.integers(1, 60)),
    st.tuples(st.just("acknowledge"), st.integers(0, 12)),
    st.tuples(st.just("start"), st.integers(0, 1)),
    st.tuples(st.just("stop"), st.integers(0, 1)),
    st.tuples(st.just("cut"), st.integers(0, 1)),
    st.just(("restart", 0)),
)


class Centre:
    """A control centre with two links that checks and keeps what each brings."""

    def __init__(self, build, folder):
        self.build, self.folder = build, folder
        self.clock = VirtualClock(BEGIN_NS)
        self.made = 0
        self.links = {}
        self.next = {}
        self.heard = set()
        self.open()

    def open(self):
        self.queue = StoredEventQueue(self.folder, "up", 100_000)
        self.made = self.queue.source_seq
        points = [self.build.point(pid, 1000 + 2 * pid, 1 if pid % 3 else 3) for pid in range(10)]
        groups = [RedundancyGroup("centre", HOSTS)]
        self.station = Outstation(points, [], self.clock, groups=groups, queue=self.queue)
        self.links = {}

    def link(self, which):
        if which not in self.links:
            self.links[which] = RawMaster(self.station, HOSTS[which])
            self.links[which].acknowledges = False
            self.next[which] = None
        return self.links[which]

    def active(self):
        return next((which for which, link in self.links.items() if link.session.link.phase.value == "started"), None)

    def take(self, which):
        """Note what a link brought: each event follows the one before it, or is the first that was not acknowledged."""
        link, owed = self.links[which], self.position()
        for _, element in objects(link.asdus):
            number = (clock_of(element) - BEGIN_NS) // 10**6
            assert number in {self.next[which], owed}
            assert number >= owed
            self.next[which] = number + 1
            self.heard.add(number)
        link.asdus = []

    def step(self, what, argument):
        if what == "restart":
            self.queue.close()
            self.open()
        elif what == "events":
            numbers = range(self.made, self.made + argument)
            self.made += argument
            self.station.update(
                [number % 10 for number in numbers],
                1,
                source_time=[BEGIN_NS + number * 10**6 for number in numbers],
                compare=False,
                source_seq=self.made,
            )
            if (which := self.active()) is not None:
                self.links[which].take(self.links[which].session.pump())
                self.take(which)
        elif what == "start":
            self.link(argument).start()
            self.take(argument)
        elif argument in self.links and what == "stop":
            self.links[argument].stop()
            self.take(argument)
        elif argument in self.links and what == "cut":
            self.links.pop(argument).leave()
        elif what == "acknowledge" and (which := self.active()) is not None:
            self.acknowledge(which, argument)

    def acknowledge(self, which, frames):
        """Acknowledge some of the frames that wait on a link."""
        link = self.links[which]
        waiting = link.session.link.outstanding
        link.acknowledge((link.received - max(0, waiting - frames)) % 32768)
        self.take(which)

    def position(self):
        return self.queue.join("centre").position


@given(st.lists(STEPS, max_size=40))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_event_is_lost_and_none_comes_twice_after_its_acknowledgement(build, tmp_path_factory, steps):
    centre = Centre(build, tmp_path_factory.mktemp("switching"))
    with contextlib.closing(centre.queue):
        for what, argument in steps:
            centre.step(what, argument)
        for which in (0, 1):
            if which in centre.links and centre.active() != which:
                centre.links.pop(which).leave()
        last = centre.active() if centre.active() is not None else 0
        if centre.active() is None:
            centre.step("start", last)
        while centre.links[last].session.link.outstanding:
            centre.acknowledge(last, 12)
        assert centre.heard == set(range(centre.made))
        assert centre.position() == centre.made
        centre.queue.close()
