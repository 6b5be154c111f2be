"""``scada ctl`` and ``scada dispatch`` against a real server over loopback."""

from __future__ import annotations

import json
import re
import sys

import pytest
from scadapb.v1 import scada_pb2 as pb

from scada.api.client import ScadaClient
from scada.cli import ctl, dispatch
from scada.cli.dispatch import read_values
from scada.cli.main import main
from scada.control.interlocks import Finding
from scada.core.errors import ScadaError
from scada.events.records import EventKind


def test_status(run, live):
    live.apply([0, 8], [50.0, 2.0])
    found = json.loads(run(ctl, "status", "--json"))
    assert found["points_total"] == 12
    assert found["points_good"] == 2
    assert (found["channels_up"], found["channels_total"]) == (1, 1)
    assert (found["agc_state"], found["avc_state"], found["alarms_unacknowledged"]) == ("on", "off", 0)
    assert [(area["name"], area["frequency_hz"], area["ace_mw"]) for area in found["areas"]] == [
        ("East", 50.01, -3.5),
        ("West", None, None),
    ]
    assert "f 50.01 Hz, ACE -3.5 MW" in run(ctl, "status")
    assert "频率 50.01 Hz" in run(ctl, "status", lang="zh")
    assert "f - Hz" in run(ctl, "status")


def test_points(run, live):
    live.apply([0, 8], [50.0, 2.0])
    lines = run(ctl, "points", "--station", "East").splitlines()
    assert lines[0].split() == ["point", "value", "q", "time"]
    assert lines[1].split()[:4] == ["East/110", "kV/Bay/P0", "50", "MW"]
    assert lines[2].split()[-2:] == ["-", "-"], "a point that was never received has no value"
    assert any("closed" in line for line in lines)
    with pytest.raises(ScadaError, match="no point matches"):
        run(ctl, "points", "--query", "nowhere")


def test_search(run):
    lines = run(ctl, "search", "ca", "11", "ioa", "108").splitlines()
    assert lines[0].split() == ["kind", "point", "number", "address"]
    assert re.fullmatch(r"point +East/110 kV/Bay/Q8 +CA 11 IOA 108 type 31", lines[1])
    assert lines[-1] == "1 of 1"
    assert "共 0 项" in run(ctl, "search", "nowhere", lang="zh")


def test_alarms_acknowledge_events(run, live):
    assert run(ctl, "alarms") == "No alarms.\n"
    number = live.raise_alarm()
    assert "East/110 kV/Bay/P0" not in run(ctl, "alarms", lang="zh").splitlines()[0]
    assert "95 MW 越上限 90 MW" in run(ctl, "alarms", lang="zh")
    assert run(ctl, "alarms").splitlines()[-1] == f"As of event {len(live.stored) - 1}.", "its logout came after"
    assert run(ctl, "ack", str(number)) == "1 acknowledged\n"
    assert live.seen >= number, "what is raised again after the list stays unacknowledged"
    other = live.raise_alarm(1)
    run(ctl, "ack", str(other), "--seen", str(other - 1))
    assert live.seen == other - 1
    assert "Not present: 999" in run(ctl, "ack", "999", code=1)
    log = run(ctl, "events", "--limit", "500")
    assert "operator logged in" in log
    assert "above high limit 90 MW" in log


def test_operate(run, live):
    live.switch(8, 1)
    out = run(ctl, "operate", "East/110 kV/Bay/CB", "OPEN", "--yes", "--number", "2211")
    assert "now open, select open" in out
    assert "selected, checked back" in out
    assert "success, now open, 0.4 s" in out
    assert [what for what, *_ in live.acted] == ["select", "execute"]
    assert live.acted[0][1].value == 1.0
    assert live.acted[0][1].device_number == "2211"


