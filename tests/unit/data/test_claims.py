"""Each pending file is taken by one run, by that run again when it is retried, and by another one when it is over."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from include.contracts import Arrival
from include.data import claims as claims_module
from include.data.claims import LIFT_AFTER, claim_arrivals, lift_claims, look_for_unclaimed
from include.data.landing import find_arrivals
from include.data.ledger import record_refused
from include.declaration import Pipeline
from include.errors import RefreshUnreadable
from include.settings import Settings
from tests.unit.data.steps import land_bytes


def names(arrivals: list[Arrival]) -> list[str]:
    return [arrival.partition for arrival in arrivals]


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Set the clock that ages are measured by, to ``gone`` after now."""

    def go(gone: timedelta) -> None:
        class Clock(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> datetime:
                return datetime.now(tz) + gone

        monkeypatch.setattr(claims_module, "datetime", Clock)

    return go


def test_two_runs_never_take_the_same_file_and_a_retry_gets_its_own_again(
    settings: Settings, pipeline: Pipeline
) -> None:
    for partition in ("2013-01", "2013-02"):
        land_bytes(settings, pipeline, f"{partition}.csv")
    assert names(look_for_unclaimed(settings, pipeline).arrivals) == ["2013-01", "2013-02"]
    first = names(claim_arrivals(settings, pipeline, "dag/run-1"))
    assert first == ["2013-01", "2013-02"]
    assert look_for_unclaimed(settings, pipeline).arrivals == []
    assert claim_arrivals(settings, pipeline, "dag/run-2") == []
    assert names(claim_arrivals(settings, pipeline, "dag/run-1")) == first


def test_a_claim_is_lifted_only_from_a_run_that_is_over_and_not_at_once(
    settings: Settings, pipeline: Pipeline, later: Any
) -> None:
    for partition in ("2013-01", "2013-02"):
        land_bytes(settings, pipeline, f"{partition}.csv")
        claim_arrivals(settings, pipeline, f"dag/{partition}")
    assert lift_claims(settings, pipeline, lambda _: False) == ([], []), "its run has just begun"
    later(LIFT_AFTER[0])
    lifted, left = lift_claims(settings, pipeline, lambda key: key == "dag/2013-02")
    assert (names(lifted), left) == (["2013-01"], [])
    assert names(look_for_unclaimed(settings, pipeline).arrivals) == ["2013-01"]
    assert names(claim_arrivals(settings, pipeline, "dag/run-3")) == ["2013-01"]
    assert names(claim_arrivals(settings, pipeline, "dag/2013-01")) == [], "cleared too late: another run has it"


def test_a_file_that_fails_again_and_again_is_left_to_a_person(
    settings: Settings, pipeline: Pipeline, later: Any
) -> None:
    land_bytes(settings, pipeline, "2013-01.csv")
    runs = 0
    for minutes in range(0, 24 * 60, 5):
        later(timedelta(minutes=minutes))
        runs += len(claim_arrivals(settings, pipeline, f"dag/run-{minutes}"))
        lift_claims(settings, pipeline, lambda _: False)
    assert runs == 1 + len(LIFT_AFTER)
    assert names(lift_claims(settings, pipeline, lambda _: False)[1]) == ["2013-01"]
    assert names(find_arrivals(settings, pipeline)) == ["2013-01"], "a run by hand still finds it"
    land_bytes(settings, pipeline, "2013-01.csv", b"mended")
    assert names(claim_arrivals(settings, pipeline, "dag/next")) == ["2013-01"], "new content starts anew"


def test_nothing_is_lifted_from_a_file_that_has_its_verdict(settings: Settings, pipeline: Pipeline, later: Any) -> None:
    land_bytes(settings, pipeline, "2013-01.csv")
    (arrival,) = claim_arrivals(settings, pipeline, "dag/run-1")
    error = RefreshUnreadable("cut off.", next_step="Land it again.", reason="cut off")
    record_refused(settings, pipeline, arrival, error)
    later(timedelta(days=1))
    assert lift_claims(settings, pipeline, lambda _: False) == ([], [])
