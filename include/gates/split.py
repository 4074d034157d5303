"""Quarantine: rows that break a tolerated rule are set aside with their reasons; no row is lost."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from include.contracts import Refresh, SplitRows
from include.declaration.models import Pipeline
from include.errors import PartitionNameError, TerminalError
from include.gates.period import compute_period_parameters
from include.gates.predicates import write_predicates
from include.gates.source import VIEW, open_refresh, quote_text
from include.gates.suites import load_suite
from include.records import sync_path
from include.settings import Settings

REASONS_COLUMN = "_failed"
_PARTITION = re.compile(r"[A-Za-z0-9_+=-][A-Za-z0-9_.+=-]{0,99}")


@dataclass(frozen=True)
class QuarantineCount:
    """How many of ``rows`` break at least one tolerated rule, and how many break each (by rule name)."""

    rows: int
    quarantined: int
    reasons: Mapping[str, int]


def collect_parameters(pipeline: Pipeline, partition: str) -> dict[str, Any]:
    """The declared suite parameters and those of the partition's period."""
    return {**pipeline.data.suite_parameters, **compute_period_parameters(pipeline.data, partition)}


def count_quarantine(connection: duckdb.DuckDBPyConnection, predicates: Mapping[str, str]) -> QuarantineCount:
    """Count the rows of the view ``batch`` that break each predicate, and any of them, in one scan."""
    counts = [f"count(*) FILTER (WHERE {predicate})" for predicate in predicates.values()]
    either = f"count(*) FILTER (WHERE {' OR '.join(predicates.values())})" if predicates else "0"
    found = connection.execute(f"SELECT {', '.join(['count(*)', either, *counts])} FROM {VIEW}").fetchone()  # noqa: S608
    rows, quarantined, *each = found or (0, 0)
    return QuarantineCount(rows, quarantined, dict(zip(predicates, each, strict=True)))


def _write_reasons(predicates: Mapping[str, str]) -> str:
    cases = [f"CASE WHEN {predicate} THEN {quote_text(name)} END" for name, predicate in predicates.items()]
    listed = f"[{', '.join(cases)}]" if cases else "[]"
    return f"list_filter(CAST({listed} AS VARCHAR[]), lambda reason: reason IS NOT NULL)"


def _copy_rows(connection: duckdb.DuckDBPyConnection, select: str, target: Path) -> int:
    written = connection.execute(f"COPY ({select}) TO {quote_text(str(target))} (FORMAT parquet, COMPRESSION zstd)")
    count = written.fetchone()
    sync_path(target)
    return int(count[0]) if count else 0


def _replace_folder(temporary: Path, folder: Path) -> None:
    """Put the two finished files in place, each whole; the same refresh gives the same bytes, so order is free."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in sorted(temporary.iterdir()):
        file.replace(folder / file.name)


def split_rows(settings: Settings, pipeline: Pipeline, refresh: Refresh) -> SplitRows:
    """Write ``kept.parquet`` and ``quarantined.parquet`` (with the list column ``_failed``) of a refresh.

    Both are in ``<data>/<pipeline>/work/<partition>@<fingerprint>/``, in the landed order and the declared types; one
    thread writes them so that the same refresh and rules give the same bytes. Raises TerminalError when the counts of
    the two files do not add up to what landed, SuiteInvalid for a tolerated rule without a row predicate.
    """
    if not _PARTITION.fullmatch(refresh.partition):
        raise PartitionNameError(
            f"Partition {refresh.partition!r} cannot name a folder.",
            next_step="Name the file for its partition, as the declaration's partition_format says.",
            partition=refresh.partition,
        )
    suite = load_suite(settings, pipeline.data.suite)
    predicates = write_predicates(suite, collect_parameters(pipeline, refresh.partition))
    folder = settings.data_root / pipeline.name / "work" / f"{refresh.partition}@{refresh.fingerprint[:16]}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        with open_refresh(settings, pipeline, refresh, threads=1) as connection:
            counts = count_quarantine(connection, predicates)
            either = " OR ".join(predicates.values()) or "FALSE"
            kept = _copy_rows(
                connection,
                f"SELECT * FROM {VIEW} WHERE NOT ({either})",  # noqa: S608
                temporary / "kept.parquet",
            )
            quarantined = _copy_rows(
                connection,
                f"SELECT *, {_write_reasons(predicates)} AS {REASONS_COLUMN} FROM {VIEW} WHERE {either}",  # noqa: S608
                temporary / "quarantined.parquet",
            )
        if kept + quarantined != counts.rows or quarantined != counts.quarantined:
            raise TerminalError(
                f"Splitting {pipeline.name} {refresh.partition} would lose rows: {counts.rows} landed, {kept} kept, "
                f"{quarantined} quarantined.",
                next_step="Nothing was published; report this, it is a fault of Tollgate's.",
                landed=counts.rows,
                kept=kept,
                quarantined=quarantined,
            )
        _replace_folder(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return SplitRows(
        kept_path=str(folder / "kept.parquet"),
        quarantined_path=str(folder / "quarantined.parquet"),
        landed=counts.rows,
        kept=kept,
        quarantined=quarantined,
        reasons={name: count for name, count in counts.reasons.items() if count},
    )
