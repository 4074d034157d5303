"""Databases on a real PostgreSQL server, and the logs of a system whose test failed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from uuid import uuid4

import psycopg2
import pytest
from sqlalchemy import URL, make_url

from tests.scenarios.conftest import pytest_runtest_makereport as pytest_runtest_makereport

# Another one is named by TOLLGATE_TEST_POSTGRES; its user must be allowed to create databases.
POSTGRES = "postgresql+psycopg2://postgres@127.0.0.1:5432/test"


def find_server() -> URL:
    """The server that the tests may make databases on."""
    return make_url(os.environ.get("TOLLGATE_TEST_POSTGRES") or POSTGRES)


def connect(server: URL, database: str | None = None) -> psycopg2.extensions.connection:
    """A connection on which every statement is a transaction. CI must have the server; elsewhere the test is skipped.

    Either way it says which address it missed.
    """
    try:
        connection = psycopg2.connect(
            host=server.host,
            port=server.port,
            user=server.username,
            password=server.password,
            dbname=database or server.database,
            connect_timeout=5,
        )
    except psycopg2.OperationalError as error:
        missed = f"No PostgreSQL at {server} ({str(error).strip()}); TOLLGATE_TEST_POSTGRES names another."
        if os.environ.get("CI") == "true":
            pytest.fail(missed)
        pytest.skip(missed)
    connection.autocommit = True
    return connection


@pytest.fixture(scope="module")
def databases() -> Iterator[dict[str, URL]]:
    """An empty database each for ``airflow`` and ``mlflow``; dropped afterwards, whoever is still connected."""
    server = find_server()
    connection = connect(server)
    mark = uuid4().hex[:12]
    made = {owner: server.set(database=f"tollgate_{owner}_{mark}") for owner in ("airflow", "mlflow")}
    with connection.cursor() as cursor:
        try:
            for address in made.values():
                cursor.execute(f'CREATE DATABASE "{address.database}"')
            yield made
        finally:
            for address in made.values():
                cursor.execute(f'DROP DATABASE IF EXISTS "{address.database}" WITH (FORCE)')
    connection.close()
