"""Recorder: writes whole blocks, bounds size, time and room, and ends a recording - never the channel - when the disk fails."""

import asyncio
import errno
import os
import stat
from dataclasses import replace
from types import SimpleNamespace

import pytest

from scada.actors import recorder as module
from scada.actors.base import Address
from scada.actors.messages import Record, StopRecording, Tick
from scada.actors.recorder import RecorderActor, RecorderView
from scada.actors.recordings import RecordingBuffer, recordings_in
from scada.actors.tracing import TraceHub
from scada.core.clock import VirtualClock
from scada.core.settings import RecordingSettings
from scada.model_cim.tables import ChannelSpec
from scada.protocols.driver import CommandResult, Driver, Outcome
from scada.protocols.trace import TcpReassembler, read_packets, tcp_segment
from tests.actors.harness import Box

SPEC = ChannelSpec(0, "m-1", "站/RTU-1", "iec104", "10.0.0.9", 2404, "Beishan")
OCTETS = bytes.fromhex("680443000000")


class Wired(Driver):
    async def run(self):
        """Never runs."""

    async def _no(self, control, value):
        return CommandResult(Outcome.UNSUPPORTED)

    select = execute = cancel = _no


class Rig:
    def __init__(self, folder, *, always=(), **settings):
        self.clock, self.events, self.view = VirtualClock(), Box(), RecorderView()
        self.loop = asyncio.new_event_loop()
        self.hub = TraceHub(self.loop)
        self.driver = Wired(SPEC, [], [], None, self.clock)
        self.hub.attach(self.driver)
        self.folder = folder / "recordings"
        self.settings = RecordingSettings(path=self.folder, **settings)
        self.always = [(spec, self.hub) for spec in always]
        self.answers = []
        self.live()

    def live(self):
        self.actor = RecorderActor(
            Address("recorder"),
            lambda _: None,
            settings=self.settings,
            disk_mb=1,
            site="demo",
            model="v1",
            always=self.always,
            view=self.view,
            events=self.events,
            clock=self.clock,
        )
        self.actor.started()
        self.settle()

    def settle(self):
        self.loop.run_until_complete(asyncio.sleep(0))

    def record(self, minutes=0.0, mb=0.0):
        self.actor.receive(Record(SPEC, self.hub, False, minutes, mb, "op", self.answers.append))
        self.settle()
        return self.answers[-1]

    def stop(self):
        self.actor.receive(StopRecording(SPEC.name, "op", self.answers.append))
        self.settle()
        return self.answers[-1]

    def hear(self, octets=OCTETS, count=1):
        for _ in range(count):
            self.driver.tee("", True, self.clock.now_ns(), octets)

    def tick(self, seconds=0.0):
        self.clock.advance(seconds)
        self.actor.receive(Tick())
        self.settle()

    def files(self):
        return sorted(self.folder.glob("*.pcapng"))


@pytest.fixture
def rig(tmp_path):
    rigs = []

    def make(**more):
        rigs.append(Rig(tmp_path, **more))
        return rigs[-1]

    yield make
    for each in rigs:
        each.actor.stopped()
        each.loop.close()


def octets_of(path):
    tcp = TcpReassembler()
    chunks = [chunk for packet in read_packets(path) if (part := tcp_segment(packet)) for chunk in tcp.feed(part)]
    return b"".join(chunk.data for chunk in chunks)


def test_a_recording_from_its_beginning_to_its_end(rig):
    one = rig()
    assert one.driver.tee is None
    assert one.record().outcome is Outcome.CONFIRMED
    one.hear()
    one.tick(0.2)
    (path,) = one.files()
    assert path.name.startswith("站-RTU-1-")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert octets_of(path) == OCTETS, "on disk a moment after it was heard"
    assert one.view.running() == {path.name}
    assert one.view.files[SPEC.name].octets == path.stat().st_size
    assert one.record() == CommandResult(Outcome.REFUSED, f"it is recorded already, into {path.name}")
    one.hear()
    assert one.stop() == CommandResult(Outcome.CONFIRMED, path.name)
    assert octets_of(path) == 2 * OCTETS
    assert one.driver.tee is None
    assert one.stop().outcome is Outcome.REFUSED
    assert one.events.keys() == ["channel.recording_started", "channel.recording_ended"]
    (listed,) = recordings_in(one.folder, one.view.running()).recordings
    assert (listed.name, listed.channel, listed.running, listed.bytes) == (path.name, SPEC.name, False, path.stat().st_size)
    assert listed.from_ns == one.clock.now_ns() // 10**9 * 10**9 or listed.from_ns < one.clock.now_ns()


