"""How Airflow's programs share one SQLite file.

*Who is going to write waits for its turn*, instead of being refused. Within a SAVEPOINT Airflow reads first and writes
later, when it makes the runs of a backfill for example. SQLite lets it read at once and, when another program has
written meanwhile, refuses the write with "database is locked" without any waiting; with a scheduler at work that is
often. A transaction that begins by asking for the write lock waits instead.

*The clock has milliseconds.* SQLite's CURRENT_TIMESTAMP is cut to the second, and the scheduler asks it which runs are
due: each run that an asset starts, of which a refresh has three, would wait for the next full second.
"""

from __future__ import annotations

import sqlite3
from typing import Any, Final

from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import now


@compiles(now, "sqlite")
def _read_clock(_element: Any, _compiler: Any, **_arguments: Any) -> str:
    # Written as Airflow writes its times, so that the two compare as texts.
    return "STRFTIME('%Y-%m-%d %H:%M:%f000', 'now')"


class _Cursor(sqlite3.Cursor):
    def execute(self, sql: str, parameters: Any = (), /) -> _Cursor:
        if sql.startswith("SAVEPOINT") and not self.connection.in_transaction:
            super().execute("BEGIN IMMEDIATE")
        return super().execute(sql, parameters)


class _Connection(sqlite3.Connection):
    def cursor(self, factory: Any = _Cursor) -> Any:
        return super().cursor(factory)


# Given to Airflow by name ([database] sql_alchemy_connect_args). Nobody holds the lock for long, but on a busy machine
# its holder may not get a processor for longer than the usual 5 s.
CONNECT_ARGS: Final[dict[str, Any]] = {"factory": _Connection, "timeout": 30.0}