def test_operate_asks_and_cancels(run, live):
    assert "Not executed" in run(ctl, "operate", "breaker", "close", answer="2211\nn\n", code=1)
    assert "Not executed" in run(ctl, "operate", "breaker", "close", answer="2211\n", code=1)
    assert "success" in run(ctl, "operate", "breaker", "2", answer="2211\ny\n")
    assert [what for what, *_ in live.acted] == ["select", "cancel", "select", "cancel", "select", "execute"]


def test_the_number_of_a_device_is_what_somebody_typed(run, live):
    run(ctl, "operate", "breaker", "close", answer="2212\nn\n", code=1)
    run(ctl, "select", "breaker", "close", answer="", code=1)
    with pytest.raises(ScadaError, match="nobody names the object twice"):
        run(ctl, "operate", "breaker", "close", "--yes", code=1)
    [request] = [request for name, request, *_ in live.acted if name == "select"]
    assert request.device_number == "2212", "not the one that the model knows, and nothing where nobody answered"


@pytest.mark.parametrize("value", ["half", "7", "nan"])
def test_a_value_that_the_control_does_not_have(run, live, value):
    with pytest.raises(ScadaError, match=r"is no value of East.*1 open, 2 close"):
        run(ctl, "operate", "breaker", value, "--yes", "--number", "2211")
    assert live.acted == []


def test_an_unknown_control(run, live):
    with pytest.raises(ScadaError, match="the model has no control 'X'"):
        run(ctl, "operate", "X", "1", "--yes", "--number", "1")


def test_select_execute_cancel(run):
    assert run(ctl, "select", "setpoint", "12.5", "--number", "G1").splitlines()[-1] == "7"
    assert "success" in run(ctl, "execute", "7")
    assert "cancelled" in run(ctl, "cancel", "7", "--reason", "test")


def test_modes(run, live):
    assert run(ctl, "mode", "agc", "on") == "Accepted.\n"
    assert run(ctl, "mode", "avc", "off", lang="zh") == "已接受。\n"
    run(ctl, "unit-mode", "G1", "base", "R", "--mw", "80")
    first, second, third = (request for _, request, _, _ in live.acted)
    assert (first.agc, second.avc) == ("on", "off")
    assert (third.unit.base_mode, third.unit.base_point_mw) == ("BASE", 80.0)
    with pytest.raises(ScadaError, match="neither AGC nor AVC has 'G9'"):
        run(ctl, "unit-mode", "G9", "AUTO", "R")
    for wrong in (["BASE", "R"], ["AUTO", "R", "--mw", "0"]):
        with pytest.raises(ScadaError, match="BASE needs --mw"):
            run(ctl, "unit-mode", "G1", *wrong)
    assert len(live.acted) == 3


def test_areas_loops_and_locks(run, live):
    run(ctl, "mode", "agc", "monitor", "--area", "East")
    run(ctl, "control-mode", "tlbc+tec")
    run(ctl, "loop", "G1", "test", "--value", "-12.5")
    run(ctl, "loop", "g1", "open")
    run(ctl, "unlock", "G1")
    asked = [request for _, request, _, _ in live.acted]
    assert (asked[0].agc, asked[0].area, asked[1].control_mode) == ("monitor", "East", "TLBC+TEC")
    assert [(one.loop.mrid, one.loop.loop, one.loop.test_value) for one in asked[2:4]] == [
        ("g1", "test", -12.5),
        ("g1", "open", 0),
    ]
    assert asked[4].unlock == "g1"
    for wrong in (("G1", "test"), ("G1", "closed", "--value", "3")):
        with pytest.raises(ScadaError, match="a test needs --value"):
            run(ctl, "loop", *wrong)
    assert len(live.acted) == 5


def test_why(run, live):
    shown = run(ctl, "why", "G1")
    assert "G1: 80 MW advised, not sent" in shown
    assert re.search(r"demand on the regulating units +120 +MW", shown)
    assert "建议 80 MW" in run(ctl, "why", "G1", lang="zh")


