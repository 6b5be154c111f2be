from __future__ import annotations

import json
import stat

import pytest

from scada.core.errors import SecurityError
from scada.security import secrets_store
from scada.security.key_files import PASSWORD_VARIABLE
from scada.security.secrets_store import KEY_VARIABLE, SecretStore


@pytest.fixture
def store(tmp_path, monkeypatch):
    for name in (KEY_VARIABLE, PASSWORD_VARIABLE, "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    return SecretStore(tmp_path)


def test_what_is_set_is_got_and_nothing_of_it_is_read_on_disk(store, tmp_path):
    store.set("history", "pa55 wörd")
    store.set("broker", "x")
    assert SecretStore(tmp_path).get("history") == "pa55 wörd"
    assert store.names() == ["broker", "history"]
    for path in tmp_path.iterdir():
        assert "pa55" not in path.read_text()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    store.set("history", "other")
    assert store.get("history") == "other"
    store.remove("history")
    with pytest.raises(SecurityError, match="no secret 'history'"):
        store.get("history")
    with pytest.raises(SecurityError, match="no secret"):
        store.remove("history")


def test_the_same_secret_is_sealed_otherwise_each_time(store, tmp_path):
    store.set("a", "same")
    first = json.loads((tmp_path / "secrets.json").read_text())["secrets"]["a"]
    store.set("a", "same")
    assert json.loads((tmp_path / "secrets.json").read_text())["secrets"]["a"] != first


def test_altered_and_swapped_secrets_are_refused(store, tmp_path):
    store.set("a", "one")
    store.set("b", "two")
    path = tmp_path / "secrets.json"
    document = json.loads(path.read_text())
    swapped = document | {"secrets": {"a": document["secrets"]["b"], "b": document["secrets"]["a"]}}
    path.write_text(json.dumps(swapped))
    with pytest.raises(SecurityError, match="was altered"):
        store.get("a")
    sealed = document["secrets"]["a"]
    for spoilt in ("", "AAAA", "%%", sealed[:-4] + "AAA=", "A" + sealed[1:] if sealed[0] != "A" else "B" + sealed[1:]):
        path.write_text(json.dumps(document | {"secrets": {"a": spoilt}}))
        with pytest.raises(SecurityError):
            store.get("a")
    for text in (
        "",
        "[]",
        "{}",
        '{"version": 2, "key_id": "", "secrets": {}}',
        '{"version": 1, "key_id": "", "secrets": {"a": 1}}',
    ):
        path.write_text(text)
        with pytest.raises(SecurityError, match="corrupt"):
            store.names()


def test_another_key(store, tmp_path):
    store.set("a", "one")
    (tmp_path / "secrets.key.pem").unlink()
    with pytest.raises(SecurityError, match="cannot read"):
        store.get("a")
    other = SecretStore(tmp_path / "other")
    (tmp_path / "other").mkdir()
    other.set("a", "two")
    (tmp_path / "other" / "secrets.key.pem").rename(tmp_path / "secrets.key.pem")
    for act in (lambda: store.get("a"), lambda: store.set("b", "x")):
        with pytest.raises(SecurityError, match="under another key"):
            act()


def test_files_that_others_may_read(store, tmp_path):
    store.set("a", "one")
    for name in ("secrets.json", "secrets.key.pem"):
        (tmp_path / name).chmod(0o640)
        with pytest.raises(SecurityError, match="others may read"):
            store.get("a")
        (tmp_path / name).chmod(0o600)


def test_rotation(store, tmp_path):
    store.set("a", "one")
    before = (tmp_path / "secrets.key.pem").read_bytes(), (tmp_path / "secrets.json").read_bytes()
    assert store.rotate() == 1
    after = (tmp_path / "secrets.key.pem").read_bytes(), (tmp_path / "secrets.json").read_bytes()
    assert before[0] != after[0]
    assert before[1] != after[1]
    assert store.get("a") == "one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["secrets.json", "secrets.key.pem"]


@pytest.mark.parametrize("survives", ["secrets-next.key.pem", "secrets.json"])
def test_a_crash_in_a_rotation_loses_nothing(store, tmp_path, survives, monkeypatch):
    """Killed after the new key was made, and after the secrets were sealed anew."""
    store.set("a", "one")

    def die(*_args, **_words):
        raise KeyboardInterrupt

    if survives == "secrets.json":
        monkeypatch.setattr(secrets_store.Path, "replace", dying_at("secrets-next.key.pem", secrets_store.Path.replace))
    else:
        monkeypatch.setattr(SecretStore, "_save", die)
    with pytest.raises(KeyboardInterrupt):
        store.rotate()
    monkeypatch.undo()
    assert (tmp_path / "secrets-next.key.pem").exists()
    assert SecretStore(tmp_path).get("a") == "one"
    assert store.rotate() == 1
    assert store.get("a") == "one"


def dying_at(name, real):
    def replace(self, target):
        if self.name == name:
            raise KeyboardInterrupt
        return real(self, target)

    return replace


def test_the_key_may_be_sealed_and_lie_elsewhere(store, tmp_path, monkeypatch):
    monkeypatch.setenv(PASSWORD_VARIABLE, "pw")
    store.set("a", "one")
    assert b"ENCRYPTED" in (tmp_path / "secrets.key.pem").read_bytes()
    assert store.get("a") == "one"
    away = tmp_path / "credentials"
    away.mkdir()
    (tmp_path / "secrets.key.pem").rename(away / "secrets.key.pem")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(away))
    assert store.get("a") == "one"
    with pytest.raises(SecurityError, match="not kept in the folder"):
        store.rotate()
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    monkeypatch.setenv(KEY_VARIABLE, str(away / "secrets.key.pem"))
    assert store.get("a") == "one"
    monkeypatch.setenv(PASSWORD_VARIABLE, "no")
    with pytest.raises(SecurityError, match="wrong password"):
        store.get("a")


@pytest.mark.parametrize(("name", "value"), [("", "x"), ("../x", "x"), ("a b", "x"), ("a", ""), ("a", "x" * 5000)])
def test_bad_names_and_values(store, name, value):
    with pytest.raises(SecurityError):
        store.set(name, value)
