"""Supervision, lanes, coalescing, drain at stop."""

import logging
import threading
from dataclasses import dataclass
from typing import ClassVar

import pykka
import pytest
import structlog

from scada.actors.base import RESTARTS_BEFORE_ALARM, Actor, Address, Supervisor
from scada.actors.mailbox import Envelope, Mailbox, Message, StoppedError
from scada.actors.timers import Timers
from scada.core.clock import VirtualClock


@dataclass(frozen=True, slots=True)
class Data(Message):
    data_lane: ClassVar[bool] = True
    n: int = 0


@dataclass(frozen=True, slots=True)
class Tick(Message):
    coalesce: ClassVar[bool] = True
    n: int = 0


@dataclass(frozen=True, slots=True)
class Boom(Message):
    pass


@dataclass(frozen=True, slots=True)
class Get(Message):
    pass


class Recorder(Actor):
    seen: ClassVar[list[object]] = []

    def receive(self, message):
        if isinstance(message, Boom):
            raise ValueError("poison")
        if isinstance(message, Get):
            return list(self.seen)
        self.seen.append(message)
        return None


@pytest.fixture(autouse=True)
def _quiet():
    logging.getLogger("pykka").setLevel(logging.CRITICAL)
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory(), processors=[])
    Recorder.seen = []
    yield
    structlog.reset_defaults()


@pytest.fixture
def world():
    clock = VirtualClock()
    timers = Timers(clock)
    escalated = []
    supervisor = Supervisor(clock, timers, escalate=lambda name, reason: escalated.append((name, reason)))
    yield clock, timers, supervisor, escalated
    supervisor.stop_all()
    assert pykka.ActorRegistry.get_all() == []


def wait_for(condition, seconds=5.0):
    done = threading.Event()
    for _ in range(int(seconds / 0.005)):
        if condition():
            return True
        done.wait(0.005)
    return False


def test_messages_behind_a_poison_survive_the_restart_in_order(world):
    clock, timers, supervisor, _ = world
    address = supervisor.start(Address("recorder"), Recorder)
    for message in (Data(n=1), Boom(), Data(n=2), Data(n=3)):
        address.tell(message)
    assert wait_for(lambda: address.health.state == "waiting")
    assert address.health.reason == "ValueError: poison"
    clock.advance(0.2)
    assert timers.run_due() == 1
    # Boom is a control message and overtook the data; every data message is handled once, in order, by the second life
    assert wait_for(lambda: len(Recorder.seen) == 3)
    assert [message.n for message in Recorder.seen] == [1, 2, 3]
    assert address.health.restarts == 1


def test_an_actor_that_fails_again_and_again_is_reported(world):
    clock, timers, supervisor, escalated = world
    address = supervisor.start(Address("recorder"), Recorder)
    for attempt in range(1, RESTARTS_BEFORE_ALARM + 1):
        address.tell(Boom())
        assert wait_for(lambda count=attempt: address.health.restarts == count)
        if attempt < RESTARTS_BEFORE_ALARM:
            assert escalated == []
        clock.advance(10.0)
        timers.run_due()
    assert escalated == [("recorder", "ValueError: poison")]
    assert address.health.state == "failing"


def test_an_exception_in_started_is_a_failure_too(world):
    clock, timers, supervisor, _ = world
    lives = []

    class Shy(Recorder):
        def started(self):
            lives.append(1)
            if len(lives) == 1:
                raise OSError("no disk")

    address = supervisor.start(Address("shy"), Shy)
    assert wait_for(lambda: address.health.state == "waiting")
    clock.advance(1.0)
    timers.run_due()
    assert wait_for(lambda: address.health.state == "running")


def test_an_ask_that_fails_answers_the_asker_and_keeps_the_actor(world):
    supervisor = world[2]
    address = supervisor.start(Address("recorder"), Recorder)
    with pytest.raises(ValueError, match="poison"):
        address.ask(Boom()).get(timeout=5)
    assert address.ask(Get()).get(timeout=5) == []
    assert address.health.restarts == 0


def test_stop_drains_what_waits(world):
    supervisor = world[2]
    gate = threading.Event()

    class Slow(Recorder):
        def receive(self, message):
            gate.wait(5)
            return super().receive(message)

    address = supervisor.start(Address("slow"), Slow)
    for n in range(50):
        address.tell(Data(n=n))
    gate.set()
    assert supervisor.stop(["slow"]) == []
    assert [message.n for message in Recorder.seen] == list(range(50))
    with pytest.raises(StoppedError):
        address.ask(Get()).get(timeout=5)


def test_control_overtakes_data_and_ticks_coalesce():
    box = Mailbox(capacity=8)
    for message in (Data(n=1), Tick(n=1), Data(n=2), Tick(n=2), Get()):
        box.put(Envelope(message))
    order = [box.get().message for _ in range(box.qsize())]
    assert order == [Tick(n=2), Get(), Data(n=1), Data(n=2)]
    box.put(Envelope(Tick(n=3)))
    assert box.get().message == Tick(n=3)


