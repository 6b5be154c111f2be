"""Where the links of a channel go to, and the rules by which one takes over from another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from scada.core.errors import ConfigError
from scada.model_cim.tables import ChannelSpec

_NAMES: Final = "ABCD"
"""Two networks with two hosts each are the field's usual maximum."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where one link goes to."""

    name: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class RedundancyParameters:
    """The links of a channel and the rules of switching; the names are those of ``ChannelSpec.params``.

    Attributes:
        endpoints: A is the channel's own address; B, C, D are ``host_b`` .. ``host_d`` with ``port_b`` .. ``port_d``.
        preferred_link: link to go back to when it stands by again; "" = stay where we are.
        preferred_after_s: so long it must have stood by.
        application_failures: station interrogations in a row without any answer, after which the link is left; 0 = never.
        switch_timeout_s: longest time without data transfer in a switch; then the channel is not up any more, and another link
            that stands by gets its turn.
    """

    endpoints: tuple[Endpoint, ...]
    preferred_link: str = ""
    preferred_after_s: float = 60.0
    application_failures: int = 3
    switch_timeout_s: float = 2.0

    @classmethod
    def of(cls, spec: ChannelSpec) -> RedundancyParameters:
        """From a channel of the model; without ``host_b`` there is one link.

        Raises:
            ConfigError: a value is not a number or out of its range, or a link is named that there is not.
        """
        where, mend, params = f"channel {spec.name}", "correct the channel", spec.params
        endpoints = [Endpoint("A", spec.host, spec.port)]
        try:
            for name in _NAMES[1:]:
                host, port = str(params.get(f"host_{name.lower()}", "")), params.get(f"port_{name.lower()}", spec.port)
                if host:
                    endpoints.append(Endpoint(name, host, int(port)))
                elif f"port_{name.lower()}" in params:
                    raise ConfigError(f"port_{name.lower()} without host_{name.lower()}", where=where, mend=mend)
            seconds = {name: float(params[name]) for name in ("preferred_after_s", "switch_timeout_s") if name in params}
            failures = int(params.get("application_failures", 3))
        except ValueError as error:
            raise ConfigError(f"a parameter is not a number: {error}", where=where, mend=mend) from error
        preferred = str(params.get("preferred_link", "")).upper()
        if any(not value > 0 for value in seconds.values()) or failures < 0:
            text = "preferred_after_s and switch_timeout_s must be > 0, application_failures >= 0"
            raise ConfigError(text, where=where, mend=mend)
        if any(not 0 < endpoint.port < 65536 for endpoint in endpoints):
            raise ConfigError("a port must be 1 .. 65535", where=where, mend=mend)
        if len({(endpoint.host, endpoint.port) for endpoint in endpoints}) < len(endpoints):
            raise ConfigError("two links go to the same address", where=where, mend=mend)
        if preferred and preferred not in {endpoint.name for endpoint in endpoints}:
            raise ConfigError(f"preferred_link is {preferred!r}, there is no such link", where=where, mend=mend)
        return cls(tuple(endpoints), preferred, application_failures=failures, **seconds)
