"""Replay actor: isolated sessions, in parts; no trace and no order takes the actor or its neighbours with it."""

import gzip
import math
import struct
from pathlib import Path

import pytest
from actors.harness import make
from scadapb.v1 import scada_pb2 as pb

from scada.actors import replay as module
from scada.actors import replaying
from scada.actors.messages import Tick
from scada.actors.order_messages import ReplayAsked
from scada.actors.replay import SESSIONS, ReplayActor, ReplayView
from scada.core.clock import VirtualClock
from scada.core.errors import ScadaError
from scada.protocols.iec104.apci import i_frame
from scada.protocols.iec104.asdu import single
from scada.protocols.iec104.replay import ReplaySession
from tests.protocols.iec104.test_iec104_replay import capture

TRACES = Path(__file__).parents[2].parent / "shared" / "data" / "iec104"


class Replays:
    def __init__(self, folder):
        self.clock, self.view = VirtualClock(), ReplayView({})
        self.actor = make(ReplayActor, folders=[folder, folder / "none"], view=self.view, clock=self.clock)

    def start(self, trace, speed=1.0, **more):
        return self.actor.receive(ReplayAsked("start", pb.ReplayRequest(trace=trace, speed=speed, **more)))

    def ask(self, action, state, **more):
        return self.actor.receive(ReplayAsked(action, pb.ReplayCommand(replay_id=state.replay_id, **more)))

    def run(self, seconds=0.0):
        self.clock.advance(seconds)
        self.actor.receive(Tick())

    def until(self, state, *wanted, seconds=0.1):
        for _ in range(1000):
            found = self.ask("state", state)
            if found.state in wanted:
                return found
            self.run(seconds)
        raise AssertionError(found)


@pytest.fixture
def replays():
    if not TRACES.is_dir():
        pytest.skip("no recorded traces beside the repository")
    replays = Replays(TRACES)
    yield replays
    replays.actor.stopped()


TRACE = "rec-lib60870-loopback.pcap"


def test_a_replay_runs_by_the_clock_pauses_steps_and_stops(replays):
    state = replays.start(TRACE)
    assert (state.state, state.position_s) == ("running", 0.0) or state.position_s < state.length_s
    replays.clock.advance(state.length_s / 2)
    replays.actor.receive(Tick())
    half = replays.ask("state", state)
    assert 0 < half.position_s <= state.length_s
    replays.ask("pause", state)
    replays.clock.advance(100)
    replays.actor.receive(Tick())
    assert replays.ask("state", state).position_s == half.position_s
    stepped = replays.ask("step", state)
    assert stepped.position_s >= half.position_s
    replays.ask("resume", state)
    replays.ask("speed", state, speed=0)
    replays.until(state, "finished")
    assert replays.view.values[state.replay_id].values
    assert replays.ask("stop", state).state == "stopped"
    assert replays.view.values == {}
    with pytest.raises(ScadaError, match="no replay"):
        replays.ask("state", state)


@pytest.mark.parametrize("trace", ["../../etc/passwd", "/etc/passwd", "..", "", "missing.pcap"])
def test_only_files_of_the_folder_are_read(replays, trace):
    with pytest.raises(ScadaError, match="no trace"):
        replays.start(trace)


def test_a_file_that_is_no_trace_is_refused(tmp_path):
    (tmp_path / "noise.pcap").write_bytes(b"nothing of that kind")
    with pytest.raises(ScadaError, match=r"noise\.pcap"):
        Replays(tmp_path).start("noise.pcap")


def test_a_jump_gives_the_values_of_that_time_forward_and_back(replays):
    state = replays.start(TRACE)
    replays.ask("pause", state)
    seen = {}
    for position in (2.0, 5.0, 2.0, 5.0):
        at = replays.ask("jump", state, position_s=position)
        assert at.state == "seeking"
        at = replays.until(state, "paused")
        assert at.position_s == pytest.approx(position)
        values = replays.view.values[state.replay_id].SerializeToString()
        assert seen.setdefault(position, (values, at.digest)) == (values, at.digest)
    assert seen[2.0] != seen[5.0]
    with pytest.raises(ScadaError, match="not in the trace"):
        replays.ask("jump", state, position_s=1e6)


