"""A whole server towards an upstream control centre over TLS: who gets in, who may command, what the audit log keeps."""

import json
import socket
import ssl

import pytest
from protocols.iec104.raw_master import apdus, order
from system.conftest import Running

from scada.core.clock import SystemClock
from scada.core.errors import ConfigError, SecurityError
from scada.protocols.iec104.apci import UFunction, i_frame, u_frame
from scada.security.tls_authority import issue, make_authority

NAME, ALPHA, BETA, STRANGER = "Provincial dispatch", "dispatch-a", "dispatch-b", "stranger"
BREAKER = "Beishan/220kV/Coupler/2100"


def section(folder, **more):
    files = {"tls_ca": "ca.pem", "tls_certificate": "server.pem", "tls_key": "server.key"}
    station = {
        "port": 0,
        "params": {"tls": 1, **{name: str(folder / file) for name, file in files.items()}},
        "groups": {"A": [ALPHA], "B": [BETA]},
        "masters": {ALPHA: {"name": "alpha", "roles": ["OPERATOR"], "areas": ["East"]}},
    }
    return {"stations": {NAME: {**station, **more}}}


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    now = SystemClock().now_ns()
    make_authority(folder, now)
    for name in ("server", ALPHA, BETA, STRANGER):
        issue(folder, name, now, hosts=["127.0.0.1"] if name == "server" else [])
    return folder


class Client:
    """A master that is nothing but a TLS socket."""

    def __init__(self, port, folder, name=""):
        context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
        if name:
            context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
        self.plain = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket = context.wrap_socket(self.plain, server_hostname="127.0.0.1")
        self.rest, self.sent, self.received = b"", 0, 0

    def start(self):
        try:
            self.socket.sendall(u_frame(UFunction.STARTDT_ACT))
            self.until(lambda said: said == "STARTDT_CON")
        except OSError:
            self.close()
            raise
        return self

    def until(self, found):
        while True:
            while len(self.rest) >= 2 and len(self.rest) >= 2 + self.rest[1]:
                frame, self.rest = self.rest[: 2 + self.rest[1]], self.rest[2 + self.rest[1] :]
                [said] = apdus(frame)
                self.received += said[0] == "I"
                if found(said):
                    return said
            data = self.socket.recv(4096)
            if not data:
                raise ConnectionResetError("closed")
            self.rest += data

    def ask(self, asdu):
        """The answer to a command, positive or not."""
        self.socket.sendall(i_frame(self.sent, self.received, asdu.encode()))
        self.sent += 1
        answer = self.until(lambda said: said[0] == "I" and said[3].type_id == asdu.type_id)[3]
        return not answer.negative

    def close(self):
        self.socket.close()


def station_of(server):
    """The station once it has been shown."""
    shown = server.system.upstreams.status
    server.until(lambda: shown().stations[0].endpoint, 60, "shown")
    return shown().stations[0]


@pytest.fixture(scope="module")
def served(tmp_path_factory, authority):
    server = Running(tmp_path_factory.mktemp("served"), upstream=section(authority))
    station = station_of(server)
    assert (station.listening, station.tls, station.reason) == (True, True, "")
    server.port = int(station.endpoint.rpartition(":")[2])
    yield server
    server.stop()


def audited(server):
    return [record.row for record in server.system.audit.records() if record.row.kind == "control"]


def ioa_of(server):
    [station] = server.system.tables.upstream
    cid = next(control.cid for control in server.system.tables.controls if control.path == BREAKER)
    return next(row.address.ioa for row in station.controls if row.cid == cid)


def test_a_granted_certificate_reaches_the_control_desk(served, authority):
    client = Client(served.port, authority, ALPHA).start()
    assert client.ask(order(46, ioa_of(served), 1, select=True)) is False, "the channel of the station is down"
    row = audited(served)[-1]
    assert (row.step, row.actor, row.code) == ("refused", "upstream:alpha", "refused:link_down")
    assert row.path == BREAKER
    assert row.station.startswith(f"{NAME} 127.0.0.1:")
    evidence = json.loads(row.evidence)
    assert (evidence["master"], evidence["group"]) == (ALPHA, "A")
    [link] = served.until(lambda: station_of(served).groups[0].links, what="shown")
    assert link.subject == ALPHA
    client.close()
    served.until(lambda: served.events("upstream.lost", group="A"), what="the lost master is told")


def test_a_certificate_without_a_grant_reads_and_does_not_command(served, authority):
    client = Client(served.port, authority, BETA).start()
    assert client.ask(order(46, ioa_of(served), 1, select=True)) is False
    served.until(lambda: audited(served), what="audited")
    row = audited(served)[-1]
    assert (row.actor, row.code) == (f"upstream:{BETA}", "refused:telecontrol")
    assert served.until(lambda: served.events("upstream.refused", master=BETA), what="told")
    client.close()


def test_a_certificate_of_no_group_and_none_at_all_do_not_get_in(served, authority):
    for name in (STRANGER, ""):
        with pytest.raises(OSError):
            Client(served.port, authority, name).start()
    assert not served.system.upstreams.status().stations[0].groups[0].links


def test_roles_and_names_that_do_not_exist_stop_the_start(run, authority):
    with pytest.raises(ConfigError, match="Nobody"):
        run(upstream={"stations": {"Nobody": {}}})
    with pytest.raises(SecurityError, match="unknown role"):
        run(upstream=section(authority, masters={ALPHA: {"roles": ["KING"]}}))
    with pytest.raises(ConfigError, match="event_capacity"):
        run(upstream=section(authority, params={"event_capacity": 0}))


def test_a_station_that_is_switched_off_says_so(run, authority):
    server = run(upstream=section(authority, enabled=False))
    station = station_of(server)
    assert not station.listening
    assert "switched off" in station.reason
    assert not any(consumer.name.startswith("upstream-") for consumer in server.system.store.consumers())


def test_a_damaged_queue_is_moved_aside_and_told(run, authority, tmp_path):
    run(upstream=section(authority)).stop()
    [file] = (tmp_path / "var" / "upstream").glob("*.lmdb")
    file.write_bytes(b"not a queue at all" * 1000)
    server = run(upstream=section(authority))
    assert server.until(lambda: server.events("upstream.damaged"), what="told")
    assert list(file.parent.glob("*.corrupt-*"))
    assert station_of(server).listening
