"""Folders of keys for the tests of the commands."""

from __future__ import annotations

import shutil

import pytest

from scada.security.identities import init_identities


@pytest.fixture(scope="session")
def first_keys(tmp_path_factory):
    """As ``scada keys init`` makes it."""
    folder = tmp_path_factory.mktemp("keys-cli") / "keys"
    init_identities(folder)
    return folder


@pytest.fixture
def keys(first_keys, tmp_path, monkeypatch):
    """A copy that a test may spoil; no password comes from the environment."""
    for name in ("SCADA_KEY_PASSWORD", "SCADA_CA_PASSWORD", "SCADA_SECRETS_KEY", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    return shutil.copytree(first_keys, tmp_path / "keys")
