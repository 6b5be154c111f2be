"""The archive's actor: PostgreSQL away and back is told once each; what the server has no more is asked there."""

import pytest
from actors.harness import Box, make
from history.conftest import postgres, postgres_cluster  # noqa: F401 - fixtures
from history.test_history_postgres import MINUTE, Site
from scadapb.v1 import scada_pb2 as pb

from scada.actors.archive import ArchiveActor
from scada.actors.history import HistoryActor
from scada.actors.messages import Tick
from scada.actors.order_messages import HistoryAsked
from scada.core.errors import ScadaError
from scada.history import driver
from scada.history.postgres import Beside


@pytest.fixture
def site(tmp_path, postgres):  # noqa: F811
    site = Site(tmp_path / "old", postgres)
    yield site
    site.die()


def archive_of(site, events):
    return make(ArchiveActor, historian=site.history, events=events, clock=site.clock)


def test_a_fault_is_told_once_and_its_end_once(site, postgres):  # noqa: F811
    events = Box()
    actor = archive_of(site, events)
    site.connect = lambda: driver.PsycopgConnection(postgres.dsn(port=1))
    site.put((0, 1.0))
    site.history.flush()
    for _ in range(3):
        actor.receive(Tick())
        site.clock.advance(60)
    assert events.keys() == ["history.archive_fault"]
    site.connect = lambda: driver.PsycopgConnection(postgres.dsn())
    actor.receive(Tick())
    assert events.keys() == ["history.archive_fault", "history.archive_recovered"]
    assert site.there(0) == site.here(0)


def test_what_was_given_up_is_counted_in_an_event(site):
    events = Box()
    actor = archive_of(site, events)
    site.history.outbox.given_up = 7
    actor.receive(Tick())
    actor.receive(Tick())
    assert [event.parameters for message in events.got for event in message.events] == [{"count": "7"}]


def test_a_query_older_than_the_file_goes_to_the_archive_and_its_fault_is_an_answer(site, tmp_path, postgres):  # noqa: F811
    begin = site.clock.now_ns()
    site.put((0, 1.0), (1, 5.0))
    site.ship()
    site.die()
    site.folder, site.changes = tmp_path / "new", []
    site.clock.advance(10)
    site.open()
    archive, got = Box(), []
    history = make(
        HistoryActor,
        rtdb=None,
        store=site.history,
        events=Box(),
        clock=site.clock,
        archive=archive,
        has=lambda request: site.history.answers(request.from_ns),
    )
    now = site.clock.now_ns()
    history.receive(HistoryAsked(pb.HistoryRequest(pids=[0], from_ns=now, to_ns=now + 1), got.append))
    assert len(got) == 1
    asked = HistoryAsked(pb.HistoryRequest(pids=[0, 1], from_ns=begin, to_ns=now), got.append)
    history.receive(asked)
    assert archive.got == [asked]
    actor = archive_of(site, Box())
    actor.receive(asked)
    assert [list(series.value) for series in got[1].series] == [[1.0], [5.0]]
    site.archive.close()
    site.connect = lambda: driver.PsycopgConnection(postgres.dsn(port=1))
    actor.receive(asked)
    assert isinstance(got[2], ScadaError)


def test_the_history_s_own_thread_never_touches_the_connection(site):
    """Minutes reach farther back than samples: what was in force before them is not asked of PostgreSQL from here."""
    site.put((0, 1.0))
    site.ship()
    begin = site.clock.now_ns() // MINUTE * MINUTE - MINUTE
    site.clock.advance(7200)
    site.put((0, 2.0))
    site.history.flush()
    site.history.outbox.began_ns = 0
    site.history._room.oldest, site.history.shipper.oldest_ns = (site.clock.now_ns(), 1), 1
    assert not site.history.answers(begin)
    assert site.history.answers(begin, periods=True)
    site.history._archive.before = site.history._archive._session = None  # whoever goes there fails
    actor = make(
        HistoryActor,
        rtdb=None,
        store=site.history,
        events=Box(),
        clock=site.clock,
        archive=Box(),
        has=lambda _: True,
        answers=Beside(site.history),
    )
    got = []
    request = pb.HistoryRequest(pids=[0], from_ns=begin, to_ns=site.clock.now_ns(), period_s=3600)
    actor.receive(HistoryAsked(request, got.append))
    assert sum(got[0].series[0].count)
    request.period_s = 0
    actor.receive(HistoryAsked(request, got.append))
    assert list(got[1].series[0].value) == [1.0]
