"""The functions that the toy pipeline's declaration names."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd


def mark_late(rows: pd.DataFrame) -> pd.Series:
    """1.0 for more than 15 minutes late, 0.0 otherwise, NaN where the delay is unknown."""
    return (rows["delay"] > 15).astype("float64").where(rows["delay"].notna())


def assemble_requests(rows: pd.DataFrame, references: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The request columns, from what is known before the parcel leaves."""
    requests = rows[["year", "month", "day", "hour", "distance", "weight"]].astype("float64")
    requests["carrier"] = rows["carrier"].astype("object").where(rows["carrier"].notna(), None)
    requests["depot"] = rows["depot"].astype("object").where(rows["depot"].notna(), None)
    return requests


def load_carriers() -> pd.DataFrame:
    """A reference table with a unique key."""
    return pd.DataFrame({"carrier": ["AA", "BB", "CC"], "fleet_age": [2.0, 7.0, 12.0]})