def test_a_loop_begins_again_until_it_is_ended_and_gives_the_same_digest(replays):
    state = replays.start(TRACE, speed=0, loop=True)
    ends = []
    while len(ends) < 2:
        replays.run(0.1)
        shown = replays.ask("state", state)
        assert shown.state == "running"
        if shown.rounds > len(ends):
            ends.append(shown.digest)
    assert ends[0] == ends[1]
    replays.ask("once", state)
    replays.until(state, "finished")
    again = replays.ask("jump", state, position_s=0.0)
    assert again.state == "paused"


def test_frame_by_frame(replays):
    state = replays.start(TRACE)
    replays.ask("pause", state)
    before = replays.ask("state", state).apdus
    positions = [replays.ask("step", state, frames=5) for _ in range(20)]
    assert positions[-1].apdus > before
    assert [one.position_s for one in positions] == sorted(one.position_s for one in positions)


def test_an_expectation_is_compared_at_the_end_and_differences_are_told(tmp_path):
    trace = TRACES / TRACE
    if not trace.is_file():
        pytest.skip("no recorded traces beside the repository")
    truth = gzip.decompress((TRACES / TRACE.replace(".pcap", ".truth.jsonl.gz")).read_bytes()).decode()
    (tmp_path / TRACE).write_bytes(trace.read_bytes())
    (tmp_path / "right.jsonl").write_text(truth)
    lines = truth.splitlines(keepends=True)
    (tmp_path / "wrong.jsonl").write_text("".join(lines[: len(lines) // 2]))
    replays = Replays(tmp_path)
    right = replays.until(replays.start(TRACE, speed=0, expect="right.jsonl"), "finished")
    assert (right.state, right.differences) == ("finished", 0)
    wrong = replays.until(replays.start(TRACE, speed=0, expect="wrong.jsonl"), "finished")
    assert wrong.differences > len(wrong.first_differences) > 0
    assert wrong.first_differences[0].startswith("extra: frame ")
    with pytest.raises(ScadaError, match="no expectation"):
        replays.start(TRACE, expect="../right.jsonl")
    replays.actor.stopped()


def test_four_at_a_time(replays):
    states = [replays.start(TRACE, speed=0.01) for _ in range(SESSIONS)]
    with pytest.raises(ScadaError, match="stop one"):
        replays.start(TRACE)
    replays.ask("stop", states[0])
    assert replays.start(TRACE).state in {"running", "finished"}


# ---------------------------------------------------------------- hostile and large traces


def value(n, ioa=7):
    return i_frame(n, 0, single(13, 3, 4, ioa, struct.pack("<fB", float(n), 0)).encode())


@pytest.fixture
def made(tmp_path):
    capture(tmp_path / "many.pcap", [(n / 100, True, value(n, 1 + n)) for n in range(1000)])
    made = Replays(tmp_path)
    yield made
    made.actor.stopped()


def test_however_long_a_trace_is_no_message_replays_more_than_a_part(made):
    state = made.start("many.pcap", speed=0)
    assert 0 < state.apdus < 400
    made.run()
    more = made.ask("state", state).apdus
    assert state.apdus < more < 800
    made.ask("pause", state)
    assert made.ask("jump", state, position_s=9.9).state == "seeking"
    assert made.ask("pause", state).state == "paused", "who no longer wants it need not wait"
    made.run()
    position = made.ask("state", state).position_s
    made.run()
    assert made.ask("state", state).position_s == position
    made.ask("step", state, step_s=5)
    assert made.until(state, "finished").apdus == 1000


def test_a_trace_is_read_in_parts_too(made, monkeypatch):
    monkeypatch.setattr("scada.protocols.iec104.capture._PART_PACKETS", 300)
    state = made.start("many.pcap", speed=0)
    assert state.state == "reading"
    with pytest.raises(ScadaError, match="is reading"):
        made.ask("jump", state, position_s=1)
    assert made.until(state, "finished").apdus == 1000
    made.ask("stop", made.start("many.pcap"))


def test_a_trace_that_is_cut_short_late_is_a_state_and_no_failure_of_the_actor(made, tmp_path, monkeypatch):
    monkeypatch.setattr("scada.protocols.iec104.capture._PART_PACKETS", 300)
    state = made.start("many.pcap", speed=0, port=2405)
    shown = made.until(state, "failed")
    assert "no TCP payload on port 2405" in shown.reason
    assert made.ask("stop", state).state == "stopped"


@pytest.mark.parametrize(("most", "what"), [("MOST_ADDRESSES", "addresses"), ("MOST_FINDINGS", "faults")])
def test_what_a_trace_takes_up_is_bounded(made, tmp_path, monkeypatch, most, what):
    monkeypatch.setattr(replaying, most, 100)
    capture(tmp_path / "bad.pcap", [(n / 100, True, value(2 * n, 1 + n)) for n in range(1000)])
    state = made.start("bad.pcap", speed=0)
    assert state.state == "failed"
    assert f"more than 100 {what}" in state.reason
    for action in ("resume", "step", "jump", "pause"):
        with pytest.raises(ScadaError, match="is failed: the trace has more than 100"):
            made.ask(action, state)
    for _ in range(SESSIONS):
        made.start("many.pcap", speed=0.01)  # what failed makes room


def test_objects_to_compare_are_bounded(made, tmp_path, monkeypatch):
    monkeypatch.setattr(replaying, "MOST_COMPARED", 100)
    (tmp_path / "t.jsonl").write_text("")
    assert "objects to compare" in made.start("many.pcap", speed=0, expect="t.jsonl").reason


@pytest.mark.parametrize(
    "line", ['{"k": "S"}\n' * 2000, "[" * 200_000, '{"k": "I", "ca": 1, "typ": 1e999, "ioa": 1}', "x" * 100_000]
)
def test_a_hostile_expectation_fails_its_session_alone(made, tmp_path, monkeypatch, line):
    monkeypatch.setattr(module, "MOST_COMPARED", 1000)
    (tmp_path / "t.jsonl").write_text(line)
    state = made.until(made.start("many.pcap", speed=0, expect="t.jsonl"), "failed")
    assert "t.jsonl" in state.reason


def test_files_that_are_too_large_are_refused_before_they_are_read(made, tmp_path, monkeypatch):
    size = (tmp_path / "many.pcap").stat().st_size
    with (tmp_path / "huge.pcap").open("wb") as file:
        file.truncate((64 << 20) + 1)
    with pytest.raises(ScadaError, match="at the terminal"):
        made.start("huge.pcap")
    monkeypatch.setattr(module, "MOST_OCTETS", 2 * size)
    states = [made.start("many.pcap", speed=0.01) for _ in range(2)]
    with pytest.raises(ScadaError, match="replay-1, replay-2"):
        made.start("many.pcap")
    made.ask("stop", states[0])
    made.start("many.pcap")


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ("speed", {"speed": math.nan}),
        ("speed", {"speed": -1.0}),
        ("step", {"step_s": math.nan}),
        ("step", {"step_s": math.inf}),
        ("step", {"step_s": -1.0}),
        ("step", {"frames": 2**32 - 1}),
        ("jump", {"position_s": math.nan}),
        ("dance", {}),
    ],
)
def test_an_order_that_makes_no_sense_is_refused_and_changes_nothing(made, action, words):
    state = made.start("many.pcap")
    with pytest.raises(ScadaError):
        made.ask(action, state, **words)
    with pytest.raises(ScadaError):
        made.start("many.pcap", speed=math.nan)
    made.run(0.1)
    assert made.ask("state", state).state == "running"


def test_an_error_in_the_decoder_fails_its_session_alone(made, monkeypatch):
    state, other = made.start("many.pcap"), made.start("many.pcap")

    def broken(self, *_):
        raise MemoryError("no room")

    monkeypatch.setattr(ReplaySession, "step_frames", broken)
    failed = made.ask("step", state, frames=1)
    assert (failed.state, failed.reason) == ("failed", "MemoryError: no room")
    made.run(0.1)
    assert made.ask("state", other).state == "running"


def test_values_are_made_only_when_there_are_new_ones(made, monkeypatch):
    state = made.start("many.pcap")
    made.until(state, "finished", seconds=1.0)
    monkeypatch.setattr(ReplaySession, "values", lambda self: pytest.fail("nothing is new"))
    made.ask("pause", state)
    made.run(1.0)
    assert len(made.view.values[state.replay_id].values) == 1000


def test_an_order_behind_the_end_is_no_other_round(made):
    state = made.start("many.pcap")
    made.until(state, "finished", seconds=1.0)
    for _ in range(3):
        made.ask("step", state)
        made.ask("resume", state)
        made.run(1.0)
    found = made.ask("state", state)
    assert (found.state, found.rounds) == ("finished", 1)


def test_a_new_life_shows_nothing_of_the_last(made):
    made.start("many.pcap")
    assert made.view.values
    made.actor.started()
    assert made.view.values == {}
