"""The lowest rung that is in time, large enough and within the budget; and one rung up after what that may mend."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from include.declaration import Ladder, Rung
from include.runtime.failures import judge_exception, judge_exit_code
from include.runtime.ladder import Choice, Demand, choose_rung, find_next_rung

WORKER = Rung(name="worker", memory_mb=2000)
WIDE = Rung(name="wide", kind="queue", queue="wide", speeds_up=("trials",), cores=8, memory_mb=2000, cost_per_hour=1.0)
LARGE = Rung(name="large", kind="queue", queue="large", speeds_up=("memory",), memory_mb=16_000, cost_per_hour=2.0)
FAST = Rung(
    name="fast", kind="queue", queue="fast", speeds_up=("rows", "memory"), speed=4, memory_mb=8000, cost_per_hour=3.6
)
ALL = Ladder(rungs=(WORKER, WIDE, LARGE, FAST))


def make_demand(name: str = "trees", seconds: float = 60.0, memory: float = 500.0, **changes: Any) -> Demand:
    return Demand(name, seconds, 1.2 * seconds, seconds, memory, **changes)


def choose(*demands: Demand, allowed: float | None = 100.0, ladder: Ladder = ALL, **told: Any) -> Choice:
    return choose_rung(ladder, demands, cores=2, allowed=allowed, **told)


def test_what_is_in_time_on_the_lowest_rung_stays_there() -> None:
    choice = choose(make_demand())
    assert (choice.rung, choice.lowest, choice.cost) == ("worker", True, 0.0)
    assert choice.reason == "The lowest rung suffices: at most 72 s of the 100 s that the fits have, 500 MB."


def test_the_upper_end_of_the_forecast_decides() -> None:
    assert choose(make_demand(seconds=83)).rung == "worker"
    assert choose(make_demand(seconds=84)).rung == "fast"


def test_growth_takes_the_next_rung_that_is_in_time_and_says_why_and_at_what_cost() -> None:
    choice = choose(make_demand(seconds=300))
    assert (choice.rung, choice.lowest) == ("fast", False)
    assert choice.cost == pytest.approx(75 / 3600 * 3.6)
    assert "fast is the lowest rung that suffices: at most 90 s of the 100 s" in choice.reason
    assert "worker: 300 s (up to 360), 500 MB, cost 0.0000; too slow" in choice.reason


def test_a_search_uses_no_more_places_than_its_trials_go_side_by_side() -> None:
    def look(parts: int | None) -> float:
        demand = make_demand(seconds=300, divisible=True, parts=parts)
        return {each.rung: each.seconds for each in choose(demand).outlooks}["wide"]

    assert [look(parts) for parts in (None, 4, 1)] == [300 / 8, 300 / 4, 300]


def test_a_rung_that_cannot_help_is_passed_over() -> None:
    """One fit that is no search gains nothing of more cores, nor of more memory."""
    choice = choose(make_demand(seconds=300))
    told = {outlook.rung: outlook.seconds for outlook in choice.outlooks}
    assert told == {"worker": 300, "wide": 300, "large": 300, "fast": 75}


def test_a_search_and_several_candidates_gain_of_more_places() -> None:
    search = make_demand("search", 150, divisible=True)
    assert choose(dataclasses.replace(search, cpu_seconds=280.0)).rung == "wide"
    several = [make_demand(f"c{number}", 70) for number in range(4)]
    choice = choose(*several)
    assert choice.rung == "wide"
    assert {outlook.rung: outlook.seconds for outlook in choice.outlooks} == {
        "worker": 140,
        "wide": 70,
        "large": 140,
        "fast": 35,
    }


def test_what_does_not_fit_into_memory_takes_the_next_rung_that_holds_it() -> None:
    assert choose(make_demand(memory=2500), allowed=None).rung == "large"
    # Two at a time, on two cores.
    pair = [make_demand("a", 10, 1200), make_demand("b", 10, 1200)]
    assert choose(*pair).rung == "large"
    assert choose(*pair, ladder=Ladder(rungs=(WORKER, FAST))).rung == "fast"


def test_where_no_rung_is_in_time_the_one_that_is_clearly_quicker_is_taken_and_else_the_lowest() -> None:
    assert choose(make_demand(seconds=3000)).rung == "fast"
    choice = choose(make_demand(seconds=3000), ladder=Ladder(rungs=(WORKER, WIDE, LARGE)))
    assert (choice.rung, choice.lowest) == ("worker", True)
    assert choice.reason.startswith("No rung suffices of the 100 s that the fits have")


def test_a_budget_caps_it() -> None:
    slow = make_demand(seconds=300)
    for budget, rung in ((0.08, "fast"), (0.07, "worker")):
        ladder = ALL.model_copy(update={"budget_per_training": budget})
        assert choose(slow, ladder=ladder).rung == rung
    monthly = ALL.model_copy(update={"budget_per_month": 1.0})
    assert choose(slow, ladder=monthly, spent=0.9).rung == "fast"
    choice = choose(slow, ladder=monthly, spent=0.95)
    assert choice.rung == "worker"
    assert "beyond the budget" in choice.reason
    # What costs nothing is within any budget, however much was spent.
    assert choose(make_demand(), ladder=monthly, spent=5.0).rung == "worker"


def test_less_data_comes_down_again_by_itself() -> None:
    assert [choose(make_demand(seconds=seconds)).rung for seconds in (60, 300, 60)] == ["worker", "fast", "worker"]


def test_what_was_measured_on_a_rung_replaces_what_was_declared_of_it() -> None:
    slower = make_demand(seconds=300, measured={"fast": 280.0})
    choice = choose(slower)
    assert {outlook.rung: outlook.seconds for outlook in choice.outlooks}["fast"] == 280
    assert choice.rung == "worker"


def test_a_cluster_takes_one_fit_after_the_other() -> None:
    dask = Rung(name="dask", kind="dask", workers=4, speeds_up=("trials",), cost_per_hour=0.1)
    search, plain = make_demand("search", 200, divisible=True), make_demand("plain", 10)
    choice = choose(search, plain, ladder=Ladder(rungs=(WORKER, dask)))
    assert choice.rung == "dask"
    assert choice.outlooks[1].seconds == pytest.approx(200 / 4 + 10)


def test_without_a_forecast_or_an_sla_the_lowest_is_tried() -> None:
    assert choose().rung == "worker"
    assert "Nothing is known" in choose().reason
    assert choose(make_demand(seconds=1e6), allowed=None).rung == "worker"


@pytest.mark.parametrize(
    ("failure", "rung", "divisible", "following"),
    [
        ("memory", "worker", False, "large"),
        ("memory", "large", False, "fast"),
        ("time", "worker", False, "fast"),
        ("time", "worker", True, "wide"),
        ("lost", "worker", False, "wide"),
        ("lost", "fast", False, None),
        ("code", "worker", True, None),
        ("transient", "worker", True, None),
    ],
)
def test_a_failure_goes_to_the_next_rung_that_can_mend_it(
    failure: Any, rung: str, divisible: bool, following: str | None
) -> None:
    assert find_next_rung(ALL, rung, failure, divisible=divisible)[0] == following


def test_a_used_up_budget_ends_the_climb() -> None:
    ladder = ALL.model_copy(update={"budget_per_month": 1.0})
    assert find_next_rung(ladder, "worker", "memory", divisible=False, spent=0.5)[0] == "large"
    following, why = find_next_rung(ladder, "worker", "memory", divisible=False, spent=1.0)
    assert following is None
    assert "used up for wide, large, fast" in why


@pytest.mark.parametrize(
    ("code", "kind"), [(-9, "memory"), (-6, "memory"), (137, "memory"), (134, "memory"), (-15, "lost"), (1, "code")]
)
def test_exit_codes(code: int, kind: str) -> None:
    assert judge_exit_code(code) == kind


def _raise_from(outer: BaseException, inner: BaseException) -> BaseException:
    outer.__cause__ = inner
    return outer


class KilledWorker(Exception):
    pass


class AirflowTaskTimeout(BaseException):
    pass


def test_exceptions() -> None:
    import numpy as np

    from include.errors import TrackingUnavailable

    with pytest.raises(MemoryError) as caught:
        np.empty(1 << 60, dtype=np.uint8)
    assert judge_exception(caught.value) == "memory"
    assert judge_exception(_raise_from(RuntimeError("fit"), MemoryError())) == "memory"
    assert judge_exception(AirflowTaskTimeout()) == "time"
    assert judge_exception(KilledWorker("task was on three workers that died")) == "lost"
    assert judge_exception(KilledWorker("exit codes {SIGKILL(-9)}")) == "memory"
    assert judge_exception(ValueError("137 columns")) == "code"
    assert judge_exception(KeyboardInterrupt()) == "code"
    assert judge_exception(TrackingUnavailable("away.", next_step="wait.")) == "transient"
