"""``scada history`` against a whole server, whose history is in PostgreSQL where that is installed."""

import csv
import io
import json
import re
import time

import pytest
from click.testing import CliRunner
from history.conftest import postgres, postgres_cluster  # noqa: F401 - fixtures
from system.conftest import GRID, Log

from scada.actors.facade import Facade
from scada.actors.system import System
from scada.api.server import ApiThread
from scada.cli import history
from scada.cli.history_client import moment
from scada.core.clock import NS_PER_S, SystemClock
from scada.core.errors import ConfigError, ScadaError
from scada.core.quality import Quality
from scada.core.settings import ApiSettings, parse_settings
from scada.history import reading
from scada.history.exchange import format_time
from scada.model_cim.tables import PointKind
from scada.security.identities import init_identities, load_identity
from scada.security.session import SessionServer
from scada.security.tls_trust import TlsTrust
from scada.security.trust import Trust

driver = pytest.importorskip("scada.history.driver")
MINUTE = 60 * NS_PER_S


class Server:
    """A server of the demo grid, no station of which answers, and a terminal."""

    def __init__(self, folder, **sections):
        self.folder, self.clock = folder, SystemClock()
        self.log = Log()
        if not (folder / "keys").exists():
            init_identities(folder / "keys", self.clock)
        raw = {
            "model": {"path": str(GRID)},
            "rtdb": {"path": "rtdb", "map_mb": 64, "journal_mb": 8},
            "events": {"path": "events", "map_mb": 32},
            "security": {"audit": "audit", "keys": "keys"},
            "history": {"path": "history", "map_mb": 32, **sections},
        }
        self.system = System(parse_settings(raw, base=folder), self.clock)
        self.system.start()
        keys = folder / "keys"
        tls = TlsTrust(keys)
        sessions = SessionServer(
            site="demo",
            identity=load_identity(keys, "server", self.clock),
            trust=Trust(keys),
            clock=self.clock,
            tls_digests=tls.digests,
        )
        self.thread = ApiThread(Facade(self.system), sessions, ApiSettings(port=0, control_port=0), tls=tls)
        self.thread.start()
        self.points = [point for point in self.system.tables.points if point.kind is PointKind.ANALOG][:2]

    def __call__(self, *words, code=0):
        server = self.thread.server
        options = ["--server", f"127.0.0.1:{server.port}", "--control-port", str(server.control_port), "--lang", "en"]
        told = CliRunner().invoke(history.command, [*options, "--keys", str(self.folder / "keys"), *map(str, words)])
        if told.exception and not isinstance(told.exception, SystemExit | ScadaError):
            raise told.exception
        assert told.exit_code == code, told.output + repr(told.exception)
        self.error = told.exception
        return told.stdout

    def stop(self):
        self.thread.stop()
        self.system.stop()
        self.log.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("server")


@pytest.fixture
def server(tmp_path, postgres):  # noqa: F811
    server = Server(tmp_path, backend="postgresql", dsn=postgres.dsn(), db_schema=postgres.schema)
    yield server
    server.stop()


def rows_of(server, count=120):
    """Lines of a file: samples of two points, one bad, one not known."""
    begin = server.clock.now_ns() // MINUTE * MINUTE - 30 * MINUTE
    words = {7: int(Quality.INVALID), 8: int(Quality.NOT_TOPICAL)}
    for point in server.points:
        for index in range(count):
            time_ns = begin + index * NS_PER_S + (123 if index == 3 else 0)
            value = "" if index == 8 else repr(index * 0.1)
            yield [format_time(time_ns), point.path, point.mrid, value, point.unit, "", str(words.get(index, 0))]


def file_of(rows, path, head=("time", "path", "mrid", "value", "unit", "marks", "quality")):
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([head, *rows])
    return path


def until(condition):
    """What the condition finds at last; actors go by their own beat."""
    end = time.monotonic() + 20
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


def without_marks(text):
    return [[cell for index, cell in enumerate(row) if index != 5] for row in csv.reader(io.StringIO(text))]


