"""A PostgreSQL server for the session, and an empty schema in it for each test."""

import itertools

import pytest
from history import postgres_server

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres_cluster():
    yield from postgres_server.server()


@pytest.fixture
def postgres(postgres_cluster):
    """The running server; ``schema`` is the test's own."""
    postgres_cluster.schema = f"h{next(_numbers)}"
    yield postgres_cluster
    if postgres_cluster.process.poll() is not None:
        postgres_cluster.start()
    postgres_cluster.sql(f"drop schema if exists {postgres_cluster.schema} cascade")
