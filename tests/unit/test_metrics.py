"""The metrics agree with scikit-learn, weights are repeated rows, and what has no value is NaN."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics as reference

from include.metrics import METRICS, measure_all, measure_metric, prepare_metric

RANDOM = np.random.default_rng(7)
LABELS = (RANDOM.random(800) < 0.3).astype(float)
# Rounded, so that there are ties.
SCORES = np.clip(0.3 * LABELS + RANDOM.random(800) * 0.6, 0, 1).round(2)


def test_the_values_are_scikit_learns() -> None:
    found = measure_all(LABELS, SCORES)
    assert found["roc_auc"] == pytest.approx(reference.roc_auc_score(LABELS, SCORES))
    assert found["average_precision"] == pytest.approx(reference.average_precision_score(LABELS, SCORES))
    assert found["brier"] == pytest.approx(reference.brier_score_loss(LABELS, SCORES))
    assert found["log_loss"] == pytest.approx(reference.log_loss(LABELS, SCORES))
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(LABELS, SCORES >= 0.5))
    assert found["calibration_gap"] == pytest.approx(abs(SCORES.mean() - LABELS.mean()))
    assert set(found) == set(METRICS)


@pytest.mark.parametrize("metric", METRICS)
def test_a_weight_is_a_repeated_row(metric: str) -> None:
    weights = RANDOM.integers(0, 4, len(LABELS)).astype(float)
    repeated = np.repeat(np.arange(len(LABELS)), weights.astype(int))
    expected = measure_metric(metric, LABELS[repeated], SCORES[repeated])
    assert prepare_metric(metric, LABELS, SCORES)(weights) == pytest.approx(expected)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_one_score_that_is_no_number_makes_every_metric_nan(bad: float) -> None:
    scores = SCORES.copy()
    scores[3] = bad
    assert all(math.isnan(value) for value in measure_all(LABELS, scores).values())


def test_a_single_class_no_rows_and_impossible_probabilities_have_no_value() -> None:
    one_class = measure_all(np.zeros(10), SCORES[:10])
    assert math.isnan(one_class["roc_auc"])
    assert math.isnan(one_class["average_precision"])
    assert math.isfinite(one_class["brier"])
    assert all(math.isnan(value) for value in measure_all(np.array([]), np.array([])).values())
    assert math.isnan(measure_metric("log_loss", LABELS, SCORES + 1))
    assert math.isnan(measure_metric("roc_auc", LABELS * 2, SCORES))


def test_an_unknown_metric_is_named() -> None:
    with pytest.raises(KeyError, match="f17"):
        measure_metric("f17", LABELS, SCORES)
