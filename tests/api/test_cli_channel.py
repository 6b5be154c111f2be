"""``scada channel`` over loopback."""

import signal
import subprocess
import sys
import threading
import time

import pytest
from scadapb.v1 import scada_pb2 as pb

from scada.cli import channel
from scada.cli.channel import frame_line
from scada.core.errors import ScadaError

TESTFR = bytes.fromhex("680443000000")
VALUE = bytes.fromhex("680e0000000001010300010001000001")


def test_list_and_show(run):
    assert "East RTU  iec104    127.0.0.1:2404  up" in run(channel, "list")
    shown = run(channel, "show", "East RTU")
    for words in ("75.000 %", "peer closed", "10.0.0.1:2404", "range", "East/P0", "read_counters", "k          12"):
        assert words in shown
    line = next(line for line in shown.splitlines() if "clock skew" in line)
    assert line.split()[-1] == "-", "what is not known is not said as a number"
    assert "可用率" in run(channel, "show", "East RTU", lang="zh")
    with pytest.raises(ScadaError, match="channels are East RTU"):
        run(channel, "show", "Nowhere")


def test_trace_prints_each_frame_once_and_ends_after_its_count(run, live):
    def speak():
        while not live.traces:
            time.sleep(0.01)
        live.traces[0].put("A", True, 10**18, TESTFR + VALUE)
        live.traces[0].put("A", False, 10**18, TESTFR)

    thread = threading.Thread(target=speak)
    thread.start()
    lines = run(channel, "trace", "East RTU", "--hex", "--values", "--count", "3").splitlines()
    thread.join()
    assert [line.split("  ", 1)[1] for line in lines] == [
        "A  <  68 04 43 00 00 00  U TESTFR act",
        f"A  <  {VALUE.hex(' ')}  I N(S)=0 N(R)=0 M_SP_NA_1 spontaneous CA 1: 1=on",
        "A  >  68 04 43 00 00 00  U TESTFR act",
    ]


@pytest.mark.e2e
def test_ctrl_c_ends_a_trace_without_a_complaint(live, present_keys):
    server = live.thread.server
    line = [sys.executable, "-m", "scada", "channel", "--server", f"127.0.0.1:{server.port}"]
    line += ["--control-port", str(server.control_port), "--keys", str(present_keys), "trace", "East RTU"]
    child = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 30
    while not live.traces:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    live.traces[0].put("", True, 10**18, TESTFR)
    assert "U TESTFR act" in child.stdout.readline()
    child.send_signal(signal.SIGINT)
    rest, complaints = child.communicate(timeout=30)
    assert (child.returncode, rest, complaints.strip()) == (130, "", "")


def test_a_frame_nobody_decodes_is_shown_by_its_octets():
    line = frame_line(pb.ChannelFrame(time_ns=10**18, received=True, data=bytes(100)), octets=False)
    assert line.endswith("00 ...")


def test_orders(run, live):
    assert run(channel, "order", "East RTU", "interrogate", "group=2") == "Done.\n"
    run(channel, "record", "East RTU", "--minutes", "2.5")
    run(channel, "stop-recording", "East RTU")
    asked = [request.channel for _, request, _, _ in live.acted]
    assert [(each.channel, each.action, dict(each.arguments)) for each in asked] == [
        ("East RTU", "interrogate", {"group": "2"}),
        ("East RTU", "record", {"minutes": "2.5", "mb": "0"}),
        ("East RTU", "stop_recording", {}),
    ]
    with pytest.raises(ScadaError, match=r"no channel 'West'.*channels are East RTU"):
        run(channel, "order", "West", "interrogate")
    run(channel, "order", "East RTU", "interrogate", "nonsense", code=2)
    with pytest.raises(ScadaError, match="ENGINEER"):
        run(channel, "order", "East RTU", "reset_process")


def test_recordings(run):
    shown = run(channel, "recordings")
    assert "r.pcapng" in shown
    assert "running" in shown


def test_help_teaches(run):
    assert 'scada channel trace "Beishan RTU" --values --hex\n' in run(channel, "--help")
