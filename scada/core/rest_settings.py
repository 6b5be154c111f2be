"""Settings of the REST interface for third parties."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, IPvAnyNetwork, field_validator

from scada.core.section import Section


class RestSettings(Section):
    """Reading for third parties over HTTP and JSON; a process of its own, a client of this server that may only look."""

    enabled: bool = Field(False, description="`scada serve` starts it; `scada rest serve` does so by hand.")
    host: str = Field("127.0.0.1", description="Address to listen on; beyond this machine only with TLS.")
    port: int = Field(8443, ge=1, le=65535)
    certificate: Path | None = Field(None, description="Certificate chain of TLS (PEM); none = plain, on this machine only.")
    key: Path | None = Field(None, description="Its private key (PEM).")
    tokens: Path = Field(Path("var/rest/tokens.json"), description="Who may ask, made by `scada rest token issue`.")
    identity: str = Field("rest", description="Identity by which it logs in at the server; give it the role VIEWER.")
    behind_proxy: tuple[IPvAnyNetwork, ...] = Field(
        (), description="Proxies whose X-Forwarded-For is believed, addresses or networks; none = nobody's."
    )

    @field_validator("behind_proxy")
    @classmethod
    def _named_proxies(cls, networks: tuple[IPvAnyNetwork, ...]) -> tuple[IPvAnyNetwork, ...]:
        if any(network.prefixlen == 0 for network in networks):
            raise ValueError("every address of the world is no proxy; name yours")
        return networks
