"""The schema gate: column names and types from what the file says about itself, before any rule looks at a value."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from include.contracts import GateReport, Refresh, RuleFinding
from include.declaration.models import ColumnType, Pipeline
from include.gates.findings import MAX_EXAMPLES, shorten_text
from include.gates.reports import store_failure, write_report
from include.gates.source import SQL_TYPES, VIEW, make_unreadable, open_view, quote_name, read_csv_header
from include.gates.source import select_csv_text as select_csv
from include.gates.verdict import decide_verdict
from include.settings import Settings

_MAX_FINDINGS = 50


@dataclass(frozen=True)
class _Found:
    """What a file holds: its column names in order, its rows, and the columns whose type does not fit."""

    names: list[str]
    rows: int
    retyped: list[RuleFinding]


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_int(kind: pa.DataType) -> bool:
    # The largest unsigned integers do not fit into the 64 bits of a published column.
    return bool(pa.types.is_integer(kind) and kind != pa.uint64())


_FITS: Mapping[ColumnType, Callable[[pa.DataType], bool]] = {
    "int": _is_int,
    "float": lambda kind: _is_int(kind) or bool(pa.types.is_floating(kind)),
    "string": _is_text,
    "timestamp": lambda kind: bool(pa.types.is_timestamp(kind)),
    "bool": lambda kind: bool(pa.types.is_boolean(kind)),
}


def _make_retyped(name: str, declared: ColumnType, detail: str, **facts: object) -> RuleFinding:
    finding = RuleFinding(f"column_type({shorten_text(name)})", "failed", "critical", shorten_text(name), detail)
    return replace(finding, observed=str(facts.pop("observed", declared)), **facts)  # type: ignore[arg-type]


def _read_parquet(columns: Mapping[str, ColumnType], refresh: Refresh) -> _Found:
    try:
        with pq.ParquetFile(refresh.snapshot) as file:
            schema, rows = file.schema_arrow, file.metadata.num_rows
    except (pa.ArrowException, OSError, ValueError) as error:
        raise make_unreadable(refresh, shorten_text(" ".join(str(error).split()), 300)) from error
    retyped = []
    for field in schema:
        declared = columns.get(field.name)
        if declared is not None and not _FITS[declared](field.type):
            stored = shorten_text(field.type)
            detail = f"It is declared {declared}, but the file stores {stored}."
            retyped.append(_make_retyped(field.name, declared, detail, observed=stored))
    return _Found(list(schema.names), rows, retyped)


def _write_misfit(name: str, declared: ColumnType) -> str:
    """SQL that is true for a text that is not of the declared type (never for a missing one)."""
    column, kind = quote_name(name), SQL_TYPES[declared]
    misfit = f"{column} IS NOT NULL AND TRY_CAST({column} AS {kind}) IS NULL"
    if declared == "int":
        # A cast to a whole number rounds; 5.5 is not a whole number.
        rounded = f"TRY_CAST({column} AS DOUBLE) <> TRY_CAST({column} AS {kind})"
        misfit = f"({misfit}) OR coalesce({rounded}, FALSE)"
    return f"({misfit})"


def _read_csv(settings: Settings, columns: Mapping[str, ColumnType], refresh: Refresh) -> _Found:
    """CSV says nothing about types, so every value is tried once, in one scan with bounded memory."""
    try:
        header = read_csv_header(refresh.snapshot)
    except (ValueError, OSError) as error:
        raise make_unreadable(refresh, shorten_text(error, 300)) from error
    if len({name.lower() for name in header}) < len(header):
        # Two columns of one name cannot be told apart in SQL: the finding about names is all that can be said.
        return _Found(header, -1, [])
    tried = {name: kind for name, kind in columns.items() if name in header and kind != "string"}
    counts = [f"count(*) FILTER (WHERE {_write_misfit(name, kind)})" for name, kind in tried.items()]
    retyped = []
    try:
        with open_view(settings, refresh.pipeline, select_csv(refresh.snapshot, header)) as connection:
            row = connection.execute(f"SELECT {', '.join(['count(*)', *counts])} FROM {VIEW}").fetchone()  # noqa: S608
            rows, *misfits = row or (0,)
            for (name, kind), count in zip(tried.items(), misfits, strict=True):
                if not count:
                    continue
                picked = f"SELECT DISTINCT {quote_name(name)} FROM {VIEW} WHERE {_write_misfit(name, kind)}"  # noqa: S608
                found = connection.execute(f"{picked} ORDER BY 1 LIMIT {MAX_EXAMPLES}").fetchall()
                retyped.append(
                    _make_retyped(
                        name,
                        kind,
                        f"It is declared {kind}, but {count} values are not.",
                        observed="text",
                        unexpected_count=count,
                        unexpected_percent=round(100 * count / rows, 4),
                        examples=tuple(shorten_text(value) for (value,) in found),
                    )
                )
    except duckdb.Error as error:
        # DuckDB goes on with advice about its own options, which is not for the supplier.
        reason = " ".join(str(error).split()).partition(" Possible ")[0]
        raise make_unreadable(refresh, shorten_text(reason, 300)) from error
    return _Found(header, rows, retyped)


def _compare_names(columns: Mapping[str, ColumnType], names: list[str]) -> list[RuleFinding]:
    findings = [
        RuleFinding(f"column_present({name})", "failed", "critical", name, f"Column {name} ({kind}) is missing.")
        for name, kind in columns.items()
        if name not in set(names)
    ]
    for name, copies in Counter(names).items():
        shown = shorten_text(name)
        if name not in columns:
            detail = f"Column {shown} is not declared."
            findings.append(RuleFinding(f"column_declared({shown})", "failed", "critical", shown, detail))
        elif copies > 1:
            detail = f"Column {shown} is there {copies} times."
            findings.append(RuleFinding(f"column_once({shown})", "failed", "critical", shown, detail))
    return findings


def _cap_findings(findings: list[RuleFinding]) -> list[RuleFinding]:
    """A hostile file may have a hundred thousand columns; a report stays readable."""
    if len(findings) <= _MAX_FINDINGS:
        return findings
    rest = len(findings) - _MAX_FINDINGS
    return [
        *findings[:_MAX_FINDINGS],
        RuleFinding("more", "failed", "critical", None, f"{rest} more findings of this kind are not listed."),
    ]


def check_schema(settings: Settings, pipeline: Pipeline, refresh: Refresh) -> GateReport:
    """Compare the snapshot's columns, types and row count with the declaration; the evidence is stored first.

    Every missing, undeclared, repeated or retyped column is a finding, and a file without a row blocks. Raises
    RefreshUnreadable (after storing a report that says so; fact ``report``) for bytes that are not the format.
    """
    started = time.monotonic()
    columns = pipeline.data.columns
    version = hashlib.sha256(json.dumps(list(columns.items())).encode()).hexdigest()[:16]
    report = GateReport(
        pipeline=pipeline.name,
        gate="schema",
        subject=refresh.partition,
        verdict="block",
        rows=0,
        rules_declared=len(columns) + 1,
        rules_evaluated=0,
        rules_version=version,
        engine="metadata",
        seconds=0.0,
    )
    with store_failure(settings, report):
        if Path(refresh.snapshot).stat().st_size == 0:
            raise make_unreadable(refresh, "the file is empty (0 bytes).")
        csv = refresh.format == "csv"
        found = _read_csv(settings, columns, refresh) if csv else _read_parquet(columns, refresh)
    findings = _cap_findings(_compare_names(columns, found.names) + found.retyped)
    if found.rows == 0:
        findings.append(RuleFinding("rows", "failed", "critical", None, "There is not a single row.", "0"))
    return write_report(
        settings,
        replace(
            report,
            verdict=decide_verdict(findings),
            rows=max(found.rows, 0),
            rules_evaluated=len(columns) + 1,
            seconds=round(time.monotonic() - started, 3),
            findings=tuple(findings),
        ),
    )
