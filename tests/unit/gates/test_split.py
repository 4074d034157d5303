"""Splitting a refresh loses no row, gives the same bytes again, and leaves whole files only."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from include.contracts import Refresh
from include.declaration import Pipeline
from include.errors import PartitionNameError
from include.gates.split import split_rows
from include.settings import Settings
from tests.unit.factory import COLUMNS, make_pipeline, make_rows
from tests.unit.gates.suite_files import BETWEEN, IN_SET, NOT_NULL, make_rule, write_refresh, write_suite


@pytest.fixture
def spoilt(settings: Settings, tmp_path: Path) -> Refresh:
    """400 rows; 3 are too heavy, 2 go to an unknown depot, and one of them does both."""
    write_suite(
        settings,
        "parcels_refresh",
        make_rule(BETWEEN, column="weight", min_value=0, max_value=100, mostly=0.95),
        make_rule(IN_SET, column="depot", value_set=["north", "south"], mostly=0.95),
        make_rule(NOT_NULL, column="delay"),
    )
    frame = make_rows()
    frame.loc[[5, 50, 300], "weight"] = 1000.0
    frame.loc[[300, 301], "depot"] = "moon's"
    return write_refresh(tmp_path, frame)


def test_rows_are_set_aside_with_every_reason_and_the_rest_keeps_its_order(
    settings: Settings, pipeline: Pipeline, spoilt: Refresh
) -> None:
    split = split_rows(settings, pipeline, spoilt)
    heavy, depot = f"{BETWEEN}(weight)", f"{IN_SET}(depot)"
    assert (split.landed, split.kept, split.quarantined) == (400, 396, 4)
    assert split.reasons == {heavy: 3, depot: 2}
    landed, kept = pd.read_parquet(spoilt.snapshot), pd.read_parquet(split.kept_path)
    assert list(kept.columns) == list(COLUMNS)
    assert list(kept["parcel_id"]) == list(landed["parcel_id"].drop([5, 50, 300, 301]))
    quarantined = pd.read_parquet(split.quarantined_path)
    assert list(quarantined["parcel_id"]) == list(landed["parcel_id"].loc[[5, 50, 300, 301]])
    assert [list(reasons) for reasons in quarantined["_failed"]] == [[heavy], [heavy], [heavy, depot], [depot]]


def test_the_same_refresh_gives_the_same_bytes_and_leaves_nothing_else(
    settings: Settings, pipeline: Pipeline, spoilt: Refresh
) -> None:
    first = split_rows(settings, pipeline, spoilt)
    before = [Path(path).read_bytes() for path in (first.kept_path, first.quarantined_path)]
    second = split_rows(settings, pipeline, spoilt)
    assert second == first
    assert [Path(path).read_bytes() for path in (second.kept_path, second.quarantined_path)] == before
    assert sorted(path.name for path in Path(first.kept_path).parent.parent.rglob("*") if path.is_file()) == [
        "kept.parquet",
        "quarantined.parquet",
    ]


def test_a_csv_and_a_parquet_file_of_the_same_rows_give_the_same_kept_rows(settings: Settings, tmp_path: Path) -> None:
    """Declared types decide, not what the writer's tool chose: 32-bit numbers, NaN and text times come out alike."""
    write_suite(settings, "parcels_refresh", make_rule(NOT_NULL, column="number"))
    pipeline = make_pipeline(data={"columns": {"number": "int", "share": "float", "word": "string", "at": "timestamp"}})
    frame = pd.DataFrame(
        {
            "at": pd.to_datetime(["2013-01-01T05:00:00Z", None]),
            "word": ['a,"b"\nc', None],
            "share": [0.5, float("nan")],
            "number": pd.array([1, 2], dtype="int32"),
        }
    )
    stored = split_rows(settings, pipeline, write_refresh(tmp_path, frame))
    from_parquet = pd.read_parquet(stored.kept_path)
    text = split_rows(settings, pipeline, write_refresh(tmp_path, frame, "csv", "2013-02"))
    pd.testing.assert_frame_equal(from_parquet, pd.read_parquet(text.kept_path))
    assert list(from_parquet.columns) == ["number", "share", "word", "at"]
    assert from_parquet["number"].dtype == "int64"
    assert from_parquet["share"].isna().sum() == 1


def test_a_partition_that_would_leave_its_folder_is_refused(
    settings: Settings, pipeline: Pipeline, spoilt: Refresh
) -> None:
    with pytest.raises(PartitionNameError):
        split_rows(settings, pipeline, Refresh(**{**spoilt.__dict__, "partition": "../../etc"}))
