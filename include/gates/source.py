"""A file as a DuckDB view with the declared columns and types, read with bounded memory."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb

from include.contracts import Refresh
from include.declaration.models import ColumnType, Pipeline
from include.errors import RefreshUnreadable
from include.settings import Settings

MEMORY_LIMIT = "512MB"
VIEW = "batch"
_MAX_HEADER = 1 << 20
# UTC makes a timestamp mean the same on every machine.
SESSION = "SET TimeZone = 'UTC'"
SQL_TYPES: Mapping[ColumnType, str] = {
    "int": "BIGINT",
    "float": "DOUBLE",
    "string": "VARCHAR",
    "timestamp": "TIMESTAMPTZ",
    "bool": "BOOLEAN",
}


def quote_name(name: str) -> str:
    """A column name as a SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def quote_text(value: str) -> str:
    """A text as a SQL literal."""
    return "'" + value.replace("'", "''") + "'"


def read_csv_header(path: str | Path) -> list[str]:
    """Column names of a CSV file: its first record. Raises ValueError when that is not text or far too long."""
    with Path(path).open("rb") as file:
        head = file.read(_MAX_HEADER)
    if head.startswith(b"PAR1"):
        raise ValueError("it is a Parquet file")
    if b"\0" in head:
        raise ValueError("it is not text (it has zero bytes)")
    # A multi-byte character may be cut at the end of what was read; the header is long over by then.
    text = head.decode("utf-8-sig", errors="strict" if len(head) < _MAX_HEADER else "ignore")
    csv.field_size_limit(_MAX_HEADER)
    header = next(csv.reader(io.StringIO(text, newline="")), None)
    if not header:
        raise ValueError("its first line names no columns")
    if len(head) == _MAX_HEADER and len(text) == sum(len(name) + 1 for name in header) - 1:
        raise ValueError(f"its first line is longer than {_MAX_HEADER} bytes")
    return header


def select_csv_text(path: str | Path, header: list[str]) -> str:
    """SQL that reads a CSV file with every value as text; empty means missing. Nothing is guessed."""
    columns = ", ".join(f"{quote_text(name)}: 'VARCHAR'" for name in header)
    return (
        f"SELECT * FROM read_csv({quote_text(str(path))}, auto_detect = false, header = true, columns = {{{columns}}}, "  # noqa: S608
        "delim = ',', quote = '\"', escape = '\"', nullstr = '')"
    )


def select_declared(columns: Mapping[str, ColumnType], refresh: Refresh) -> str:
    """SQL for the refresh's rows in the declared order and types.

    A float that is not a number counts as missing; a timestamp without a zone is taken as UTC. Both make the published
    partition the same whatever tool wrote the file.
    """
    inner = (
        select_csv_text(refresh.snapshot, read_csv_header(refresh.snapshot))
        if refresh.format == "csv"
        else f"SELECT * FROM read_parquet({quote_text(refresh.snapshot)})"  # noqa: S608  quoted
    )
    picked = []
    for name, kind in columns.items():
        cast = f"CAST({quote_name(name)} AS {SQL_TYPES[kind]})"
        if kind == "float":
            cast = f"CASE WHEN isnan({cast}) THEN NULL ELSE {cast} END"
        picked.append(f"{cast} AS {quote_name(name)}")
    return f"SELECT {', '.join(picked)} FROM ({inner})"  # noqa: S608  quoted


def select_frame(path: str | Path) -> str:
    """SQL for a Parquet file that Tollgate wrote itself; a float that is not a number counts as missing."""
    source = f"read_parquet({quote_text(str(path))})"
    described = duckdb.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()  # noqa: S608  quoted
    picked = []
    for name, kind, *_ in described:
        column = quote_name(name)
        floating = kind in ("DOUBLE", "FLOAT")
        picked.append(f"CASE WHEN isnan({column}) THEN NULL ELSE {column} END AS {column}" if floating else column)
    return f"SELECT {', '.join(picked)} FROM {source}"  # noqa: S608  quoted


def make_config(settings: Settings, folder: str, threads: int | None = None) -> dict[str, Any]:
    """DuckDB's configuration: spill to ``folder`` beyond the memory limit."""
    return {"memory_limit": MEMORY_LIMIT, "threads": threads or settings.cores, "temp_directory": folder}


@contextmanager
def make_spill_folder(settings: Settings, pipeline: str) -> Iterator[str]:
    """A folder for what does not fit into memory; below ``work`` so that a killed task's rest is safe to delete."""
    parent = settings.work_root / pipeline / "gates"
    parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=parent) as folder:
        yield folder


@contextmanager
def open_view(
    settings: Settings, pipeline: str, select: str, threads: int | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB connection in which ``batch`` is the view of ``select``."""
    with make_spill_folder(settings, pipeline) as folder:
        connection = duckdb.connect(config=make_config(settings, folder, threads))
        try:
            connection.execute(SESSION)
            connection.execute(f"CREATE VIEW {VIEW} AS {select}")
            yield connection
        finally:
            connection.close()


def make_unreadable(refresh: Refresh, reason: str) -> RefreshUnreadable:
    """The error for a complete file that is not what it claims to be."""
    return RefreshUnreadable(
        f"Refresh {refresh.pipeline} {refresh.partition} cannot be read as {refresh.format}: {reason.rstrip('.')}.",
        next_step="Land the file again, whole and in the declared format; the bytes are kept in the snapshot.",
        path=refresh.snapshot,
        format=refresh.format,
        reason=reason,
    )


# What DuckDB raises for a statement of ours or for this machine; it has no one class for broken bytes.
_OUR_FAULTS = (
    duckdb.BinderException,
    duckdb.CatalogException,
    duckdb.ParserException,
    duckdb.SyntaxException,
    duckdb.OutOfMemoryException,
    duckdb.InterruptException,
)


@contextmanager
def open_refresh(
    settings: Settings, pipeline: Pipeline, refresh: Refresh, threads: int | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """``open_view`` over a refresh's declared rows. Raises RefreshUnreadable when a column or the file is not there."""
    select = select_declared(pipeline.data.columns, refresh)
    opened = False
    try:
        with open_view(settings, pipeline.name, select, threads) as connection:
            opened = True
            yield connection
    except duckdb.Error as error:
        # Until the view is there, a missing column shows as a binder error.
        if opened and isinstance(error, _OUR_FAULTS):
            raise
        raise make_unreadable(refresh, str(error).splitlines()[0][:300]) from error
