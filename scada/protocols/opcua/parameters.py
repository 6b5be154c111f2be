"""Parameters of an OPC UA channel, checked once, with their defaults."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scada.core.errors import ConfigError
from scada.protocols.opcua.security import SecurityPolicy, SecurityWish

_Params = Mapping[str, float | str]

_SECRETS: Final = ("password", "user_password", "key_password")
"""Never in a model: a model is copied, shown and kept."""


@dataclass(frozen=True, slots=True)
class OpcUaParameters:
    """What a channel asks of its server.

    Attributes:
        publishing_ms: publishing interval of the subscription.
        sampling_ms: sampling interval of its items.
        timeout_s: a request without answer for so long has failed.
        keepalive_s: a subscription without a change is confirmed so often; twice that and ``timeout_s`` later it is lost.
        session_timeout_s: how long the server is asked to keep session and notifications while the connection is away.
        status_queue: changes of one status variable that the server keeps between two publishings.
        chunk: nodes in one request.
        max_requests: requests on their way at once.
        retry_s: variables that cannot be monitored are tried again so often.
        deadband: the points' dead bands are given to the server, which then keeps smaller changes to itself.
        read_back: a written variable is read again and compared.
        path: appended to ``opc.tcp://host:port``.
        security: policy, mode and files.
    """

    publishing_ms: float
    sampling_ms: float
    timeout_s: float
    keepalive_s: float
    session_timeout_s: float
    status_queue: int
    chunk: int
    max_requests: int
    retry_s: float
    deadband: bool
    read_back: bool
    path: str
    security: SecurityWish

    @classmethod
    def of(cls, params: _Params, where: str) -> OpcUaParameters:
        """Read the parameters of a channel.

        Args:
            params: by name; unknown ones are ignored, they may be another driver's.
            where: named in errors, e.g. ``channel Fenghe plant``.

        Raises:
            ConfigError: a value cannot be used, or a secret stands where a model would keep it.
        """
        read = _Reader(params, where)
        publishing_ms = read.number("publishing_ms", 100.0, 10.0, 3_600_000.0)
        return cls(
            publishing_ms=publishing_ms,
            sampling_ms=read.number("sampling_ms", publishing_ms, 0.0, 3_600_000.0),
            timeout_s=read.number("timeout_s", 4.0, 0.05, 300.0),
            keepalive_s=read.number("keepalive_s", 5.0, 0.1, 3600.0),
            session_timeout_s=read.number("session_timeout_s", 60.0, 1.0, 3600.0),
            status_queue=int(read.number("status_queue", 100, 1, 100_000)),
            chunk=int(read.number("chunk", 1000, 1, 100_000)),
            max_requests=int(read.number("max_requests", 10, 1, 1000)),
            retry_s=read.number("retry_s", 60.0, 0.1, 86_400.0),
            deadband=read.flag("deadband"),
            read_back=read.flag("read_back"),
            path=read.text("path"),
            security=read.security(),
        )


class _Reader:
    """Reads single parameters and says which one is wrong."""

    def __init__(self, params: _Params, where: str) -> None:
        self._params = params
        self._where = where
        for name in _SECRETS:
            if name in params:
                raise self._fault(f"parameter {name}: a secret does not belong into a model", "name a file by `credentials`")

    def number(self, name: str, default: float, low: float, high: float) -> float:
        raw = self._params.get(name, default)
        try:
            value = float(raw)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise self._fault(f"parameter {name} = {raw!r} is not a number in {low:g}..{high:g}", "correct it")
        return value

    def flag(self, name: str) -> bool:
        return self.number(name, 0.0, 0.0, 1.0) != 0

    def text(self, name: str, default: str = "") -> str:
        raw = self._params.get(name, default)
        if not isinstance(raw, str):
            raise self._fault(f"parameter {name} = {raw!r} is no text", "correct it")
        return raw

    def file(self, name: str) -> Path | None:
        text = self.text(name)
        return Path(text).expanduser() if text else None

    def security(self) -> SecurityWish:
        policy_text = self.text("security_policy", "None")
        policy = SecurityPolicy.named(policy_text)
        if policy is None:
            known = ", ".join(each.value for each in SecurityPolicy)
            raise self._fault(f"parameter security_policy = {policy_text!r}", f"one of {known}")
        mode = self.text("security_mode", "None" if policy is SecurityPolicy.NONE else "SignAndEncrypt")
        wish = SecurityWish(
            policy=policy,
            mode=mode,
            certificate=self.file("certificate"),
            key=self.file("key"),
            trust=self.file("trust"),
            credentials=self.text("credentials"),
            user_certificate=self.file("user_certificate"),
            user_key=self.file("user_key"),
            allow_deprecated=self.flag("allow_deprecated"),
        )
        fault = wish.fault()
        if fault:
            raise self._fault(fault, "see docs/protocols/opcua.md")
        return wish

    def _fault(self, what: str, mend: str) -> ConfigError:
        return ConfigError(what, where=self._where, mend=mend)
