"""The SQLAlchemy dialect through which Great Expectations asks DuckDB.

The stock duckdb-engine dialect does not carry GX: GX fetches after it closed the cursor's connection, and reflection
goes through PostgreSQL catalogues that DuckDB lacks. Here rows are buffered in the cursor, columns come from
``duckdb_columns()``, and PostgreSQL's regex operator becomes a search, as it is in PostgreSQL (DuckDB's ``~`` wants the
whole text to match).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType, SimpleNamespace
from typing import Any

import duckdb
import duckdb_engine
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, registry
from sqlalchemy.dialects.postgresql.base import PGCompiler

CONNECTION_STRING = "duckdb+tollgate:///:memory:"

_TYPES: Mapping[str, type[sa.types.TypeEngine[Any]]] = {
    "BIGINT": sa.BigInteger,
    "INTEGER": sa.Integer,
    "SMALLINT": sa.SmallInteger,
    "TINYINT": sa.SmallInteger,
    "DOUBLE": sa.Float,
    "FLOAT": sa.Float,
    "BOOLEAN": sa.Boolean,
    "DATE": sa.Date,
    "TIMESTAMP": sa.DateTime,
    "TIMESTAMP WITH TIME ZONE": sa.DateTime,
    "VARCHAR": sa.String,
}


class _BufferedCursor:
    """A DB-API cursor that holds its rows itself, so that it survives the end of its connection."""

    arraysize = 1

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._duckdb = connection
        self._rows: list[tuple[Any, ...]] = []
        self.description: Any = None
        self.rowcount = -1
        # SQLAlchemy's psycopg2 base class looks for server notices here.
        self.connection = SimpleNamespace(notices=[])

    def execute(self, statement: str, parameters: Any = None, context: Any = None) -> None:
        if parameters:
            self._duckdb.execute(statement, parameters if isinstance(parameters, dict) else list(parameters))
        else:
            self._duckdb.execute(statement)
        self.description = self._duckdb.description
        self._rows = self._duckdb.fetchall() if self.description else []

    def executemany(self, statement: str, parameters: Sequence[Any]) -> None:
        self._duckdb.executemany(statement, parameters)

    def fetchall(self) -> list[tuple[Any, ...]]:
        rows, self._rows = self._rows, []
        return rows

    def fetchmany(self, size: int = 1) -> list[tuple[Any, ...]]:
        rows, self._rows = self._rows[:size], self._rows[size:]
        return rows

    def fetchone(self) -> tuple[Any, ...] | None:
        return self._rows.pop(0) if self._rows else None

    def close(self) -> None:
        """Nothing to close: the rows stay until they are fetched."""


class _Connection:
    """A DB-API connection over DuckDB. Transactions are no-ops: a gate only reads."""

    autocommit = True

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._duckdb = connection
        self.notices: list[str] = []

    def cursor(self) -> _BufferedCursor:
        return _BufferedCursor(self._duckdb)

    def commit(self) -> None:
        """Nothing to commit."""

    def rollback(self) -> None:
        """Nothing to undo."""

    def close(self) -> None:
        self._duckdb.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._duckdb, name)


class _Compiler(PGCompiler):
    """PostgreSQL's SQL, except that the regex operators search with RE2."""

    def visit_custom_op_binary(self, element: Any, operator: Any, **kw: Any) -> str:
        if operator.opstring not in ("~", "!~"):
            return str(super().visit_custom_op_binary(element, operator, **kw))  # type: ignore[no-untyped-call]
        search = f"regexp_matches({self.process(element.left, **kw)}, {self.process(element.right, **kw)})"
        return f"(NOT {search})" if operator.opstring == "!~" else search


class GateDialect(duckdb_engine.Dialect):
    """``duckdb+tollgate://``; ``connect_args={"config": {...}, "setup": "SQL run on each new connection"}``."""

    name = "duckdb"
    driver = "tollgate"
    supports_statement_cache = False
    statement_compiler = _Compiler

    def connect(self, *args: Any, **options: Any) -> Any:
        """Open DuckDB, run ``setup`` on it and wrap it."""
        connection = duckdb.connect(options.get("database") or ":memory:", config=dict(options.get("config") or {}))
        if options.get("setup"):
            connection.execute(str(options["setup"]))
        return _Connection(connection)

    def initialize(self, connection: Any) -> None:
        """Skip what SQLAlchemy would ask a PostgreSQL server."""
        self.server_version_info = (8, 0)
        self.default_schema_name = "main"
        self._backslash_escapes = False

    def do_begin(self, dbapi_connection: Any) -> None:
        """A gate only reads."""

    def do_commit(self, dbapi_connection: Any) -> None:
        """A gate only reads."""

    def do_rollback(self, dbapi_connection: Any) -> None:
        """A gate only reads."""

    def get_columns(self, connection: Any, table_name: str, schema: str | None = None, **kw: Any) -> list[Any]:
        """Columns of a table or view in order, with SQLAlchemy's types."""
        rows = connection.exec_driver_sql(
            "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = ? ORDER BY column_index",
            (table_name,),
        ).fetchall()
        if not rows:
            raise sa.exc.NoSuchTableError(table_name)
        return [
            {
                "name": name,
                "type": _TYPES.get(kind, sa.String)(),
                "nullable": True,
                "default": None,
                "autoincrement": False,
                "comment": None,
            }
            for name, kind in rows
        ]

    def get_table_names(self, connection: Any, schema: str | None = None, **kw: Any) -> list[str]:
        """Names of all tables."""
        return [row[0] for row in connection.exec_driver_sql("SELECT table_name FROM duckdb_tables()")]

    def get_view_names(self, connection: Any, schema: str | None = None, include: Any = None, **kw: Any) -> list[str]:
        """Names of all views that are not DuckDB's own."""
        return [row[0] for row in connection.exec_driver_sql("SELECT view_name FROM duckdb_views() WHERE NOT internal")]

    def get_schema_names(self, connection: Any, **kw: Any) -> list[str]:
        """The one schema."""
        return ["main"]

    def has_table(self, connection: Any, table_name: str, schema: str | None = None, **kw: Any) -> bool:
        """Whether a table or a view has this name."""
        return table_name in self.get_table_names(connection) + self.get_view_names(connection)

    def get_pk_constraint(self, connection: Any, table_name: str, schema: str | None = None, **kw: Any) -> Any:
        """A view has no key."""
        return {"constrained_columns": [], "name": None}

    def get_indexes(self, connection: Any, table_name: str, schema: str | None = None, **kw: Any) -> list[Any]:
        """A view has no index."""
        return []


class DialectModule(ModuleType):
    """What GX looks at to decide how a regex is written: PostgreSQL's way, which ``_Compiler`` turns into RE2's."""

    dialect = postgresql.dialect


registry.register("duckdb.tollgate", __name__, "GateDialect")
