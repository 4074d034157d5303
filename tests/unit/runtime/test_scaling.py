"""Forecasts from recorded histories: linear, n·log n, noisy, with outliers, with one point; and their intervals."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from include.runtime.expectation import ENOUGH_FOR_ALARM, Forecast, Point
from include.runtime.scaling import foretell

MONTHS = [int(rows) for rows in np.linspace(25_000, 325_000, 13)]


def linear(rows: float) -> float:
    return 1.5 + 16e-6 * rows


def linearithmic(rows: float) -> float:
    return 2e-6 * rows * math.log(rows)


def quadratic(rows: float) -> float:
    return 1e-9 * rows**2


def record(curve: Callable[[float], float], runs: int, noise: float = 0.0, seed: int = 1) -> list[Point]:
    """A run a month; each off by a factor drawn from a lognormal distribution."""
    random = np.random.default_rng(seed)
    return [Point(rows, curve(rows) * math.exp(random.normal(0, noise))) for rows in MONTHS[:runs]]


def ask(points: list[Point], rows: int) -> Forecast:
    forecast = foretell(points, rows, "cpu_seconds")
    assert forecast is not None
    return forecast


@pytest.mark.parametrize("curve", [linear, linearithmic, quadratic])
@pytest.mark.parametrize("runs", [4, 8, 12])
def test_without_noise_the_next_month_is_foretold(curve: Callable[[float], float], runs: int) -> None:
    rows = MONTHS[runs]
    assert ask(record(curve, runs), rows).value == pytest.approx(curve(rows), rel=0.03)


@pytest.mark.parametrize("curve", [linear, linearithmic])
def test_twice_the_rows_of_any_run_are_foretold(curve: Callable[[float], float]) -> None:
    assert ask(record(curve, 12), 600_000).value == pytest.approx(curve(600_000), rel=0.05)


@pytest.mark.parametrize("curve", [linear, linearithmic])
def test_nine_of_ten_outcomes_of_noisy_runs_lie_in_the_interval(curve: Callable[[float], float]) -> None:
    """Counted over 200 histories of different lengths and noise; 0.85 is what chance leaves of nine in ten."""
    inside, alarms, wide = 0, 0, []
    for seed in range(200):
        runs, noise = 4 + seed % 9, (0.03, 0.08, 0.15)[seed % 3]
        rows = MONTHS[runs]
        forecast = ask(record(curve, runs, noise, seed), rows)
        outcome = curve(rows) * math.exp(np.random.default_rng(10_000 + seed).normal(0, noise))
        inside += forecast.low <= outcome <= forecast.high
        alarms += forecast.runs >= ENOUGH_FOR_ALARM and outcome > forecast.alarm
        wide.append(forecast.high / forecast.value)
    assert inside >= 0.85 * 200
    assert alarms <= 2
    # An interval from nothing to everything would hold all outcomes too.
    assert float(np.median(wide)) < 1.5


@pytest.mark.parametrize("runs", [6, 8, 12])
@pytest.mark.parametrize("factor", [5.0, 0.1])
def test_a_run_that_was_disturbed_does_not_move_the_forecast(runs: int, factor: float) -> None:
    rows = MONTHS[runs]
    for odd in range(runs):
        points = record(linear, runs, noise=0.03, seed=odd)
        points[odd] = Point(points[odd].rows, factor * points[odd].value)
        forecast = ask(points, rows)
        assert forecast.value == pytest.approx(linear(rows), rel=0.15), f"run {odd} was disturbed"
        assert forecast.low < linear(rows) < forecast.high


def test_two_disturbed_runs_of_twelve_do_not_either() -> None:
    points = record(linear, 12, noise=0.03)
    for odd in (4, 10):
        points[odd] = Point(points[odd].rows, 4 * points[odd].value)
    assert ask(points, MONTHS[12]).value == pytest.approx(linear(MONTHS[12]), rel=0.15)


@pytest.mark.parametrize("truth", [lambda n: 10 * (n / 100_000) ** 0.6, lambda n: 10 * (n / 100_000) ** 1.4])
def test_one_run_gives_a_proportion_and_an_interval_for_what_is_not_known(truth: Callable[[float], float]) -> None:
    forecast = ask([Point(100_000, 10.0)], 200_000)
    assert forecast.value == pytest.approx(20.0)
    assert forecast.low < truth(200_000) < forecast.high
    assert not forecast.trusted
    assert math.isinf(forecast.alarm)


@pytest.mark.parametrize("values", [(0.9, 4.1, 2.2), (4.0, 0.7, 2.0), (0.4, 5.0, 3.0)])
def test_samples_on_a_busy_machine_say_no_less_than_the_largest_alone(values: tuple[float, ...]) -> None:
    """Three timed samples, each disturbed otherwise: Student's t of one degree would reach from nothing to hours."""
    rows = (1_500, 3_000, 6_000)
    forecast = ask([Point(*each) for each in zip(rows, values, strict=True)], 24_000)
    assert forecast.shape == "proportional"
    assert forecast.value == pytest.approx(4 * values[-1])
    assert forecast.high / forecast.value == pytest.approx(1.5 * 2)
    assert math.isinf(forecast.alarm)


def test_the_interval_becomes_narrower_with_runs_and_wider_with_distance() -> None:
    widths = [(each := ask(record(linear, runs, 0.05), 330_000)).high / each.low for runs in (1, 4, 8, 12)]
    assert widths == sorted(widths, reverse=True)
    near, far = (ask(record(linear, 12, 0.05), rows) for rows in (330_000, 3_300_000))
    assert far.high / far.low > near.high / near.low


def test_later_runs_count_more() -> None:
    """Since the eighth run everything takes half as long: a faster machine."""
    slow = [Point(100_000, 20.0)] * 8
    assert ask([*slow, *[Point(100_000, 10.0)] * 8], 100_000).value == pytest.approx(10.0, rel=0.1)


def test_runs_of_equal_rows_foretell_those_and_claim_little_about_others() -> None:
    points = [Point(100_000, value) for value in (9.8, 10.0, 10.2, 10.1, 9.9, 10.0)]
    same, other = ask(points, 100_000), ask(points, 400_000)
    assert same.value == pytest.approx(10.0, rel=0.02)
    assert same.high / same.value < 1.2
    assert other.low < 10 * 4**0.6 < 10 * 4**1.4 < other.high


def test_more_rows_never_take_less() -> None:
    points = record(lambda rows: 20 - rows * 2e-5, 12, noise=0.02)
    assert ask(points, 600_000).value >= 0.95 * ask(points, 300_000).value


def test_memory_with_a_large_base_is_foretold() -> None:
    points = [Point(rows, 400 + rows / 1000) for rows in MONTHS[:6]]
    assert ask(points, 650_000).value == pytest.approx(1050, rel=0.02)


def test_what_cannot_be_used_is_left_out() -> None:
    assert foretell([], 100, "cpu_seconds") is None
    assert foretell([Point(0, 1.0), Point(100, 0.0), Point(100, math.nan)], 100, "cpu_seconds") is None
    points = record(linear, 8)
    assert ask([*points, Point(1, math.nan)], 300_000) == ask(points, 300_000)
