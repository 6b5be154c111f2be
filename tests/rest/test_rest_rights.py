"""What each kind of token sees of each address, by a table that is written by hand."""

from __future__ import annotations

import pytest
from rest.rest_rig import T0
from scadapb.v1 import scada_pb2 as pb

from scada.core.errors import SecurityError
from scada.rest import shapes
from scada.rest.permits import TECHNICAL

LISTS = {
    "/v1/model/points": "points",
    "/v1/values": "values",
    "/v1/controls": "controls",
    "/v1/alarms": "alarms",
    "/v1/events": "events",
    "/v1/tags": "tags",
    "/v1/model/stations": "stations",
}
"""Address and name of its list, in the order of the table."""

SEEN = {
    "all": ({}, (40, 40, 8, 3, 100, 2, 2), 200),
    "persons": ({"persons": True}, (40, 40, 8, 3, 100, 2, 2), 200),
    "a station": ({"stations": ("East",)}, (20, 20, 4, 1, 50, 1, 1), 403),
    "two stations": ({"stations": ("East", "West")}, (40, 40, 8, 2, 100, 2, 2), 403),
    "a CIM class": ({"classes": ("Analog",)}, (32, 32, 0, 1, 80, 1, 2), 403),
    "a class of states": ({"classes": ("Discrete",)}, (8, 8, 0, 1, 20, 0, 2), 403),
    "a kind": ({"classes": ("status",)}, (8, 8, 0, 1, 20, 0, 2), 403),
    "a measurement type": ({"classes": ("ThreePhaseActivePower",)}, (32, 32, 0, 1, 80, 1, 2), 403),
    "a class of controls": ({"classes": ("SetPoint",)}, (0, 0, 2, 0, 0, 0, 2), 403),
    "points and commands": ({"classes": ("Analog", "Command")}, (32, 32, 4, 1, 80, 1, 2), 403),
    "a class that is not there": ({"classes": ("Breaker",)}, (0, 0, 0, 0, 0, 0, 2), 403),
    "a class of a station": ({"stations": ("East",), "classes": ("Analog",)}, (16, 16, 0, 1, 40, 1, 1), 403),
    "a station that is not there": ({"stations": ("North",)}, (0, 0, 0, 0, 0, 0, 0), 403),
    "a part of a name": ({"stations": ("Eas",)}, (0, 0, 0, 0, 0, 0, 0), 403),
}
"""Kind of token: how it is issued, how many rows of each list it sees, and what it gets of dispatch."""

ALWAYS = {
    "values": "pid mrid path value quality",
    "points": "pid mrid path name cim_class kind measurement_type station",
    "stations": "mrid name",
    "controls": "cid mrid path name cim_class kind control_type station feedback",
    "tags": "mark_id kind mrid path station tag_type inhibits_control inhibits_alarms placed",
    "alarms": "alarm_id phase mrid station path raised",
    "events": "event_id time kind mrid station path",
    "history": "pid mrid path samples truncated",
    "dispatch": "order_id kind target code mw applied_mw received valid_until",
}
"""Fields that no token can be refused; what is added to a row and not here must be open or personal."""

PERSONS = {
    "alarms": {"acknowledged_by"},
    "events": {"actor"},
    "tags": {"user", "workstation", "reason"},
    "dispatch": {"sender", "reason"},
}

PLACES = {
    "values": ("/v1/values", "values"),
    "points": ("/v1/model/points", "points"),
    "stations": ("/v1/model/stations", "stations"),
    "controls": ("/v1/controls", "controls"),
    "tags": ("/v1/tags", "tags"),
    "alarms": ("/v1/alarms", "alarms"),
    "events": ("/v1/events", "events"),
    "history": ("/v1/history", "series"),
    "dispatch": ("/v1/dispatch", "orders"),
}
SPAN = {"point": "mrid-2", "from": "0", "to": str(T0)}


@pytest.mark.parametrize("kind", SEEN)
async def test_rows_of_each_address_by_kind_of_token(rig, kind):
    given, rows, dispatch = SEEN[kind]
    token = rig.issue(**given)
    for (path, name), expected in zip(LISTS.items(), rows, strict=True):
        params = {"limit": 1000} if path not in ("/v1/alarms", "/v1/tags", "/v1/model/stations") else {}
        answer = await rig.get(path, token, **params)
        assert answer.status_code == 200, answer.text
        assert len(answer.json()[name]) == expected, path
    assert (await rig.get("/v1/dispatch", token)).status_code == dispatch
    status = (await rig.get("/v1/status", token)).json()
    whole = dispatch == 200
    assert (status["areas"] != []) == (status["points_total"] is not None) == whole
    if "classes" in given:
        assert status["channels"] == []
    by_class = given.get("classes", ())
    seen = (not by_class or "Analog" in by_class or "ThreePhaseActivePower" in by_class) and rows[0] > 0
    for path, params in (("/v1/values", {"point": "mrid-2"}), ("/v1/history", SPAN)):
        assert (await rig.get(path, token, **params)).status_code == (200 if seen else 404), path
    if not seen:
        assert (await rig.get("/v1/values/stream", token, point="mrid-2")).status_code == 404


