"""One running demo grid for the whole module; the tests run in the order in which they stand."""

import pytest
from e2e.rig import Rig

from scada.security.audit_chain import segments
from scada.security.audit_checking import check_log


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    with Rig(tmp_path_factory.mktemp("demo"), rate=6.0) as running:
        yield running
        audit = running.demo.folder / "var" / "audit"
        if not segments(audit):
            return  # the server never came up, which the tests have said
        report = check_log(audit)
        assert report.whole, report.findings  # every row that was written says what was signed for
        assert not report.uncompared
