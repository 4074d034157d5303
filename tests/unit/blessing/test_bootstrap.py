"""The interval is seeded, grows when days share their luck, and never hides a draw without a value."""

from __future__ import annotations

import dataclasses
import math
import time

import numpy as np
import pandas as pd

from include.blessing.bootstrap import bootstrap_difference
from include.blessing.rows import ScoredRows
from tests.unit.blessing.factory import make_scored


def to_rows(frame: pd.DataFrame) -> ScoredRows:
    return ScoredRows(frame["label"].to_numpy(), frame["prediction"].to_numpy(), frame["event_day"], frame)


def test_it_agrees_with_resampling_the_rows_themselves() -> None:
    a, b = make_scored(), make_scored(strength=0.8, noise_seed=2)
    found = bootstrap_difference(to_rows(a), to_rows(b), "roc_auc", 0.95, 300, seed=5)
    from sklearn.metrics import roc_auc_score

    places = {day: np.flatnonzero(a["event_day"] == day) for day in sorted(set(a["event_day"]))}
    random, draws = np.random.default_rng(9), []
    for _ in range(300):
        chosen = np.concatenate([places[day] for day in random.choice(list(places), len(places))])
        labels = a["label"].to_numpy()[chosen]
        draws.append(
            roc_auc_score(labels, a["prediction"].to_numpy()[chosen])
            - roc_auc_score(labels, b["prediction"].to_numpy()[chosen])
        )
    low, high = np.quantile(draws, [0.025, 0.975])
    assert abs(found.low - low) < 0.004
    assert abs(found.high - high) < 0.004
    assert found.low < found.observed < found.high


def test_the_same_seed_gives_the_same_interval_and_the_same_model_none_at_all() -> None:
    rows = to_rows(make_scored())
    other = to_rows(make_scored(noise_seed=2))
    assert bootstrap_difference(rows, other, "brier", 0.95, 100, 1) == bootstrap_difference(
        rows, other, "brier", 0.95, 100, 1
    )
    assert bootstrap_difference(rows, rows, "roc_auc", 0.95, 100, 1)[:3] == (0.0, 0.0, 0.0)


def test_days_that_share_their_luck_widen_the_interval() -> None:
    frame = make_scored()
    day = frame["event_day"].str[-2:].astype(int).to_numpy()
    # A model whose mistakes come by the day, not by the row.
    shift = np.random.default_rng(3).normal(0, 0.15, 40)[day]
    other = frame.assign(prediction=np.clip(frame["prediction"] + shift, 0, 1))
    by_day = bootstrap_difference(to_rows(frame), to_rows(other), "brier", 0.95, 200, 1)
    single = pd.Series([f"{i:06d}" for i in range(len(frame))])
    ours, theirs = (dataclasses.replace(to_rows(f), days=single) for f in (frame, other))
    by_row = bootstrap_difference(ours, theirs, "brier", 0.95, 200, 1)
    assert by_day.high - by_day.low > 1.5 * (by_row.high - by_row.low)


def test_a_single_day_draws_rows_instead() -> None:
    frame, other = (make_scored(noise_seed=n).assign(event_day="2013-03-01") for n in (1, 2))
    found = bootstrap_difference(to_rows(frame), to_rows(other), "roc_auc", 0.95, 100, 1)
    assert found.days == 1
    assert found.low < found.observed < found.high


def test_a_draw_without_a_value_is_not_left_out() -> None:
    frame = pd.DataFrame(
        {"label": [0.0, 1.0], "prediction": [0.2, 0.7], "event_day": ["2013-03-01", "2013-03-02"], "depot": ["n", "n"]}
    )
    found = bootstrap_difference(to_rows(frame), to_rows(frame), "roc_auc", 0.95, 100, 1)
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_a_month_of_flights_takes_about_a_second() -> None:
    frames = [pd.concat([make_scored(noise_seed=n)] * 9, ignore_index=True) for n in (1, 2)]
    started = time.process_time()
    bootstrap_difference(to_rows(frames[0]), to_rows(frames[1]), "roc_auc", 0.95, 400, 1)
    assert time.process_time() - started < 3
