"""The faces wait for an actor that starts, and say why where they do not."""

import asyncio
import threading

import pytest
from structlog.testing import capture_logs

from scada.actors import answers
from scada.actors.answers import NoAnswerError, answer_of, answer_once_up
from scada.actors.base import Actor, Address, Supervisor
from scada.actors.mailbox import StoppedError
from scada.actors.timers import Timers
from scada.core.clock import VirtualClock


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(answers, "ASK_S", 0.01)


def test_an_actor_that_starts_slowly_is_waited_for_and_the_log_says_so():
    address = Address("events")
    asked_again = threading.Event()

    class Slow(threading.Thread):
        def run(self):
            asked_again.wait(10)
            address.mailbox.get().reply_to.set("up")

    slow = Slow(daemon=True)
    slow.start()
    with capture_logs() as lines:
        threading.Timer(0.05, asked_again.set).start()
        assert answer_once_up(address, "question") == "up"
    slow.join()
    assert (lines[0]["event"], lines[0]["actor"], lines[0]["log_level"]) == (
        "waiting for an actor to come up",
        "events",
        "warning",
    )


def test_an_actor_that_fails_again_and_again_is_not_waited_for():
    address = Address("events")
    address.health.state, address.health.reason = "failing", "StoreError: disk full"
    with pytest.raises(NoAnswerError, match="actor events: does not come up: StoreError: disk full"):
        answer_once_up(address, "question")


def test_an_actor_that_never_comes_up_is_given_up(monkeypatch):
    monkeypatch.setattr(answers, "UP_S", 0.03)
    with pytest.raises(NoAnswerError, match="does not come up"):
        answer_once_up(Address("events"), "question")


class Echo(Actor):
    """Answers with what it was asked, and fails at what is no text."""

    def receive(self, message):
        return message + "!"


@pytest.fixture
def echo():
    address, clock = Address("echo"), VirtualClock()
    supervisor = Supervisor(clock, Timers(clock))
    supervisor.start(address, Echo)
    yield address
    supervisor.stop_all()


def test_many_ask_at_once_and_get_what_is_theirs(echo):
    async def ask_all():
        return await asyncio.gather(*(answer_of(echo, str(n)) for n in range(200)))

    assert asyncio.run(ask_all()) == [f"{n}!" for n in range(200)]


def test_an_ask_that_fails_fails_for_who_asked(echo):
    with pytest.raises(TypeError):
        asyncio.run(answer_of(echo, 7))
    assert asyncio.run(answer_of(echo, "still there")) == "still there!"


def test_an_answer_that_comes_too_late_troubles_nobody(echo):
    address = Address("slow")
    with pytest.raises(NoAnswerError):
        asyncio.run(answer_of(address, "question", 0.01))
    address.mailbox.get().reply_to.set("late")
    address.mailbox.close()
    with pytest.raises(StoppedError):
        asyncio.run(answer_of(address, "question"))


def test_who_gets_no_answer_learns_that_it_may_still_be_done():
    with pytest.raises(NoAnswerError, match="may still be done"):
        asyncio.run(answer_of(Address("events"), "question", 0.01))
