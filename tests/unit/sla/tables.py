"""Airflow's tables as the watcher reads them, in a file of SQLite that a test fills."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_TASK = (
    "dag_id, run_id, task_id, map_index, try_number, max_tries, state, queued_dttm, scheduled_dttm, start_date, "
    "end_date, next_method"
)
_RUN = "id INTEGER PRIMARY KEY, dag_id, run_id, run_type, state, queued_at, start_date, end_date"


def write_stamp(moment: float | None) -> str | None:
    """A time as Airflow stores it in SQLite."""
    return None if moment is None else datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


class Tables:
    """Rows of runs and tasks; ``address`` is what Airflow's setting would hold."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "airflow.db"
        self.address = f"sqlite:///{self.path}"
        self._connection = sqlite3.connect(self.path, isolation_level=None)
        self._connection.execute(f"CREATE TABLE dag_run ({_RUN})")
        for table in ("task_instance", "task_instance_history"):
            self._connection.execute(f"CREATE TABLE {table} ({_TASK})")

    def put_run(self, number: int, dag_id: str, state: str = "running", **times: Any) -> str:
        """Write a run (``queued_at``, ``start_date``, ``end_date``: seconds) and return its id."""
        run_id = str(times.pop("run_id", f"run_{number}"))
        kind = times.pop("run_type", "manual")
        values = [write_stamp(times.get(name)) for name in ("queued_at", "start_date", "end_date")]
        row = (number, dag_id, run_id, kind, state, *values)
        self._connection.execute("INSERT OR REPLACE INTO dag_run VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        return run_id

    def put_task(self, dag_id: str, run_id: str, task_id: str, state: str = "running", **facts: Any) -> None:
        """Write a task instance in place of the one that was there."""
        index, table = facts.get("map_index", -1), facts.get("table", "task_instance")
        if table == "task_instance":
            self._connection.execute(
                "DELETE FROM task_instance WHERE dag_id = ? AND run_id = ? AND task_id = ? AND map_index = ?",
                (dag_id, run_id, task_id, index),
            )
        times = [write_stamp(facts.get(n)) for n in ("queued_dttm", "scheduled_dttm", "start_date", "end_date")]
        counts = (index, facts.get("try_number", 1), facts.get("max_tries", 3))
        row = (dag_id, run_id, task_id, *counts, state, *times, facts.get("next_method"))
        self._connection.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * 12)})", row)

    def break_up(self) -> None:
        """Make the tables those of another Airflow."""
        self._connection.execute("ALTER TABLE dag_run RENAME COLUMN queued_at TO enqueued_at")

    def mend(self) -> None:
        """Undo ``break_up``."""
        self._connection.execute("ALTER TABLE dag_run RENAME COLUMN enqueued_at TO queued_at")
