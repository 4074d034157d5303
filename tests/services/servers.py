"""This machine's PostgreSQL and Redis: where they are, and what a run takes of them and gives back."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

import psycopg2
import psycopg2.extensions
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy import URL, make_url

# Another one is named by TOLLGATE_TEST_POSTGRES; its user must be allowed to create databases.
POSTGRES = "postgresql+psycopg2://postgres@127.0.0.1:5432/test"
# Another one is named by TOLLGATE_TEST_REDIS; one of its numbers must be empty.
REDIS = "redis://127.0.0.1:6379"
_TAKEN = "tollgate-test"


class ServerMissing(Exception):
    """No such server; says at which address, and never with which password."""


@dataclass(frozen=True)
class Stores:
    """What one run has of the servers: addresses of databases by owner, which do not exist yet, and of a number of
    Redis."""

    databases: Mapping[str, URL]
    redis: URL


def find_server() -> URL:
    """The PostgreSQL server that a run may make databases on."""
    return make_url(os.environ.get("TOLLGATE_TEST_POSTGRES") or POSTGRES)


def find_redis() -> URL:
    """The Redis that a run may use a number of."""
    server = make_url(os.environ.get("TOLLGATE_TEST_REDIS") or REDIS)
    return server.set(host=server.host or "127.0.0.1", port=server.port or 6379)


def connect(server: URL, database: str | None = None) -> psycopg2.extensions.connection:
    """A connection on which every statement is a transaction. Raises ServerMissing."""
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
        raise ServerMissing(
            f"No PostgreSQL at {server} ({str(error).strip()}); TOLLGATE_TEST_POSTGRES names another."
        ) from error
    connection.autocommit = True
    return connection


def name_databases(server: URL) -> dict[str, URL]:
    """Names that no other run has, for ``airflow`` and ``mlflow``."""
    mark = uuid4().hex[:12]
    return {owner: server.set(database=f"tollgate_{owner}_{mark}") for owner in ("airflow", "mlflow")}


def drop_databases(server: URL, made: Iterable[URL]) -> None:
    """Drop them, whoever is still connected."""
    connection = connect(server)
    with connection.cursor() as cursor:
        for address in made:
            cursor.execute(f'DROP DATABASE IF EXISTS "{address.database}" WITH (FORCE)')
    connection.close()


def take_number(server: URL) -> tuple[redis.Redis, URL]:
    """An empty number of ``server`` that no other run gets meanwhile, and its address. Raises ServerMissing."""
    for number in range(15, 0, -1):
        client = redis.Redis(
            host=str(server.host),
            port=int(server.port or 6379),
            username="default" if server.password else None,
            password=server.password,
            db=number,
            socket_connect_timeout=5,
            retry=Retry(NoBackoff(), 0),
        )
        try:
            if client.dbsize() == 0 and client.set(_TAKEN, os.getpid(), nx=True):
                return client, server.set(database=str(number))
        except redis.RedisError as error:
            raise ServerMissing(f"No Redis at {server} ({error}); TOLLGATE_TEST_REDIS names another.") from error
        client.close()
    raise ServerMissing(f"No number of the Redis at {server} is empty; TOLLGATE_TEST_REDIS names another.")


@contextmanager
def take_stores() -> Iterator[Stores]:
    """A run's own part of both servers; all of it is gone afterwards. Raises ServerMissing."""
    server = find_server()
    connect(server).close()
    client, address = take_number(find_redis())
    made = name_databases(server)
    try:
        yield Stores(made, address)
    finally:
        client.flushdb()
        client.close()
        drop_databases(server, made.values())
