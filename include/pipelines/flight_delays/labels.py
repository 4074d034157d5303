"""The label of ``flight_delays``."""

from __future__ import annotations

import pandas as pd

LATE_AFTER_MINUTES = 15.0


def mark_late(rows: pd.DataFrame) -> pd.Series[float]:
    """1.0 for an arrival more than 15 minutes late, 0.0 for another arrival, NaN for a flight that did not arrive."""
    delay = rows["arr_delay"].astype("float64")
    return (delay > LATE_AFTER_MINUTES).astype("float64").where(delay.notna())
