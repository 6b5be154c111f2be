"""What runs short is told once, and that it is over once."""

import pytest
from actors.harness import Box, make

from scada.actors import resources
from scada.actors.base import Address
from scada.actors.messages import Tick
from scada.actors.resources import ResourceActor
from scada.core.clock import VirtualClock
from scada.core.settings import ResourceSettings

MIB = 1 << 20


class Host:
    """A server whose resources the test decides."""

    def __init__(self, monkeypatch, folder):
        self.events, self.slow, self.now = Box(), Address("slow"), 0.0
        self.slow.mailbox.now = lambda: self.now
        self.memory, self.files, self.free = 100 * MIB, 20, 90_000 * MIB
        monkeypatch.setattr(resources, "resident_bytes", lambda: self.memory)
        monkeypatch.setattr(resources, "host_bytes", lambda: 1000 * MIB)
        monkeypatch.setattr(resources, "open_files", lambda: self.files)
        monkeypatch.setattr(resources.resource, "getrlimit", lambda _what: (100, 100))
        monkeypatch.setattr(resources.shutil, "disk_usage", lambda _folder: type("Usage", (), {"free": self.free}))
        self.actor = make(
            ResourceActor,
            actors=lambda: [self.slow],
            folders={"rtdb": folder},
            settings=ResourceSettings(),
            events=self.events,
            clock=VirtualClock(),
        )

    def look(self):
        self.actor.receive(Tick())
        keys = self.events.keys()
        self.events.got.clear()
        return keys


@pytest.fixture
def host(monkeypatch, tmp_path):
    return Host(monkeypatch, tmp_path)


def test_an_actor_that_falls_behind_is_named_once_and_again_when_it_caught_up(host):
    assert host.look() == []
    host.slow.tell(Tick())
    host.now = 4.9
    assert host.look() == []
    host.now = 5.1
    assert host.look() == ["actor.behind"]
    host.now = 60.0
    assert host.look() == []
    host.slow.mailbox.get()
    assert host.look() == ["actor.caught_up"]


def test_a_handler_that_does_not_end_is_behind_too(host):
    host.slow.health.began, host.now = 1.0, 20.0
    assert host.look() == ["actor.behind"]


@pytest.mark.parametrize(
    ("what", "bad", "near", "good", "key"),
    [
        ("memory", 701 * MIB, 690 * MIB, 300 * MIB, "resource.memory"),
        ("files", 81, 79, 20, "resource.files"),
        ("free", 1000 * MIB, 1030 * MIB, 5000 * MIB, "resource.disk"),
    ],
)
def test_a_limit_is_told_once_and_over_only_when_it_has_eased(host, what, bad, near, good, key):
    setattr(host, what, bad)
    assert host.look() == [key]
    setattr(host, what, near)
    assert host.look() == []
    setattr(host, what, bad)
    assert host.look() == [], "it was never over"
    setattr(host, what, good)
    assert host.look() == [f"{key}_eased"]


@pytest.mark.parametrize(("text", "share"), [("1048576\n", True), ("max\n", False), (None, False)])
def test_a_container_may_allow_less_than_the_host_has(tmp_path, monkeypatch, text, share):
    limit = tmp_path / "memory.max"
    if text is not None:
        limit.write_text(text)
    monkeypatch.setattr(resources, "_CONTAINER", limit)
    assert (resources.host_bytes() == MIB) is share


def test_the_host_is_really_looked_at(tmp_path):
    assert MIB < resources.resident_bytes() < resources.host_bytes()
    before = resources.open_files()
    with (tmp_path / "one").open("w"):
        assert resources.open_files() == before + 1
