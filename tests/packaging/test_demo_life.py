"""The demo as a terminal sees it: a busy port is one line; however it ends, nothing is left."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest


def free_base():
    for base in range(30000, 60000, 100):
        with contextlib.ExitStack() as held:
            try:
                for port in range(base, base + 30):
                    probe = held.enter_context(socket.socket())
                    probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return base
    raise AssertionError("no free ports")


def start(folder, base):
    line = [sys.executable, "-m", "scada", "demo", "--headless", "--dir", folder, "--base-port", str(base)]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)


def processes(base):
    """Processes whose command line or, for outstations, whose parent names the demo's ports or folder."""
    found, parents = set(), {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            line = (entry / "cmdline").read_bytes()
            state, parent = (entry / "stat").read_text().rsplit(")", 1)[1].split()[:2]
            if state == "Z":
                continue
            parents[int(entry.name)] = int(parent)
            if base in line:
                found.add(int(entry.name))
    return found | {pid for pid, parent in parents.items() if parent in found}


def is_running(pid):
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False


def alive(pids):
    return {pid for pid in pids if is_running(pid)}


def test_a_busy_port_is_one_line(tmp_path):
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        demo = start(tmp_path, port)
        told = demo.communicate(timeout=60)[0].splitlines()
    assert demo.returncode == 1
    assert told == [f"scada: 127.0.0.1: port {port} for views is in use by another process (choose another port)"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.e2e
@pytest.mark.timeout(240)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_however_it_ends_nothing_is_left(tmp_path, number):
    base = free_base()
    demo = start(tmp_path, base)
    try:
        for line in demo.stdout:
            if "Ctrl-C ends" in line:
                break
        else:
            raise AssertionError("the demo ended before it ran")
        mine = processes(str(tmp_path).encode()) | processes(str(base + 4).encode())
        assert len(mine) >= 12, "demo, simulator, eight outstations, server, operator station"
        # a terminal signals the whole group; SIGKILL hits the demo alone
        os.kill(demo.pid, number) if number == signal.SIGKILL else os.killpg(demo.pid, number)
        deadline = time.monotonic() + 3.0
        while (left := alive(mine - {demo.pid})) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert left == set()
        assert demo.wait(3) == (-signal.SIGKILL if number == signal.SIGKILL else 0)
    finally:
        for pid in alive(processes(str(tmp_path).encode())):
            os.kill(pid, signal.SIGKILL)
        demo.wait(10)
        demo.stdout.close()