def test_without_the_right(run, live):
    with pytest.raises(ScadaError, match="no right to call"):
        run(ctl, "--as", "viewer", "mode", "agc", "on")
    assert live.acted == []
    assert any(event.key == "security.refused" and event.kind == EventKind.SECURITY for event in live.stored)


def test_other_views(run, live):
    live.apply([0], [50.0])
    assert "AGC East on" in run(ctl, "agc")
    assert "AVC off" in run(ctl, "avc")
    assert "2211    1 open, 2 close" in run(ctl, "controls", "--station", "East")
    assert "1.5 MW" in run(ctl, "history", "East/110 kV/Bay/P0")
    with pytest.raises(ScadaError, match="the model has no point"):
        run(ctl, "history", "East/110 kV/Bay")
    assert "Replay r1: running" in run(ctl, "replay", "start", "a.pcap")
    assert "Replay r1: pause" in run(ctl, "replay", "do", "r1", "pause")
    started = run(ctl, "replay", "start", "a.pcap", "--loop", "--expect", "a.jsonl")
    assert all(line in started for line in ("sha256 ab12", "expected by a.jsonl", "... 3 in all"))
    assert "to 12.5, 0 s, 0 frames" in run(ctl, "replay", "do", "r1", "jump", "--to", "12.5")
    assert "to 0, 2 s, 0 frames" in run(ctl, "replay", "do", "r1", "step", "--seconds", "2")
    assert "to 0, 0 s, 7 frames" in run(ctl, "replay", "do", "r1", "step", "--frames", "7")
    assert "Replay r1" in run(ctl, "replay", "state", "r1")
    assert "CA 1 IOA 2 type 13" in run(ctl, "replay", "values", "r1")


def test_dispatch(run, live, tmp_path):
    assert "accepted, applied 40 MW, order" in run(dispatch, "setpoint", "--area", "East", "--mw", "40", "--minutes", "30")
    assert "refused: no such area, applied - MW" in run(dispatch, "setpoint", "--area", "North", "--mw", "40", code=1)
    file = tmp_path / "plan.csv"
    file.write_text("time,mw\n00:00,10\n00:15,20.5\n")
    run(dispatch, "schedule", str(file), "--area", "East")
    run(dispatch, "schedule", "--area", "East", "--mw", "1,2,3", "--step", "300")
    orders = [request for _, request, _, _ in live.acted]
    assert orders[0].valid_until_ns > 0
    assert list(orders[2].mw) == [10.0, 20.5]
    assert (list(orders[3].mw), orders[3].step_s) == ([1.0, 2.0, 3.0], 300)
    assert {sender for _, _, sender, _ in live.acted} == {"dispatcher"}
    assert "Interchange set-point 40 MW" in run(dispatch, "status")
    with pytest.raises(ScadaError, match="no values"):
        run(dispatch, "schedule", "--area", "East")


@pytest.mark.parametrize("text", ["mw\n10\nten\n", "1\nnan\n", "1\n1e999\n"])
def test_a_schedule_file_with_a_wrong_line(tmp_path, text):
    file = tmp_path / "plan.csv"
    file.write_text(text)
    with pytest.raises(ScadaError, match=r"plan\.csv:[23]: .* is not a number of MW"):
        read_values(file)


def test_a_schedule_file_that_is_not_there(tmp_path):
    with pytest.raises(ScadaError, match="cannot read the schedule"):
        read_values(tmp_path / "none.csv")


