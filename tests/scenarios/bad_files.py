"""Every kind of bad file, and what its refusal has to say: the rule, how many rows, and which ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from tests.scenarios.refreshes import drop_carriers, make_month
from tests.scenarios.system import LandMode

_QUERY = "unexpected_rows_expectation"


@dataclass(frozen=True)
class BadFile:
    """A file for ``partition``. ``rows`` is how many break ``rule``; ``shown`` is said of them, or of the column."""

    what: str
    partition: str
    content: Any
    rule: str
    shown: str
    rows: int | None = None
    extension: str = "parquet"
    mode: LandMode = "rename"

    @property
    def name(self) -> str:
        """Its name in the landing folder."""
        return f"{self.partition}.{self.extension}"


def _count_spoilt(frame: pd.DataFrame) -> int:
    return len(frame.iloc[::5])


def iterate_bad_files() -> Iterator[BadFile]:
    """One file of each kind, for April to December."""
    month = make_month(4).rename(columns={"carrier": "airline"})
    yield BadFile("wrong column", "2013-04", month, "column_present(carrier)", "Column carrier (string) is missing")

    month = drop_carriers(make_month(5))
    rule = "expect_column_values_to_not_be_null(carrier)"
    yield BadFile("nulls", "2013-05", month, rule, "row number=6 year=2013", _count_spoilt(month))

    month = make_month(6)
    month["distance"] = month["distance"].astype(str) + " miles"
    yield BadFile("wrong type", "2013-06", month, "column_type(distance)", "the file stores large_string")

    month = make_month(7)
    month.loc[month.index[::5], "hour"] = 99
    rule = f"{_QUERY}(hour and minute are those of the scheduled departure)"
    yield BadFile("out of range", "2013-07", month, rule, "hour=99 minute=", _count_spoilt(month))

    month = make_month(8)
    month = pd.concat([month, month.head(2_000)])
    rule = f"{_QUERY}(one row per hour, carrier, flight and origin)"
    yield BadFile("duplicate keys", "2013-08", month, rule, "copies=2", 2_000)

    month = make_month(1)
    yield BadFile("stale dates", "2013-09", month, "expect_column_values_to_be_between(month)", '"1"', len(month))

    yield BadFile("empty", "2013-10", make_month(10).head(0), "rows", "not a single row")
    yield BadFile("no bytes", "2013-10", b"", "readable", "empty (0 bytes)", extension="csv", mode="done")

    truncated = make_month(11).to_parquet(index=False)[:-2_000]
    yield BadFile("truncated", "2013-11", truncated, "readable", "not a parquet file")
    text = make_month(11).to_csv(index=False).encode()
    # Its writer died in the middle of a line: it waits until it has settled, and is judged then.
    half = text[: text.index(b"\n", len(text) // 2) + 20]
    yield BadFile(
        "half-written", "2013-11", half, "readable", "Expected Number of Columns", extension="csv", mode="in_place"
    )

    page = b"<html>not a refresh</html>" * 100
    yield BadFile("wrong file type", "2013-12", page, "readable", "not a parquet file")
