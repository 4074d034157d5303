"""Counts of an endpoint that goes on, is started anew or has its own past, and what they are judged to be."""

from __future__ import annotations

from typing import Any

from include.declaration import AutoRollback, CapacitySize, Rollout, TrafficRouting
from include.deployment.local.stages import Stage, plan_stages
from include.deployment.local.tally import Tally

CRITERIA = AutoRollback(minimum_requests=50, max_failure_rate=0.01, max_mean_shift=0.1, false_alarm=0.001)


def count(answered: int = 0, pairs: int = 0, mean: float = 0.0, **outcomes: int) -> dict[str, Any]:
    differences = [pairs, round(pairs * mean * 1e9), 0]
    return {"outcomes": {"answered": answered, **outcomes}, "differences": differences}


def judge(customer: dict[str, Any], probe: dict[str, Any] | None = None, **changes: Any) -> Any:
    tally = Tally(CRITERIA.model_copy(update=changes), {}, 0.0)
    tally.add({"customer": customer, "probe": probe or {}}, 0.1)
    return tally.find_problem()


def test_nothing_is_judged_before_there_are_enough_requests() -> None:
    assert judge(count(error=49)) is None
    found = judge(count(error=50))
    assert found.statistic == "max_failure_rate"
    assert "50 of the last 50 customer requests failed" in found.sentence


def test_many_good_probes_do_not_outweigh_the_customers_errors() -> None:
    assert "8 of the last 8 customer requests failed" in judge(count(error=8), count(answered=5000)).sentence
    assert judge(count(answered=5000), count(error=1)) is None


def test_what_both_refuse_and_a_stall_that_was_counted_are_no_failures() -> None:
    assert judge(count(answered=10, both_refused=500, stall=500)) is None


def test_what_says_nothing_about_the_candidate_does_not_let_it_pass() -> None:
    tally = Tally(CRITERIA, {}, 0.0)
    tally.add({"customer": count(answered=49, both_refused=500, stall=500)}, 0.1)
    assert tally.has_enough()
    assert not tally.has_enough_to_pass()
    tally.add({"customer": count(answered=50, both_refused=500, stall=500)}, 0.2)
    assert tally.has_enough_to_pass()


def test_a_shift_either_way_is_found_and_can_be_left_unasked() -> None:
    up, down = judge(count(300, 300, 0.3)), judge(count(300, 300, -0.3))
    assert "mean prediction is +0.3" in up.sentence
    assert "mean prediction is -0.3" in down.sentence
    assert judge(count(300, 300, 0.09)) is None
    assert judge(count(300, 300, 0.3), max_mean_shift=None) is None


def test_counts_before_the_rollout_are_not_its_own_and_an_endpoint_may_be_started_anew() -> None:
    before = {"customer": count(answered=100, error=100, pairs=200, mean=0.9)}
    tally = Tally(CRITERIA, before, 0.0)
    tally.add({"customer": count(answered=160, error=100, pairs=260, mean=180 / 260)}, 0.1)
    assert (tally.requests, tally.failed) == (60, 0)
    assert tally.find_problem() is None
    tally.add({"customer": count(answered=5, error=1, pairs=6)}, 0.2)
    assert (tally.requests, tally.failed) == (66, 1)
    assert tally.describe()["customer"]["outcomes"] == {"answered": 65, "error": 1}


def test_the_stages_follow_the_declared_routing() -> None:
    canary = TrafficRouting(canary_size=CapacitySize(value=5), wait_interval_in_seconds=3)
    linear = TrafficRouting(type="LINEAR", linear_step_size=CapacitySize(value=40), wait_interval_in_seconds=1)
    bake = Stage("bake", 100, 7)

    def plan(routing: TrafficRouting) -> list[Stage]:
        return plan_stages(Rollout(traffic_routing_configuration=routing, termination_wait_in_seconds=7))

    assert plan(canary) == [Stage("canary", 5, 3), bake]
    assert plan(linear) == [Stage("linear", 40, 1), Stage("linear", 80, 1), bake]
    assert plan(TrafficRouting(type="ALL_AT_ONCE")) == [bake]
    assert plan(TrafficRouting(canary_size=CapacitySize(value=100))) == [bake]
