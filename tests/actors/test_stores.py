"""What a server finds on its disk: operator data that was lost comes back from the audit log."""

import math

import pytest

from scada.actors.stores import Stores
from scada.core.clock import VirtualClock
from scada.core.settings import parse_settings
from scada.model_cim.objects import PlantObjects
from scada.security.audit import AuditRow
from tests.actors.harness import TABLES

T0 = 1_700_000_000 * 10**9


class Server:
    """The stores of one folder, opened again and again."""

    def __init__(self, folder):
        self.folder, self.clock, self.tables = folder, VirtualClock(T0), TABLES
        self.settings = parse_settings(
            {
                "model": {"path": "model"},
                "rtdb": {"path": "rtdb", "map_mb": 64, "journal_mb": 1},
                "events": {"path": "events", "map_mb": 32},
                "history": {"path": "history", "map_mb": 64},
                "operator": {"path": "operator"},
                "dispatch": {"path": "dispatch"},
                "security": {"audit": "audit", "keys": "keys"},
            },
            base=folder,
        )

    def open(self):
        return Stores(self.settings, self.tables, PlantObjects(self.tables), self.clock)


@pytest.fixture
def server(tmp_path):
    return Server(tmp_path)


def audited(stores, step, number, kind="do_not_operate"):
    row = AuditRow("operator", step, "wang", "desk-1", "s", str(number), "b1", "S/Q1", code=f"accepted:{kind}", reason="crew")
    stores.audit.append(row)


def told(stores):
    return [(event.key, event.parameters.get("count")) for event in stores.damage]


def test_a_new_server_has_nothing_to_rebuild(server):
    for _ in range(2):
        stores = server.open()
        assert (told(stores), stores.marks.marks) == ([], {})
        stores.close()


def test_tags_of_a_lost_file_are_rebuilt(server):
    stores = server.open()
    for number in (1, 2):
        audited(stores, "tag", number)
    audited(stores, "remove", 1)
    stores.close()
    for path in (server.folder / "operator").iterdir():
        path.unlink()
    stores = server.open()
    assert told(stores) == [("operator.rebuilt", "1")]
    (mark,) = stores.marks.marks.values()
    assert (mark.mark_id, mark.tag_type, mark.mrid, mark.user) == (2, "do_not_operate", "b1", "wang")
    assert math.isnan(mark.value)
    assert stores.marks.next_id > 2
    stores.close()
    stores = server.open()
    assert told(stores) == []
    assert list(stores.marks.marks) == [2]
    stores.close()


def test_a_rebuilding_that_was_cut_short_is_done_again(server, monkeypatch):
    stores = server.open()
    audited(stores, "tag", 1)
    stores.marks.write((), (), 2)
    stores.close()
    path = server.folder / "operator" / "operator.lmdb"
    path.write_bytes(path.read_bytes()[:5000])
    monkeypatch.setattr("scada.actors.stores.marks_from_audit", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):  # killed between moving the damaged file aside and writing the new one
        server.open()
    monkeypatch.undo()
    stores = server.open()
    assert list(stores.marks.marks) == [1]
    stores.close()
