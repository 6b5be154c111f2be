"""The REST face over the real gRPC client and server: sealed replies, streams, rights, as in service."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from scada.rest import shapes
from scada.rest.app import make_app
from scada.rest.tokens import SCOPES, TokenStore


@pytest.fixture
async def ask(operator, clock, tmp_path):
    """Asks the application as a third party with a token of everything."""
    tokens = TokenStore(tmp_path / "tokens.json", clock)
    token = tokens.issue("lab", days=1.0, scopes=SCOPES, stations=(), per_minute=6000)
    app = make_app(operator, tokens, clock)
    async with app.router.lifespan_context(app), asyncio.timeout(30):
        while app.state.mirror.fault:  # noqa: ASYNC110 - until the stream has brought its first frame
            await asyncio.sleep(0.01)
        transport = httpx.ASGITransport(app=app)
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://rest", headers=headers) as client:
            yield client.get


async def test_model_and_values_come_through_and_follow(ask, backend):
    points = shapes.Points.model_validate_json((await ask("/v1/model/points")).text)
    assert [each.mrid for each in points.points] == [each.mrid for each in backend.tables.points if not each.removed]
    values = shapes.Values.model_validate_json((await ask("/v1/values", params={"point": "0"})).text)
    assert values.values[0].value is None
    assert values.values[0].quality.flags == ["never_received"]
    backend.apply([0], [51.25])
    async with asyncio.timeout(30):
        while (found := (await ask("/v1/values", params={"point": "0"})).json()["values"][0])["value"] is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert (found["value"], found["quality"]["good"]) == (51.25, True)


async def test_the_rest_is_asked_of_the_server(ask, backend):
    backend.raise_alarm()
    assert shapes.Status.model_validate_json((await ask("/v1/status")).text).site == "demo"
    assert len(shapes.Alarms.model_validate_json((await ask("/v1/alarms")).text).alarms) == 1
    shapes.Dispatch.model_validate_json((await ask("/v1/dispatch")).text)
    assert (await ask("/v1/health")).json()["status"] == "ok"
