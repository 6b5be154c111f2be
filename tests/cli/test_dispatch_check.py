"""``scada dispatch check``: the store of orders beside the audit log."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from scada.actors.store_anchor import keep_head, known_head
from scada.apps.dispatch.office import OrderRecord
from scada.apps.dispatch.order_store import OrderStore
from scada.apps.dispatch.orders import Answer, Verdict
from scada.cli.dispatch import command
from scada.core.clock import SystemClock
from scada.rtdb.lmdb_file import LmdbFile
from scada.security.audit import AuditLog
from scada.security.audit_query import AuditReader
from scada.security.identities import init_identities, load_identity, seal_key


@pytest.fixture
def site(tmp_path):
    keys = tmp_path / "keys"
    init_identities(keys, SystemClock())
    key = seal_key(keys, load_identity(keys, "server", SystemClock()))
    with AuditLog(tmp_path / "audit", SystemClock()) as audit:
        store = OrderStore(tmp_path / "dispatch", key=key, map_mb=16, told=lambda head: keep_head(audit, head))
        for name in ("a", "b"):
            answer = Answer(name, "d", "setpoint", "East", Verdict.ACCEPTED, "", 1.0, 1.0, 1)
            store.write([OrderRecord("SendSetpoint", b"", answer)])
        store.close()
    return tmp_path


def check(site):
    words = ["--keys", str(site / "keys"), "check", str(site / "dispatch"), "--audit", str(site / "audit")]
    return CliRunner().invoke(command, words)


def test_a_whole_store_and_one_that_lacks_an_order(site):
    done = check(site)
    assert (done.exit_code, done.output) == (0, "2 orders after 2 changes; the audit log knows change 2: none is missing\n")
    file = LmdbFile(site / "dispatch", "dispatch", layout=2, map_mb=16, databases=("orders", "modes", "meta"))
    with file.write() as txn:
        txn.delete("orders", next(iter(txn.keys("orders"))))
    file.close()
    done = check(site)
    assert done.exit_code == 3
    assert "records were removed" in done.output
    assert known_head(AuditReader(site / "audit")).changes == 2
