"""``scada users --offline``: the same rules without a server, audited, exported and imported again."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from scada.cli.main import cli
from scada.core.clock import SystemClock, VirtualClock
from scada.core.errors import SecurityError
from scada.security.audit import AuditLog, read_audit
from scada.security.identities import init_identities
from scada.security.key_files import key_path, load_key
from scada.security.users_file import load_users


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("users-cli") / "keys"
    init_identities(folder, VirtualClock())
    return folder


@pytest.fixture
def run(pristine, tmp_path):
    """Runs ``scada users --offline`` on a copy; returns (exit code, output)."""
    import shutil

    folder = shutil.copytree(pristine, tmp_path / "keys")

    def call(*arguments, lang="en", **words):
        given = ["users", "--offline", "--keys", str(folder), "--lang", lang, *arguments]
        done = CliRunner().invoke(cli, given, catch_exceptions=False, standalone_mode=False, **words)
        return done.exit_code, done.output

    call.folder = folder
    return call


def test_a_user_from_beginning_to_end(run):
    assert run("grant", "li", "--role", "OPERATOR", "--area", "East", "--reason", "shift C") == (0, "li: done\n")
    assert run("set", "li", "--area", "West", "--until", "2099-01-01", "--reason", "moved")[0] == 0
    code, shown = run("show", "li")
    assert (code, shown.splitlines()[:3]) == (0, ["[li]", 'roles = ["OPERATOR"]', 'areas = ["West"]'])
    assert "valid_until = 2099-01-01T00:00:00Z" in shown
    assert run("revoke", "li", "--area", "West", "--reason", "x")[0] == 0
    assert run("disable", "li", "--reason", "x")[0] == 0
    user = load_users(run.folder).users["li"]
    assert (user.areas, user.disabled, user.revision) == (frozenset(), True, 4)
    assert "disabled" in run("list")[1]
    assert run("enable", "li", "--reason", "x")[0] == 0
    assert run("remove", "li", "--reason", "gone") == (0, "li: done\n")
    rows = [record.row for record in read_audit(run.folder.parent / "audit")]
    assert [(row.kind, row.step, row.mrid) for row in rows] == [("security", "set user", "li")] * 5 + [
        ("security", "remove user", "li")
    ]
    assert all(row.actor.startswith("host:") for row in rows)


def test_refusals_have_a_code_and_an_exit_code_in_both_languages(run):
    code, told = run("grant", "operator", "--role", "SECADM", "--reason", "x")
    assert (code, "(exclusion)" in told) == (1, True)
    code, told = run("disable", "secadm", "--reason", "x", lang="zh")
    assert (code, "被拒绝" in told, "last_administrator" in told) == (1, True, True)
    assert not (run.folder.parent / "audit").exists() or not list(read_audit(run.folder.parent / "audit"))


def test_while_a_server_writes_the_audit_log_nothing_is_changed(run):
    before = (run.folder / "roles.toml").read_bytes()
    with AuditLog(run.folder.parent / "audit", SystemClock()), pytest.raises(SecurityError, match="leave out --offline"):
        run("disable", "viewer", "--reason", "x")
    assert (run.folder / "roles.toml").read_bytes() == before


def test_export_and_import(run, tmp_path):
    file = tmp_path / "people.toml"
    assert run("export", str(file))[0] == 0
    assert file.stat().st_mode & 0o777 == 0o600
    before = load_users(run.folder)
    assert run("import", str(file), "--reason", "nothing new") == (0, "")
    file.write_text(
        file.read_text().replace('[viewer]\nroles = ["VIEWER"]', '[viewer]\nroles = ["GUARDIAN"]') + "[li]\nroles = []\n"
    )
    assert run("import", str(file), "--reason", "new people")[0] == 0
    after = load_users(run.folder)
    assert (after.users["viewer"].roles, "li" in after.users) == ({"GUARDIAN"}, True)
    file.write_text(file.read_text().replace("[li]\nroles = []\n", ""))
    assert run("import", str(file), "--prune", "--reason", "li left")[0] == 0
    assert set(load_users(run.folder).users) == set(before.users)


def test_a_password_of_a_key(run, monkeypatch):
    monkeypatch.delenv("SCADA_KEY_PASSWORD", raising=False)
    code, _ = run("password", "operator", input="long enough\nlong enough\n")
    assert code == 0
    path = key_path(run.folder, "operator")
    assert path.read_bytes().startswith(b"argon2id: ")
    assert path.stat().st_mode & 0o777 == 0o600
    load_key(run.folder, "operator", b"long enough")
    with pytest.raises(SecurityError, match="is encrypted"):
        load_key(run.folder, "operator", None)
    with pytest.raises(SecurityError, match="at least"):
        run("password", "operator", input="long enough\nshort\nshort\n")
    load_key(run.folder, "operator", b"long enough")
