"""A signer that is a program of the site: the bridge to a token's own tools (PKCS#11, SKF) without linking them.

For each signature the program is started once, never through a shell. It gets one line of JSON on its standard input::

    {"version": 1, "operation": "sign", "algorithm": "SM2-SM3", "user_id": "1234567812345678", "point": "04...", "digest": "...",
     "message": "<base64>"}

``digest`` is ``e`` = SM3(Z | message) in hexadecimal, what a token signs; ``message`` is for tools that make the digest on their
own. It answers with one line and exit code 0: ``{"signature": "<r | s, 128 hexadecimal digits>"}``, or ``{"error": "what"}``.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
from collections.abc import Sequence
from typing import Final

from scada.core.errors import SecurityError
from scada.security.sm2 import Sm2PublicKey
from scada.security.sm2_encoding import USER_ID, message_digest

_PASSWORD: Final = re.compile(r"SCADA_\w*PASSWORD")
"""Environment variables that are none of its business."""

_ANSWER_MAXIMUM: Final = 4096
"""Bytes of an answer; more is not one."""


class ExternalSigner:
    """Implements :class:`~scada.security.sm2.Signer`. Every signature is verified before it is handed out.

    Args:
        command: program (absolute path) and its arguments.
        public_key: whose signatures are wanted.
        timeout_s: real seconds after which the program is killed.
    """

    def __init__(self, command: Sequence[str], public_key: Sm2PublicKey, timeout_s: float) -> None:
        self._command = list(command)
        self._public_key = public_key
        self._timeout_s = timeout_s

    def point(self) -> bytes:
        """Public point, 65 bytes."""
        return self._public_key.point()

    def sign(self, message: bytes) -> bytes:
        """Raw ``r | s`` signature, 64 bytes.

        Raises:
            SecurityError: the program cannot be run, takes too long, refuses, or its answer is no signature of the message.
        """
        answer = self._answer(self._run(self._request(message)))
        try:
            signature = bytes.fromhex(answer)
        except ValueError:
            signature = b""
        if not self._public_key.verify(signature, message):
            raise self._fault("its answer is not a signature by the certificate's key", "is it the right token?")
        return signature

    def _request(self, message: bytes) -> bytes:
        point = self._public_key.point()
        request = {
            "version": 1,
            "operation": "sign",
            "algorithm": "SM2-SM3",
            "user_id": USER_ID.decode(),
            "point": point.hex(),
            "digest": f"{message_digest(point, message):064x}",
            "message": base64.b64encode(message).decode(),
        }
        return json.dumps(request).encode() + b"\n"

    def _run(self, request: bytes) -> bytes:
        try:
            # the command is the site's own, from a file that only it may write; no shell sees it, it sees no passwords of ours
            done = subprocess.run(  # noqa: S603
                self._command,
                input=request,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=self._timeout_s,
                check=False,
                env={name: value for name, value in os.environ.items() if not _PASSWORD.fullmatch(name)},
            )
        except subprocess.TimeoutExpired:
            raise self._fault(
                f"no answer within {self._timeout_s:g} s", "is the token there, and does it wait for a PIN?"
            ) from None
        except OSError as error:
            raise self._fault(f"cannot be run: {error.strerror}") from error
        if done.returncode and not done.stdout:
            raise self._fault(f"ended with code {done.returncode}")
        if len(done.stdout) > _ANSWER_MAXIMUM:
            raise self._fault("its answer is too long")
        return done.stdout

    def _answer(self, told: bytes) -> str:
        try:
            answer = json.loads(told)
        except (ValueError, RecursionError):
            answer = None
        if isinstance(answer, dict) and isinstance(answer.get("error"), str):
            text = "".join(letter for letter in answer["error"][:200] if letter.isprintable())
            raise self._fault(f"refuses: {text}")
        if not isinstance(answer, dict) or not isinstance(answer.get("signature"), str):
            raise self._fault("its answer is not the line of JSON that it should be")
        return str(answer["signature"])

    def _fault(self, what: str, mend: str = "") -> SecurityError:
        return SecurityError(what, where=f"signer {self._command[0]}", mend=mend)