def test_a_full_data_lane_blocks_the_sender_and_loses_nothing():
    box = Mailbox(capacity=2)
    sent = []

    def send():
        for n in range(6):
            box.put(Envelope(Data(n=n)))
            sent.append(n)

    sender = threading.Thread(target=send)
    sender.start()
    assert wait_for(lambda: len(sent) == 2)
    got = [box.get().message.n for _ in range(6)]
    sender.join(5)
    assert got == list(range(6))


def test_drain_takes_only_the_head_run_of_one_class():
    box = Mailbox()
    for n in range(5):
        box.put(Envelope(Data(n=n)))
    assert [message.n for message in box.drain(Data, 3)] == [0, 1, 2]
    assert box.drain(Tick, 3) == []
    assert box.qsize() == 2


def test_timers_run_in_order_and_can_be_cancelled():
    clock = VirtualClock()
    timers = Timers(clock)
    ran = []
    timers.after(2.0, lambda: ran.append("b"))
    timers.after(1.0, lambda: ran.append("a"))
    cancel = timers.every(3.0, lambda: ran.append("tick"))
    clock.advance(3.0)
    timers.run_due()
    assert ran == ["a", "b", "tick"]
    clock.advance(30.0)
    timers.run_due()
    assert ran.count("tick") == 3  # missed beats are not made up for: one late, one next
    cancel()
    clock.advance(30.0)
    timers.run_due()
    assert ran.count("tick") == 3


# ---------------------------------------------------------------- what is known of an actor


def test_the_message_that_made_an_actor_fail_is_kept_with_its_traceback(world):
    _, _, supervisor, _ = world
    address = supervisor.start(Address("recorder"), Recorder)
    address.tell(Boom())
    assert wait_for(lambda: address.health.dead == 1)
    [letter] = supervisor.dead_letters()
    assert (letter.actor, letter.message, letter.reason) == ("recorder", Boom(), "ValueError: poison")
    assert "raise ValueError" in letter.traceback


def test_a_message_taken_from_the_mailbox_in_passing_is_the_one_kept(world):
    supervisor = world[2]

    class Greedy(Recorder):
        def receive(self, message):
            for more in self._mailbox.drain(Data, 1):
                raise ValueError(f"cannot take {more}")

    gate = threading.Event()

    class Slow(Greedy):
        def receive(self, message):
            gate.wait(5)
            return super().receive(message)

    address = supervisor.start(Address("greedy"), Slow)
    address.tell(Data(n=1))
    address.tell(Data(n=2))
    gate.set()
    assert wait_for(lambda: address.health.dead == 1)
    assert address.health.dead_letters[0].message == Data(n=2)


def test_the_age_of_the_oldest_message_counts_the_one_in_hand():
    now = [10.0]
    address = Address("slow")
    address.mailbox.now = lambda: now[0]
    assert address.age_s() == 0.0
    address.tell(Tick(n=1))
    now[0] = 12.0
    address.tell(Tick(n=2))
    address.tell(Data(n=1))
    assert address.age_s() == 2.0, "a newer beat does not make the first one younger"
    address.mailbox.get()
    assert address.age_s() == 0.0
    address.health.began = 11.0
    assert address.age_s() == 1.0


def test_handling_times_fall_into_classes():
    from scada.actors.health import HANDLING_S, Health

    health = Health("a")
    for seconds in (0.00005, 0.5, 0.5, 99.0):
        health.handled_one(seconds)
    assert health.classes == [1, 0, 0, 0, 2, 0, 1]
    assert len(health.classes) == len(HANDLING_S) + 1
    assert health.busy_s == pytest.approx(100.00005)


def test_a_handler_that_would_end_the_process_only_fails(world):
    supervisor = world[2]

    class Quitter(Recorder):
        def receive(self, message):
            if isinstance(message, Boom):
                raise SystemExit(3)
            return super().receive(message)

    bystander = supervisor.start(Address("bystander"), Recorder)
    address = supervisor.start(Address("quitter"), Quitter)
    address.tell(Boom())
    assert wait_for(lambda: address.health.state == "waiting")
    assert bystander.ask(Get()).get(timeout=5) == []


# ---------------------------------------------------------------- stop


def test_an_actor_that_waits_for_its_restart_still_handles_what_it_has(world):
    supervisor = world[2]
    address = supervisor.start(Address("recorder"), Recorder)
    address.tell(Boom())
    assert wait_for(lambda: address.health.state == "waiting")
    for n in range(5):
        address.tell(Data(n=n))
    assert supervisor.stop(["recorder"]) == []
    assert [message.n for message in Recorder.seen] == list(range(5))


