"""The refreshes that ``make run`` lands: a year of flights month by month, one of them first in a broken state."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from include.pipelines.flight_delays.landing import YEAR, read_flights, write_month

if TYPE_CHECKING:
    import pandas as pd

BROKEN_MONTH = 3
_BROKEN_SHARE = 0.2


def break_carriers(flights: pd.DataFrame) -> pd.DataFrame:
    """The same flights with the carrier missing in every fifth row, as after a join that went wrong upstream."""
    broken = flights.copy()
    every = round(1 / _BROKEN_SHARE)
    broken.loc[broken.index[::every], "carrier"] = None
    return broken


def write_refreshes(folder: Path, limit: int | None = None) -> Iterator[tuple[str, str, Path]]:
    """Write the story's files into ``folder`` one by one: partition, what it is, and the file.

    ``limit`` months at most. A month's broken file comes before its good one, under a folder of its own.
    """
    flights = read_flights()
    for month in range(1, 1 + min(12, 12 if limit is None else limit)):
        partition = f"{YEAR}-{month:02d}"
        if month == BROKEN_MONTH:
            yield partition, "broken on purpose", write_month(month, folder / "broken", break_carriers(flights))
        yield partition, "corrected" if month == BROKEN_MONTH else "", write_month(month, folder, flights)