async def test_the_feedback_of_a_control_is_named_only_where_it_may_be_seen(rig):
    controls = (await rig.get("/v1/controls", rig.issue())).json()["controls"]
    assert [each["feedback"] for each in controls[:3]] == [None, "mrid-5", "mrid-10"]
    controls = (await rig.get("/v1/controls", rig.issue(classes=("Command",)))).json()["controls"]
    assert [(each["cid"], each["feedback"]) for each in controls] == [(0, None), (1, None), (4, None), (5, None)]
    controls = (await rig.get("/v1/controls", rig.issue(stations=("East",)))).json()["controls"]
    assert [(each["cid"], each["feedback"]) for each in controls] == [(0, None), (2, "mrid-10"), (4, "mrid-20"), (6, "mrid-30")]


def test_every_field_is_always_shown_open_or_personal():
    for table, shape in shapes.TABLES.items():
        personal, opened = shapes.fields(table, "personal"), shapes.fields(table, "open")
        assert personal == PERSONS.get(table, set()), table
        assert set(shape.model_fields) - personal - opened == set(ALWAYS[table].split()), table


@pytest.mark.parametrize("table", ALWAYS)
async def test_each_field_can_be_hidden_from_a_token(rig, table):
    path, name = PLACES[table]
    params = SPAN if table == "history" else {}
    everything = (await rig.get(path, rig.issue(persons=True), **params)).json()[name][0]
    assert set(everything) == set(shapes.TABLES[table].model_fields)
    without = (await rig.get(path, rig.issue(), **params)).json()[name][0]
    assert set(everything) - set(without) == PERSONS.get(table, set())
    opened = shapes.fields(table, "open")
    for field in opened:
        row = (await rig.get(path, rig.issue(persons=True, hidden=(f"{table}.{field}",)), **params)).json()[name][0]
        assert set(everything) - set(row) == {field}
    row = (await rig.get(path, rig.issue(hidden=[f"{table}.{field}" for field in opened]), **params)).json()[name][0]
    assert set(row) == set(ALWAYS[table].split())


async def test_no_person_is_named_to_a_token_that_was_not_issued_for_it(rig):
    token, persons = rig.issue(), rig.issue(persons=True)
    for path in ("/v1/alarms", "/v1/events", "/v1/tags", "/v1/dispatch"):
        assert "alice" not in (await rig.get(path, token)).text, path
        assert "alice" in (await rig.get(path, persons)).text, path
    assert (await rig.get("/v1/events", token)).json()["events"][0]["parameters"] == {"value": "1"}
    assert not TECHNICAL & {
        "user",
        "operator",
        "guardian",
        "actor",
        "sender",
        "author",
        "by",
        "placed_by",
        "entry",
        "name",
        "peer",
    }
    assert not TECHNICAL & {"reason", "text", "description", "why", "what", "words", "station"}


async def test_seeking_tells_nothing_of_what_is_not_shown(rig):
    async def _ask(token, text):
        answer = (await rig.get("/v1/events", token, text=text, limit=1)).json()
        return answer["events"], answer["next"], rig.server.asked[-1][1].text

    for given in (
        {},
        {"persons": True, "hidden": ("events.key",)},
        {"persons": True, "stations": ("East",)},
        {"classes": ("Analog",)},
    ):
        _, following, sent = await _ask(rig.issue(**given), "alice")
        assert (following, sent) == (100, "")  # the page of the server, whatever is sought
    assert (await _ask(rig.issue(), "alice"))[0] == []
    assert (await _ask(rig.issue(hidden=("events.key",)), "control"))[0] == []
    assert (await _ask(rig.issue(), "CONTROL.s"))[0][0]["event_id"] == 100
    assert (await _ask(rig.issue(persons=True), "alice"))[2] == "alice"


async def test_a_row_of_a_point_that_the_model_no_longer_has_is_of_no_class(rig):
    token = rig.issue(classes=("Analog",))
    assert len((await rig.get("/v1/alarms", token)).json()["alarms"]) == 1
    another = pb.PointInfo(pid=2, mrid="another", station="East", kind=pb.POINT_KIND_ANALOG)
    rig.mirror.points = {**rig.mirror.points, 2: another}
    assert (await rig.get("/v1/alarms", token)).json()["alarms"] == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"classes": ["a b"]},
        {"classes": [""]},
        {"hidden": ["values.value"]},
        {"hidden": ["values.quality"]},
        {"hidden": ["events.actor"]},
        {"hidden": ["nothing.unit"]},
        {"hidden": ["unit"]},
        {"hidden": ["values."]},
    ],
)
def test_rights_that_cannot_be_issued(rig, wrong):
    with pytest.raises(SecurityError):
        rig.issue(**wrong)


async def test_a_file_whose_lists_are_none_lets_nobody_in(rig, tmp_path):
    token, path = rig.issue(stations=("East",), classes=("Analog",)), tmp_path / "tokens.json"
    kept = path.read_text()
    for old, new in (('"classes": [\n    "Analog"\n   ]', '"classes": ""'), ('"persons": false', '"persons": "no"')):
        assert old in kept
        path.write_text(kept.replace(old, new))
        assert (await rig.get("/v1/values", token)).status_code == 503
    path.write_text(kept)
    assert (await rig.get("/v1/values", token)).status_code == 200
