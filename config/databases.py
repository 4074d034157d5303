"""``python -m config.databases SETTING …``: make the PostgreSQL databases that these settings name, where missing.

The first step of docker-compose.yaml: its server comes with one database, and the system needs two. One that is there
is left alone, and then nobody needs the right to make any.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

import psycopg2
import psycopg2.errors
import psycopg2.extensions
import psycopg2.sql
from sqlalchemy import URL, make_url

from include.errors import SettingsError

# The database that every server has, to be connected to while another is made.
_ALWAYS_THERE = "postgres"


def connect(address: URL, database: str | None = None) -> psycopg2.extensions.connection:
    """A connection to ``address``, or to another database of its server, on which every statement is a transaction."""
    connection = psycopg2.connect(
        host=address.host,
        port=address.port,
        user=address.username,
        password=address.password,
        dbname=database or address.database,
        connect_timeout=10,
    )
    connection.autocommit = True
    return connection


def make_database(address: URL) -> bool:
    """Make the database of ``address`` unless it can be connected to; returns whether it was made.

    Raises psycopg2.Error when the server cannot be reached or refuses.
    """
    try:
        connect(address).close()
    except psycopg2.OperationalError:
        pass  # it is missing, or the server is out of reach: the next connection says which
    else:
        return False
    connection = connect(address, _ALWAYS_THERE)
    try:
        with connection.cursor() as cursor:
            cursor.execute(psycopg2.sql.SQL("CREATE DATABASE {}").format(psycopg2.sql.Identifier(address.database)))
    except psycopg2.errors.DuplicateDatabase:
        return False  # somebody else was quicker
    finally:
        connection.close()
    return True


def make_databases(names: list[str], env: Mapping[str, str]) -> list[str]:
    """What was done for each setting of ``names``, one line each; an address of something else is left alone.

    Raises SettingsError for one that is not set, or whose database can be neither reached nor made.
    """
    told = []
    for name in names:
        text = env.get(name, "")
        if not text:
            raise SettingsError(f"{name} is not set.", next_step="Name its database.", setting=name, value="")
        address = make_url(text)
        if address.get_backend_name() != "postgresql":
            told.append(f"{name}: {address.get_backend_name()} needs nothing")
            continue
        try:
            made = make_database(address)
        except psycopg2.Error as error:
            raise SettingsError(
                f"The database of {name} ({address}) can be neither reached nor made: {str(error).strip()}.",
                next_step="Start the server, correct the setting, or make the database by hand.",
                setting=name,
                value=str(address),
            ) from error
        told.append(f"{name}: {'made' if made else 'found'} {address.database}")
    return told


def main(names: list[str]) -> None:
    """Make what is missing and say so; end with a message when that cannot be done."""
    try:
        told = make_databases(names, os.environ)
    except SettingsError as error:
        sys.exit(str(error))
    print("\n".join(told), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
