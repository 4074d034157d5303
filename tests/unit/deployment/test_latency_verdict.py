"""Each reason that stops a candidate, alone; and what never passes."""

from __future__ import annotations

import math

import pytest

from include.contracts import Check, CheckStatus, LatencyFigures, LatencyReport
from include.declaration import LatencyGate
from include.deployment.local.latency_verdict import (
    judge_objective,
    judge_regression,
    judge_samples,
    raise_if_slow,
)
from include.errors import LatencyUnmeasured, TooSlow

STEADY = [[10.0 + 0.1 * (place % 5)] * 5 for place in range(200)]


def make_figures(requests: int = 1000, p50: float = 10.0, p95: float = 12.0, p99: float = 20.0) -> LatencyFigures:
    return LatencyFigures("4", requests, p50, p95, p99, 100.0, 8.0, "compiled")


def slow_down(factor: float, add: float = 0.0) -> list[list[float]]:
    return [[factor * time + add for time in block] for block in STEADY]


def judge(gate: LatencyGate, candidate: list[list[float]], champion: list[list[float]] = STEADY) -> tuple[str, str]:
    assert gate.max_ratio is not None
    check = judge_regression(gate, candidate, champion, "3", gate.max_ratio, 1)
    return check.status, check.detail


@pytest.mark.parametrize(
    ("gate", "status"),
    [
        (LatencyGate(p50_ms=10.0, p95_ms=12.0, p99_ms=20.0), ["pass", "pass", "pass"]),
        (LatencyGate(p50_ms=9.9), ["fail"]),
        (LatencyGate(p50_ms=11, p95_ms=11.9), ["pass", "fail"]),
        (LatencyGate(p99_ms=19.9), ["fail"]),
        (LatencyGate(), []),
    ],
)
def test_each_declared_quantile_is_judged(gate: LatencyGate, status: list[str]) -> None:
    assert [check.status for check in judge_objective(gate, make_figures())] == status


def test_a_figure_that_is_missing_never_passes() -> None:
    checks = judge_objective(LatencyGate(p50_ms=10, p99_ms=10), make_figures(p50=math.nan, p99=math.nan))
    assert [check.status for check in checks] == ["error", "error"]
    assert judge(LatencyGate(), [], [])[0] == "error"
    assert judge(LatencyGate(), [[math.inf]] * 200)[0] == "error"
    assert judge(LatencyGate(), STEADY[:150])[0] == "error"


def test_too_few_answers_never_pass() -> None:
    assert judge_samples(LatencyGate(samples=1000), make_figures(requests=1000)).status == "pass"
    few = judge_samples(LatencyGate(samples=1000, max_seconds=7), make_figures(requests=999))
    assert (few.status, few.detail) == (
        "not_evaluated",
        "Version 4 gave 999 of 1000 answers in 7 s: too few for a verdict.",
    )


def test_a_regression_needs_both_the_ratio_and_a_difference_that_somebody_would_notice() -> None:
    assert judge(LatencyGate(), STEADY)[0] == "pass"
    status, detail = judge(LatencyGate(), slow_down(1.3))
    assert status == "fail"
    assert "p50 is 13.26 ms, 1.30 times version 3's 10.20 ms" in detail
    assert "beyond doubt more than 1.05 times, and by more than 0.5 ms" in detail
    status, detail = judge(LatencyGate(tolerance_ms=5), slow_down(1.3))
    assert status == "pass"
    assert "by less than the 5 ms that are tolerated" in detail
    assert judge(LatencyGate(max_ratio=1.5), slow_down(1.3))[0] == "pass"


def test_the_declared_quantile_is_the_one_that_counts() -> None:
    """One answer of ten is ten times as slow: the median does not see it, the 95th percentile does."""
    slow_tail = [[10 * time if place % 10 == 0 else time for time in block] for place, block in enumerate(STEADY)]
    assert judge(LatencyGate(quantile=0.5), slow_tail)[0] == "pass"
    assert judge(LatencyGate(quantile=0.95), slow_tail)[0] == "fail"


def make_report(*statuses: CheckStatus) -> LatencyReport:
    checks = tuple(Check(f"check {place}", "value", status) for place, status in enumerate(statuses))
    passed = all(status == "pass" for status in statuses)
    fields = {"pipeline": "parcels", "version": "4", "partition": "2013-01", "rows": 1, "concurrency": 1}
    return LatencyReport(
        **fields,  # type: ignore[arg-type]
        candidate=make_figures(),
        champion=None,
        checks=checks,
        passed=passed,
        reasons=("It is so.",),
        changed=(),
        blocks=200,
        resamples=0,
        seconds=1.0,
    )


@pytest.mark.parametrize(
    ("statuses", "error"),
    [
        (["pass", "fail"], TooSlow),
        (["pass", "error"], TooSlow),
        (["not_evaluated", "fail"], TooSlow),
        (["not_evaluated", "pass"], LatencyUnmeasured),
    ],
)
def test_a_slow_candidate_is_refused_for_good_and_missing_answers_alone_are_tried_again(
    statuses: list[CheckStatus], error: type[TooSlow | LatencyUnmeasured]
) -> None:
    with pytest.raises(error, match="It is so") as caught:
        raise_if_slow(make_report(*statuses), "http://mlflow/run")
    assert "http://mlflow/run" in caught.value.next_step
    raise_if_slow(make_report("pass", "pass"), "http://mlflow/run")
