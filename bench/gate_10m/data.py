"""Ten million flights in one Parquet file, written year by year: never more than one year is in memory."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from include.pipelines.flight_delays.landing import read_flights


def write_flights(path: Path, rows: int) -> None:
    """The real flights of 2013 again and again, each copy in a year of its own so that no key repeats."""
    flights = read_flights()
    writer: pq.ParquetWriter | None = None
    written = 0
    for copy in range(-(-rows // len(flights))):
        year = flights.head(rows - written).copy()
        year["year"] += copy
        year["time_hour"] += pd.DateOffset(years=copy)
        table = pa.Table.from_pandas(year, preserve_index=False)
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
        written += len(year)
    if writer is not None:
        writer.close()
