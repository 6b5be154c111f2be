"""Ctrl-C pressed twice, or forwarded by two at once, ends the program once."""

import signal
import subprocess
import sys

from scada.cli.stopping import StopAsked

PROGRAM = """
import signal, threading, os
from scada.cli.stopping import StopAsked
stop = StopAsked(signal.SIGINT)
def storm():
    for _ in range(20000):
        os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=storm).start()
assert stop.wait(30)
while threading.active_count() > 1:
    stop.wait(0.01)
print("ended")
"""


def test_a_storm_of_signals_ends_a_program_that_waits():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "ended"), done.stderr


def test_nobody_asked():
    stop = StopAsked()
    assert not stop.wait(0.0)
    assert not stop.is_set()
    stop.set()
    assert stop.is_set()
    assert stop.wait()
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
