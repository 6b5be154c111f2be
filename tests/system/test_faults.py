"""Faults that need a server of their own: of a station's numbering, of our drivers, of the model, of the disk."""

import shutil

import pytest
from system.conftest import BAD, DARK, GOOD, GRID, plain
from system.proofs import proves_life, told_once
from system.raw_rtu import RawRtu, asdu, float_element

from scada.actors.channel import LOST
from scada.actors.system import System
from scada.core.clock import SystemClock
from scada.core.errors import ConfigError, ModelError, ScadaError
from scada.core.quality import BAD_MASK, Quality
from scada.core.settings import parse_settings
from scada.events.records import EventKind
from scada.model_cim.tables import PointKind


def test_a_wrong_sequence_number_ends_the_connection_and_its_value_is_not_taken(tmp_path, run, tables):
    rtus = {BAD: RawRtu(5), GOOD: RawRtu(4)}
    plant = run(rtus=rtus)
    bad = rtus[BAD]
    plant.until(lambda: all(plant.log.lines(name, "state=up") for name in rtus))
    point = plain(tables, BAD, 13)[0]
    bad.send(asdu(13, 3, 5, (point.address.ioa, float_element(5.0))), skip=7)
    told_once(plant, "protocol.protocol_fault", "N(S)")
    assert plant.value(point.pid)[1] & Quality.NEVER_RECEIVED
    plant.until(lambda: bad.connections == 2, 15, "connected again")
    bad.wait_started()
    plant.until(lambda: len([d for d in bad.received if d[0] == 100]) >= 2, what="interrogated again")
    bad.analog(point.address.ioa, 6.0)
    plant.until(lambda: plant.value(point.pid)[0] == pytest.approx(6.0 * point.scale + point.offset))
    proves_life(plant, tables)


def test_a_driver_with_a_bug_is_replaced_and_its_points_are_not_topical(run, tables, monkeypatch):
    from scada.protocols.iec104.channel import Channel

    rtus = {BAD: RawRtu(5), GOOD: RawRtu(4)}
    plant = run(rtus=rtus)
    plant.until(lambda: all(plant.log.lines(name, "state=up") for name in rtus))
    point = plain(tables, BAD, 13)[0]
    rtus[BAD].analog(point.address.ioa, 3.0)
    plant.until(lambda: plant.value(point.pid)[1] == 0)
    whole, tripped = Channel.tick, []

    def tick(self, now_ns, mono):
        if self.spec.name == BAD and not tripped:
            tripped.append(1)
            raise ZeroDivisionError("a bug")
        return whole(self, now_ns, mono)

    monkeypatch.setattr(Channel, "tick", tick)
    failed = plant.until(lambda: plant.events("actor.failed"))
    assert [(e.parameters["actor"], "a bug" in e.parameters["reason"]) for e in failed] == [(f"channel {BAD}", True)]
    plant.until(lambda: plant.value(point.pid)[1] & LOST == LOST)
    assert plant.value(point.pid)[0] == pytest.approx(3.0 * point.scale + point.offset)
    plant.until(lambda: rtus[BAD].connections == 2, 15)
    rtus[BAD].wait_started()
    rtus[BAD].analog(point.address.ioa, 4.0)
    plant.until(lambda: plant.value(point.pid)[1] == 0, what="good after the restart")
    assert len(plant.log.lines("actor failed")) == 1
    assert "Traceback" not in plant.log.text()
    proves_life(plant, tables)


# ---------------------------------------------------------------- files


def copied_grid(folder, edit):
    grid = folder / "grid"
    shutil.copytree(GRID, grid, ignore=shutil.ignore_patterns("*.py", "diagrams", ".*", "__pycache__"))
    edit(grid)
    return grid


def test_a_model_with_a_dangling_reference_starts_without_what_hangs_in_the_air(tmp_path, run, tables):
    point = plain(tables, GOOD, 36)[0]

    def edit(grid):
        file = grid / "SC-Longtan.xml"
        text = file.read_text("utf-8")
        reference = text.index('<cim:RemotePoint.RemoteUnit rdf:resource="#')
        start = text.index("#", reference) + 1
        end = text.index('"', start)
        file.write_text(text[:start] + "_nowhere" + text[end:], "utf-8")

    grid = copied_grid(tmp_path, edit)
    plant = run(grid=grid)
    lines = plant.log.lines("nowhere")
    assert lines
    assert all("SC-Longtan.xml" in line for line in lines)
    told = plant.until(lambda: plant.events("model.findings"))
    assert len(told) == 1
    assert "SC-Longtan.xml" in told[0].parameters["first"]
    lacking = [p for p in plant.system.tables.points if p.channel < 0 and tables.points[p.pid].channel >= 0]
    assert len(lacking) == 1
    assert plant.value(lacking[0].pid)[1] & Quality.NEVER_RECEIVED
    assert plant.system.tables.points[point.pid].mrid == point.mrid


