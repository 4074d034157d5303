"""What the latency gate's interval can see: simulated times, log-normal with outliers on a machine that drifts."""

from __future__ import annotations

import math

import numpy as np
import pytest

from include.declaration import LatencyGate
from include.deployment.local.quantiles import bootstrap_ratio, measure_quantile

SAMPLES, TURN = 800, 5
GATE = LatencyGate()


def draw_times(seed: int, ratio: float, base_ms: float = 10.0) -> tuple[list[list[float]], list[list[float]]]:
    """Blocks of a candidate ``ratio`` times as slow, and of a champion: spread by 25 % and 3 % outliers of up to ten
    times; the machine's speed wanders by some 20 % over the run, and by 3 % from turn to turn."""
    random = np.random.default_rng([seed, 7])
    blocks = SAMPLES // TURN
    machine = np.exp(np.cumsum(random.normal(0, 0.2 / math.sqrt(blocks), blocks)))

    def draw(factor: float) -> list[list[float]]:
        times = base_ms * factor * random.lognormal(0, 0.25, (blocks, TURN))
        times *= (machine * random.lognormal(0, 0.03, blocks))[:, None]
        outliers = np.where(random.random((blocks, TURN)) < 0.03, random.uniform(2, 10, (blocks, TURN)), 1.0)
        drawn: list[list[float]] = (times * outliers).tolist()
        return drawn

    return draw(ratio), draw(1.0)


def count_stopped(ratio: float, trials: int) -> int:
    assert GATE.max_ratio is not None
    return sum(
        bootstrap_ratio(*draw_times(seed, ratio), GATE.quantile, GATE.confidence, seed, resamples=400).low
        > GATE.max_ratio
        for seed in range(trials)
    )


@pytest.mark.slow
def test_800_answers_catch_a_regression_of_15_percent_nine_times_of_ten() -> None:
    assert count_stopped(1.15, trials=100) >= 90


@pytest.mark.slow
def test_an_equal_model_is_not_stopped() -> None:
    assert count_stopped(1.0, trials=200) == 0


@pytest.mark.slow
def test_a_model_as_slow_as_is_allowed_is_stopped_no_more_often_than_stated() -> None:
    assert GATE.max_ratio is not None
    # 2.5 % of 200 are five; twelve or more come by chance once in two hundred times.
    assert count_stopped(GATE.max_ratio, trials=200) < 12


def test_the_interval_holds_the_ratio_and_narrows_with_more_answers() -> None:
    candidate, champion = draw_times(1, 1.5)
    whole = bootstrap_ratio(candidate, champion, 0.5, 0.95, 1)
    some = bootstrap_ratio(candidate[:40], champion[:40], 0.5, 0.95, 1)
    assert whole.low < 1.5 < whole.high
    assert whole.low <= whole.observed <= whole.high
    assert whole.high - whole.low < some.high - some.low


def test_the_same_seed_gives_the_same_interval() -> None:
    blocks = draw_times(2, 1.1)
    assert bootstrap_ratio(*blocks, 0.95, 0.95, 5) == bootstrap_ratio(*blocks, 0.95, 0.95, 5)
    assert bootstrap_ratio(*blocks, 0.95, 0.95, 5) != bootstrap_ratio(*blocks, 0.95, 0.95, 6)


def test_drift_that_hits_both_widens_nothing() -> None:
    """The machine gets four times slower on the way; drawn in blocks, both versions get slower together."""
    steady = [[10.0 + 0.01 * (place % 7)] * TURN for place in range(160)]
    drifting = [[4.0 ** (place / 160) * time for time in block] for place, block in enumerate(steady)]
    slower = [[1.2 * time for time in block] for block in drifting]
    ratio = bootstrap_ratio(slower, drifting, 0.5, 0.95, 1)
    assert (ratio.low, ratio.high) == pytest.approx((1.2, 1.2), rel=0.01)


def test_quantiles_are_times_that_were_measured() -> None:
    blocks = [[float(place)] for place in range(1, 101)]
    assert [measure_quantile(blocks, quantile) for quantile in (0.5, 0.95, 0.99)] == [50.0, 95.0, 99.0]


@pytest.mark.parametrize("blocks", [[], [[]], [[1.0], [math.nan]], [[1.0], [math.inf]]])
def test_without_a_finite_time_there_is_no_quantile(blocks: list[list[float]]) -> None:
    assert math.isnan(measure_quantile(blocks, 0.5))


@pytest.mark.parametrize(
    ("candidate", "champion"),
    [([], []), ([[1.0]], [[1.0]]), ([[1.0], [math.nan]], [[1.0], [1.0]]), ([[1.0], [1.0]], [[0.0], [0.0]])],
)
def test_without_blocks_to_draw_there_is_no_interval(candidate: list[list[float]], champion: list[list[float]]) -> None:
    assert all(map(math.isnan, bootstrap_ratio(candidate, champion, 0.5, 0.95, 1)))
