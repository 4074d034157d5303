"""Reading Airflow's tables: never a write, and a clear word for a database that is none."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from include.sla.airflow_state import AirflowState, AirflowUnreadable, read_time
from tests.unit.sla.conftest import START
from tests.unit.sla.tables import Tables, write_stamp


def test_times_are_those_of_either_database() -> None:
    text = write_stamp(START)
    assert read_time(text) == START
    assert read_time(datetime.fromtimestamp(START, UTC)) == START
    assert read_time(datetime.fromtimestamp(START, timezone(timedelta(hours=2)))) == START
    assert read_time(None) is None


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(AirflowUnreadable, match="unable to open"):
        AirflowState(f"sqlite:///{tmp_path / 'none.db'}").read_highest_id()
    assert not (tmp_path / "none.db").exists()


def test_it_cannot_write(tmp_path: Path) -> None:
    tables = Tables(tmp_path)
    state = AirflowState(tables.address)
    assert state.read_highest_id() == 0
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        state._connection.execute("DELETE FROM dag_run")


def test_it_reads_while_a_writer_writes(tmp_path: Path) -> None:
    tables = Tables(tmp_path)
    state = AirflowState(tables.address)
    writer = sqlite3.connect(tables.path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("INSERT INTO dag_run (id, dag_id) VALUES (7, 'a')")
    assert state.read_highest_id() == 0
    writer.execute("COMMIT")
    assert state.read_highest_id() == 7


def test_another_kind_of_database_is_named() -> None:
    with pytest.raises(AirflowUnreadable, match="mysql"):
        AirflowState("mysql://host/airflow").read_highest_id()
