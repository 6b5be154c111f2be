"""Settings of the gRPC listeners: addresses, TLS, and how much one peer may ask."""

from __future__ import annotations

from typing import Final, Self

from pydantic import Field, model_validator

from scada.core.section import Section

LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
"""Hosts on which a listener may run without TLS."""


class ApiSettings(Section):
    """gRPC listeners."""

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(50051, ge=0, le=65535, description="Views, events, history; 0 = any free port.")
    control_port: int = Field(50052, ge=0, le=65535, description="Controls and dispatch, a server of their own.")
    tls: bool = Field(True, description="Mutual TLS 1.3; false is allowed on loopback only.")
    logins_per_s: float = Field(10.0, gt=0, description="Logins of one peer, in the long run; 5 s of it at once.")
    orders_per_s: float = Field(100.0, gt=0, description="Signed calls of one peer, in the same way.")
    views_per_s: float = Field(500.0, gt=0, description="Other calls and streams of one peer, in the same way.")
    reflection: bool = Field(False, description="Tell clients which services and messages there are (gRPC server reflection).")
    call_s: float = Field(120.0, gt=0, le=3600, description="Longest time of a call; one without a deadline gets this.")

    @model_validator(mode="after")
    def _open_on_loopback_only(self) -> Self:
        if not self.tls and self.host not in LOOPBACK:
            raise ValueError(f"tls = false on {self.host}: without TLS only 127.0.0.1, ::1 and localhost may be listened on")
        return self
