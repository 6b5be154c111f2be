"""The worker process of the model, started for real: its answers, its end, and a model handed over in pieces."""

import gc
import io
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from actors.small_grid import write_grid

from scada.actors import model_process
from scada.actors.model_change import alike
from scada.actors.model_handover import pack, unpack
from scada.actors.model_jobs import BuildJob, CheckJob, CheckResult, Kind, WorkError, read_frames, write_frame
from scada.actors.model_process import Built, WorkProcess
from scada.actors.model_work import work
from scada.model_cim.difference import diff_models
from scada.model_cim.drawings import read_index
from scada.model_cim.points import load_model
from scada.model_cim.version_files import hashes_of


class Heard:
    """Collects what a worker says."""

    def __init__(self):
        self.shares, self.found, self.done = [], None, threading.Event()

    def heard(self, share, what):
        self.shares.append((share, what))

    def ended(self, found):
        self.found = found
        self.done.set()

    def wait(self):
        assert self.done.wait(60)
        return self.found


@pytest.fixture
def grid(tmp_path):
    return write_grid(tmp_path / "grid")


def check_job(grid, tmp_path, **more):
    return CheckJob(2, "version", grid, grid, grid, tmp_path / "staging", tmp_path, **more)


def test_a_model_arrives_as_it_was_sent(demo):
    model, tables = demo
    chunks = list(pack(model, tables))
    assert len(chunks) > 3
    other, others = unpack(chunks)
    assert alike(others, tables)
    assert not diff_models(model, other, spelling=True)
    assert gc.isenabled()


@pytest.mark.parametrize("cut", [0, 1, -1])
def test_a_model_that_is_cut_off_is_an_error(grid, cut):
    chunks = b"".join(pack(*load_model(grid)[:2]))
    with pytest.raises((EOFError, Exception), match=r"Ran out of input|truncated|EOF"):
        unpack([chunks[:cut]])
    assert gc.isenabled()


def test_frames_come_out_as_they_went_in_and_a_cut_one_is_left_out(tmp_path):
    path = tmp_path / "frames"
    with path.open("wb") as out:
        write_frame(out, Kind.CHUNK, b"one")
        write_frame(out, Kind.CHUNK, b"")
        write_frame(out, Kind.CHUNK, b"three")
    whole = path.read_bytes()
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        with path.open("rb") as source:
            found = [body for _, body in read_frames(source)]
        assert found == [b"one", b"", b"three"][: len(found)]
    assert len(found) == 3


@pytest.mark.e2e
def test_a_version_is_checked_and_built_in_a_process_of_its_own(grid, tmp_path):
    heard = Heard()
    WorkProcess(check_job(grid, tmp_path), heard.heard, heard.ended)
    result = heard.wait()
    assert isinstance(result, CheckResult)
    assert result.refused == ""
    assert set(result.reports) == {"findings", "difference", "effects", "shadow"}
    assert (tmp_path / "staging" / "EQ.xml").is_file()
    assert [what for _, what in heard.shares] == ["files", "check", "compare", "try", "kept"]
    heard = Heard()
    WorkProcess(BuildJob(1, grid, tmp_path), heard.heard, heard.ended)
    built = heard.wait()
    assert isinstance(built, Built)
    assert [point.path for point in built.tables.points] == [point.path for point in load_model(grid)[1].points]


@pytest.mark.e2e
def test_what_makes_a_job_impossible_is_its_answer(tmp_path):
    heard = Heard()
    WorkProcess(BuildJob(1, tmp_path / "none", tmp_path), heard.heard, heard.ended)
    found = heard.wait()
    assert isinstance(found, WorkError)
    assert "no such model" in str(found)


@pytest.mark.e2e
def test_a_worker_that_is_killed_is_told_by_its_signal(grid, tmp_path):
    heard = Heard()
    work = WorkProcess(check_job(grid, tmp_path), heard.heard, heard.ended)
    os.kill(work.pid, signal.SIGKILL)
    found = heard.wait()
    assert isinstance(found, WorkError)
    assert "killed by signal 9" in str(found)
    assert "memory" in str(found)


