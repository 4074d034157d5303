"""Which rows train and which are held out, by time and never at random."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from include.declaration.models import Pipeline
from include.declaration.resolve import refuse_declaration
from include.errors import TrainingDataInvalid

# Fewer rows than this in either part give no figure worth comparing.
MIN_ROWS = 50


class Split(NamedTuple):
    """Which labelled rows are held out (True) or trained on (False), and what the holdout is, for a person."""

    held_out: NDArray[np.bool_]
    holdout: str


def name_days(pipeline: Pipeline, rows: pd.DataFrame) -> pd.Series[str]:
    """ISO date of each row, from the declared day columns: year, month and day; or one date or timestamp (UTC).

    Raises DeclarationError for other day columns, TrainingDataInvalid when a row's day is missing or no date.
    """
    names = pipeline.training.day_columns
    if len(names) not in (1, 3) or not set(names) <= set(rows.columns):
        raise refuse_declaration(
            pipeline,
            "training.day_columns",
            f"{pipeline.name} declares the day columns {', '.join(names)}.",
            "Name the columns of year, month and day, or one column that holds a date or a timestamp.",
        )
    if len(names) == 3:
        parts = rows[list(names)].set_axis(["year", "month", "day"], axis=1).astype("float64")
        # A year has few days: write each once instead of once per row.
        days = parts.drop_duplicates()
        days = days.assign(name=pd.to_datetime(days, errors="coerce").dt.strftime("%Y-%m-%d"))
        named = parts.merge(days, how="left", on=["year", "month", "day"])["name"]
    else:
        named = pd.to_datetime(rows[names[0]], utc=True, errors="coerce").dt.strftime("%Y-%m-%d")
    if named.isna().any():
        raise _refuse(pipeline, "day", f"{int(named.isna().sum())} rows have no day ({', '.join(names)})")
    return named.set_axis(rows.index)


def split_rows(partitions: list[str], partition: NDArray[np.int64], day: NDArray[Any]) -> Split:
    """Hold out the newest partition; with a single one, the last third of its days, at least one.

    ``partition`` is each row's position in ``partitions`` (oldest first), ``day`` its ISO date.
    """
    if len(partitions) > 1:
        return Split(partition == len(partitions) - 1, partitions[-1])
    days = np.unique(day)
    first = days[len(days) - max(1, len(days) // 3) :][:1]
    return Split(np.asarray(day >= first, dtype=np.bool_), f"last third of {partitions[0]} by day")


def check_split(pipeline: Pipeline, labels: NDArray[np.float64], split: Split) -> None:
    """Raise TrainingDataInvalid when either part is too small or holds only one class."""
    for part, chosen in (("training rows", ~split.held_out), (f"holdout ({split.holdout})", split.held_out)):
        found = labels[chosen]
        if len(found) < MIN_ROWS:
            raise _refuse(pipeline, "rows", f"the {part} are {len(found)}, fewer than {MIN_ROWS}")
        if len(np.unique(found)) < 2:
            raise _refuse(pipeline, "classes", f"the {part} hold only one class, {found[0]:g}")


def _refuse(pipeline: Pipeline, measure: str, problem: str) -> TrainingDataInvalid:
    return TrainingDataInvalid(
        f"{pipeline.name} cannot be trained: {problem}.",
        next_step="Land the partitions that are missing, or correct the newest one.",
        pipeline=pipeline.name,
        measure=measure,
    )