def test_corrupt_databases_are_moved_aside_and_said(tmp_path, run):
    run().stop()
    paths = {store: next((tmp_path / store).glob("*.lmdb")) for store in ("rtdb", "events", "history")}
    for path in paths.values():
        whole = path.read_bytes()
        path.write_bytes(whole[:4096] + b"\xa5" * 8192 + whole[12288:20000])
    plant = run()
    for store, path in paths.items():
        [told] = plant.until(lambda store=store: plant.events(f"{store}.damaged"))
        assert path.name in told.parameters["reason"]
        assert len(plant.log.lines("damaged", f"{path.name}.corrupt-")) == 1
        assert list((tmp_path / store).glob(f"{path.name}.corrupt-*")), "what was damaged is kept"
    assert "Traceback" not in plant.log.text()
    assert (plant.snapshot()[1] & BAD_MASK != 0).sum() > 1900
    plant.stop()
    (tmp_path / "rtdb" / "points.json").write_text('{"half": 1,', "utf-8")
    with pytest.raises(ScadaError, match=r"points\.json.*backup"):
        run()


def test_a_channel_that_the_model_does_not_have_is_refused(tmp_path, run):
    raw = {"model": {"path": str(GRID)}, "channels": {"Nirgends RTU": {"port": 2404}}}
    with pytest.raises(ConfigError, match="Nirgends RTU"):
        System(parse_settings(raw, base=tmp_path), SystemClock())


def test_what_the_configuration_names_in_vain_does_not_keep_a_version_that_ran_from_starting(run):
    """A version that took over in service may have let a channel, a recorded one and an upstream station go."""
    run().stop()
    gone = {"recording": {"channels": ["Gone RTU"]}, "upstream": {"stations": {"Gone dispatch": {}}}}
    plant = run(overrides={"Gone RTU": {"port": DARK}}, **gone)
    told = plant.until(lambda: plant.events("model.unconfigured"), what="an event says so")
    assert {event.parameters["reason"] for event in told} == {
        "[channels] names what the model does not have: Gone RTU",
        "[recording] channels names what the model does not have: Gone RTU",
        "[upstream.stations] names what the model does not have: Gone dispatch",
    }


def test_an_empty_model_is_refused(tmp_path):

    with pytest.raises(ModelError):
        System(parse_settings({"model": {"path": "nothing"}}, base=tmp_path), SystemClock())


def test_a_full_event_log_is_said_and_nothing_is_lost(tmp_path, run, tables, monkeypatch):
    """A disk that is full for a while: events wait in memory, are visible, and are on disk afterwards."""
    from scada.rtdb.lmdb_file import LmdbFile, StoreFullError

    rtus = {BAD: RawRtu(5)}
    plant = run(rtus=rtus)
    plant.until(lambda: plant.log.lines(BAD, "state=up"))
    point = plain(tables, BAD, 31, PointKind.DOUBLE)[0]
    whole, full = LmdbFile.write, [True]

    def write(self):
        if full[0]:
            raise StoreFullError("no space left to write", where=str(self.path), mend="free disk space")
        return whole(self)

    monkeypatch.setattr(LmdbFile, "write", write)
    stamp = bytes([0, 0, 0, 10, 21, 11, 26])
    for value in (1, 2, 1, 2):
        rtus[BAD].send(asdu(31, 3, 5, (point.address.ioa, bytes([value]) + stamp)))
    plant.until(lambda: plant.value(point.pid) == (2.0, 0))
    for key, line in {"events.fault": "event log", "rtdb.fault": "journal", "history.fault": "history"}.items():
        told = plant.until(lambda key=key: plant.events(key), what=key)
        assert len(told) == 1
        assert len(plant.log.lines(f"the {line} cannot be written")) == 1
    full[0] = False
    for key in ("events.recovered", "rtdb.recovered", "history.recovered"):
        plant.until(lambda key=key: plant.events(key), 20, key)
    plant.stop()
    assert plant.system.store.lost == 0
    assert "Traceback" not in plant.log.text()
    monkeypatch.undo()
    again = run()
    changes = [e for e in again.system.log.query(kinds=[EventKind.STATUS_CHANGE], limit=10_000) if e.pid == point.pid]
    assert [e.value for e in sorted(changes, key=lambda e: e.seq)][-3:] == [2.0, 1.0, 2.0]
