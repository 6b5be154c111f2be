from __future__ import annotations

import json
import sys

import pytest

from scada.core.errors import SecurityError
from scada.security import signers
from scada.security.identities import load_identity
from scada.security.key_files import load_key

TOKEN = """#!{python}
import base64, json, sys
sys.path.insert(0, {root!r})
request = json.loads(sys.stdin.readline())
from pathlib import Path
from scada.security.sm2 import Sm2Key
from scada.security.sm2_encoding import message_digest
key = Sm2Key.load_private(Path(sys.argv[1]).read_bytes())
message = base64.b64decode(request["message"])
assert request["point"] == key.point().hex() and int(request["digest"], 16) == message_digest(key.point(), message)
{body}
"""
GOOD = 'print(json.dumps({"signature": key.sign(message).hex()}))'


@pytest.fixture
def token(keys, tmp_path):
    """The operator's key is behind a program; its key file has gone from the folder."""
    away = tmp_path / "token.pem"
    (keys / "operator.key.pem").rename(away)
    program = tmp_path / "token"

    def plug(body=GOOD, timeout_s=30.0, key=away, command=None):
        import scada

        root = str(next(iter(scada.__path__))).removesuffix("/scada")
        program.write_text(TOKEN.format(python=sys.executable, root=root, body=body))
        program.chmod(0o755)
        words = json.dumps([str(program), str(key)] if command is None else command)
        (keys / "operator.signer.toml").write_text(f'kind = "external"\ncommand = {words}\ntimeout_s = {timeout_s}\n')
        return program

    return plug


def test_a_program_signs_in_place_of_the_key_file(keys, clock, token):
    token()
    identity = load_identity(keys, "operator", clock)
    assert identity.certificate.public_key.verify(identity.signer.sign(b"open 2211"), b"open 2211")
    assert not (keys / "operator.key.pem").exists()


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ('print(json.dumps({"error": "no\\x1b[2J token in slot 0"}))', r"refuses: no\[2J token in slot 0"),
        ('print(json.dumps({"signature": key.sign(message + b".").hex()}))', "not a signature by the certificate's key"),
        ('print(json.dumps({"signature": "zz"}))', "not a signature"),
        ('print(json.dumps({"signature": 5}))', "not the line of JSON"),
        ("print('hello')", "not the line of JSON"),
        ("print('[' * 3000)", "not the line of JSON"),
        ("print('x' * 5000)", "too long"),
        ("raise SystemExit(3)", "ended with code 3"),
    ],
)
def test_a_program_that_does_not_sign(keys, clock, token, body, text):
    token(body)
    with pytest.raises(SecurityError, match=text):
        load_identity(keys, "operator", clock)


def test_a_program_that_hangs_is_killed(keys, clock, token):
    token("import time; time.sleep(3600)", timeout_s=0.2)
    with pytest.raises(SecurityError, match=r"no answer within 0.2 s"):
        load_identity(keys, "operator", clock)


def test_anothers_token(keys, clock, token):
    token('print(json.dumps({"signature": key.sign(message).hex()}))', key=keys / "viewer.key.pem")
    with pytest.raises(SecurityError, match="signer cannot be used"):
        load_identity(keys, "operator", clock)


def test_no_shell_sees_the_command(keys, clock, token, tmp_path):
    program = token()
    trap = tmp_path / "trap"
    token(command=[str(program), f"x; touch {trap}"])
    with pytest.raises(SecurityError):
        load_identity(keys, "operator", clock)
    assert not trap.exists()


def test_a_program_does_not_learn_our_passwords(keys, clock, token, monkeypatch):
    monkeypatch.setenv("SCADA_KEY_PASSWORD", "hunter2")
    monkeypatch.setenv("SCADA_CA_PASSWORD", "hunter2")
    monkeypatch.setenv("TOKEN_SLOT", "3")
    token('import os\nprint(json.dumps({"error": os.environ["TOKEN_SLOT"] + str("hunter2" in os.environ.values())}))')
    with pytest.raises(SecurityError, match="refuses: 3False"):
        load_identity(keys, "operator", clock)


def test_programs_and_files_that_others_may_change(keys, clock, token):
    program = token()
    program.chmod(0o777)
    with pytest.raises(SecurityError, match="others may write"):
        load_identity(keys, "operator", clock)
    program.chmod(0o755)
    (keys / "operator.signer.toml").chmod(0o666)
    with pytest.raises(SecurityError, match="others may write"):
        load_identity(keys, "operator", clock)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("kind = 1", "unknown kind of signer 1"),
        ('kind = "usb"', "kind is one of external, file"),
        ('kind = "external"', "command must be a list"),
        ('kind = "external"\ncommand = []', "command must be a list"),
        ('kind = "external"\ncommand = "rm -rf"', "command must be a list"),
        ('kind = "external"\ncommand = ["sign"]', "not an absolute path"),
        ('kind = "external"\ncommand = ["/bin/true"]\ntimeout_s = 0', "0.1 to 60"),
        ('kind = "external"\ncommand = ["/nowhere/sign"]', "cannot be run"),
        ('kind = "external"\ncommand = ["/bin/true"]\nshell = true', "unknown settings shell"),
        ('kind = "file"', "exactly one setting"),
        ("kind = ", "not TOML"),
    ],
)
def test_wrong_signer_files(keys, clock, text, fault):
    (keys / "operator.signer.toml").write_text(text)
    with pytest.raises(SecurityError, match=fault):
        load_identity(keys, "operator", clock)


def test_a_key_file_elsewhere(keys, clock, tmp_path):
    (tmp_path / "stick").mkdir()
    (keys / "operator.key.pem").rename(tmp_path / "stick" / "key.pem")
    (keys / "operator.signer.toml").write_text(f'kind = "file"\nkey = "{tmp_path}/stick/key.pem"')
    identity = load_identity(keys, "operator", clock)
    assert identity.certificate.public_key.verify(identity.signer.sign(b"x"), b"x")
    (keys / "operator.signer.toml").write_text('kind = "file"\nkey = "viewer.key.pem"')
    with pytest.raises(SecurityError, match="right token or key"):
        load_identity(keys, "operator", clock)


def test_a_kind_of_ones_own(keys, clock, monkeypatch):
    monkeypatch.setattr(signers, "_KINDS", dict(signers._KINDS))
    signers.register("drawer", lambda settings, place: load_key(keys, settings["of"], None))
    (keys / "operator.signer.toml").write_text('kind = "drawer"\nof = "operator"')
    load_identity(keys, "operator", clock)
    (keys / "operator.signer.toml").write_text('kind = "drawer"\nof = "viewer"')
    with pytest.raises(SecurityError, match="does not verify"):
        load_identity(keys, "operator", clock)
