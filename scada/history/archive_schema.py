# ruff: noqa: S608 - into statements go only names of ours and numbers; texts are parameters
"""The tables and views of the history in PostgreSQL: made, checked and brought up to date when the archive is opened.

People read the views ``samples``, ``minutes``, ``gaps`` and ``points`` by plain SQL; the tables below them may change with the
schema version. Samples are rows, one partition a UTC day; minutes one partition a month. ``timestamptz`` ends at microseconds:
``ns`` holds the rest.
"""

from __future__ import annotations

import re
from typing import Final

from scada.core.errors import ConfigError
from scada.core.quality import BAD_MASK, Quality
from scada.history.connection import ArchiveError, Connection

_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,40}")

_TABLES: Final = """
create table point (
  id int generated always as identity primary key,
  mrid text not null unique,
  path text not null, name text not null, station text not null, unit text not null, kind text not null
);
create index on point (path);
create table sample (
  point int not null, ns smallint not null, time timestamptz not null, value float8 not null, quality int not null
) partition by range (time);
create index on sample (point, time);
create table sample_stray (like sample);
create index on sample_stray (point, time);
create table minute (
  point int not null, time timestamptz not null, count int not null, quality int not null, state int not null,
  minimum float8 not null, maximum float8 not null, total float8 not null, area float8 not null, good_s float8 not null,
  last float8 not null
) partition by range (time);
create unique index on minute (point, time);
create table minute_stray (like minute);
create unique index on minute_stray (point, time);
create table gap (time timestamptz not null, ns smallint not null, primary key (time, ns));
create table intake (
  outbox text primary key, block bigint not null, digest bigint not null, at timestamptz not null default now()
);
comment on table sample is 'one row a sample; stamps far outside the days kept are in sample_stray';
comment on table intake is 'last parcel taken over from the outbox of a server, written with its rows in one transaction';
"""

_QUALITY_WORDS: Final = ",\n    ".join(
    f"case when word & {int(bit)} <> 0 then '{bit.name.lower()}' end" for bit in Quality if bit.name and int(bit)
)

_VIEWS: Final = f"""
create function quality_words(word int) returns text language sql immutable parallel safe return
  case when word = 0 then 'good' else array_to_string(array[
    {_QUALITY_WORDS}
  ], ' ') end;
create view points as select mrid, path, name, station, unit, kind from point;
create view samples as
  select p.path, p.mrid, s.time, nullif(s.value, 'NaN') as value, p.unit, s.quality & {BAD_MASK} = 0 as good,
         quality_words(s.quality) as quality, s.quality as quality_word, s.ns
  from (select point, time, ns, value, quality from sample union all select point, time, ns, value, quality from sample_stray) s
  join point p on p.id = s.point;
create view minutes as
  select p.path, p.mrid, m.time, p.unit, area / nullif(good_s, 0) as time_weighted, total / nullif(count, 0) as mean,
         nullif(m.minimum, 'NaN') as minimum, nullif(m.maximum, 'NaN') as maximum, nullif(m.last, 'NaN') as last,
         m.count, m.good_s, quality_words(m.quality) as quality, m.quality as quality_word
  from (select * from minute union all select * from minute_stray) m
  join point p on p.id = m.point;
create view gaps as select time, ns from gap;
comment on view samples is 'value null: not known; nothing is known from a row of gaps to the next sample of a point';
comment on view minutes is 'of every value received; a minute when nothing came has no row, the last value stood, up to a gap';
comment on view gaps is 'moments from which on the server recorded nothing, each up to the next sample of a point';
"""

STEPS: Final = (_TABLES, _VIEWS)
"""What makes schema version 1, what makes 2 of it, and so on; never changed once released, only added to."""

PUBLIC: Final = ("samples", "minutes", "gaps", "points")
"""Views that others may read."""


def check_name(name: str, where: str) -> str:
    """The name of a schema or role, which stands in SQL as it is.

    Raises:
        ConfigError: it is not a plain lower-case name.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r} is not a plain lower-case SQL name", where=where, mend="use letters, digits and _")
    return name


def prepare(connection: Connection, schema: str, reader: str) -> None:
    """Take the place of the schema's one writer, make the schema or bring it up to date, let the reader role read.

    Args:
        connection: fresh; what it names without a schema is this schema's from now on.
        schema: name of the schema.
        reader: role that may read the views; passed over if there is no such role.

    Raises:
        ArchiveError: the schema is written by another server, is of a newer program, or may not be made.
    """
    where = f"PostgreSQL schema {schema}"
    if connection.rows("select pg_try_advisory_lock(hashtext('scada history'), hashtext(%s))", (schema,)) != [(True,)]:
        raise ArchiveError("another server writes it", where=where, mend="give each server its own [history] db_schema")
    with connection.transaction():
        # asked first, so that an owner of a ready-made schema needs no right to make one
        if not connection.rows("select 1 from pg_namespace where nspname = %s", (schema,)):
            connection.run(f"create schema {schema}")
        connection.run(f"set search_path = {schema}; create table if not exists version (number int not null)")
        version = connection.rows("select coalesce(max(number), 0) from version")[0][0]
        if version > len(STEPS):
            raise ArchiveError(
                f"it has version {version}, this program knows {len(STEPS)}", where=where, mend="run the newer program version"
            )
        for number, step in enumerate(STEPS[version:], version + 1):
            connection.run(step)
            connection.rows("insert into version values (%s)", (number,))
        if connection.rows("select 1 from pg_roles where rolname = %s", (reader,)):
            connection.run(f"grant usage on schema {schema} to {reader}; grant select on {', '.join(PUBLIC)} to {reader}")
