"""Features and tables that use every expression, and requests for them."""

from __future__ import annotations

import json

import msgspec
import numpy as np
import pandas as pd

from include.scoring.expressions import (
    Arithmetic,
    Column,
    Constant,
    Cosine,
    DayOfWeek,
    DayOfYear,
    Feature,
    HourMinute,
    Lookup,
    Sine,
)
from include.scoring.row_features import RowFeatures

_DATE = (Column("year"), Column("month"), Column("day"))

FEATURES = (
    Feature("carrier", Column("carrier"), kind="category"),
    Feature("engine", Lookup("planes", Column("tail"), "engine"), kind="category"),
    Feature("age", Arithmetic("-", Column("year"), Lookup("planes", Column("tail"), "built"))),
    Feature("speed", Arithmetic("/", Column("distance"), Arithmetic("*", Column("hours"), Constant(1.1)))),
    Feature("total", Arithmetic("+", Column("distance"), Column("hours"))),
    Feature("arrival", HourMinute(Column("clock"))),
    Feature("weekday", DayOfWeek(*_DATE)),
    Feature("sine", Sine(DayOfYear(*_DATE), 365.0)),
    Feature("cosine", Cosine(Column("distance"), 24.0)),
)
TABLES = {
    "planes": {
        "key": "tail",
        "keys": ["N1", "N2", "N3"],
        "columns": {"built": [1999, None, 2004.5], "engine": ["jet", None, "prop"]},
    }
}
NUMBERS = ("year", "month", "day", "hours", "distance", "clock")
TEXTS = ("carrier", "tail")


def make_row_features() -> RowFeatures:
    """The transformer of FEATURES and TABLES."""
    return RowFeatures(msgspec.json.encode(FEATURES).decode(), json.dumps(TABLES))


def make_requests(rows: int = 200, seed: int = 3) -> pd.DataFrame:
    """Requests with gaps and unknown categories."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "year": random.integers(2012, 2014, rows).astype("float64"),
            "month": random.integers(1, 13, rows).astype("float64"),
            "day": random.integers(1, 32, rows).astype("float64"),
            "hours": random.uniform(0.5, 9, rows),
            "distance": random.uniform(20, 2000, rows),
            "clock": random.integers(0, 2400, rows).astype("float64"),
            "carrier": random.choice(["AA", "BB", "CC"], rows).astype("object"),
            "tail": random.choice(["N1", "N2", "N3", "N9"], rows).astype("object"),
        }
    )
    frame.loc[random.random(rows) < 0.1, "hours"] = np.nan
    frame.loc[random.random(rows) < 0.1, "tail"] = None
    return frame
