"""Landing files: whole months, in the declared types, seen whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from include.errors import PartitionNameError
from include.pipelines.flight_delays.landing import write_month


def test_a_month_is_all_its_flights_in_the_order_of_the_package(flights: pd.DataFrame, tmp_path: Path) -> None:
    path = write_month("2013-02", tmp_path / "landing", flights)
    assert path.name == "2013-02.parquet"
    assert [left.name for left in path.parent.iterdir()] == ["2013-02.parquet"]
    landed = pd.read_parquet(path)
    assert len(landed) == 24_951
    assert landed["sched_arr_time"].tolist() == flights.loc[flights["month"] == 2, "sched_arr_time"].tolist()


def test_types_are_the_declared_ones_and_the_hour_is_utc(flights: pd.DataFrame, tmp_path: Path) -> None:
    schema = pq.read_schema(write_month(1, tmp_path, flights))
    assert str(schema.field("time_hour").type).endswith("tz=UTC]")
    assert str(schema.field("hour").type) == "int64"
    assert str(schema.field("arr_delay").type) == "double"
    assert "string" in str(schema.field("tailnum").type)


def test_writing_again_gives_the_same_bytes(flights: pd.DataFrame, tmp_path: Path) -> None:
    """The same content has the same fingerprint, so that landing it twice does nothing twice."""
    first = write_month(1, tmp_path, flights).read_bytes()
    assert write_month("2013-01", tmp_path, flights).read_bytes() == first


@pytest.mark.parametrize("month", [0, 13, "2014-01", "2013-13", "../2013-01", "2013-1"])
def test_other_months_are_refused(month: int | str, flights: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(PartitionNameError):
        write_month(month, tmp_path, flights)
    assert list(tmp_path.iterdir()) == []
