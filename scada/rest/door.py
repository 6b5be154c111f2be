"""Who is let in: the token is proven, its rate counted, and what strangers try costs little and fills no log."""

from __future__ import annotations

import ipaddress
from typing import Final

import structlog
from fastapi import Request

from scada.core.clock import Clock
from scada.core.errors import StoreError
from scada.rest.problems import RestError
from scada.rest.tokens import Buckets, Token, TokenError, TokenStore

STRANGER_PER_MINUTE: Final = 60
"""Requests a minute of one address that show no good token; more are refused without a line in the log."""
REFUSALS_PER_MINUTE: Final = 120
"""Lines a minute in the log of such requests, whatever the number of addresses."""
_LOGGED: Final = 256
"""Characters of an address in the log."""

_log = structlog.get_logger("rest")


class Door:
    """Proves tokens and counts requests.

    Args:
        tokens: good ones.
        clock: rates.
    """

    def __init__(self, tokens: TokenStore, clock: Clock) -> None:
        self.tokens = tokens
        self._callers = Buckets(clock)
        self._strangers = Buckets(clock)
        self._lines = Buckets(clock)

    def admit(self, request: Request, scope: str) -> Token:
        """The token of a request that may read a scope.

        Raises:
            RestError: 401, 403, 429, or 503 where tokens cannot be read.
        """
        peer = request.client.host if request.client else ""
        try:
            token = self.tokens.check(_bearer(request))
        except TokenError as error:
            if wait := self._strangers.take(_network(peer), STRANGER_PER_MINUTE):
                raise _too_many(wait) from error  # not logged: strangers do not fill the disk
            if not self._lines.take("", REFUSALS_PER_MINUTE):
                _log.warning("refused", peer=peer, code=error.code, path=request.url.path[:_LOGGED], reason=error.what)
            raise RestError(401, error.code, error.what, {"WWW-Authenticate": f'Bearer error="{error.code}"'}) from error
        except StoreError as error:
            if not self._lines.take("", REFUSALS_PER_MINUTE):
                _log.error("the tokens cannot be read, nobody is let in", cause=str(error))
            raise RestError(503, "unavailable", "nobody can be let in now", {"Retry-After": "30"}) from error
        if wait := self._callers.take(token.id, token.per_minute):
            if not self._lines.take(token.id, 1):
                _log.warning("rate limited", peer=peer, token=token.id, name=token.name)
            raise _too_many(wait)
        if scope not in token.scopes:
            _log.warning("refused", peer=peer, token=token.id, name=token.name, code="scope", path=request.url.path)
            raise RestError(403, "scope", f"the token is not good for {scope}")
        return token


def _bearer(request: Request) -> str:
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not token:
        raise TokenError("no_token", "the request carries no bearer token")
    return token.strip()


def _too_many(wait: float) -> RestError:
    return RestError(429, "rate", "too many requests", {"Retry-After": str(int(wait) + 1)})


def _network(peer: str) -> str:
    """What counts as one stranger: an IPv4 address, or the 64 bits of a network that one owner of IPv6 addresses has.

    >>> _network("192.0.2.7"), _network("2001:db8::7") == _network("2001:db8::8")
    ('192.0.2.7', True)
    """
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return ""
    if address.version == 4:
        return peer
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address.packed[:8] + bytes(8), 64)))
