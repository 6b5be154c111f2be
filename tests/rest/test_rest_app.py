"""The application as a third party meets it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import grpc
import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest.rest_rig import T0, Rig, unavailable
from scadapb.v1 import scada_pb2 as pb

from scada.api.faults import CallError
from scada.cli.rest_service import description, tls_files
from scada.core.errors import ConfigError
from scada.core.settings import RestSettings
from scada.rest import shapes, times
from scada.rest.door import REFUSALS_PER_MINUTE, STRANGER_PER_MINUTE

ADDRESSES = {
    "/v1/status": ("status", shapes.Status, {}),
    "/v1/model/stations": ("model", shapes.Stations, {}),
    "/v1/model/points": ("model", shapes.Points, {}),
    "/v1/values": ("values", shapes.Values, {}),
    "/v1/alarms": ("alarms", shapes.Alarms, {}),
    "/v1/events": ("events", shapes.Events, {}),
    "/v1/history": ("history", shapes.History, {"point": "mrid-2", "from": "0", "to": str(T0)}),
    "/v1/dispatch": ("dispatch", shapes.Dispatch, {}),
    "/v1/controls": ("controls", shapes.Controls, {}),
    "/v1/tags": ("tags", shapes.Tags, {}),
}


def problem(response, status, code):
    assert response.status_code == status, response.text
    assert response.headers["content-type"].startswith("application/problem+json")
    assert shapes.Problem(**response.json()).code == code
    assert response.json()["status"] == status


@pytest.mark.parametrize("path", ADDRESSES)
async def test_every_address_needs_a_token_of_its_scope_and_answers_as_published(rig, path):
    scope, shape, params = ADDRESSES[path]
    problem(await rig.get(path, **params), 401, "no_token")
    problem(await rig.get(path, "scada_0_0", **params), 401, "unknown_token")
    others = [each for each, _, _ in ADDRESSES.values() if each != scope]
    problem(await rig.get(path, rig.issue(*others), **params), 403, "scope")
    response = await rig.get(path, rig.issue(scope), **params)
    assert response.status_code == 200, response.text
    shape.model_validate_json(response.text)
    assert response.headers["x-content-type-options"] == "nosniff"
    short = rig.issue(scope, days=1.0)
    rig.clock.advance(86_400)
    problem(await rig.get(path, short, **params), 401, "expired")


async def test_nothing_of_a_request_is_looked_at_before_its_token(rig):
    problem(await rig.get("/v1/history", point="nowhere"), 401, "no_token")
    problem(await rig.get("/v1/values", limit="-5"), 401, "no_token")
    assert rig.server.asked[3:] == []


async def test_there_is_nothing_to_write_and_no_page(rig):
    app = rig.app
    for route in app.routes:
        assert set(getattr(route, "methods", {"GET"})) <= {"GET", "HEAD"}
    problem(await rig.get("/docs"), 404, "not_found")
    problem(await rig.get("/redoc"), 404, "not_found")


async def test_a_value_that_is_not_known_is_null_with_its_quality(rig):
    answer = (await rig.get("/v1/values", rig.issue())).json()
    values = {each["pid"]: each for each in answer["values"]}
    assert answer["seq"] == 7
    assert values[2]["value"] == 3.5
    assert values[2]["quality"] == {"good": True, "word": 0, "flags": []}
    assert values[1]["value"] is None
    assert values[1]["quality"]["flags"] == ["never_received"]
    assert not values[1]["quality"]["good"]
    assert values[3]["value"] == 3.5
    assert values[3]["quality"]["flags"] == ["comm_lost"]
    assert values[5]["state"] == "closed"
    assert values[2]["source_time"]["ns"] == str(T0 - 5)
    assert values[2]["source_time"]["iso"].endswith("999999995Z")
    assert "NaN" not in json.dumps(answer)


async def test_a_delta_changes_what_it_names_and_nothing_else(rig):
    await rig.hear(
        pb.PointFrame(seq=8, time_ns=T0 + 9, pid=[2], value=[float("nan")], quality=[0x80], source_time_ns=[1], received_ns=[2])
    )
    values = {each["pid"]: each for each in (await rig.get("/v1/values", rig.issue())).json()["values"]}
    assert values[2]["value"] is None
    assert values[2]["quality"]["flags"] == ["invalid"]
    assert values[4]["value"] == 3.5


async def test_old_values_are_not_told(rig, clock):
    token = rig.issue()
    assert (await rig.get("/v1/health")).json() == {"status": "ok", "reason": ""}
    clock.advance(3.1)
    for path in ("/v1/values", "/v1/model/points", "/v1/model/stations"):
        problem(await rig.get(path, token), 503, "stale")
    assert (await rig.get("/v1/health")).status_code == 503
    await rig.hear(pb.PointFrame(seq=9, time_ns=T0))  # a heartbeat
    assert (await rig.get("/v1/values", token)).status_code == 200


async def test_before_the_first_frame_nothing_is_known(tmp_path, clock):
    rig = Rig(tmp_path, clock)
    problem(await rig.get("/v1/values", rig.issue()), 503, "stale")


async def test_a_token_of_a_station_sees_that_station_only(rig):
    token = rig.issue(stations=("East",))
    for path, key in (("/v1/model/points", "points"), ("/v1/alarms", "alarms"), ("/v1/events", "events")):
        found = (await rig.get(path, token)).json()[key]
        assert found, path
        assert {each["station"] for each in found} == {"East"}
    values = (await rig.get("/v1/values", token)).json()["values"]
    assert {each["pid"] % 2 for each in values} == {0}
    assert [each["name"] for each in (await rig.get("/v1/model/stations", token)).json()["stations"]] == ["East"]
    problem(await rig.get("/v1/values", token, point="mrid-3"), 404, "not_found")
    problem(await rig.get("/v1/values", token, point="3"), 404, "not_found")
    problem(await rig.get("/v1/history", token, **{"point": "mrid-3", "from": "0", "to": "9"}), 404, "not_found")
    assert (await rig.get("/v1/values", token, station="West")).json()["values"] == []
    problem(await rig.get("/v1/dispatch", token), 403, "station")
    status = (await rig.get("/v1/status", token)).json()
    assert [each["station"] for each in status["channels"]] == ["East"]
    assert status["areas"] == []
    assert status["points_total"] is None
    assert (await rig.get("/v1/alarms", token)).json()["suppressed"] is None


async def test_pages_follow_each_other_without_a_gap(rig):
    token, seen, after = rig.issue(), [], -1
    while after is not None:
        page = (await rig.get("/v1/values", token, after=after, limit=7)).json()
        seen += [each["pid"] for each in page["values"]]
        after = page["next"]
    assert seen == list(range(40))
    seen, cursor = [], 0
    while cursor is not None:
        page = (await rig.get("/v1/events", rig.issue(stations=("East",)), cursor=cursor, limit=9)).json()
        seen += [each["event_id"] for each in page["events"]]
        cursor = page["next"]
    assert seen == list(range(100, 0, -2))


async def test_an_entity_tag_saves_what_did_not_change(rig):
    token = rig.issue()
    first = await rig.get("/v1/values", token, limit=3)
    tag = {"If-None-Match": first.headers["etag"]}
    again = await rig.get("/v1/values", token, headers=tag, limit=3)
    assert (again.status_code, again.content) == (304, b"")
    assert (await rig.get("/v1/values", token, headers=tag, limit=4)).status_code == 200
    assert (await rig.get("/v1/values", rig.issue(stations=("East",)), headers=tag, limit=3)).status_code == 200
    await rig.hear(rig.server.full(seq=8, value=4.0))
    fresh = await rig.get("/v1/values", token, headers=tag, limit=3)
    assert fresh.json()["values"][2]["value"] == 4.0


async def test_events_and_history_are_asked_as_wanted(rig):
    token = rig.issue()
    await rig.get(
        "/v1/events", token, **{"from": "1970-01-01T08:00:01+08:00", "to": "2000000000", "kind": "system", "oldest_first": True}
    )
    request = rig.server.asked[-1][1]
    assert (request.from_ns, request.to_ns, request.oldest_first, request.limit) == (10**9, 2 * 10**9, True, 200)
    answer = (await rig.get("/v1/history", token, **{"point": ["mrid-2", "4"], "from": "0", "to": str(T0 + 5)})).json()
    assert list(rig.server.asked[-1][1].pids) == [2, 4]
    samples = answer["series"][0]["samples"]
    assert [each["value"] for each in samples] == [1.5, None]
    assert samples[1]["quality"]["flags"] == ["invalid"]


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("/v1/values", {"limit": 0}),
        ("/v1/values", {"limit": 5001}),
        ("/v1/values", {"after": "x"}),
        ("/v1/events", {"from": "yesterday"}),
        ("/v1/events", {"from": "2026-11-22T03:00:00"}),
        ("/v1/events", {"from": "2026-13-22T03:00:00Z"}),
        ("/v1/events", {"from": "9" * 19}),
        ("/v1/events", {"kind": "nonsense"}),
        ("/v1/history", {"point": "mrid-2", "from": "5", "to": "5"}),
        ("/v1/history", {"point": "mrid-2", "from": "", "to": "5", "period_s": 61}),
        ("/v1/history", {"point": [f"mrid-{n}" for n in range(21)], "from": "0", "to": "5"}),
        ("/v1/history", {"from": "0", "to": "5"}),
        ("/v1/values", {"query": "x" * 257}),
    ],
)
async def test_what_cannot_be_understood_is_a_problem(rig, path, params):
    problem(await rig.get(path, rig.issue(), **params), 400, "malformed")


async def test_a_server_that_is_away_or_refuses_is_not_the_callers_fault(rig):
    token = rig.issue()
    rig.server.fail = unavailable()
    response = await rig.get("/v1/alarms", token)
    problem(response, 503, "unavailable")
    assert "secret.host" not in response.text
    rig.server.fail = CallError(grpc.StatusCode.PERMISSION_DENIED, "unauthorised", "no right")
    problem(await rig.get("/v1/alarms", token), 503, "unavailable")
    rig.server.fail = CallError(grpc.StatusCode.INVALID_ARGUMENT, "malformed", "too long a span")
    problem(await rig.get("/v1/history", token, **ADDRESSES["/v1/history"][2]), 400, "malformed")
    rig.server.fail = RuntimeError("secret")
    response = await rig.get("/v1/alarms", token)
    problem(response, 500, "internal")
    assert "secret" not in response.text


async def test_each_token_has_its_rate_and_strangers_have_theirs(rig, clock):
    token, other = rig.issue(per_minute=60), rig.issue(per_minute=60)
    codes = [(await rig.get("/v1/alarms", token)).status_code for _ in range(17)]
    assert codes == [200] * 15 + [429] * 2
    response = await rig.get("/v1/alarms", token)
    problem(response, 429, "rate")
    assert int(response.headers["retry-after"]) >= 1
    assert (await rig.get("/v1/alarms", other)).status_code == 200
    codes = [(await rig.get("/v1/alarms", "scada_x_y", peer="10.9.9.9")).status_code for _ in range(STRANGER_PER_MINUTE)]
    assert codes.count(401) == STRANGER_PER_MINUTE // 4
    assert codes[-1] == 429
    assert (await rig.get("/v1/alarms", other, peer="10.9.9.9")).status_code == 200  # a good token is not a stranger's


async def test_strangers_do_not_fill_the_log(rig):
    with structlog.testing.capture_logs() as logged:
        for number in range(300):
            refused = await rig.get("/v1/values", f"scada_{number:016x}_{'A' * 43}", query="x" * 5000)
            assert refused.status_code in (401, 429)
    assert 0 < len(logged) <= STRANGER_PER_MINUTE
    assert all(len(str(line)) < 1000 for line in logged)


async def test_strangers_of_many_addresses_do_not_fill_the_log_either(rig):
    with structlog.testing.capture_logs() as logged:
        for number in range(300):
            peer = f"10.{number // 250}.{number % 250}.1"
            assert (await rig.get("/v1/values", "scada_x_y", peer=peer)).status_code == 401
    assert 0 < len(logged) <= REFUSALS_PER_MINUTE


async def test_a_network_of_ipv6_is_one_stranger(rig):
    codes = [(await rig.get("/v1/values", "scada_x_y", peer=f"2001:db8::{number:x}")).status_code for number in range(20)]
    assert codes.count(401) == STRANGER_PER_MINUTE // 4
    assert (await rig.get("/v1/values", "scada_x_y", peer="2001:db8:0:1::1")).status_code == 401
    assert (await rig.get("/v1/values", "scada_x_y", peer="not an address")).status_code == 401


async def test_a_token_that_asks_too_much_is_one_line_in_the_log(rig):
    token = rig.issue(per_minute=4)
    with structlog.testing.capture_logs() as logged:
        codes = [(await rig.get("/v1/alarms", token)).status_code for _ in range(30)]
    assert codes.count(429) == 29
    assert [line["event"] for line in logged] == ["rate limited"]


async def test_a_revoked_token_is_refused_with_the_next_request(rig):
    token = rig.issue()
    assert (await rig.get("/v1/values", token)).status_code == 200
    rig.tokens.revoke(token.split("_")[1])
    problem(await rig.get("/v1/values", token), 401, "revoked")


async def test_tokens_that_cannot_be_read_let_nobody_in(rig, tmp_path):
    token = rig.issue()
    (tmp_path / "tokens.json").write_text("{")
    problem(await rig.get("/v1/values", token), 503, "unavailable")


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.sampled_from(sorted(ADDRESSES)),
    params=st.dictionaries(
        st.sampled_from(
            ["point", "station", "query", "after", "limit", "from", "to", "kind", "cursor", "buckets", "period_s", "text"]
        ),
        st.one_of(st.text(max_size=40), st.integers(-(10**20), 10**20).map(str), st.sampled_from(["nan", "-1", "1e5", "%00"])),
        max_size=5,
    ),
    token=st.one_of(st.just(None), st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=60)),
)
async def test_nothing_that_is_asked_breaks_the_application(rig, path, params, token):
    response = await rig.get(path, rig.issue() if token is None else token, **params)
    assert response.status_code in ((200, 400, 404) if token is None else (401, 429)), response.text
    if response.status_code != 200:
        problem(response, response.status_code, response.json()["code"])


async def test_the_mirror_follows_over_breaks_and_models(rig):
    task = asyncio.create_task(rig.mirror.run())
    await rig.server.frames.put(rig.server.full(seq=20))
    await rig.server.frames.put(unavailable())
    while rig.mirror.fault == "":  # noqa: ASYNC110 - until the task has met the break
        await asyncio.sleep(0)
    assert rig.mirror.seq == 20
    problem(await rig.get("/v1/values", rig.issue()), 503, "stale")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_the_published_description_is_that_of_the_code():
    published = json.loads((Path(__file__).parents[2] / "docs" / "rest-openapi.json").read_text())
    assert published == json.loads(json.dumps(description())), "run: scada rest openapi > docs/rest-openapi.json"
    assert published["info"]["title"] == "scada"
    for path, methods in published["paths"].items():
        assert set(methods) == {"get"}
        assert path == "/v1/health" or methods["get"]["security"], path


def test_beyond_this_machine_only_with_tls(tmp_path):
    assert tls_files(RestSettings()) is None
    assert tls_files(RestSettings(host="::1")) is None
    with pytest.raises(ConfigError, match="needs TLS"):
        tls_files(RestSettings(host="0.0.0.0"))
    with pytest.raises(ConfigError, match="and its key"):
        tls_files(RestSettings(certificate=tmp_path / "c.pem"))
    both = RestSettings(host="0.0.0.0", certificate=tmp_path / "c.pem", key=tmp_path / "k.pem")
    assert tls_files(both) == (tmp_path / "c.pem", tmp_path / "k.pem")


@pytest.mark.parametrize(
    "text", ["", "1e9", "-1", "2026-11-22", "2026-11-22T03:00:00+0800", "٣", "2026-11-22T03:00:00.0000000001Z"]
)
def test_what_is_no_time(text):
    with pytest.raises(ValueError, match="time"):
        times.parse_time(text)


@given(st.integers(1, (1 << 63) - 1))
def test_a_time_comes_back_to_the_nanosecond(number):
    shown = times.time(number)
    assert times.parse_time(shown["iso"]) == times.parse_time(shown["ns"]) == number
