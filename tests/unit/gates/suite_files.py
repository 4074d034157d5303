"""Suites and refreshes for the unit tests: small, written where a test's settings look for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from include.contracts import Refresh
from include.settings import Settings
from tests.unit.factory import make_rows

NOT_NULL = "expect_column_values_to_not_be_null"
BETWEEN = "expect_column_values_to_be_between"
IN_SET = "expect_column_values_to_be_in_set"
REGEX = "expect_column_values_to_match_regex"
ROW_COUNT = "expect_table_row_count_to_be_between"
MEAN = "expect_column_mean_to_be_between"
QUERY = "unexpected_rows_expectation"


def make_rule(kind: str, severity: str = "critical", description: str = "", **kwargs: Any) -> dict[str, Any]:
    """One rule of a suite's JSON."""
    return {"type": kind, "kwargs": kwargs, "severity": severity, "description": description}


def write_suite(settings: Settings, name: str, *rules: dict[str, Any], **changes: Any) -> Path:
    """Store a suite; ``changes`` replace or add top-level keys."""
    folder = settings.gx_root / "expectations"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"name": name, "expectations": list(rules), **changes}))
    return path


def write_refresh(
    folder: Path,
    frame: pd.DataFrame | None = None,
    kind: Literal["parquet", "csv"] = "parquet",
    partition: str = "2013-01",
) -> Refresh:
    """A refresh whose snapshot is ``frame`` (default: 400 toy rows)."""
    frame = make_rows(partition) if frame is None else frame
    path = folder / f"{partition}.{kind}"
    if kind == "csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path, index=False)
    return refer_to(path, kind, partition)


def refer_to(path: Path, kind: Literal["parquet", "csv"] = "parquet", partition: str = "2013-01") -> Refresh:
    """A refresh over a file as it is."""
    return Refresh("parcels", partition, "0123456789abcdef" * 4, str(path), kind, path.stat().st_size, "test")
