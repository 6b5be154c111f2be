"""The faces wait for an actor that starts, and say why where they do not."""

import asyncio
import threading

import pytest
from structlog.testing import capture_logs

from scada.actors import answers
from scada.actors.answers import NoAnswerError, answer_of, answer_once_up
from scada.actors.base import Address


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


def test_who_gets_no_answer_learns_that_it_may_still_be_done():
    with pytest.raises(NoAnswerError, match="may still be done"):
        asyncio.run(answer_of(Address("events"), "question", 0.01))
