"""A recording of a live channel: tshark and our own replay find in it what the live database had, whatever ends the server."""

from __future__ import annotations

import asyncio
import random
import shutil
import subprocess
import sys
import threading
import time

import pytest
from scadapb.v1 import scada_pb2 as pb
from system.conftest import BAD as CHANNEL
from system.conftest import GRID, plain
from system.raw_rtu import RawRtu, asdu, float_element

from scada.actors.facade import Facade
from scada.actors.messages import ChannelAction
from scada.control.records import Principal
from scada.core.clock import SystemClock
from scada.protocols.driver import LinkState, Outcome
from scada.protocols.iec104.replay import ReplaySession
from scada.protocols.trace import TraceError, read_packets
from scada.rtdb.store import Store
from scada.security.roles import Right

VALUES = 300


def order(plant, action, channel=CHANNEL, **arguments):
    answers, done = [], threading.Event()
    spec = next(view.spec for view in plant.system.channel_views if view.spec.name == channel)
    told = ChannelAction(action, "operator", arguments, lambda result: (answers.append(result), done.set()))
    plant.system.channels[spec.index].tell(told)
    assert done.wait(20)
    return answers[0]


def view_of(plant, channel=CHANNEL):
    return next(view for view in plant.system.channel_views if view.spec.name == channel)


def start(run, tmp_path, image=(), channel=None):
    rtu = RawRtu(5, image)
    sections = {"recording": {"path": "recordings"}, "resources": {"disk_mb": 0}}
    plant = run(rtus={CHANNEL: rtu}, overrides={CHANNEL: channel or {}}, **sections)
    rtu.wait_started()
    plant.until(lambda: view_of(plant).state is LinkState.UP, 30)
    return plant, rtu, tmp_path / "recordings"


def speak(plant, rtu, tables, seed=5):
    """Send measured values; the last of each point."""
    points, chance, last = plain(tables, CHANNEL, 13), random.Random(seed), {}
    for _ in range(VALUES):
        one = chance.choice(points)
        last[one.mrid] = one, float(chance.randrange(1000))
        rtu.analog(one.address.ioa, last[one.mrid][1])
    plant.until(lambda: all(plant.value(p.pid)[0] == pytest.approx(v * p.scale + p.offset) for p, v in last.values()))
    return list(last.values())


def replayed(path, folder):
    session = ReplaySession(path, lambda clock: Store(folder, 1, clock, map_mb=64, journal_mb=8), keep_objects=True)
    session.run()
    return session


def test_what_was_recorded_is_what_the_database_had(run, tables, tmp_path):
    plant, rtu, folder = start(run, tmp_path)
    assert order(plant, "record", minutes="5").outcome is Outcome.CONFIRMED
    last = speak(plant, rtu, tables)
    assert order(plant, "stop_recording").outcome is Outcome.CONFIRMED
    (path,) = folder.glob("*.pcapng")
    session = replayed(path, tmp_path / "replay")
    found = {each.address.split(" ", 1)[1]: each.value for each in session.values()}
    for point, value in last:
        assert found[f"CA {point.address.common_address} IOA {point.address.ioa}"] == value
        assert plant.value(point.pid)[0] == pytest.approx(value * point.scale + point.offset)
    assert not session.findings
    if shutil.which("tshark"):
        line = ["tshark", "-r", str(path), "-T", "fields", "-e", "iec60870_asdu.typeid", "-e", "_ws.malformed"]
        told = subprocess.run(line, capture_output=True, text=True, check=True).stdout.split()
        assert sum(each.split(",").count("13") for each in told) == VALUES


def test_a_new_connection_is_a_new_stream(run, tables, tmp_path):
    plant, rtu, folder = start(run, tmp_path)
    order(plant, "record")
    speak(plant, rtu, tables)
    rtu._socket.shutdown(2)
    plant.until(lambda: rtu.connections == 2, 20)
    rtu.wait_started()
    plant.until(lambda: view_of(plant).state is LinkState.UP)
    speak(plant, rtu, tables, seed=6)
    order(plant, "stop_recording")
    (path,) = folder.glob("*.pcapng")
    session = replayed(path, tmp_path / "replay")
    assert not session.findings, "the numbers of the second connection begin anew and are no sequence error"
    assert sum(each.ioa > 0 and each.type_id == 13 for each in session.objects()) >= 2 * VALUES


def test_both_links_of_a_channel_are_told_apart(run, tables, tmp_path):
    second = RawRtu(5)
    try:
        plant, rtu, folder = start(run, tmp_path, channel={"params": {"host_b": "127.0.0.1", "port_b": second.port}})
        view = view_of(plant)
        plant.until(lambda: [link.state for link in view.driver.links()] == [LinkState.UP, LinkState.STANDBY], 20)
        order(plant, "record")
        speak(plant, rtu, tables)
        answer = order(plant, "switch", link="B")
        assert answer.outcome is Outcome.CONFIRMED, answer
        speak(plant, second, tables, seed=6)
        order(plant, "stop_recording")
    finally:
        second.close()
    (path,) = folder.glob("*.pcapng")
    session = replayed(path, tmp_path / "replay")
    streams = {each.stream for each in session.objects() if each.type_id == 13}
    assert len(streams) == 2
    assert not [each for each in session.findings if each.kind != "file"]
    if shutil.which("tshark"):
        line = ["tshark", "-r", str(path), "-Y", "iec60870_asdu.typeid == 13", "-T", "fields", "-e", "frame.interface_name"]
        names = subprocess.run(line, capture_output=True, text=True, check=True).stdout.split("\n")
        assert set(filter(None, names)) == {f"{CHANNEL} A", f"{CHANNEL} B"}


