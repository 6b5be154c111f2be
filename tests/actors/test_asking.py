"""Circles of asks are refused with their path, and nobody waits without a time limit."""

import ast
from dataclasses import dataclass
from pathlib import Path

import pykka
import pytest
import structlog

import scada
from scada.actors.asking import AskDeadlockError
from scada.actors.base import Actor, Address, Supervisor
from scada.actors.mailbox import Message
from scada.actors.timers import Timers
from scada.core.clock import VirtualClock


@dataclass(frozen=True, slots=True)
class Pass(Message):
    """Ask the actors named, one after the other."""

    to: tuple[Address, ...] = ()


class Relay(Actor):
    def receive(self, message):
        if not message.to:
            return self.address.name
        return self.address.name + message.to[0].ask(Pass(message.to[1:])).get(timeout=5)


@pytest.fixture
def relays():
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory(), processors=[])
    clock = VirtualClock()
    supervisor = Supervisor(clock, Timers(clock))
    yield [supervisor.start(Address(name), Relay) for name in "abc"]
    supervisor.stop_all()
    structlog.reset_defaults()


def test_a_chain_of_asks_is_answered(relays):
    a, b, c = relays
    assert a.ask(Pass((b, c))).get(timeout=5) == "abc"
    assert a.ask(Pass((c, b))).get(timeout=5) == "acb", "a wait that is over is no part of a later circle"


@pytest.mark.parametrize("path", ["a", "ba", "bca", "bcb"])
def test_a_circle_is_refused_at_once_with_its_path(relays, path):
    by_name = dict(zip("abc", relays, strict=True))
    with pytest.raises(AskDeadlockError) as caught:
        relays[0].ask(Pass(tuple(by_name[name] for name in path))).get(timeout=2)
    circle = path[path.index(path[-1]) :] if path.count(path[-1]) > 1 else "a" + path
    turned = [circle[k:-1] + circle[: k + 1] for k in range(len(circle) - 1)]
    assert any(" -> ".join(names) in str(caught.value) for names in turned)
    assert relays[0].ask(Pass()).get(timeout=5) == "a", "everyone goes on"


def test_a_timed_out_wait_is_forgotten(relays):
    a, b, _ = relays

    lone = Address("nobody runs it")
    with pytest.raises(pykka.Timeout):
        a.ask(Impatient(lone)).get(timeout=5)
    assert b.ask(Pass((a,))).get(timeout=5) == "ba"


@dataclass(frozen=True, slots=True)
class Impatient(Message):
    asked: Address

    @property
    def to(self):
        self.asked.ask(Pass()).get(timeout=0.01)
        return ()


def waits_without_limit(node, coroutine=False):
    """Every ``x.get()`` and ``submit(..).result()`` without any argument outside coroutines: a wait for ever on a future."""
    coroutine = coroutine or isinstance(node, ast.AsyncFunctionDef)
    bare = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and not (node.args or node.keywords)
    waits = bare and (node.func.attr == "get" or (node.func.attr == "result" and "submit" in ast.unparse(node.func.value)))
    if waits and not coroutine:
        yield ast.unparse(node)
    for child in ast.iter_child_nodes(node):
        yield from waits_without_limit(child, coroutine)


def test_nothing_in_the_house_waits_for_a_future_without_a_limit():
    root = Path(scada.__file__).parent
    found = {
        f"{path.relative_to(root)}: {text}"
        for path in root.rglob("*.py")
        for text in waits_without_limit(ast.parse(path.read_text("utf-8")))
    }
    # an actor's thread waits for its next message, a child's writer for its next row: that is their work; a context variable
    # waits for nobody
    allowed = {"actors/base.py: self._mailbox.get()", "protocols/c104/child.py: self._out.get()", "api/peers.py: _known.get()"}
    assert found <= allowed, "give every get() a timeout"


def test_the_search_finds_what_it_looks_for():
    assert list(waits_without_limit(ast.parse("address.ask(x).get()"))) == ["address.ask(x).get()"]
    assert list(waits_without_limit(ast.parse("d.get('k'); f.get(timeout=1)"))) == []
