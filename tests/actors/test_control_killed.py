"""kill -9 in the middle of a two-person control: its state is known, it is not repeated, the audit is whole."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from actors.control_process import MOMENTS
from actors.test_control_actor import Desk
from scadapb.v1 import scada_pb2 as pb

from scada.actors.messages import Operate
from scada.control.records import SequenceState
from scada.core.control_settings import TwoPersonRule
from scada.security.audit import read_audit, verify

pytestmark = pytest.mark.e2e

TESTS = Path(__file__).parents[1]
EXECUTED = ("execute row", "execute sent")
"""Moments from which on it may have operated."""


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """Folders by moment, each as a process left it that was killed there."""
    folder = tmp_path_factory.mktemp("killed")
    line = [sys.executable, "-m", "actors.control_process", str(folder)]
    ended = subprocess.run(line, cwd=TESTS, capture_output=True, text=True, check=False)
    assert ended.stdout.split() == [str(-signal.SIGKILL.value)] * len(MOMENTS), ended.stderr
    return {moment: folder / moment for moment in MOMENTS}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_control_path_killed_in_the_middle(demo, killed, tmp_path, moment):
    folder = shutil.copytree(killed[moment], tmp_path / "left")
    sent = (folder / "wire").read_text().split()
    assert verify(folder / "audit") is None
    before = [record.row for record in read_audit(folder / "audit")]
    assert sent.count("execute") == (1 if moment == "execute sent" else 0)
    assert [row.step for row in before if row.step == "execute"] == (["execute"] if moment in EXECUTED else [])
    assert "execute" not in sent or before[-1].step == "execute", "nothing leaves before its row"

    desk = Desk(demo, folder, two_person=(TwoPersonRule(),))
    try:
        assert desk.channel.take(Operate) == [], "nothing is repeated"
        told = [record.row for record in read_audit(folder / "audit")][len(before) :]
        assert [row.step for row in told] == ["interrupted"]
        assert told[0].code == ("interrupted:executing" if moment in EXECUTED else "interrupted:selected")
        assert desk.events.keys() == ["control.interrupted"]
        desk.ask(pb.ExecuteRequest(sequence_id=before[-1].sequence_id))
        assert (desk.replies[-1].state, desk.replies[-1].code) == (SequenceState.REFUSED, "unknown_sequence")
        assert desk.channel.take(Operate) == []
    finally:
        desk.close()
    assert verify(folder / "audit") is None
