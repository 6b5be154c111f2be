"""Passwords of keys: stretched by Argon2id, opened by nothing else, slowed down and never locked."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from hypothesis import given
from hypothesis import strategies as st

from scada.cli import unlock
from scada.core.clock import VirtualClock
from scada.core.errors import SecurityError
from scada.security.key_files import key_path, load_key
from scada.security.passwords import FREE, LONGEST_WAIT_S, Attempts, Stretching, is_locked, seal_key, unlocking
from scada.security.sm2 import Sm2Key

QUICK = Stretching(b"0123456789abcdef", memory_kib=64, passes=1)
PASSWORD = "correct horse"


@pytest.fixture
def locked(keys):
    """The operator's key behind a password."""
    key = load_key(keys, "operator", None)
    key_path(keys, "operator").write_bytes(seal_key(key, PASSWORD, QUICK))
    return key


def test_the_vector_of_rfc_9106():
    kdf = Argon2id(salt=b"\2" * 16, length=32, iterations=3, lanes=4, memory_cost=32, secret=b"\3" * 8, ad=b"\4" * 12)
    assert kdf.derive(b"\1" * 32).hex() == "0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659"


def test_only_the_password_opens_it(locked, keys):
    assert load_key(keys, "operator", PASSWORD.encode()).point() == locked.point()
    for wrong in (b"", b"Correct horse", QUICK.stretch(PASSWORD.encode())):
        with pytest.raises(SecurityError, match="wrong password"):
            load_key(keys, "operator", wrong)
    with pytest.raises(SecurityError, match="is encrypted"):
        load_key(keys, "operator", None)


def test_openssl_opens_it_with_the_stretched_password(locked, keys, tmp_path, openssl):
    """The file is PKCS#8 behind a line of explanation (RFC 7468): another program reads it."""
    path = tmp_path / "key.pem"
    shutil.copy(key_path(keys, "operator"), path)
    word = QUICK.stretch(PASSWORD.encode()).decode()
    command = [openssl, "pkey", "-in", str(path), "-passin", f"pass:{word}", "-noout", "-text"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert locked.point().hex()[2:20] in done.stdout.replace(":", "").replace("\n", "").replace(" ", "")


def test_another_line_opens_nothing(locked, keys):
    path = key_path(keys, "operator")
    sealed = path.read_bytes()
    for spoilt in (
        sealed.replace(b"t=1", b"t=2"),
        sealed.replace(b"m=64", b"m=65"),
        sealed.replace(b"salt=M", b"salt=N"),
        sealed.partition(b"\n")[2],
        sealed.replace(b"m=64", b"m=9999999"),
        sealed.replace(b"t=1", b"t=999"),
        sealed.replace(b"p=1", b"p=99"),
    ):
        assert spoilt != sealed
        path.write_bytes(spoilt)
        with pytest.raises(SecurityError):
            load_key(keys, "operator", PASSWORD.encode())


@given(st.binary(max_size=120))
def test_any_first_line_is_refused_or_left_alone(data):
    for pem in (data, b"argon2id: " + data, b"argon2id: v=19,m=64,t=1,p=1,salt=" + data + b"\n"):
        try:
            unlocking(pem, b"x")
        except SecurityError:
            continue


def test_two_files_of_one_password_differ_and_a_short_one_is_refused():
    key = Sm2Key.generate()
    with pytest.raises(SecurityError, match="at least"):
        seal_key(key, "short")
    first, second = (seal_key(key, PASSWORD).partition(b"\n")[0] for _ in range(2))
    assert first != second
    assert b"m=65536,t=3" in first


@pytest.fixture
def attempts(tmp_path):
    clock = VirtualClock()
    return Attempts(tmp_path / "x.tries", clock), clock


def test_failures_wait_longer_and_longer_but_never_for_good(attempts):
    one, clock = attempts
    waits = []
    for _ in range(FREE + 12):
        one.failed()
        waits.append(one.wait_s())
    assert waits[: FREE - 1] == [0.0] * (FREE - 1)
    assert waits[FREE - 1 : FREE + 3] == [1.0, 2.0, 4.0, 8.0]
    assert waits[-1] == LONGEST_WAIT_S
    clock.advance(20)
    assert one.wait_s() == pytest.approx(40.0)
    clock.advance(40)
    assert one.wait_s() == 0.0
    one.succeeded()
    one.failed()
    assert one.wait_s() == 0.0


def test_a_clock_set_back_or_a_spoilt_file_locks_nobody_out(tmp_path):
    path = tmp_path / "x.tries"
    path.write_text('{"failures": 900, "at_ns": 9999999999999999999}')
    assert Attempts(path, VirtualClock()).wait_s() == LONGEST_WAIT_S
    for text in ("", "[]", '{"failures": "x", "at_ns": 1}', "\0"):
        path.write_text(text)
        assert Attempts(path, VirtualClock()).wait_s() == 0.0


def test_the_terminal_asks_three_times(locked, keys, monkeypatch):
    monkeypatch.delenv("SCADA_KEY_PASSWORD", raising=False)
    asked = iter(["no", "nor this", PASSWORD, "x", "x", "x"])
    waited = []
    monkeypatch.setattr(unlock.click, "prompt", lambda *_, **__: next(asked))
    monkeypatch.setattr(unlock.time, "sleep", waited.append)
    with CliRunner().isolation():
        assert unlock.ask_password(keys, "operator") == PASSWORD.encode()
        assert not list(keys.glob("*.tries"))
        with pytest.raises(SecurityError, match="wrong password"):
            unlock.ask_password(keys, "operator")
        assert unlock.ask_password(keys, "viewer") is None
    assert waited == []
    assert is_locked(key_path(keys, "operator").read_bytes())
    assert [path.stat().st_mode & 0o777 for path in keys.glob("*.tries")] == [0o600]
