"""Databases on a real PostgreSQL server, a number of a real Redis, and the logs of a system whose test failed.

CI must have both servers; elsewhere a test without them is skipped. Either way it says which address it missed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import URL

from tests.scenarios.conftest import pytest_runtest_makereport as pytest_runtest_makereport
from tests.services.servers import (
    ServerMissing,
    Stores,
    connect,
    drop_databases,
    find_server,
    name_databases,
    take_stores,
)


@contextmanager
def require_server() -> Iterator[None]:
    """Fail in CI where a server is missing, and skip elsewhere."""
    try:
        yield
    except ServerMissing as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def databases() -> Iterator[dict[str, URL]]:
    """An empty database each for ``airflow`` and ``mlflow``; dropped afterwards."""
    server = find_server()
    made = name_databases(server)
    with require_server():
        connection = connect(server)
    try:
        with connection.cursor() as cursor:
            for address in made.values():
                cursor.execute(f'CREATE DATABASE "{address.database}"')
        yield made
    finally:
        connection.close()
        drop_databases(server, made.values())


@pytest.fixture(scope="module")
def stores() -> Iterator[Stores]:
    """Names of databases that do not exist yet, and a number of Redis; all is gone afterwards."""
    with require_server(), take_stores() as taken:
        yield taken
