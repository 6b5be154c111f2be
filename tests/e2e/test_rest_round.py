"""A third party's round on the real processes: `scada rest token issue`, `scada rest serve`, then HTTP as anybody would."""

from __future__ import annotations

import json
import subprocess

import httpx
import pytest
from e2e.rig import Rig
from scadapb.v1 import scada_pb2 as pb

from scada.cli.demo import HOST, SCADA

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

POINT = "Nanping/10kV/Bus I/Uab"


class Party:
    """Somebody with a token."""

    def __init__(self, rig):
        self.rig = rig
        self.config = str(rig.demo.folder / "scada.toml")
        self.token = self.cli("token", "issue", "lab", "--scope", "model,values,events,tags,controls,history,status")
        rig.group.start("rest", [*SCADA, "rest", "serve", "-c", self.config])
        address = f"http://{HOST}:{rig.demo.ports.rest}"
        self.http = httpx.Client(base_url=address, headers={"Authorization": f"Bearer {self.token}"}, trust_env=False, timeout=10)

    def cli(self, *words):
        line = [*SCADA, "rest", words[0], words[1], "-c", self.config, *words[2:]]
        return subprocess.run(line, capture_output=True, text=True, check=True).stdout.strip()

    def get(self, path, status=200, **params):
        answer = self.http.get(path, params=params)
        assert answer.status_code == status, answer.text
        return answer.json()

    def value(self, mrid):
        return self.get("/v1/values", point=mrid)["values"][0]

    def stream(self, place="", **params):
        """Events of the stream as (name, id, data), until it ends."""
        headers = {"Last-Event-ID": place} if place else {}
        with self.http.stream("GET", "/v1/values/stream", params=params, headers=headers, timeout=30) as answer:
            assert answer.status_code == 200, answer.read()
            fields = {}
            for line in answer.iter_lines():
                if line:
                    name, _, text = line.partition(": ")
                    fields[name] = text
                else:
                    yield fields["event"], fields.get("id", ""), json.loads(fields["data"])
                    fields = {}


@pytest.fixture(scope="module")
def party(tmp_path_factory):
    with Rig(tmp_path_factory.mktemp("rest")) as rig:
        made = Party(rig)
        rig.until(lambda: made.http.get("/v1/health").status_code == 200, 90, "REST is up")
        rig.until(lambda: (s := rig.status()).points_good >= 0.99 * s.points_total, 60, "the grid is up")
        yield made
        made.http.close()


def sought(stream, name):
    """The next event of a name; what came before it."""
    before = []
    for event in stream:
        if event[0] == name:
            return event, before
        before.append(event)
    raise AssertionError(f"the stream ended without {name}: {before}")


def test_values_follow_the_plant(party):
    rig, point = party.rig, party.rig.point(POINT)
    shown = party.value(point.mrid)
    assert shown["path"] == POINT
    assert shown["quality"]["good"]
    for wanted in (10.2, 10.7):
        rig.fault("value", POINT, str(wanted))
        rig.until(lambda wanted=wanted: abs(party.value(point.mrid)["value"] - wanted) < 0.01, 20, "the value is told")
    told, read = party.value(point.mrid), rig.read(point.pid)
    assert (told["value"], told["quality"]["word"]) == read


def test_the_stream_tells_the_change_and_goes_on_where_it_was_left(party):
    rig, point = party.rig, party.rig.point(POINT)
    stream = party.stream(point=point.mrid, period_ms=250)
    (_, place, data), _ = sought(stream, "snapshot")
    assert [each["mrid"] for each in data["values"]] == [point.mrid]
    rig.fault("value", POINT, "10.4")
    while abs((event := sought(stream, "values")[0])[2]["values"][0]["value"] - 10.4) > 0.01:
        pass
    stream.close()
    again = party.stream(place, point=point.mrid, period_ms=250)
    name, _, data = next(again)
    assert name == "values"
    assert abs(data["values"][0]["value"] - 10.4) < 0.01
    assert data["seq"] >= event[2]["seq"]
    again.close()


def test_a_value_set_by_hand_shows_that_it_is(party):
    rig, point = party.rig, party.rig.point(POINT)
    done = rig.signed("OperatorData/Hold", pb.HoldRequest(point=point.mrid, value=9.99, reason="test of the transducer"))
    assert done.accepted, done.reason
    shown = rig.until(lambda: (v := party.value(point.mrid))["value"] == 9.99 and v, 10, "the value by hand")
    assert "substituted" in shown["quality"]["flags"]
    mark = next(each for each in party.get("/v1/tags", station="Nanping")["tags"] if each["mrid"] == point.mrid)
    assert (mark["kind"], mark["value"]) == ("substitute", 9.99)
    assert "user" not in mark
    assert "reason" not in mark
    assert rig.signed("OperatorData/Release", pb.ReleaseRequest(point=point.mrid, reason="done")).accepted
    rig.until(lambda: "substituted" not in party.value(point.mrid)["quality"]["flags"], 10, "released")


def test_what_can_be_operated_is_told_and_nothing_can_be_sent(party):
    controls = party.get("/v1/controls", limit=5000)["controls"]
    assert {each["mrid"] for each in controls} == {each.mrid for each in party.rig.tables.live_controls}
    assert any(each["feedback"] for each in controls)
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert party.http.request(method, "/v1/controls").status_code == 405


def test_while_the_server_is_dead_nothing_is_told_and_then_all_again(party):
    rig, point = party.rig, party.rig.point(POINT)
    stream = party.stream(point=point.mrid)
    sought(stream, "snapshot")
    rig.kill_server()
    assert sought(stream, "stale")[0][2]["reason"]
    answer = party.http.get("/v1/values")
    assert (answer.status_code, answer.json()["code"]) == (503, "stale")
    assert party.http.get("/v1/health").status_code == 503
    rig.restart_server()
    event, before = sought(stream, "snapshot")
    assert [name for name, _, _ in before if name == "gap"] == ["gap"]
    assert event[2]["values"][0]["mrid"] == point.mrid
    rig.until(lambda: party.value(point.mrid)["quality"]["good"], 60, "values again")
    stream.close()


def test_a_revoked_token_ends_at_once(party):
    stream = party.stream()
    sought(stream, "snapshot")
    party.cli("token", "revoke", party.token.split("_")[1])
    answer = party.http.get("/v1/values")
    assert (answer.status_code, answer.json()["code"]) == (401, "revoked")
    assert sought(stream, "end")[0][2] == {"code": "revoked"}