@pytest.mark.e2e
def test_of_a_job_given_up_nothing_more_is_heard(grid, tmp_path):
    heard = Heard()
    work = WorkProcess(check_job(grid, tmp_path), heard.heard, heard.ended)
    work.kill()
    work.kill()
    assert heard.found is None
    with pytest.raises(ProcessLookupError):
        os.kill(work.pid, 0)


@pytest.mark.e2e
def test_a_worker_ends_with_its_server(grid, tmp_path):
    heard = Heard()
    work = WorkProcess(check_job(grid, tmp_path), heard.heard, heard.ended)
    work._process.stdin.close()
    found = heard.wait()
    assert isinstance(found, (WorkError, CheckResult))
    if isinstance(found, WorkError):
        assert "ended with code" in str(found)


@pytest.mark.e2e
def test_a_model_that_there_is_no_memory_for_is_an_answer_too(grid, tmp_path, monkeypatch):
    def full(_):
        raise MemoryError("no room")

    monkeypatch.setattr(model_process, "unpack", full)
    heard = Heard()
    work = WorkProcess(BuildJob(1, grid, tmp_path), heard.heard, heard.ended)
    found = heard.wait()
    assert isinstance(found, WorkError)
    assert "MemoryError: no room" in str(found)
    with pytest.raises(ProcessLookupError):
        os.kill(work.pid, 0)


def test_a_worker_that_cannot_be_started_is_an_error_with_a_mend(grid, tmp_path, monkeypatch):
    monkeypatch.setattr(model_process.sys, "executable", str(tmp_path / "no-python"))
    with pytest.raises(WorkError, match="cannot be started"):
        WorkProcess(check_job(grid, tmp_path), print, print)


@pytest.mark.interop
def test_a_checked_version_has_the_drawings_that_its_changes_ask_for(tmp_path):
    pytest.importorskip("pypowsybl")
    demo_path = Path(__file__).parents[2] / "examples" / "demo-grid"
    folder = tmp_path / "edited"
    shutil.copytree(demo_path, folder, ignore=shutil.ignore_patterns("diagrams", "*.py", "__pycache__"))
    path = folder / "EQ.xml"
    assert path.read_text().count(">2130<") > 1
    path.write_text(path.read_text().replace(">2130<", ">2131<", 1))
    heard = Heard()
    job = CheckJob(2, "version", folder, demo_path, demo_path, tmp_path / "staging", tmp_path, draw=True)
    WorkProcess(job, heard.heard, heard.ended)
    found = heard.wait()
    assert isinstance(found, CheckResult)
    assert found.facts["stale_diagrams"] == []
    drawn = tmp_path / "staging" / "diagrams"
    known = read_index(demo_path / "diagrams")
    changed = [key for key, one in read_index(drawn).stations.items() if one.digest != known.stations[key].digest]
    assert [read_index(drawn).stations[key].name for key in changed] == ["Beishan"]
    assert "2131" in (drawn / "Beishan.svg").read_text()
    assert (drawn / "Donghu.svg").read_bytes() == (demo_path / "diagrams" / "Donghu.svg").read_bytes()


def test_files_that_were_changed_since_the_check_are_not_built(grid, tmp_path):
    files = hashes_of(grid)
    (grid / "SC-Longtan.xml").write_bytes((grid / "SC-Longtan.xml").read_bytes().replace(b">Ua<", b">Ux<"))
    out = io.BytesIO()
    work(BuildJob(7, grid, tmp_path, files=files), out)
    out.seek(0)
    answers = [(kind, body) for kind, body in read_frames(out) if kind is not Kind.PROGRESS]
    assert [kind for kind, _ in answers] == [Kind.REFUSED]
    assert "version 7 was changed: SC-Longtan.xml" in pickle.loads(answers[0][1])


@pytest.mark.e2e
def test_if_memory_runs_out_it_is_the_worker_that_goes():
    code = "import os; from scada.actors import model_work as m; m.come_last(); print(m.OOM_SCORE.read_text(), os.nice(0))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["900", str(min(19, os.nice(0) + 10))]
