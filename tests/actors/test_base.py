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
