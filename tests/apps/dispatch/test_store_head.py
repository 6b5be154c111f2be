"""Orders that were removed from their store, and stores that were put back to an older state."""

from __future__ import annotations

import shutil

import pytest

from scada.actors.store_anchor import keep_head, known_head
from scada.apps.dispatch.office import OrderRecord
from scada.apps.dispatch.order_store import NO_HEAD, OrderStore
from scada.apps.dispatch.orders import Answer, Verdict
from scada.apps.dispatch.store_head import IncompleteStoreError, StoreHead
from scada.core.clock import VirtualClock
from scada.rtdb.lmdb_file import CorruptFileError, LmdbFile
from scada.security.audit import AuditLog
from scada.security.audit_query import AuditReader

KEY = b"k" * 32


def record(name, verdict=Verdict.ACCEPTED):
    answer = Answer(name, "d", "setpoint", "East", verdict, "", 40.0, 40.0, 1)
    return OrderRecord("SendSetpoint", b"body", answer, judged_ns=1, number=1)


class Site:
    """A store whose heads go to an audit log."""

    def __init__(self, folder):
        self.folder, self.clock = folder, VirtualClock()
        self.audit = AuditLog(folder / "audit", self.clock)

    def known(self):
        return known_head(AuditReader(self.folder / "audit"))

    def told(self, head):
        keep_head(self.audit, head)

    def open(self, **more):
        given = {"key": KEY, "map_mb": 16, "known": self.known(), "told": self.told, **more}
        return OrderStore(self.folder / "dispatch", **given)

    def open_again(self):
        return OrderStore.open_or_quarantine(
            self.folder / "dispatch", self.clock, key=KEY, map_mb=16, known=self.known(), told=self.told
        )

    def file(self):
        return LmdbFile(self.folder / "dispatch", "dispatch", layout=2, map_mb=16, databases=("orders", "modes", "meta"))


@pytest.fixture
def site(tmp_path):
    site = Site(tmp_path)
    store = site.open()
    store.write([record(f"o{number}") for number in range(5)])
    store.write([record("o2", Verdict.WITHDRAWN)], [("d", "o4")])
    store.write_mode(("agc", "East"), "on")
    store.close()
    yield site
    site.audit.close()


def orders(store):
    return sorted((one.answer.order_id, one.answer.verdict.value) for one in store.records())


def test_a_whole_store_opens_as_often_as_you_like_and_goes_on(site):
    for number in range(3):
        store = site.open()
        assert len(orders(store)) == 4 + number
        assert site.known() == StoreHead(3 + number, store._head.head.tag)
        store.write([record(f"more{number}")])
        store.close()
    count, head = OrderStore.check(site.folder / "dispatch", key=KEY, known=site.known())
    assert (count, head.changes) == (7, 6)


def _removed(table):
    def change(site):
        file = site.file()
        with file.write() as txn:
            txn.delete(table, next(iter(txn.keys(table))))
        file.close()

    return change


def _all_removed(site):
    file = site.file()
    with file.write() as txn:
        for table in ("orders", "modes", "meta"):
            for name in list(txn.keys(table)):
                if table != "meta" or name == b"head":
                    txn.delete(table, name)
    file.close()


def _put_back(site):
    """A record of before, with its true seal, in the place of what became of it."""
    old = OrderStore(site.folder / "aside", key=KEY, map_mb=16)
    old.write([record("o2")])
    with old._file.read() as txn:
        [(name, blob)] = [(bytes(name), bytes(blob)) for name, blob in txn.ascending("orders")]
    old.close()
    file = site.file()
    with file.write() as txn:
        txn.put("orders", name, blob)
    file.close()


def _file_gone(site):
    shutil.rmtree(site.folder / "dispatch")


@pytest.mark.parametrize("change", [_removed("orders"), _removed("modes"), _all_removed, _put_back, _file_gone])
def test_what_is_missing_is_noticed_and_never_read(site, change):
    change(site)
    with pytest.raises(IncompleteStoreError):
        site.open()
    store, damaged = site.open_again()
    assert (damaged, orders(store), store.is_new, store.modes()) == ("", [], True, {})
    assert "moved to dispatch.lmdb.corrupt-" in store.incomplete
    store.write([record("again")])
    store.close()
    store, damaged = site.open_again()
    assert (damaged, store.incomplete, orders(store)) == ("", "", [("again", "accepted")]), "it is told once"
    store.close()


@pytest.mark.parametrize("written", [False, True])
def test_an_older_copy_of_the_file_is_known_by_the_audit_log(site, written):
    shutil.copytree(site.folder / "dispatch", site.folder / "copy")
    store = site.open()
    store.write([record("o0", Verdict.WITHDRAWN)])
    store.close()
    shutil.rmtree(site.folder / "dispatch")
    shutil.copytree(site.folder / "copy", site.folder / "dispatch")
    if written:  # a change of as high a number, by a server that did not know
        store = site.open(known=NO_HEAD, told=lambda head: None)
        store.write([record("o1", Verdict.EXPIRED)])
        store.close()
    with pytest.raises(IncompleteStoreError, match="another copy" if written else "older copy: the audit log knows 1"):
        site.open()
    with pytest.raises(IncompleteStoreError):
        OrderStore.check(site.folder / "dispatch", key=KEY, known=site.known())


def test_a_store_of_before_heads_is_taken_up_once(tmp_path):
    site = Site(tmp_path)
    store = site.open()
    store.write([record("o1"), record("o2")])
    store.close()
    file = site.file()
    with file.write() as txn:
        txn.delete("meta", b"head")
    _set_layout(file, 1)
    file.close()
    with pytest.raises(IncompleteStoreError, match="copy"):
        site.open(known=StoreHead(7, bytes(32)))  # whoever sets the layout back hides nothing from the audit log
    store = site.open(known=NO_HEAD)
    assert len(orders(store)) == 2
    store.close()
    site.audit.close()


def _set_layout(file, layout):
    from scada.rtdb.mapped import LAYOUT_KEY

    with file._env.begin(write=True) as txn:
        txn.put(LAYOUT_KEY, str(layout).encode())


def test_a_change_whose_row_was_not_written_is_no_fault(site):
    """A crash, or a full disk, between the two."""
    store = site.open(told=lambda head: None)
    store.write([record("o9")])
    store.close()
    store = site.open()
    assert ("o9", "accepted") in orders(store)
    store.close()


def test_a_row_that_cannot_be_written_stops_no_order(site):
    store = site.open()
    site.audit.close()
    store.write([record("o9")])
    assert ("o9", "accepted") in orders(store)
    store.close()


def test_another_key_is_damage_and_no_missing_record(site):
    with pytest.raises(CorruptFileError, match="not sealed") as error:
        site.open(key=b"x" * 32)
    assert not isinstance(error.value, IncompleteStoreError)


def test_who_has_no_key_cannot_make_a_head(site):
    """The head of an emptied store, made with another key."""
    other = OrderStore(site.folder / "other", key=b"x" * 32, map_mb=16)
    for _ in range(5):
        other.write_mode(("agc", "East"), None)
    with other._file.read() as txn:
        head = bytes(txn.get("meta", b"head"))
    other.close()
    _all_removed(site)
    file = site.file()
    with file.write() as txn:
        txn.put("meta", b"head", head)
    file.close()
    with pytest.raises(IncompleteStoreError):
        site.open(known=NO_HEAD)
