"""One connection of a server is closed and no other."""

from __future__ import annotations

import socket
from contextlib import ExitStack

import pytest

from scada.api.sockets import close_connection, read_end


@pytest.mark.parametrize(
    ("family", "host", "written"),
    [(socket.AF_INET, "127.0.0.1", "ipv4:127.0.0.1:{}"), (socket.AF_INET6, "::1", "ipv6:%5B::1%5D:{}")],
)
def test_the_connection_of_a_peer_is_closed_and_no_other(family, host, written):
    with ExitStack() as closing:
        listeners = [closing.enter_context(socket.create_server((host, 0), family=family)) for _ in range(2)]
        clients = [closing.enter_context(socket.create_connection(one.getsockname()[:2])) for one in (*listeners, listeners[0])]
        served = [closing.enter_context(one.accept()[0]) for one in (*listeners, listeners[0])]
        port, peer = listeners[0].getsockname()[1], clients[0].getsockname()[1]
        assert not close_connection(listeners[1].getsockname()[1], written.format(peer)), "another port of ours"
        assert close_connection(port, written.format(peer))
        assert clients[0].recv(1) == b""
        for client, server in zip(clients[1:], served[1:], strict=True):
            server.sendall(b"x")
            assert client.recv(1) == b"x"
        assert not close_connection(port, "ipv4:127.0.0.1:1")
        assert not close_connection(port, "")


def test_ipv4_over_an_ipv6_socket_is_found_by_its_ipv4_address():
    with ExitStack() as closing:
        listener = closing.enter_context(socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True))
        client = closing.enter_context(socket.create_connection(("127.0.0.1", listener.getsockname()[1])))
        closing.enter_context(listener.accept()[0])
        assert close_connection(listener.getsockname()[1], f"ipv4:127.0.0.1:{client.getsockname()[1]}")
        assert client.recv(1) == b""


def test_an_address_of_neither_form_is_refused():
    with pytest.raises(ValueError):
        read_end("unix:/run/scada")
    assert read_end("ipv6:%5Bfe80::1%25eth0%5D:7") == ("fe80::1", 7)
