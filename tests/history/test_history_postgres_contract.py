"""The contract of historians, held by PostgreSQL: as it is used, and with every answer read from PostgreSQL alone."""

import pytest
from history.conformance import POINTS, Contract

from scada.core.clock import VirtualClock
from scada.history.archive import Archive
from scada.history.postgres import PostgresHistorian

driver = pytest.importorskip("scada.history.driver")


class Shipping(PostgresHistorian):
    """Carries everything to PostgreSQL at each flush."""

    def flush(self):
        super().flush()
        self.shipper.ship()


class Asking(Shipping):
    """Has nothing of its own to answer with."""

    def answers(self, from_ns, periods=False):
        return False


class Rig:
    kind = Shipping

    def __init__(self, folder, postgres):
        self.folder, self.postgres, self.clock = folder, postgres, VirtualClock()

    def open(self, points=POINTS, retention=None):
        archive = Archive(
            lambda: driver.PsycopgConnection(self.postgres.dsn()), self.clock, schema=self.postgres.schema, retention=retention
        )
        return self.kind(self.folder, self.clock, points, archive=archive, map_mb=64, retention=retention)

    def kill(self, historian):
        historian._file.close()
        historian._archive.close()


class TestPostgres(Contract):
    rig_kind = Rig

    @pytest.fixture
    def rig(self, tmp_path, postgres):
        return self.rig_kind(tmp_path, postgres)

    @pytest.fixture
    def fresh_rig(self, tmp_path_factory, postgres):
        def fresh():
            postgres.sql(f"drop schema if exists {postgres.schema} cascade")
            return self.rig_kind(tmp_path_factory.mktemp("history"), postgres)

        return fresh


class AskingRig(Rig):
    kind = Asking


class TestReadFromPostgres(TestPostgres):
    """Of the last two minutes PostgreSQL alone knows nothing yet, so what asks for them is left to the others."""

    rig_kind = AskingRig
    test_a_swinging_door_keeps_within_the_dead_band = None
    test_a_value_that_does_not_change_makes_full_minutes = None
    test_a_crash_within_a_minute_neither_loses_nor_doubles = None
    test_late_values_fill_an_outage = None
    test_what_is_too_old_goes_but_what_is_in_force_stays = None
    test_any_history_answers_like_plain_lists = None
