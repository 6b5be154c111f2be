from __future__ import annotations

import shutil

import pytest

from scada.core.clock import VirtualClock
from scada.security.identities import init_identities, load_identity
from scada.security.trust import Trust


@pytest.fixture(scope="session")
def made_keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("security") / "keys"
    init_identities(folder, VirtualClock())
    return folder


@pytest.fixture
def keys(made_keys, tmp_path):
    """A copy that a test may spoil."""
    return shutil.copytree(made_keys, tmp_path / "keys")


@pytest.fixture
def clock():
    return VirtualClock()


@pytest.fixture
def server(made_keys, clock):
    from scada.security.session import SessionServer

    return SessionServer(
        site="demo",
        identity=load_identity(made_keys, "server", clock),
        trust=Trust(made_keys),
        clock=clock,
    )


@pytest.fixture(scope="session")
def openssl():
    """The OpenSSL command line: an implementation we did not write."""
    found = shutil.which("openssl")
    if found is None:
        pytest.skip("no openssl command here")
    return found
