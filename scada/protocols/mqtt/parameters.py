"""Parameters of an MQTT channel, checked once."""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from scada.core.errors import ConfigError
from scada.core.secret_values import is_secret, reveal
from scada.model_cim.tables import ChannelSpec
from scada.protocols.mqtt.plain import TIME_UNITS, PayloadFields

_RANGES: Final = {
    "qos": (0.0, 1.0),
    "keep_alive_s": (5.0, 3600.0),
    "timeout_s": (0.1, 300.0),
    "command_timeout_s": (0.1, 300.0),
}
_WORDS: Final = {
    "session": ("clean", "kept"),
    "confirm": ("readback", "broker"),
    "mqtt_version": ("5", "3.1.1"),
    "time_unit": TIME_UNITS,
}


@dataclass(frozen=True, slots=True)
class MqttParameters:
    """What ``sc:RemoteUnit`` and ``[channels]`` say of an MQTT channel.

    Attributes:
        qos: of plain subscriptions and commands, 0 or 1. Sparkplug uses 0 for data, as its specification says.
        keep_alive_s: between pings.
        timeout_s: of connecting and subscribing.
        command_timeout_s: until a device has answered a command.
        session: ``kept`` lets the broker keep what comes while we are away (QoS 1); it needs a ``client_id``.
        client_id: of the connection; empty = the broker or the library makes one.
        username: at the broker.
        password: ``secret:NAME`` of a secret that is kept encrypted; a password itself does not belong into settings.
        password_env: environment variable that holds the password.
        password_file: file that holds it, readable by its owner only.
        mqtt_version: ``5`` or ``3.1.1``; 5 lets unanswered plain commands expire at the broker.
        host_id: identity of a Sparkplug primary host, under which STATE is published; empty = we are none.
        confirm: ``readback``: a command is confirmed by the device; ``broker``: by the broker alone.
        response_suffix: added to the topic of a plain command, where its answer comes.
        time_path: of the source time in JSON payloads.
        quality_path: of the quality in JSON payloads.
        time_unit: of a source time that is a number.
    """

    qos: float = 1.0
    keep_alive_s: float = 30.0
    timeout_s: float = 10.0
    command_timeout_s: float = 10.0
    session: str = "clean"
    client_id: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    password_env: str = ""
    password_file: str = field(default="", repr=False)
    mqtt_version: str = "5"
    host_id: str = ""
    confirm: str = "readback"
    response_suffix: str = "/response"
    time_path: str = ""
    quality_path: str = ""
    time_unit: str = "ms"

    @classmethod
    def of(cls, spec: ChannelSpec) -> MqttParameters:
        """Read and check.

        Raises:
            ConfigError: a parameter is unknown, or its value cannot be used.
        """
        where = f"channel {spec.name}"
        known = {one.name for one in fields(cls)}
        given = {name: value for name, value in spec.params.items() if not name.startswith("tls")}
        if unknown := given.keys() - known:
            raise ConfigError(f"MQTT knows no parameter {min(unknown)}", where=where, mend=f"one of {', '.join(sorted(known))}")
        values: dict[str, Any] = {name: _value(name, raw, where) for name, raw in given.items()}
        made = cls(**values)
        if made.password and not is_secret(made.password):
            raise ConfigError("a password does not belong into settings", where=where, mend='password = "secret:NAME"')
        if made.session == "kept" and not made.client_id:
            raise ConfigError("session = kept without a client_id", where=where, mend="give the channel its own client_id")
        return made

    @property
    def payload_fields(self) -> PayloadFields:
        """Where plain payloads have their marks."""
        return PayloadFields(self.time_path, self.quality_path, self.time_unit)

    def known_password(self, where: str, environment: Mapping[str, str] = os.environ) -> str | None:
        """The password, read now; None = the channel has none.

        Raises:
            ConfigError: there is no such secret, the variable is not set, or the file cannot be read or may be read by others.
        """
        if self.password:
            return reveal(self.password, where)
        if self.password_env:
            if self.password_env not in environment:
                raise ConfigError(f"the environment has no {self.password_env}", where=where, mend="set it for the server")
            return environment[self.password_env]
        if not self.password_file:
            return None
        path = Path(self.password_file)
        try:
            if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise ConfigError(f"others may read {path}", where=where, mend="chmod 600")
            return path.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ConfigError(f"cannot read {path}: {error.strerror}", where=where) from error


def _value(name: str, raw: float | str, where: str) -> float | str:
    if name in _RANGES:
        low, high = _RANGES[name]
        try:
            value = float(raw)
        except ValueError:
            value = math.nan
        if not low <= value <= high or (name == "qos" and value != int(value)):
            raise ConfigError(f"parameter {name} = {raw!r} is not a number in {low:g}..{high:g}", where=where, mend="correct it")
        return value
    text = f"{raw:g}" if isinstance(raw, float) else raw
    if name in _WORDS and text not in _WORDS[name]:
        raise ConfigError(f"parameter {name} = {raw!r} is not {' or '.join(_WORDS[name])}", where=where, mend="correct it")
    return text
