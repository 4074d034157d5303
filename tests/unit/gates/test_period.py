"""Every refresh suite can ask where its partition's period starts and ends."""

from __future__ import annotations

import pytest

from include.errors import PartitionNameError
from include.gates.period import PERIOD_PARAMETERS, compute_period_parameters
from tests.unit.factory import make_data


@pytest.mark.parametrize(
    ("changes", "partition", "start", "end"),
    [
        ({}, "2013-12", "2013-12-01T00:00:00+00:00", "2014-01-01T00:00:00+00:00"),
        ({}, "2012-02", "2012-02-01T00:00:00+00:00", "2012-03-01T00:00:00+00:00"),
        (
            {"partition_format": "%Y-%m-%d", "schedule": "0 0 * * *", "first": "2013-01-01"},
            "2013-02-28",
            "2013-02-28T00:00:00+00:00",
            "2013-03-01T00:00:00+00:00",
        ),
    ],
)
def test_a_period_ends_at_the_schedules_next_tick(
    changes: dict[str, str], partition: str, start: str, end: str
) -> None:
    parameters = compute_period_parameters(make_data(**changes), partition)
    assert (parameters["partition_start"], parameters["partition_end"]) == (start, end)
    assert set(parameters) == PERIOD_PARAMETERS


def test_a_name_that_is_no_partition_is_refused() -> None:
    with pytest.raises(PartitionNameError):
        compute_period_parameters(make_data(), "2013-13")
