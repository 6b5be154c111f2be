"""The engineers' guide, command by command, as its reader would run it: from a bare network to a running server and back."""

from __future__ import annotations

import csv
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from e2e.rig import free_base

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "model" / "guide.md"
POINT = "Beishan/220kV/Donghu 1/Ia"
DIFFERENT = 1
"""Exit code of a comparison that found something."""


class Reader:
    """Somebody who follows the page in an empty folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        base = free_base()
        self._ports = {"50051": base, "50052": base + 1, "20001": base + 20}
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "SCADA_SERVER": f"127.0.0.1:{base}",
            "SCADA_CONTROL_PORT": str(base + 1),
            "LANG": "C.UTF-8",
        }
        self._admin, self._metrics = base + 3, base + 2
        self._running: list[subprocess.Popen[str]] = []
        self.said: dict[str, str] = {}

    def write(self, text: str) -> None:
        """A file whose first line names it."""
        name = re.match(r"# (\S+)\n", text)[1]
        own = f"[api]\nport = {self._ports['50051']}\ncontrol_port = {self._ports['50052']}\n[metrics]\nport = {self._metrics}\n"
        (self.folder / name).write_text(f"{text}[rtdb]\nmap_mb = 64\njournal_mb = 8\n{own}")

    def run(self, line: str) -> None:
        """A command; one that ends with ``&`` stays."""
        words = shlex.split(line.removesuffix("&").replace("20001", str(self._ports["20001"])))
        assert words[0] == "scada"
        command = [sys.executable, "-m", *words]
        if words[1] == "sim":
            command += ["--admin", str(self._admin)]
        if line.endswith("&"):
            self._start(command, "plant is running" if words[1] == "sim" else "state=up")
            return
        done = subprocess.run(
            command, cwd=self.folder, env=self._environment, capture_output=True, text=True, timeout=300, check=False
        )
        self.said[line] = done.stdout + done.stderr
        expected = DIFFERENT if words[1:3] == ["model", "diff"] else 0
        assert done.returncode == expected, f"{line}\n{self.said[line]}"

    def _start(self, command: list[str], ready: str) -> None:
        log = self.folder / f"{command[3]}.log"
        with log.open("w") as stream:
            self._running.append(
                subprocess.Popen(
                    command, cwd=self.folder, env=self._environment, stdout=stream, stderr=subprocess.STDOUT, text=True
                )
            )
        self.until(lambda: log.read_text().count(ready) >= (10 if ready == "state=up" else 1), f"{command[3]}: {log.read_text}")

    def until(self, condition, what: object) -> None:
        deadline = time.monotonic() + 180
        while not condition():
            assert time.monotonic() < deadline, what() if callable(what) else what
            assert all(process.poll() is None for process in self._running), [
                file.read_text()[-2000:] for file in self.folder.glob("*.log")
            ]
            time.sleep(0.1)

    def stop(self) -> None:
        for process in reversed(self._running):
            process.send_signal(signal.SIGTERM)
        for process in self._running:
            process.wait(30)


@pytest.fixture
def reader(tmp_path):
    (tmp_path / "grid").mkdir()
    for name in ("EQ.xml", "SSH.xml"):
        shutil.copyfile(ROOT / "examples" / "demo-grid" / name, tmp_path / "grid" / name)
    one = Reader(tmp_path)
    yield one
    one.stop()


def _edit(folder: Path) -> None:
    """What the page says to do by hand."""
    path = folder / "sheets" / "limits.csv"
    with path.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.reader(stream))
    (row,) = [row for row in rows[1:] if row[rows[0].index("Points")] == POINT]
    row[rows[0].index("High high")] = "1050"
    with path.open("w", encoding="utf-8-sig", newline="") as stream:
        csv.writer(stream).writerows(rows)


def test_the_guide_does_what_it_says(reader):
    blocks = re.findall(r"^```(sh|toml)\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 7
    for kind, text in blocks:
        if kind == "toml":
            reader.write(text)
            continue
        for line in text.splitlines():
            if line.startswith("scada model import-sheets"):
                _edit(reader.folder)
            reader.run(line)
    said = reader.said
    assert "10/10" in said["scada ctl status"]
    closed = said['scada ctl operate "Beishan/220kV/Donghu 1/2130" close --number 2130 --yes']
    assert "success" in closed
    assert POINT in said["scada model diff model edited"]
    voltage = next(line for line in said["scada ctl points --station Beishan"].splitlines() if "220kV/Bus I/Uab" in line)
    assert 200 < float(re.search(r"([\d.]+) kV", voltage)[1]) < 245, voltage
    assert "nothing to add" in said["scada model instrument model --out model"]