def test_watch_and_follow_go_on_with_what_changes(run, live, monkeypatch):
    async def watch(self, pids):
        yield pb.PointFrame(full=True, pid=[8], value=[1], quality=[0], source_time_ns=[0], received_ns=[0])
        yield pb.PointFrame(pid=[8], value=[2], quality=[0x40], source_time_ns=[1_700_000_000_123_000_000], received_ns=[0])

    async def follow(self, after_id):
        assert after_id == live.stored[-1].event_id
        yield pb.EventList(
            events=[pb.EventInfo(event_id=77, alarm_class=3, key="limit.hi", parameters={"point": "P", "value": "9"})]
        )
        yield pb.EventList()

    monkeypatch.setattr(ScadaClient, "watch", watch)
    monkeypatch.setattr(ScadaClient, "follow", follow)
    assert re.search(r":20\.123  East/110 kV/Bay/Q8  closed  \*$", run(ctl, "points", "--query", "Q8", "--watch").strip())
    assert run(ctl, "events", "--follow").splitlines()[-1].startswith("77    limit  P 9: above high limit")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--server", "127.0.0.1:9", "--control-port", "9"], "scada: the server 127.0.0.1:9 does not answer (is it running?)"),
        (["--as", "nobody"], "nobody.cert.pem: cannot read"),
    ],
)
def test_an_error_is_one_line(present_keys, monkeypatch, capsys, words, said):
    monkeypatch.setattr(sys, "argv", ["scada", "ctl", "--keys", str(present_keys), *words, "status"])
    with pytest.raises(SystemExit) as caught:
        main()
    out, err = capsys.readouterr()
    assert (caught.value.code, out) == (1, "")
    assert said in err
    assert err.count("\n") == 1


def test_exit_codes_reach_the_shell(live, present_keys, monkeypatch, capsys):
    server = live.thread.server
    options = ["--server", f"127.0.0.1:{server.port}", "--control-port", str(server.control_port), "--keys", str(present_keys)]
    monkeypatch.setattr(sys, "argv", ["scada", "ctl", *options, "ack", "999"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 1


def test_raise_and_lower_in_one_call(run, live):
    assert "success" in run(ctl, "raise", "setpoint", "2.5", "--number", "G1")
    run(ctl, "lower", "setpoint", "1", answer="G1\n")
    first, second = (request for name, request, *_ in live.acted if name == "adjust")
    assert (getattr(first, "raise"), first.amount) == (True, 2.5)
    assert (getattr(second, "raise"), second.amount) == (False, 1.0)


def test_nothing_waits_for_a_second_person(run):
    assert run(ctl, "guard") == "nothing waits for a second person\n"
    assert run(ctl, "sequences", lang="zh") == "没有正在进行的遥控\n"
    with pytest.raises(ScadaError, match="no sequence '7' waits"):
        run(ctl, "guard", "7", "--number", "1")


def test_a_waiver_goes_to_the_server_with_its_reason(run, live):
    run(ctl, "select", "setpoint", "12.5", "--number", "G1", "--emergency", "--bypass", "--reason", "fire")
    [request] = [request for name, request, *_ in live.acted if name == "select"]
    assert (request.emergency, request.bypass_interlocks, request.reason) == (True, True, "fire")


def test_interlocks_say_what_forbids_and_on_what_that_rests(run, live):
    assert run(ctl, "interlocks", "breaker", "open") == "Nothing forbids East/110 kV/Bay/CB open\n"
    known = Finding("no-closing-onto-earth", "interlock.earth.closed", "", {"kind": "breaker"}, bypassable=False)
    live.forbids = (known, Finding("enabled-by", "interlock.enabled.unknown", "", {"point": "East/SF6"}, unknown=True))
    live.rests_on = "this rests on substituted positions: East/ES 1"
    lines = run(ctl, "interlocks", "East/110 kV/Bay/CB", "2", code=1).splitlines()
    assert lines[0].startswith("East/110 kV/Bay/CB close: It would close onto earth")
    assert "East/SF6 must allow it" in lines[1]
    assert lines[2] == "  may be bypassed by who has the right, with a reason"
    assert lines[3:] == ["this rests on substituted positions: East/ES 1"]
    assert "合" in run(ctl, "interlocks", "breaker", "close", code=1, lang="zh")
    with pytest.raises(ScadaError, match="is no value of"):
        run(ctl, "interlocks", "breaker", "half")
    assert live.acted == [], "nothing is selected"
