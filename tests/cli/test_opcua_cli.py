"""`scada opcua`: browse and import, certificates, trust, users, and the serving process beside a real database."""

import asyncio
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
from asyncua.client.client import Client
from click.testing import CliRunner
from protocols.opcua.rig import Station, free_port, issue, key, write_pair

from scada.cli.companion import Companion
from scada.cli.opcua import command
from scada.core.errors import ScadaError
from scada.model_cim.numbers import keep_numbers
from scada.model_cim.points import load_model
from scada.protocols.opcua.trust import TrustList, read_certificate, thumbprint
from scada.protocols.opcua.viewers import read_users, verify_password

pytestmark = [pytest.mark.filterwarnings("ignore::ResourceWarning")]


def run(*arguments, code=0, **environment):
    result = CliRunner().invoke(command, [str(each) for each in arguments], env=environment)
    if code == 0 and result.exception is not None:
        raise result.exception
    return result


def test_certificate_and_trust(tmp_path):
    out = run("certificate", "--out", tmp_path, "--uri", "urn:x:scada", "--host", "10.0.0.1").output
    own = read_certificate(tmp_path / "own.der")
    assert "urn:x:scada" in out
    assert thumbprint(own) in out
    assert isinstance(run("certificate", "--out", tmp_path, code=1).exception, ScadaError)
    trust = TrustList(tmp_path / "trust")
    trust.prepare()
    trust._reject(own)
    assert run("trust", "--trust", trust.folder).output.startswith("rejected\t")
    run("trust", "--trust", trust.folder, thumbprint(own)[:10])
    assert run("trust", "--trust", trust.folder).output.startswith("trusted\t")
    other = key()
    path, _ = write_pair(tmp_path, issue(other, "Other"), other, "other")
    assert "Other" in run("trust", "--trust", trust.folder, path).output
    assert len(trust.trusted()) == 2


def test_users(tmp_path):
    path = tmp_path / "users.toml"
    run("user", "third", "--users", path, SCADA_OPCUA_PASSWORD="secret")
    run("user", "fourth", "--users", path, SCADA_OPCUA_PASSWORD="other")
    assert path.stat().st_mode & 0o077 == 0
    assert verify_password("secret", read_users(path)["third"])
    run("user", "third", "--users", path, "--remove")
    assert set(read_users(path)) == {"fourth"}
    for name in ('a"b', ""):
        assert isinstance(run("user", name, "--users", path, code=1, SCADA_OPCUA_PASSWORD="x").exception, ScadaError)


@pytest.mark.interop
async def test_browse_lists_and_imports(tmp_path):
    station = Station()
    await station.start()
    endpoint = f"opc.tcp://127.0.0.1:{station.port}"
    listed = await asyncio.to_thread(run, "browse", endpoint)
    assert "nsu=urn:test;s=Setpoint\tSetpoint\tFloat\tread write" in listed.output
    out = tmp_path / "model" / "points.xml"
    out.parent.mkdir()
    made = await asyncio.to_thread(run, "browse", endpoint, "--out", out, "--channel", "Test plant")
    assert "points added" in made.output
    _, tables, findings = load_model(out.parent)
    assert [channel.name for channel in tables.channels] == ["Test plant"]
    assert not [finding for finding in findings if finding.severity.name in ("ERROR", "FATAL")]
    before = out.read_text()
    again = await asyncio.to_thread(run, "browse", endpoint, "--out", out, "--update", "--channel", "Test plant")
    assert "0 points added" in again.output
    assert out.read_text() == before
    refused = await asyncio.to_thread(run, "browse", endpoint, "--out", out, code=1)
    assert "already" in str(refused.exception)
    cut = await asyncio.to_thread(run, "browse", endpoint, "--maximum", 3, code=1)
    assert "only the first 3" in str(cut.exception)
    await station.stop()
    gone = await asyncio.to_thread(run, "browse", endpoint, "--timeout", 1, code=1)
    assert isinstance(gone.exception, ScadaError)


def test_a_companion_is_started_again_later_and_stopped():
    companion = Companion([sys.executable, "-c", "import time; time.sleep(60)"])
    assert companion.pid == 0
    companion.attend()
    first = companion.pid
    assert first
    os.kill(first, signal.SIGKILL)
    companion._process.wait()
    companion.attend()
    assert companion.pid == 0, "not at once"
    companion._next = 0.0
    companion.attend()
    assert companion.pid not in (0, first)
    companion.stop()
    assert companion.pid == 0
    companion.stop()


@pytest.mark.e2e
async def test_the_serving_process_follows_the_database(tmp_path):
    from scada.core.batch import POINT_DTYPE, PointBatch
    from scada.core.clock import SystemClock
    from scada.rtdb.store import Store

    model = tmp_path / "model"
    model.mkdir()
    station = Station()
    await station.start()
    await asyncio.to_thread(
        run, "browse", f"opc.tcp://127.0.0.1:{station.port}", "--out", model / "points.xml", "--channel", "Plant"
    )
    await station.stop()
    tables = load_model(model)[1]
    power = next(point for point in tables.points if point.name == "P")
    port = free_port()
    config = tmp_path / "scada.toml"
    config.write_text(
        f'[model]\npath = "model"\n[rtdb]\npath = "rtdb"\n[opcua]\nendpoint = "opc.tcp://127.0.0.1:{port}/"\n'
        'policies = ["None"]\nanonymous = true\ninterval_s = 0.05\n'
    )
    argv = [sys.executable, "-m", "scada", "opcua", "serve", "-c", str(config)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # noqa: ASYNC220
    try:
        assert "waits for the server" in await asyncio.to_thread(process.stdout.readline)
        store = Store(tmp_path / "rtdb", len(tables.points), SystemClock(), map_mb=64, journal_mb=4)
        keep_numbers(tmp_path / "rtdb", tables)
        assert "opcua up" in await asyncio.to_thread(process.stdout.readline)
        async with Client(f"opc.tcp://127.0.0.1:{port}/") as client:
            index = await client.get_namespace_index("urn:scada-ems:demo:points")
            node = client.get_node(f"ns={index};s={power.mrid}")
            records = np.zeros(1, POINT_DTYPE)
            records["pid"], records["value"] = int(power.pid), 42.5
            store.apply(PointBatch(records, SystemClock().now_ns(), "test"))
            store.commit()
            async with asyncio.timeout(10):
                while (await node.read_data_value(raise_on_bad_status=False)).Value.Value != 42.5:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            store.close()
            async with asyncio.timeout(10):
                while (await node.read_data_value(raise_on_bad_status=False)).StatusCode.is_good():  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
    finally:
        process.send_signal(signal.SIGTERM)
        rest = await asyncio.to_thread(process.communicate, None, 20)
    assert process.returncode == 0, rest
    assert not re.search("Traceback", rest[0])


@pytest.mark.e2e
def test_the_serving_process_does_not_outlive_who_started_it(tmp_path):
    """It is started by us, and told that somebody else did, who must be gone."""
    config = tmp_path / "scada.toml"
    config.write_text('[rtdb]\npath = "rtdb"\n[opcua]\npolicies = ["None"]\nanonymous = true\n')
    argv = [sys.executable, "-m", "scada", "opcua", "serve", "-c", str(config), "--parent", str(os.getppid())]
    assert subprocess.run(argv, timeout=60, check=False).returncode == 0