def test_a_poison_met_while_stopping_costs_itself_alone(world):
    supervisor = world[2]
    gate = threading.Event()

    class Slow(Recorder):
        def receive(self, message):
            gate.wait(5)
            if message == Data(n=2):
                raise ValueError("poison")
            return super().receive(message)

    address = supervisor.start(Address("slow"), Slow)
    for n in range(5):
        address.tell(Data(n=n))
    gate.set()
    supervisor.stop(["slow"])
    assert [message.n for message in Recorder.seen] == [0, 1, 3, 4]
    assert [letter.message for letter in address.health.dead_letters] == [Data(n=2)]


# ---------------------------------------------------------------- time


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
def test_a_set_wall_clock_moves_no_timer(jump):
    clock = VirtualClock()
    timers, ran = Timers(clock), []
    timers.every(1.0, lambda: ran.append(1))
    clock.jump(jump)
    assert timers.run_due() == 0
    clock.advance(1.0)
    assert timers.run_due() == 1
    clock.jump(-jump)
    clock.advance(1.0)
    assert timers.run_due() == 1


# ---------------------------------------------------------------- followers


@dataclass(frozen=True, slots=True)
class News(Message):
    data_lane: ClassVar[bool] = True
    read_anew: ClassVar[bool] = True
    n: int = 0


class Follower(Actor):
    """Reads the book at its start, then follows; never misses a line nor reads one twice."""

    book: ClassVar[list[int]] = []
    known: ClassVar[list[int]] = []

    def started(self):
        del self.known[:]
        self.known.extend(self.book)

    def receive(self, message):
        if isinstance(message, Boom):
            raise ValueError("poison")
        if message.n == len(self.known):
            self.known.append(message.n)
        else:
            assert message.n < len(self.known), f"missed {len(self.known)}"


def test_a_follower_that_is_down_never_makes_the_sender_wait_and_misses_nothing(world):
    clock, timers, supervisor, _ = world
    Follower.book.clear()
    address = supervisor.start(Address("follower", capacity=4), Follower)

    def publish(count):
        for _ in range(count):
            Follower.book.append(len(Follower.book))
            address.tell(News(n=len(Follower.book) - 1))

    publish(3)
    for _ in range(3):
        address.tell(Boom())
        assert wait_for(lambda: address.health.state in ("waiting", "failing"))
        address.tell(Data(n=0))  # what cannot be read anew is kept
        publish(100)
        assert address.mailbox.qsize() >= 1
        clock.advance(60.0)
        timers.run_due()
        publish(20)
    assert wait_for(lambda: Follower.known == Follower.book)
    assert address.health.dead == 3


def test_a_sender_that_waits_for_room_goes_on_when_the_actor_fails():
    box = Mailbox(capacity=2)
    sent = []

    def send():
        for n in range(6):
            box.put(Envelope(News(n=n)))
            sent.append(n)

    sender = threading.Thread(target=send)
    sender.start()
    assert wait_for(lambda: len(sent) == 2)
    box.rest()
    sender.join(5)
    assert sent == list(range(6))
    assert box.empty()
    box.wake()
    box.put(Envelope(News(n=6)))
    assert box.get().message == News(n=6)


def test_an_actor_that_cannot_even_start_does_not_hold_up_the_stop(world):
    supervisor = world[2]

    class Shy(Recorder):
        def started(self):
            raise OSError("no disk")

    address = supervisor.start(Address("shy"), Shy)
    assert wait_for(lambda: address.health.state == "waiting")
    address.tell(Data(n=1))
    assert supervisor.stop(["shy"], timeout_s=2) == []
    assert address.mailbox.empty(), "counted in the log, since nobody could read it"


def test_a_poison_ahead_of_the_order_to_stop_costs_itself_alone(world):
    supervisor = world[2]
    gate = threading.Event()

    class Slow(Recorder):
        def receive(self, message):
            gate.wait(5)
            return super().receive(message)

    address = supervisor.start(Address("slow"), Slow)
    address.tell(Data(n=0))
    assert wait_for(lambda: address.health.began > 0)
    for message in (Boom(), Boom(), Data(n=1), Data(n=2)):
        address.tell(message)
    gate.set()
    assert supervisor.stop(["slow"], timeout_s=3) == []
    assert [message.n for message in Recorder.seen] == [0, 1, 2]


def test_an_actor_that_does_not_end_is_named(world):
    supervisor = world[2]
    gate = threading.Event()

    class Stuck(Recorder):
        def receive(self, message):
            gate.wait(10)

    address = supervisor.start(Address("stuck"), Stuck)
    address.tell(Data(n=1))
    assert wait_for(lambda: address.health.began > 0)
    assert supervisor.stop(["stuck"], timeout_s=0.1) == ["stuck"]
    gate.set()
    assert wait_for(lambda: pykka.ActorRegistry.get_all() == [])
