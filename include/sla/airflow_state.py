"""What Airflow knows of runs and tasks, read from its database and never written to it.

Why its tables: whatever happens to a run (made by a schedule, an asset, a person or a backfill; queued, running, hung,
killed, failed, its DAG edited meanwhile) is a row there before anything else acts on it, and reading it needs no API
server, no scheduler, no triggerer and no worker that lives. Listeners are told nothing of a task whose process was
killed, and of none that waits in a queue. The public REST API has the same facts at a hundred times the processor time
(`make bench ONLY=sla_watch_cpu`) and not while its server is down. The price: these columns are Airflow's own affair,
so a version that renames one is refused with its name.

No run is missed: ids only grow, so a look asks for those above the highest one seen, those that are queued or running,
and those that were open before. What ended between two looks is asked for by name.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from include.errors import TollgateError, TransientError

OPEN_RUN = ("queued", "running")
# Every state of a task instance that is under way or will be.
UNDER_WAY = ("scheduled", "queued", "running", "deferred", "restarting", "up_for_retry", "up_for_reschedule")
# Two runs that are made at once may show in another order than that of their ids.
_OVERLAP = 200
_RUN = "id, dag_id, run_id, run_type, state, queued_at, start_date, end_date"
_TASK = (
    "dag_id, run_id, task_id, map_index, try_number, max_tries, state, "
    "coalesce(scheduled_dttm, queued_dttm), start_date, end_date, next_method"
)


class AirflowUnreadable(TransientError):
    """Airflow's database did not answer, or has no such columns; facts: ``reason``."""


@dataclass(frozen=True)
class Run:
    """A DAG run; times are seconds since the epoch, None where Airflow has none."""

    id: int
    dag_id: str
    run_id: str
    run_type: str
    state: str
    queued: float | None
    started: float | None
    ended: float | None

    @property
    def is_open(self) -> bool:
        """Whether it is queued or running."""
        return self.state in OPEN_RUN


@dataclass(frozen=True)
class Task:
    """One try of a task instance. ``waiting`` is when it was first ready for a worker; ``deferred``: it waits in the
    triggerer, or goes on after that."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    try_number: int
    max_tries: int
    state: str
    waiting: float | None
    started: float | None
    ended: float | None
    deferred: bool

    @property
    def name(self) -> str:
        """The task's name without its group."""
        return self.task_id.rpartition(".")[2]

    @property
    def key(self) -> tuple[str, str, str, int, int]:
        """What no other try has."""
        return self.dag_id, self.run_id, self.task_id, self.map_index, self.try_number


def read_time(value: Any) -> float | None:
    """Seconds since the epoch of a database's time in UTC: SQLite gives a text, PostgreSQL a datetime."""
    if value is None:
        return None
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment).timestamp()


def _make_run(row: Sequence[Any]) -> Run:
    return Run(int(row[0]), *(str(value or "") for value in row[1:5]), *(read_time(value) for value in row[5:8]))  # type: ignore[arg-type]


def _make_task(row: Sequence[Any]) -> Task:
    numbers = (int(row[3]), int(row[4] or 0), int(row[5] if row[5] is not None else -1))
    times = (read_time(row[7]), read_time(row[8]), read_time(row[9]))
    return Task(str(row[0]), str(row[1]), str(row[2]), *numbers, str(row[6] or ""), *times, row[10] is not None)


class AirflowState:
    """A connection to Airflow's database, made when it is first needed and again after it failed.

    ``address`` is Airflow's own setting, [database] sql_alchemy_conn. Every method raises AirflowUnreadable.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._connection: Any = None

    def _connect(self) -> Any:
        kind, _, rest = self._address.partition("://")
        if kind.startswith("sqlite"):
            path = unquote(rest.partition("?")[0]).removeprefix("/")
            # mode=rw never makes the file, and may undo what a killed writer left half done, which mode=ro may not.
            opened = sqlite3.connect(f"file:{path}?mode=rw", uri=True, timeout=20.0, isolation_level=None)
            opened.execute("PRAGMA query_only = ON")
            return opened
        if kind.startswith("postgresql"):
            import psycopg2

            connection = psycopg2.connect(
                f"postgresql://{rest}", connect_timeout=10, options="-c statement_timeout=20000"
            )
            connection.set_session(readonly=True, autocommit=True)
            return connection
        raise AirflowUnreadable(
            f"Airflow's database is of a kind that the watcher cannot read: {kind}.",
            next_step="Use SQLite or PostgreSQL ([database] sql_alchemy_conn).",
            reason=kind,
        )

    def close(self) -> None:
        """Let go of the connection; the next question makes another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(self, query: str, values: Sequence[Any] = ()) -> list[Sequence[Any]]:
        try:
            if self._connection is None:
                self._connection = self._connect()
            cursor = self._connection.cursor()
            try:
                if not isinstance(self._connection, sqlite3.Connection):
                    query = query.replace("?", "%s")
                cursor.execute(query, tuple(values))
                found: list[Sequence[Any]] = cursor.fetchall()
                return found
            finally:
                cursor.close()
        except TollgateError:
            raise
        except Exception as error:  # each database has errors of its own; here all mean the same
            self._drop()
            raise AirflowUnreadable(
                f"Airflow's database cannot be read: {type(error).__name__}: {str(error).strip()}",
                next_step="It is asked again in seconds. A column that is missing means another Airflow than 3.3.",
                reason=str(error),
            ) from error

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):  # it is broken already
                connection.close()

    def read_highest_id(self) -> int:
        """The id of the newest run, 0 when there is none."""
        return int(self._ask("SELECT max(id) FROM dag_run")[0][0] or 0)

    def list_runs(self, above: int, also: Iterable[int] = ()) -> list[Run]:
        """Runs that are queued or running, those of ``also``, and those with an id above ``above`` or just below it."""
        ids = sorted(also)
        named = f" OR id IN ({', '.join('?' * len(ids))})" if ids else ""
        query = f"SELECT {_RUN} FROM dag_run WHERE state IN (?, ?) OR id > ?{named}"  # noqa: S608 - placeholders only
        return [_make_run(row) for row in self._ask(query, (*OPEN_RUN, above - _OVERLAP, *ids))]

    def list_tasks_under_way(self) -> list[Task]:
        """Every task instance of every DAG that is under way."""
        marks = ", ".join("?" * len(UNDER_WAY))
        query = f"SELECT {_TASK} FROM task_instance WHERE state IN ({marks})"  # noqa: S608 - placeholders only
        return [_make_task(row) for row in self._ask(query, UNDER_WAY)]

    def list_tasks(self, dag_id: str, run_id: str) -> list[Task]:
        """Every try of every task instance of one run."""
        query = " UNION ALL ".join(
            f"SELECT {_TASK} FROM {table} WHERE dag_id = ? AND run_id = ?"  # noqa: S608 - names of our own
            for table in ("task_instance", "task_instance_history")
        )
        return [_make_task(row) for row in self._ask(query, (dag_id, run_id) * 2)]
