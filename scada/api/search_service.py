"""The method Model.Search: in a thread of its own, so that neither an index in the making nor a search holds anybody up."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from scadapb.v1 import scada_pb2 as pb

from scada.actors.backend import Backend
from scada.control.records import Principal
from scada.model_cim.objects import PlantObjects
from scada.model_cim.search import DEFAULT_LIMIT, Found, Hit, SearchIndex


class SearchService:
    """Searches the model version that runs.

    The index is made at the first search of a version, and anew when another version runs.

    Args:
        backend: the running server.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._thread = ThreadPoolExecutor(1, "search")
        self._index: SearchIndex | None = None

    async def search(self, request: pb.SearchRequest, principal: Principal) -> pb.SearchReply:
        """The best hits of a query, and how many there are in all."""
        del principal
        objects = self._backend.objects
        limit = request.limit or DEFAULT_LIMIT
        found = await asyncio.get_running_loop().run_in_executor(self._thread, self._find, objects, request.query, limit)
        return pb.SearchReply(hits=[_hit(hit) for hit in found.hits], total=found.total, model_version=objects.tables.version)

    def _find(self, objects: PlantObjects, query: str, limit: int) -> Found:
        if self._index is None or self._index.objects is not objects:
            self._index = SearchIndex(objects)
        return self._index.search(query, limit)


def _hit(hit: Hit) -> pb.SearchHit:
    return pb.SearchHit(
        kind=pb.HitKind.Name(hit.kind),
        mrid=hit.mrid,
        path=hit.path,
        station=hit.station,
        number=hit.number,
        equipment=hit.equipment,
        address=hit.address,
        device_number=hit.device_number,
    )
