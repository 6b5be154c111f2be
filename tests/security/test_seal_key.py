"""The key by which a server knows what it wrote itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scada.core.clock import SystemClock
from scada.core.errors import SecurityError
from scada.security.identities import init_identities, load_identity, seal_key


def test_it_is_the_same_at_every_start_and_of_each_identity_its_own(tmp_path):
    init_identities(tmp_path)
    clock = SystemClock()
    server = seal_key(tmp_path, load_identity(tmp_path, "server", clock))
    assert len(server) == 32
    assert server == seal_key(tmp_path, load_identity(tmp_path, "server", clock))
    assert server != seal_key(tmp_path, load_identity(tmp_path, "operator", clock))
    assert not (tmp_path / "server.seal").exists()


def test_beside_a_token_it_is_a_file_that_nobody_else_reads(tmp_path):
    init_identities(tmp_path)
    server = replace(load_identity(tmp_path, "server", SystemClock()), signer=object())
    first, file = seal_key(tmp_path, server), tmp_path / "server.seal"
    assert (seal_key(tmp_path, server), len(first), file.stat().st_mode & 0o777) == (first, 32, 0o600)
    file.chmod(0o644)
    with pytest.raises(SecurityError, match="others may read"):
        seal_key(tmp_path, server)