def test_a_driver_that_keeps_its_octets_to_itself_is_not_recorded_as_silence(rig):
    one = rig()
    driver = Wired(SPEC, [], [], None, one.clock)
    driver.heard = False
    one.hub.attach(driver)
    one.settle()
    assert one.record() == CommandResult(Outcome.REFUSED, "the driver of this channel does not show its octets")
    assert not one.files()


def test_who_asked_is_answered_once_everything_is_heard(rig):
    one = rig()
    told = []
    one.actor.receive(Record(SPEC, one.hub, False, 0, 0, "op", lambda result: told.append((result.outcome, one.driver.tee))))
    assert told == []
    one.settle()
    ((outcome, tee),) = told
    assert outcome is Outcome.CONFIRMED
    assert tee is not None, "what the station says after the answer is in the recording"


def test_time_and_size_end_it(rig):
    one = rig(max_minutes=10, max_mb=0.01)
    assert "at most 10 minutes and 0.01 MiB" in one.record(minutes=11).reason
    one.record(minutes=1)
    one.tick(59)
    assert one.view.files
    one.tick(2)
    assert not one.view.files
    one.record(mb=0.01)
    one.hear(count=300)
    one.tick()
    assert not one.view.files
    assert one.events.keys().count("channel.recording_ended") == 2
    assert one.driver.tee is None


def test_a_channel_that_is_always_recorded_goes_from_file_to_file(rig):
    one = rig(always=[SPEC], max_minutes=1, max_mb=1, keep_mb=2)
    one.hear()
    one.tick(61)
    one.hear()
    one.tick(61)
    one.hear()
    one.tick(1)
    files = one.files()
    assert len(files) >= 2
    assert len(one.view.files) == 1
    assert octets_of(files[-1]) == OCTETS
    first = next(iter(read_packets(files[-1])))
    assert not tcp_segment(first).flags & 2, "the connection goes on, so the next file shows no beginning"
    assert one.events.keys() == ["channel.recording_started"]


def test_the_oldest_give_way(rig):
    one = rig(keep_mb=0.05, max_mb=0.04)
    one.folder.mkdir()
    for number in range(3):
        old = one.folder / f"old-1970010{number + 1}T000000Z.pcapng"
        old.write_bytes(bytes(20_000))
        os.utime(old, (number, number))
    (one.folder / "keep-this.pcapng").write_bytes(bytes(100_000))
    (one.folder / "mine.txt").write_bytes(bytes(100_000))
    assert one.record(mb=0.03).outcome is Outcome.CONFIRMED
    assert [path.name for path in one.folder.glob("old*")] == ["old-19700103T000000Z.pcapng"]
    assert (one.folder / "keep-this.pcapng").exists(), "what a person renamed or brought is theirs"
    assert (one.folder / "mine.txt").exists()


def test_what_runs_keeps_the_room_it_may_need(rig):
    one = rig(max_mb=2, keep_mb=3)
    assert one.record(mb=2).outcome is Outcome.CONFIRMED
    other = replace(SPEC, name="RTU-2")
    one.actor.receive(Record(other, TraceHub(one.loop), False, 0, 2, "op", one.answers.append))
    one.settle()
    assert one.answers[-1] == CommandResult(Outcome.REFUSED, "the recordings that run may take up all of keep_mb = 3")
    one.actor.receive(Record(other, TraceHub(one.loop), False, 0, 1, "op", one.answers.append))
    one.settle()
    assert one.answers[-1].outcome is Outcome.CONFIRMED


def test_a_recording_that_is_refused_costs_no_other(rig):
    one = rig(max_mb=2, keep_mb=3)
    one.record(mb=2)
    old = one.folder / "old-19700101T000000Z.pcapng"
    old.write_bytes(bytes(1000))
    one.actor.receive(Record(replace(SPEC, name="RTU-2"), TraceHub(one.loop), False, 0, 2, "op", one.answers.append))
    one.settle()
    assert one.answers[-1].outcome is Outcome.REFUSED
    assert old.exists()


def test_a_disk_that_is_full_ends_the_recording_with_whole_blocks(rig, monkeypatch):
    one = rig()
    one.record()
    one.hear()
    one.tick()
    write, taken = os.write, []

    def full(descriptor, octets):
        if taken:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken.append(1)
        return write(descriptor, bytes(octets[:30]))

    monkeypatch.setattr(module.os, "write", full)
    one.hear(count=5)
    one.tick()
    monkeypatch.undo()
    assert not one.view.files
    assert one.driver.tee is None
    assert one.events.keys()[-1] == "channel.recording_failed"
    (path,) = one.files()
    assert octets_of(path) == OCTETS


