"""Files on their way in and out of the service Engineering: places are few, and nobody keeps one for nothing."""

import asyncio
from types import SimpleNamespace

import pytest
from scadapb.v1 import scada_pb2 as pb

from scada.actors.engineering import MOST_DOWNLOADS, MOST_UPLOADS, Engineering
from scada.actors.model_view import ModelView
from scada.api import engineering_services
from scada.api.engineering_services import EngineeringServices
from scada.api.faults import CallError
from scada.core.clock import VirtualClock
from scada.core.errors import ModelError
from scada.core.settings import ModelSettings
from scada.model_cim.version_log import Step
from scada.model_cim.versions import VersionStore


@pytest.fixture
def services(tmp_path):
    grid = tmp_path / "grid"
    grid.mkdir()
    (grid / "EQ.xml").write_text("<x/>" * 1000)
    store = VersionStore(tmp_path / "store", VirtualClock(), map_mb=16)
    store.note(Step.APPLIED, store.take_folder(grid, "first start").number)
    yield EngineeringServices(SimpleNamespace(engineering=Engineering(None, store, ModelView(), ModelSettings())))
    store.close()


async def pieces(*data, then=None):
    for one in data:
        yield pb.FileChunk(data=one)
    if then is not None:
        await then.wait()


def test_an_upload_that_stalls_gives_its_place_up(services, monkeypatch):
    monkeypatch.setattr(engineering_services, "PIECE_S", 0.01)

    async def run():
        for _ in range(MOST_UPLOADS + 1):
            with pytest.raises(CallError, match="nothing came"):
                await services.upload(pieces(b"a", then=asyncio.Event()), None)
        return await services.upload(pieces(b"whole"), None)

    assert asyncio.run(run()).bytes == 5


def test_an_upload_that_goes_while_the_old_ones_are_counted_costs_no_place(services, monkeypatch):
    engineering = services._backend.engineering

    def fails(_):
        raise OSError("gone")

    with monkeypatch.context() as patched:
        patched.setattr(engineering._store, "forget_uploads", fails)
        for _ in range(MOST_UPLOADS + 1):
            with pytest.raises(OSError, match="gone"):
                engineering.upload()
    with engineering.upload() as incoming:
        incoming.write(b"x")
        assert incoming.finish().bytes == 1


def test_few_downloads_are_held_in_memory_at_a_time(services):
    async def run():
        opened = [services.download(pb.DownloadRequest(number=1), None) for _ in range(MOST_DOWNLOADS + 1)]
        for one in opened[:-1]:
            assert (await anext(one)).data
        with pytest.raises(CallError, match="on their way"):
            await anext(opened[-1])
        await opened[0].aclose()
        async for _ in opened[1]:
            pass
        again = services.download(pb.DownloadRequest(number=1), None)
        return b"".join([one.data async for one in again])

    assert asyncio.run(run()).startswith(b"PK")


def test_uploads_that_go_meanwhile_are_passed_over(services, monkeypatch):
    store = services._backend.engineering._store
    for name in ("aa", "bb"):
        (store.uploads / name).write_bytes(b"x")
    gone = [store.uploads / "none", store.uploads / "aa", store.uploads / "bb"]
    monkeypatch.setattr(type(store.uploads), "iterdir", lambda _: iter(gone))
    store.forget_uploads(0)
    assert not (store.uploads / "bb").exists()


def test_an_unknown_version_is_said(services):
    async def run():
        with pytest.raises(CallError, match="no version 9"):
            await anext(services.download(pb.DownloadRequest(number=9), None))

    asyncio.run(run())
    with pytest.raises(ModelError, match="no version 9"):
        services._backend.engineering._store.path(9)
