"""Two programs on one SQLite file: reading before writing inside a SAVEPOINT, as Airflow does."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from config.sqlite import CONNECT_ARGS


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "airflow.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE runs (name TEXT)")
    connection.close()
    return path


def read_then_write(path: Path, connect_args: dict[str, Any], between: threading.Thread) -> None:
    """Read and write inside a SAVEPOINT, while ``between`` writes to the same file."""
    engine = sa.create_engine(f"sqlite:///{path}", connect_args=connect_args)
    try:
        with Session(engine) as session:
            with session.begin_nested():
                session.execute(sa.text("SELECT count(*) FROM runs"))
                between.start()
                between.join(0.5)  # done by now, unless it waits for this transaction
                session.execute(sa.text("INSERT INTO runs VALUES ('ours')"))
            session.commit()
    finally:
        between.join()
        engine.dispose()


def make_writer(path: Path) -> threading.Thread:
    def write() -> None:
        connection = sqlite3.connect(path, timeout=20)
        with connection:
            connection.execute("INSERT INTO runs VALUES ('theirs')")
        connection.close()

    return threading.Thread(target=write)


def read_names(path: Path) -> list[str]:
    connection = sqlite3.connect(path)
    names = [name for (name,) in connection.execute("SELECT name FROM runs ORDER BY rowid")]
    connection.close()
    return names


def test_who_will_write_keeps_its_turn(database: Path) -> None:
    read_then_write(database, CONNECT_ARGS, make_writer(database))
    assert read_names(database) == ["ours", "theirs"]


def test_without_it_the_one_that_read_first_is_refused(database: Path) -> None:
    """What this is for; should SQLAlchemy or sqlite3 begin otherwise some day, it can go."""
    with pytest.raises(sa.exc.OperationalError, match="database is locked"):
        read_then_write(database, {}, make_writer(database))
    assert read_names(database) == ["theirs"]


def test_now_is_not_cut_to_the_second(database: Path) -> None:
    """A run that is due since 0.2 s is due, and one that will be in 0.2 s is not."""
    engine = sa.create_engine(f"sqlite:///{database}", connect_args=CONNECT_ARGS)
    started = datetime.now(UTC).replace(tzinfo=None)
    with engine.connect() as connection:
        for _ in range(5):
            before = datetime.now(UTC).replace(tzinfo=None)
            (read,) = connection.execute(sa.select(sa.func.now())).one()
            after = datetime.now(UTC).replace(tzinfo=None)
            assert before - timedelta(milliseconds=1) <= read <= after
            (order,) = connection.execute(sa.select(sa.literal(started.isoformat(" ")) < sa.func.now())).one()
            assert order
            later = (after + timedelta(milliseconds=2)).isoformat(" ")
            (order,) = connection.execute(sa.select(sa.literal(later) < sa.func.now())).one()
            assert order == 0 or datetime.now(UTC).replace(tzinfo=None).isoformat(" ") > later
            time.sleep(0.1)
    engine.dispose()