def test_an_interrogation_answers_when_it_has_ended(run, tables, tmp_path):
    point = plain(tables, CHANNEL, 13)[0]
    plant, rtu, _ = start(run, tmp_path, image=[asdu(13, 20, 5, (point.address.ioa, float_element(77.0)))])
    plant.until(lambda: plant.value(point.pid)[0] == pytest.approx(77.0 * point.scale + point.offset))
    answer = order(plant, "interrogate")
    assert (answer.outcome, answer.reason) == (Outcome.CONFIRMED, "CA 5: 1 values")
    rtu._on_asdu = lambda data: None  # it falls silent
    answer = order(plant, "interrogate", group="3")
    assert answer.outcome is not Outcome.CONFIRMED
    assert order(plant, "nonsense").outcome is Outcome.UNSUPPORTED
    assert "read_counters" in order(plant, "nonsense").reason


def test_the_detail_of_a_live_channel(run, tables, tmp_path):
    plant, rtu, _ = start(run, tmp_path)
    facade = Facade(plant.system)
    speak(plant, rtu, tables)
    plant.until(lambda: 0 < facade.channel(CHANNEL).up_share <= 1)
    detail = facade.channel(CHANNEL)
    assert (detail.status.state, detail.status.values_in >= VALUES, detail.bytes_in > 20 * VALUES) == ("up", True, True)
    before = detail.status.connects
    assert order(plant, "reconnect").outcome is Outcome.CONFIRMED
    plant.until(lambda: rtu.connections == 2, 20)
    plant.until(lambda: facade.channel(CHANNEL).status.connects == before + 1)
    detail = facade.channel(CHANNEL)
    assert detail.status.values_in >= VALUES, "counters run since the start of the server"
    assert detail.disconnects[0].reason == "reconnect asked by operator"
    assert (detail.parameters["k"], detail.parameters["t1"], detail.parameters["counter_freeze"]) == ("12", "15", "none")


def test_orders_are_audited_with_their_words_and_their_result(run, tables, tmp_path):
    plant, _, _ = start(run, tmp_path)
    facade = Facade(plant.system)

    def ask(action, *rights, **arguments):
        who = Principal("someone", frozenset(), frozenset(rights), frozenset({"*"}))
        command = pb.ChannelCommand(channel=CHANNEL, action=action, arguments=arguments)
        return asyncio.run(facade.set_mode(pb.SetModeRequest(channel=command), who, b""))

    assert ask("interrogate", Right.CHANNEL).accepted
    assert ask("reset_process", Right.CHANNEL).code == "no_right"
    assert ask("read_counters", Right.CHANNEL, mode="freeze").code == "no_right"
    assert ask("stop_recording", Right.CHANNEL).code == "refused"
    rows = [record.row for record in plant.system.audit.records() if record.row.actor == "someone"]
    told = [(row.step, row.path, row.code, row.reason.split(":")[0]) for row in rows]
    assert told == [
        ("channel", CHANNEL, "", "interrogate"),
        ("channel result", CHANNEL, "confirmed", "interrogate"),
        ("channel", CHANNEL, "", "stop_recording"),
        ("channel result", CHANNEL, "refused", "stop_recording"),
    ]


def test_a_live_trace_of_a_real_channel(run, tables, tmp_path):
    plant, rtu, _ = start(run, tmp_path)
    driver = view_of(plant).driver
    assert driver.tee is None
    queue, stop = Facade(plant.system).trace(CHANNEL, values=True)
    plant.until(lambda: driver.tee is not None)
    point = plain(tables, CHANNEL, 13)[0]
    rtu.analog(point.address.ioa, 42.0)
    texts = []
    plant.until(lambda: texts.extend(each.frame.text for each in queue.take(50)[0]) or any("=42" in text for text in texts))
    stop()
    plant.until(lambda: driver.tee is None)


SERVER = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from system.conftest import BAD as CHANNEL, Running
from system.raw_rtu import RawRtu
rtu = RawRtu(5)
rtu.close = lambda: None
recording = {{"path": "recordings", "channels": [CHANNEL]}}
running = Running(Path({folder!r}), {{CHANNEL: rtu}}, recording=recording, resources={{"disk_mb": 0}})
rtu.wait_started()
number = 0
while True:
    rtu.analog(16385, float(number))
    number += 1
    print(number, flush=True)
    time.sleep(0.01)
"""


@pytest.mark.e2e
def test_kill_leaves_a_recording_that_is_readable_to_its_end(tmp_path):
    tests = str(GRID.parents[1] / "tests")
    text = SERVER.format(tests=tests, folder=str(tmp_path))
    child = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True, cwd=GRID.parents[1])
    told = 0
    deadline = time.monotonic() + 60
    try:
        for line in child.stdout:
            told = int(line) if line.strip().isdigit() else told
            if told >= 300 or time.monotonic() > deadline:
                break
    finally:
        child.kill()
        child.communicate()
    assert told >= 300
    (path,) = (tmp_path / "recordings").glob("*.pcapng")
    packets = []
    try:
        packets.extend(read_packets(path))
    except TraceError:
        pytest.fail("only whole blocks are written at a time")
    assert len(packets) > told - 150, "all but the last second"
    assert packets[-1].time_ns <= SystemClock().now_ns()
