"""The four ways to a Modbus device: TCP, TLS, a serial line, and RTU frames through TCP. One request at a time on each."""

from __future__ import annotations

import asyncio
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, cast

from pymodbus.transport import serialtransport

from scada.core.errors import ConfigError
from scada.model_cim.tables import ChannelSpec
from scada.protocols.modbus.exchange import NO_ANSWER, Answer, Exchange, FramingError, MbapExchange, Request, RtuExchange
from scada.security.tls import TlsFiles, client_context, handshake_fault

_open_serial: Any = serialtransport.create_serial_connection  # untyped there
_PARITIES: Final = ("N", "E", "O")

Heard = Callable[[bool, bytes], None]
"""Told of everything on the wire: (True = received, octets)."""


class LineLostError(Exception):
    """The connection is gone; the request that was out may have arrived."""


class Line(asyncio.Protocol):
    """One connection with at most one request out.

    Args:
        exchange: matches answers to requests.
        heard: told of every octet.
        ended: told once when the connection is gone.
    """

    def __init__(self, exchange: Exchange, heard: Heard, ended: Callable[[], None]) -> None:
        self.exchange = exchange
        self._heard = heard
        self._ended = ended
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Answer] | None = None
        self.made = asyncio.Event()
        """There is, or was, a connection."""
        self.lost = ""
        """Why the connection is gone; empty while it stands."""

    def quiet_since(self, strays: int) -> bool:
        """The connection stands, and nothing came after so many strays."""
        return not self.lost and self.exchange.strays == strays

    async def ask(self, request: Request, timeout_s: float) -> Answer:
        """Send a request and wait for its answer; :data:`NO_ANSWER` after ``timeout_s`` real seconds.

        Raises:
            LineLostError: the connection is gone.
        """
        if self.lost or self._transport is None:
            raise LineLostError(self.lost or "not connected")
        assert self._answer is None
        self._answer = asyncio.get_running_loop().create_future()
        frame = self.exchange.begin(request)
        self._heard(False, frame)
        self._transport.write(frame)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._answer
        except TimeoutError:
            return NO_ANSWER
        finally:
            self._answer = None
            if not self.exchange.give_up():
                self.close("the station stopped within a frame")

    def peer_certificate(self) -> bytes | None:
        """DER of what the peer proved itself by; None without TLS."""
        found = self._transport.get_extra_info("ssl_object") if self._transport else None
        return cast("bytes | None", found.getpeercert(True)) if found is not None else None

    def close(self, reason: str = "closed") -> None:
        """Close the connection."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()
        self._end(reason)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The loop says that the connection stands."""
        self._transport = cast("asyncio.Transport", transport)
        self.made.set()

    def data_received(self, data: bytes) -> None:
        """The loop hands over what came."""
        self._heard(True, data)
        try:
            answer = self.exchange.feed(data)
        except FramingError as error:
            self.close(str(error))
            return
        if answer is not None and self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)

    def eof_received(self) -> bool:
        """The peer closed."""
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """The loop says that the connection is gone."""
        self._transport = None
        self._end(f"connection lost: {error}" if error else "the station closed the connection")

    def _end(self, reason: str) -> None:
        if self.lost:
            return
        self.lost = reason
        self._ended()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(LineLostError(self.lost))


class Transport:
    """How a channel reaches its devices; checked once, connected again and again.

    Args:
        spec: the channel.

    Raises:
        ConfigError: a parameter of the line cannot be used.
        SecurityError: a file of ``modbus-tls`` cannot be used.
    """

    def __init__(self, spec: ChannelSpec) -> None:
        self._spec = spec
        self.is_rtu = spec.protocol in ("modbus-rtu", "modbus-rtu-tcp")
        """Frames bear no number."""
        self.is_serial = spec.protocol == "modbus-rtu"
        self.endpoint = spec.host if self.is_serial else f"{spec.host}:{spec.port}"
        self._echo = str(spec.params.get("local_echo", 0)) in ("1", "1.0")
        self.tls = self._tls()
        self._baud, self._parity, self._stop_bits = self._serial() if self.is_serial else (0, "", 1.0)

    async def connect(self, heard: Heard, ended: Callable[[], None], timeout_s: float) -> Line | str:
        """A new connection, or why there is none."""
        loop = asyncio.get_running_loop()
        line = Line(RtuExchange(echo=self._echo) if self.is_rtu else MbapExchange(), heard, ended)
        try:
            async with asyncio.timeout(timeout_s):
                if self.is_serial:
                    await self._open_port(loop, line)
                else:
                    server_name = self._spec.host if self.tls else None
                    await loop.create_connection(
                        lambda: line, self._spec.host, self._spec.port, ssl=self.tls, server_hostname=server_name
                    )
        except TimeoutError:
            return f"cannot connect to {self.endpoint}: no answer within {timeout_s:g} s"
        except (OSError, ValueError, termios.error) as error:
            return f"cannot connect to {self.endpoint}: {handshake_fault(error)}"
        return line

    async def _open_port(self, loop: asyncio.AbstractEventLoop, line: Line) -> None:
        await _open_serial(
            loop,
            lambda: line,
            self._spec.host,
            baudrate=self._baud,
            bytesize=8,
            parity=self._parity,
            stopbits=self._stop_bits,
            timeout=0,
        )
        await line.made.wait()  # the library tells it a moment later

    def _tls(self) -> Any:
        if self._spec.protocol != "modbus-tls":
            if any(name.startswith("tls") for name in self._spec.params):  # it must not run open by mistake
                text = f"{self._spec.protocol} has no TLS, but parameters for it"
                raise ConfigError(text, where=f"channel {self._spec.name}", mend="say modbus-tls, or take them away")
            return None
        files = TlsFiles.of({**self._spec.params, "tls": 1.0}, Path(), f"channel {self._spec.name}")
        assert files is not None
        return client_context(files)

    def _serial(self) -> tuple[int, str, float]:
        params = self._spec.params
        where = f"channel {self._spec.name}"
        parity = str(params.get("parity", "E")).upper()[:1]
        if parity not in _PARITIES:
            raise ConfigError(f"parity {params['parity']!r} is not one of {', '.join(_PARITIES)}", where=where, mend="correct it")
        stop_bits = params.get("stop_bits", 1.0)
        if stop_bits not in (1, 1.5, 2):
            raise ConfigError(f"stop_bits {stop_bits!r} is not 1, 1.5 or 2", where=where, mend="correct it")
        return int(float(params.get("baud", 19200))), parity, float(stop_bits)
