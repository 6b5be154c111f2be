"""An actor is replaced at a message boundary: its mailbox stays, nothing is lost, it is no failure."""

import threading
from dataclasses import dataclass
from typing import ClassVar

import pytest

from scada.actors.base import Actor, Address, Supervisor
from scada.actors.mailbox import Message
from scada.actors.timers import Timers
from scada.core.clock import VirtualClock


@dataclass(frozen=True, slots=True)
class Data(Message):
    data_lane: ClassVar[bool] = True
    n: int


@dataclass(frozen=True, slots=True)
class Ask(Message):
    pass


class Life(Actor):
    def __init__(self, address, failed, house):
        super().__init__(address, failed)
        self.house, self.number = house, len(house.lives)
        house.lives.append(self)

    def receive(self, message):
        if isinstance(message, Ask):
            return self.number
        self.house.gate.wait(5)
        self.house.seen.append((self.number, message.n))
        return None

    def stopped(self):
        self.house.ended.append(self.number)


class House:
    def __init__(self):
        self.lives, self.seen, self.ended, self.faults = [], [], [], []
        self.gate = threading.Event()
        self.clock = VirtualClock()
        self.timers = Timers(self.clock)
        self.supervisor = Supervisor(self.clock, self.timers, failed=lambda *told: self.faults.append(told))
        self.address = Address("one")
        self.broken = False
        self.supervisor.start(self.address, self.life)

    def life(self, address, failed):
        if self.broken:
            raise RuntimeError("cannot be made")
        return Life(address, failed, self)

    def number(self):
        return self.address.ask(Ask()).get(timeout=5)


@pytest.fixture
def house():
    house = House()
    yield house
    house.gate.set()
    house.supervisor.stop_all()


def test_what_waits_goes_to_the_next_life_in_order(house):
    for n in range(50):
        house.address.tell(Data(n))
    replacing = threading.Thread(target=house.supervisor.replace, args=("one",))
    replacing.start()
    house.gate.set()
    replacing.join(5)
    for n in range(50, 60):
        house.address.tell(Data(n))
    assert house.number() == 1
    house.supervisor.stop(["one"])
    assert [n for _, n in house.seen] == list(range(60))
    assert {life for life, _ in house.seen} == {0, 1}
    assert house.ended == [0, 1]
    assert (house.faults, house.address.health.restarts) == ([], 0)


def test_a_next_life_that_cannot_be_made_is_tried_again_and_keeps_its_messages(house):
    house.gate.set()
    assert house.number() == 0
    house.broken = True
    with pytest.raises(RuntimeError, match="cannot be made"):
        house.supervisor.replace("one")
    house.address.tell(Data(7))
    house.broken = False
    house.clock.advance(1.0)
    house.timers.run_due()
    assert house.number() == 1
    house.supervisor.stop(["one"])
    assert house.seen == [(1, 7)]


def test_a_retired_actor_comes_back_with_the_mailbox_it_had(house):
    house.gate.set()
    house.supervisor.retire("one")
    assert not house.supervisor.knows("one")
    house.address.tell(Data(3))
    house.supervisor.start(house.address, house.life)
    assert house.number() == 1
    house.supervisor.stop(["one"])
    assert house.seen == [(1, 3)]