@pytest.mark.e2e
def test_what_was_imported_is_exported_again_and_is_in_postgresql(server, tmp_path, monkeypatch, postgres):  # noqa: F811
    monkeypatch.setattr(reading, "RAW_LIMIT", 50)  # so that one point takes several pages
    rows = list(rows_of(server))
    file = file_of(rows, tmp_path / "in.csv")
    paths = [word for point in server.points for word in ("--point", point.path)]
    would = server("import", file, "--reason", "test", "--dry-run")
    assert "240 would be stored, 0 are there already, 0 would be refused" in would
    assert server("import", file, "--reason", "test").strip() == "240 stored, 0 already there, 0 refused"
    assert server("import", file, "--reason", "test").strip() == "0 stored, 240 already there, 0 refused"
    assert "0 would be stored, 240 are there already" in server("import", file, "--reason", "test", "--dry-run")

    exported = server("export", *paths, "--from", "-1h")
    assert without_marks(exported) == without_marks(file.read_text())
    again = tmp_path / "again.csv"
    server("export", *paths, "--from", "-1h", "-o", again)
    assert again.read_text() == exported
    assert server("import", again, "--reason", "test").strip() == "0 stored, 240 already there, 0 refused"

    parquet = tmp_path / "out.parquet"
    server("export", *paths, "--from", "-1h", "--format", "parquet", "-o", parquet)
    assert not list(tmp_path.glob("*.part"))
    assert server("import", parquet, "--reason", "test").strip() == "0 stored, 240 already there, 0 refused"
    duckdb = pytest.importorskip("duckdb")
    assert duckdb.sql(f"select count(*), count(value), max(value) from '{parquet}'").fetchall() == [
        (240, 238, pytest.approx(11.9))
    ]

    local = server("export", *paths, "--from", "-1h", "--zone", "Asia/Shanghai")
    assert "+08:00," in local
    (tmp_path / "local.csv").write_text(local)
    assert server("import", tmp_path / "local.csv", "--reason", "test").strip() == "0 stored, 240 already there, 0 refused"

    asked = driver.PsycopgConnection(postgres.dsn())
    names = ", ".join(f"'{point.mrid}'" for point in server.points)
    count = f"select count(*), count(value) from {postgres.schema}.samples where mrid in ({names})"
    assert until(lambda: asked.rows(count) == [(240, 238)])
    asked.close()


@pytest.mark.e2e
def test_each_refused_row_is_named_and_the_others_are_stored(server, tmp_path):
    rows = list(rows_of(server, 5))
    rows[1][0] = "noon"
    rows[2][0] = format_time(server.clock.now_ns() + 3600 * NS_PER_S)
    rows[3][2] = "no-such-point"
    file = file_of(rows, tmp_path / "in.csv")
    told = server("import", file, "--reason", "test", code=1)
    assert told.strip() == "7 stored, 0 already there, 3 refused"
    assert "3 rows were refused" in str(server.error)


@pytest.mark.e2e
def test_statistics_spark_line_table_json_and_status(server, tmp_path):
    rows = list(rows_of(server))
    server("import", file_of(rows, tmp_path / "in.csv"), "--reason", "test")
    path = server.points[0].path
    periods = list(csv.DictReader(io.StringIO(server("export", "--point", path, "--from", "-1h", "--period", "60"))))
    assert [int(row["count"]) for row in periods[:2]] == [58, 60]
    assert float(periods[1]["mean"]) == pytest.approx(8.95)
    shown = server("query", path, "--from", "-1h")
    assert re.search("[▁▂▃▄▅▆▇█]", shown)
    assert path in shown
    assert server("query", path, "--from", "-1h", "--table").count("\n") == 121
    found = json.loads(server("query", path, "--from", "-1h", "--json"))
    assert [row["value"] for row in found["rows"]][:9] == [pytest.approx(i * 0.1) if i != 8 else None for i in range(9)]
    assert "58" in server("query", path, "--from", "-1h", "--period", "60")
    status = json.loads(server("status", "--json"))
    assert (status["backend"], status["lost"], status["fault"], status["backfilled"]) == ("postgresql", 0, "", 240)
    assert server("status").startswith("postgresql: since ")


@pytest.mark.e2e
def test_a_server_without_its_postgresql_starts_and_says_so(tmp_path, postgres):  # noqa: F811
    server = Server(tmp_path, backend="postgresql", dsn=postgres.dsn(port=1), db_schema=postgres.schema)
    try:
        events = until(lambda: [one for one in server.system.log.query(limit=100) if one.key == "history.archive_fault"])
        assert "does not answer" in events[0].parameters["reason"]
        server("import", file_of(rows_of(server, 5), tmp_path / "in.csv"), "--reason", "test")
        assert "does not answer" in server("status")
    finally:
        server.stop()


def test_a_dsn_that_is_none_ends_the_start_in_a_sentence(tmp_path):
    pytest.importorskip("psycopg")
    with pytest.raises(ConfigError, match="not a connection string"):
        Server(tmp_path, backend="postgresql", dsn="what")


def test_times_that_people_give():
    now = 1_700_000_000 * NS_PER_S
    assert moment("now", now, "--to") == now
    assert moment("-1.5h", now, "--to") == now - 5400 * NS_PER_S
    assert moment("2023-11-14T22:13:20Z", 0, "--to") == now
    with pytest.raises(Exception, match="is not a time like"):
        moment("soon", now, "--to")


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["export", "--point", "nowhere", "--from", "-1h"], 1, "the model has no point 'nowhere'"),
        (["export", "--point", "*", "--from", "now"], 2, ""),
        (["export", "--point", "*", "--from", "-1h", "--format", "parquet"], 2, ""),
        (["export", "--point", "*", "--from", "-1h", "--period", "61"], 2, ""),
        (["import", "no-such-file.csv", "--reason", "r"], 1, "No such file"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(folder, words, code, message):
    server = Server(folder)
    try:
        server(*words, code=code)
        assert message in str(server.error)
    finally:
        server.stop()
