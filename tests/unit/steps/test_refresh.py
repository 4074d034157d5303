"""Taking an arrival in: what can never be taken in is refused once, what changed meanwhile is no refusal.

And which content is known: what a suite blocked is judged again once that suite was corrected.
"""

from __future__ import annotations

import pytest

from include.contracts import RunIdentity
from include.data.landing import find_arrival, find_arrivals
from include.data.ledger import list_refused
from include.declaration import Pipeline
from include.errors import PartitionNameError, RefreshChanged, SuiteInvalid
from include.settings import Settings
from include.steps.refresh import describe_known_content, gate_refresh, publish_refresh, take_in_arrival
from tests.unit.data.steps import land_bytes, take_month
from tests.unit.gates.suite_files import NOT_NULL, make_rule, write_suite

WHO = RunIdentity("parcels.data_refresh", "run-1", "take_in_arrival")
LATER = RunIdentity("parcels.data_refresh", "run-2", "take_in_arrival")
GOOD = make_rule(NOT_NULL, column="weight")


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


@pytest.mark.parametrize("broken", ["{", '{"name": "parcels_refresh", "expectations": [{"type": "expect_nothing"}]}'])
def test_content_that_a_broken_suite_blocked_is_known_until_the_suite_is_corrected(
    settings: Settings, pipeline: Pipeline, broken: str
) -> None:
    suite = write_suite(settings, "parcels_refresh")
    suite.write_text(broken)
    arrival, refresh = take_month(settings, pipeline, "2013-01")
    with pytest.raises(SuiteInvalid):
        gate_refresh(settings, pipeline, refresh, arrival, WHO)
    assert "was blocked on" in (describe_known_content(settings, pipeline, refresh, arrival, LATER) or "")
    write_suite(settings, "parcels_refresh", GOOD)
    assert describe_known_content(settings, pipeline, refresh, arrival, LATER) is None
    assert gate_refresh(settings, pipeline, refresh, arrival, LATER).verdict == "pass"


def test_a_suite_that_breaks_between_gate_and_publication_blocks_no_longer_than_it_is_broken(
    settings: Settings, pipeline: Pipeline
) -> None:
    suite = write_suite(settings, "parcels_refresh", GOOD)
    arrival, refresh = take_month(settings, pipeline, "2013-01")
    report = gate_refresh(settings, pipeline, refresh, arrival, WHO)
    suite.unlink()
    with pytest.raises(SuiteInvalid):
        publish_refresh(settings, pipeline, refresh, arrival, report, WHO)
    assert "was blocked on" in (describe_known_content(settings, pipeline, refresh, arrival, LATER) or "")
    write_suite(settings, "parcels_refresh", GOOD)
    assert describe_known_content(settings, pipeline, refresh, arrival, LATER) is None
