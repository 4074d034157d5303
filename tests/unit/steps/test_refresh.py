"""Taking an arrival in: what can never be taken in is refused once, what changed meanwhile is no refusal."""

from __future__ import annotations

import pytest

from include.contracts import RunIdentity
from include.data.landing import find_arrival, find_arrivals
from include.data.ledger import list_refused
from include.declaration import Pipeline
from include.errors import PartitionNameError, RefreshChanged
from include.settings import Settings
from include.steps.refresh import take_in_arrival
from tests.unit.data.steps import land_bytes

WHO = RunIdentity("parcels.data_refresh", "run-1", "take_in_arrival")


def test_a_file_that_changed_is_not_refused_and_is_taken_in_as_what_it_is_now(
    settings: Settings, pipeline: Pipeline
) -> None:
    land_bytes(settings, pipeline, "2013-05.csv", b"old")
    noticed = find_arrival(settings, pipeline, "2013-05")
    land_bytes(settings, pipeline, "2013-05.csv", b"newer")
    with pytest.raises(RefreshChanged):
        take_in_arrival(settings, pipeline, noticed, WHO)
    assert list_refused(settings, pipeline) == []
    (now,) = find_arrivals(settings, pipeline)
    assert take_in_arrival(settings, pipeline, now, WHO).size == len(b"newer")


def test_a_name_that_is_no_partition_is_refused_once(settings: Settings, pipeline: Pipeline) -> None:
    land_bytes(settings, pipeline, "may.csv")
    (noticed,) = find_arrivals(settings, pipeline)
    with pytest.raises(PartitionNameError):
        take_in_arrival(settings, pipeline, noticed, WHO)
    assert [refused["name"] for refused in list_refused(settings, pipeline)] == ["may.csv"]
    assert find_arrivals(settings, pipeline) == []