def test_what_is_always_recorded_goes_on_when_the_disk_has_room_again(rig, monkeypatch):
    one = rig(always=[SPEC])
    with monkeypatch.context() as patch:
        patch.setattr(module.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
        for _ in range(5):
            one.tick(6)
    assert one.events.keys() == ["channel.recording_started", "channel.recording_failed"], "once is enough"
    one.tick(6)
    one.hear()
    one.tick(1)
    assert octets_of(one.files()[-1]) == OCTETS
    assert one.stop().outcome is Outcome.CONFIRMED
    one.tick(60)
    assert not one.view.files, "who stops it means it"


def test_who_stops_what_waits_for_room_means_it(rig, monkeypatch):
    one = rig(always=[SPEC])
    with monkeypatch.context() as patch:
        patch.setattr(module.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
        one.tick(6)
    assert one.stop().outcome is Outcome.REFUSED
    one.tick(60)
    assert not one.view.files


def test_nothing_is_recorded_on_a_disk_that_runs_short(rig, monkeypatch):
    one = rig()
    one.record()
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    one.tick(6)
    assert not one.view.files
    assert one.record().reason.startswith("only 0 MiB are free")
    assert one.events.keys()[-2:] == ["channel.recording_failed"] * 2


def test_a_folder_that_cannot_be_written_is_an_answer(rig):
    one = rig()
    one.folder.write_text("in the way")
    assert one.record().reason.startswith("cannot use")


def test_what_an_earlier_life_left_open_is_ended(rig):
    one = rig()
    one.record()
    one.live()
    assert one.driver.tee is None
    assert not one.view.files
    assert one.record().outcome is Outcome.CONFIRMED


def test_a_recorder_that_falls_behind_leaves_a_hole_and_says_so(rig, monkeypatch):
    monkeypatch.setattr(RecordingBuffer.__init__, "__defaults__", (300,))
    one = rig()
    one.record()
    one.hear(bytes(60), count=3)
    one.tick()
    one.hear(b"on")
    one.tick()
    (path,) = one.files()
    tcp = TcpReassembler()
    chunks = [chunk for packet in read_packets(path) if (part := tcp_segment(packet)) for chunk in tcp.feed(part)]
    chunks += tcp.finish()
    assert [(len(chunk.data), chunk.lost) for chunk in chunks] == [(60, 0), (2, 120)]
    assert one.events.keys()[-1] == "channel.recording_gap"


def test_a_hole_is_said_of_the_file_that_has_it_alone(rig, monkeypatch):
    monkeypatch.setattr(RecordingBuffer.__init__, "__defaults__", (300,))
    one = rig(always=[SPEC], max_minutes=1, max_mb=1, keep_mb=9)
    one.hear(bytes(60), count=3)
    one.tick(61)
    for _ in range(3):
        one.hear()
        one.tick(61)
    assert one.events.keys().count("channel.recording_gap") == 1
    one.hear(bytes(60), count=3)
    one.tick(1)
    assert one.events.keys().count("channel.recording_gap") == 2
    assert one.events.got[-1].events[0].parameters["octets"] == "120"


def test_a_channel_with_a_long_name_is_recorded(rig, tmp_path):
    one = rig()
    spec = replace(SPEC, name="变" * 120)
    one.actor.receive(Record(spec, one.hub, False, 0, 0, "op", one.answers.append))
    one.settle()
    assert one.answers[-1].outcome is Outcome.CONFIRMED
    (listed,) = recordings_in(one.folder, ()).recordings
    assert listed.channel == spec.name


def test_a_file_with_an_impossible_time_in_its_name_hides_no_other(rig):
    one = rig()
    one.folder.mkdir()
    (one.folder / "r-99999999T999999Z.pcapng").write_bytes(b"")
    assert [listed.from_ns for listed in recordings_in(one.folder, ()).recordings] == [0]


def test_names_do_not_collide(rig):
    one = rig()
    for _ in range(3):
        one.record()
        one.stop()
    assert len(one.files()) == 3


def test_a_foreign_file_is_listed_as_what_it_is(rig):
    one = rig()
    one.folder.mkdir()
    (one.folder / "foreign.pcapng").write_bytes(b"\x0a\x0d\x0d\x0a" + bytes(30))
    (listed,) = recordings_in(one.folder, ()).recordings
    assert (listed.name, listed.channel, listed.from_ns) == ("foreign.pcapng", "", 0)
    assert not recordings_in(one.folder / "absent", ()).recordings


def test_orders_on_settings_are_checked_at_the_start(tmp_path):
    with pytest.raises(ValueError, match="leaves no room"):
        RecordingSettings(path=tmp_path, keep_mb=1, max_mb=2)
    with pytest.raises(ValueError, match="no room for 3 recordings"):
        RecordingSettings(path=tmp_path, keep_mb=5, max_mb=2, channels=("a", "b", "c"))
