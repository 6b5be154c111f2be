"""Children end with their parent, within the deadline, whatever they do with signals."""

import os
import signal
import subprocess
import sys
import time

import pytest

from scada.cli.processes import ProcessGroup, sole_use
from scada.core.errors import ConfigError


def gone(pid, seconds=5.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


def lines_of(group, name, seconds=10.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if lines := group.new_lines(name):
            return lines
        time.sleep(0.02)
    raise AssertionError(f"{name} said nothing")


def test_a_stubborn_child_and_its_grandchild_are_killed(tmp_path):
    group = ProcessGroup(tmp_path)
    code = (
        "import signal,subprocess,sys,time;signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "p=subprocess.Popen([sys.executable,'-c','import signal,time;signal.signal(15,signal.SIG_IGN);time.sleep(60)']);"
        "print(p.pid,flush=True);time.sleep(60)"
    )
    group.start("stubborn", [sys.executable, "-c", code])
    grandchild = int(lines_of(group, "stubborn")[0])
    assert group.stop(0.3) == ["stubborn"]
    assert gone(grandchild)


def test_a_polite_child_is_not_killed_and_a_dead_one_is_revived(tmp_path):
    group = ProcessGroup(tmp_path)
    code = "import signal,sys,time;signal.signal(15,lambda *_: sys.exit(0));print('up',flush=True);time.sleep(60)"
    group.start("polite", [sys.executable, "-c", code])
    assert lines_of(group, "polite") == ["up"]
    first = group.pid("polite")
    os.kill(first, signal.SIGKILL)
    deadline = time.monotonic() + 10
    revived = []
    while not revived and time.monotonic() < deadline:
        revived = group.revive()
        time.sleep(0.05)
    assert revived == [("polite", -signal.SIGKILL)]
    assert group.pid("polite") != first
    assert lines_of(group, "polite") == ["up"]
    assert group.stop(5.0) == []


def test_children_die_with_a_parent_that_was_killed(tmp_path):
    code = (
        "import sys,time;from pathlib import Path;from scada.cli.processes import ProcessGroup;"
        f"g=ProcessGroup(Path({str(tmp_path)!r}));g.start('c',[sys.executable,'-c','import time;time.sleep(60)']);"
        "print(g.pid('c'),flush=True);time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert gone(child)


def test_a_folder_is_used_by_one_process_even_after_a_kill(tmp_path):
    code = (
        "import time;from pathlib import Path;from scada.cli.processes import sole_use\n"
        f"with sole_use(Path({str(tmp_path)!r})): print('held',flush=True); time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert other.stdout.readline() == b"held\n"
    with pytest.raises(ConfigError, match="another demo runs in this folder"), sole_use(tmp_path):
        pass
    other.kill()
    other.wait()
    other.stdout.close()
    with sole_use(tmp_path):
        pass
