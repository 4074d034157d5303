"""Writing months of flights as refresh files, the way a data provider would."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from include.errors import PartitionNameError
from include.pipelines.flight_delays.references import find_data_folder

YEAR = 2013


def read_flights() -> pd.DataFrame:
    """All 336,776 flights; ``time_hour`` (the scheduled hour) as a UTC timestamp, the rest as the package has it."""
    flights = pd.read_csv(find_data_folder() / "flights.csv.zip")
    flights["time_hour"] = pd.to_datetime(flights["time_hour"], utc=True)
    return flights


def write_month(month: int | str, folder: Path, flights: pd.DataFrame | None = None) -> Path:
    """Write ``folder/2013-MM.parquet`` for a month (5 or "2013-05") and return its path.

    The file is written as ``.part`` and renamed, so that a watcher sees it whole or not at all. Pass ``flights`` (of
    ``read_flights``) to write several months after one reading. Raises PartitionNameError for another year or month.
    """
    number = _read_month(month)
    flights = read_flights() if flights is None else flights
    path = folder / f"{YEAR}-{number:02d}.parquet"
    part = path.with_name(f"{path.name}.part")
    folder.mkdir(parents=True, exist_ok=True)
    flights[flights["month"] == number].to_parquet(part, index=False)
    part.replace(path)
    return path


def write_all(folder: Path) -> list[Path]:
    """Write all twelve months, in order, and return their paths."""
    flights = read_flights()
    return [write_month(month, folder, flights) for month in range(1, 13)]


def _read_month(month: int | str) -> int:
    found = re.fullmatch(rf"{YEAR}-(\d\d)", month) if isinstance(month, str) else None
    number = int(found[1]) if found else month
    if not isinstance(number, int) or not 1 <= number <= 12:
        raise PartitionNameError(
            f"{month!r} is not a month of {YEAR}.",
            next_step=f"Write it as 1 to 12, or as {YEAR}-01 to {YEAR}-12.",
            partition=str(month),
        )
    return number
