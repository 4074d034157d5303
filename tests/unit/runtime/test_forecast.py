"""Growth of the data and a slowdown at equal rows are told apart."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from include.runtime.forecast import forecast_fit, forecast_from, judge_growth, judge_slowdown
from include.runtime.history import FitRecord, name_recipe, write_fit
from include.settings import Settings
from tests.unit.factory import make_pipeline
from tests.unit.runtime.records import make_record


def make_history(runs: int, seed: int = 3) -> list[FitRecord]:
    """A fit a month on 20,000 more rows each, 10 s per 100,000 rows, 4 % noise."""
    random = np.random.default_rng(seed)
    return [
        make_record(number, rows=20_000 * (number + 1), seconds=2.0 * (number + 1) * math.exp(random.normal(0, 0.04)))
        for number in range(runs)
    ]


def test_a_history_gives_time_and_memory_at_more_rows() -> None:
    made = forecast_from(make_history(10), 400_000)
    assert made["cpu_seconds"].value == pytest.approx(40, rel=0.1)
    assert made["wall_seconds"].value == pytest.approx(40, rel=0.1)
    assert made["peak_memory_mb"].value == pytest.approx(800, rel=0.05)
    assert made["peak_memory_mb"].describe().startswith("80")
    assert forecast_from([], 400_000) == {}


def test_growth_is_growth_and_no_slowdown() -> None:
    """Three times the rows take three times as long: foretold before, and nothing to say afterwards."""
    history = make_history(10)
    growth = judge_growth(history, 600_000)
    assert growth is not None
    assert growth.grows
    assert growth.factor == pytest.approx(3.0, rel=0.1)
    assert "200,000 rows at the last training, 600,000 now" in growth.describe()
    verdict = judge_slowdown(forecast_from(history, 600_000)["cpu_seconds"], 61.0)
    assert (verdict.enough, verdict.slower) == (True, False)


def test_a_slowdown_is_a_slowdown_and_no_growth() -> None:
    """The same rows take three times as long."""
    history = make_history(10)
    growth = judge_growth(history, 200_000)
    assert growth is not None
    assert not growth.grows
    verdict = judge_slowdown(forecast_from(history, 200_000)["cpu_seconds"], 60.0)
    assert verdict.slower
    assert verdict.factor == pytest.approx(3.0, rel=0.1)
    assert "not the data made it slower" in verdict.describe()


def test_fewer_rows_and_hardly_more_rows_are_no_growth() -> None:
    history = make_history(10)
    for rows in (100_000, 205_000):
        growth = judge_growth(history, rows)
        assert growth is not None
        assert not growth.grows
    assert judge_growth([], 100) is None


def test_what_is_usual_for_noise_is_no_slowdown() -> None:
    false_alarms = 0
    for seed in range(100):
        *history, last = make_history(9 + seed % 4, seed)
        false_alarms += judge_slowdown(forecast_from(history, last.rows)["cpu_seconds"], last.cpu_seconds).slower
    assert false_alarms == 0


def test_few_runs_or_samples_give_no_verdict() -> None:
    history = make_history(10)
    for fits, source in ((history[:4], "history"), (history, "samples")):
        verdict = judge_slowdown(forecast_from(fits, 200_000, source)["cpu_seconds"], 1000.0)
        assert (verdict.enough, verdict.slower) == (False, False)


def test_only_fits_of_what_is_declared_now_and_of_that_rung_count(settings: Settings) -> None:
    pipeline = make_pipeline()
    (trees, *_) = pipeline.training.candidates
    recipe = name_recipe(pipeline, trees)
    mine = [dataclasses.replace(each, recipe=recipe) for each in make_history(5)]
    others = [
        dataclasses.replace(mine[0], mlflow_run_id="a" * 32, recipe="older"),
        dataclasses.replace(mine[0], mlflow_run_id="b" * 32, rung="big"),
        dataclasses.replace(mine[0], mlflow_run_id="c" * 32, candidate="linear"),
    ]
    for record in [*mine, *others]:
        write_fit(settings, record)
    made = forecast_fit(settings, pipeline, "trees", 200_000, rung="worker")
    assert made["cpu_seconds"].runs == 5
    again = forecast_fit(settings, pipeline, "trees", 200_000, rung="worker", but=mine[-1].mlflow_run_id)
    assert again["cpu_seconds"].runs == 4
